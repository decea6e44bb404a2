"""Exercises of lesson 07."""

from __future__ import annotations

from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.exercises.kinds import Exercise, Judged, Numbers
from kvmlab.lab.panels.porter_host import PORTER
from kvmlab.lab.panels.simulation import affordable
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

PROMISED_NS = 15_000
CAUSES: dict[str, dict[str, Any]] = {
    "a": {"host.timer_migration": False},
    "b": {"host.housekeeping": "ticking"},
    "c": {"guest.hlt_in_guest": False},
    "d": {"host.apicv": False},
}
HOSTS = "bdac"
"""Why hosts 1 to 4 of E2 do not post all their timers; by CAUSES."""


def most_vcpus(housekeeping_cpus: int) -> int:
    """Return up to how many of the panel's numbers of vCPUs, which tick together, p99 keeps the promise."""
    most = 0
    for vcpus in PORTER.controls["vcpus"].values:
        settings = {"vcpus": vcpus, "ticks": "together", "housekeeping_cpus": housekeeping_cpus}
        run = simulate(affordable(PORTER.scenario(settings)))
        if run.latency_percentile(0.99) >= PROMISED_NS:
            break
        most = int(vcpus)
    return most


def customers() -> dict[str, float]:
    """Return how many vCPUs can live on the host of E1, by the number of its housekeeping CPUs."""
    return {"one": most_vcpus(1), "four": most_vcpus(4)}


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
        Numbers(customers, "vCPUs"),
        checked="both numbers, by simulation of what the panel offers",
        not_checked="whether you know why",
    ),
    "L07-E2": Exercise(
        Judged("each host has its cause", matched),
        checked="the letters",
        not_checked="whether a second cause hides behind a first",
    ),
}
