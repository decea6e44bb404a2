"""Exercises of lesson 07."""

from __future__ import annotations

from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.exercises.kinds import Exercise, Judged, WrongForm
from kvmlab.lab.panels.porter import Porter, porter_panel
from kvmlab.lab.panels.porter_host import PORTER
from kvmlab.lab.words import names_of
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

PROMISED_NS = 15_000
CUSTOMERS = {"ticks": "together", "tick_hz": 1000, "kernel": "v5.18", "hlt_in_guest": True}
"""What cannot be changed in E1."""
CAUSES: dict[str, dict[str, Any]] = {
    "a": {"host.timer_migration": False},
    "b": {"host.housekeeping": "ticking"},
    "c": {"guest.hlt_in_guest": False},
    "d": {"host.apicv": False},
}
HOSTS = "bdac"
"""Why hosts 1 to 4 of E2 do not post all their timers; by CAUSES."""


def p99_ns(panel: Porter, **changes: Any) -> float:
    """Return the p99 of what a panel is set to, or would be with some changes."""
    return porter_panel(**{**panel.settings, **changes}).run.latency_percentile(0.99)


def fullest(panel: Any) -> bool | str:
    """Judge a porter: the promise is kept, for as many vCPUs as the panel allows, with as few CPUs as that takes."""
    if not isinstance(panel, Porter):
        raise WrongForm("panel 07-3 is asked for: hotel")
    settings = panel.settings
    changed = [PORTER.controls[name].label for name, value in CUSTOMERS.items() if settings[name] != value]
    if changed:
        return f"that cannot be chosen: {names_of(changed)}. Put it back."
    late = p99_ns(panel)
    if late >= PROMISED_NS:
        return f"p99 is {late / 1e3:.1f} µs."
    more = [int(value) for value in PORTER.controls["vcpus"].values if int(value) > int(settings["vcpus"])]
    if more and p99_ns(panel, vcpus=more[0]) < PROMISED_NS:
        return "more vCPUs can live there, too."
    cpus = int(settings["housekeeping_cpus"])
    if cpus > 1 and p99_ns(panel, housekeeping_cpus=cpus - 1) < PROMISED_NS:
        return "fewer housekeeping CPUs will do."
    return True


def colleagues_run(cause: str) -> Run:
    """Run the host of E2 that has this cause: one vCPU alone on an isolated pCPU, for a second."""
    host = Host(pcpus=2, isolated=(1,), housekeeping="timers")
    guest = Guest(hlt_in_guest=True, workload=Workload(tick_hz=1000))
    scenario = Scenario(host, (guest,), kernel=KERNELS["v5.18"], duration_s=1)
    return simulate(scenario.replace(**CAUSES[cause]))


def matched(answer: Any) -> bool | str:
    """Judge four letters, one for each host."""
    letters = answer.lower().replace(" ", "").replace(",", "") if isinstance(answer, str) else ""
    if sorted(letters) != sorted(HOSTS):
        return 'the four letters a, b, c and d are asked for, each once, as text: "abcd".'
    right = sum(mine == cause for mine, cause in zip(letters, HOSTS, strict=True))
    return right == len(HOSTS) or f"{right} of {len(HOSTS)} are right."


EXERCISES = {
    "L07-E1": Exercise(
        Judged("no more can live there, and no CPU is wasted", fullest),
        checked="the settings of panel 07-3 and those beside them, by simulation",
        not_checked="whether you know why",
    ),
    "L07-E2": Exercise(
        Judged("each host has its cause", matched),
        checked="the letters",
        not_checked="whether a second cause hides behind a first",
    ),
}
