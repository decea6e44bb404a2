"""Exercises of lesson 07."""

from __future__ import annotations

from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.exercises.kinds import Exercise, Judged
from kvmlab.lab.panels.porter import Porter
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

MOST_BUSY = 0.02
MOST_POSTED = 0.5
LEAST_VCPUS = 8
CAUSES: dict[str, dict[str, Any]] = {
    "a": {"host.timer_migration": False},
    "b": {"host.housekeeping": "ticking"},
    "c": {"guest.hlt_in_guest": False},
    "d": {"host.apicv": False},
}
HOSTS = "bdac"
"""Why hosts 1 to 4 of E2 do not post all their timers; by CAUSES."""


def overrun(panel: Any) -> bool | str:
    """Judge a panel: a porter that is hardly busy, and posts less than half of the timers."""
    if not isinstance(panel, Porter):
        return "Panel 07-1 is asked for: panel."
    settings = panel.settings
    if int(settings["vcpus"]) < LEAST_VCPUS:
        return f"{settings['vcpus']} vCPUs are too few: keep at least {LEAST_VCPUS}."
    if settings["kernel"] != "v5.18" or not settings["hlt_in_guest"]:
        return "so KVM does not even want to post; leave the kernel at v5.18 and the HLT switch on."
    run = panel.run
    busy, posted = run.housekeeping["share_of_time"].max(), run.placement["share"]["housekeeping posted"]
    found = f"busy for {busy:.1%} of the time, {posted:.0%} of the timers posted".replace("%", " %")
    return bool(busy < MOST_BUSY and posted < MOST_POSTED) or f"{found}."


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
        Judged("less than half of the timers are posted, by a CPU that is hardly busy", overrun),
        checked="the settings of the panel, by simulation",
        not_checked="whether you know why",
    ),
    "L07-E2": Exercise(
        Judged("each host has its cause", matched),
        checked="the letters",
        not_checked="whether a second cause hides behind a first",
    ),
}
