"""Exercises of lesson 10."""

from __future__ import annotations

import csv
import functools
from typing import Any

from kvmlab import data
from kvmlab.kernels import KERNELS
from kvmlab.lab.exercises.kinds import Exercise, Judged, Numbers, WrongForm
from kvmlab.lab.words import names_of
from kvmlab.policy import Policy, VcpuFacts
from kvmlab.results.follow import follow_timer
from kvmlab.results.per_guest import compare_guests
from kvmlab.scenario.example import three_guests
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import variant

WRITES = 5
"""Deadlines that the vCPU of L10-E1 writes for each one that expires."""
NOTICED_US = 20.0
"""Guest time per vCPU per second that counts as a loss."""
KERNEL = "v6.18"


def sooner_if_the_guest_halts() -> int:
    """Return by how many percent APIC-timer virtualization shortened the mean lateness in a guest that halts."""
    with data.path("published", "anchors.csv").open(newline="", encoding="utf-8") as file:
        [row] = [row for row in csv.DictReader(file) if row["id"] == "apic-timer-virt-hlt"]
    return -int(row["after"])


def exits_saved() -> dict[str, float]:
    """Follow one timer by each way on x86, and return the share of a vCPU's exits that each design saves, in percent.

    On arm64, before GICv5, no write exits and each expiry does.
    """
    by_hv = follow_timer("v5.18")
    posted = follow_timer("v5.18", hlt_in_guest=True)
    exits = {story: WRITES + (story.expiry_exit is not None) for story in (by_hv, posted)}
    return {
        "posting": 100 * (1 - exits[posted] / exits[by_hv]),
        "arm64": 100 * (1 - 1 / exits[by_hv]),
    }


def everybody(v: VcpuFacts) -> bool:
    """Patch A."""
    return v.pi_inject_timer and v.apicv_active


def nobody(v: VcpuFacts) -> bool:
    """Patch B."""
    return False


def either_sign(v: VcpuFacts) -> bool:
    """Patch C."""
    return v.pi_inject_timer and v.apicv_active and (v.hlt_in_guest or not v.housekeeping_cpu)


PATCHES: dict[str, Policy] = {"A": everybody, "B": nobody, "C": either_sign}


def lonely() -> Scenario:
    """Return one vCPU that polls, beside a housekeeping CPU that only ticks."""
    host = Host(pcpus=2, isolated=(1,), housekeeping="ticking")
    guest = Guest(name="lonely", pcpus=(1,), workload=Workload(tick_hz=1000))
    return Scenario(host, (guest,), kernel=KERNELS[KERNEL], duration_s=2)


@functools.cache
def payers() -> dict[str, frozenset[str]]:
    """Return for each patch the guests that lose clearly more time to exits than under rev 3."""
    kernels = [KERNELS[KERNEL], *(variant(KERNELS[KERNEL], line) for line in PATCHES.values())]
    found: dict[str, frozenset[str]] = dict.fromkeys(PATCHES, frozenset())
    for scenario in (three_guests(KERNEL), lonely()):
        lost = compare_guests(scenario, kernels)["lost us"].unstack("kernel")
        for patch, kernel in zip(PATCHES, kernels[1:], strict=True):
            more = lost[kernel.name] - lost[KERNEL]
            found[patch] |= {str(guest) for guest in more.index[more > NOTICED_US]}
    return found


def names_who_pays(answer: Any) -> bool | str:
    """Return True if a list for each patch names those who pay; else for which patches it does not."""
    guests = [*(guest.name for guest in three_guests(KERNEL).guests), "lonely"]
    if not isinstance(answer, dict) or {*answer} != {*PATCHES}:
        raise WrongForm(f"a dictionary with a list for each of {names_of(list(PATCHES))} is asked for")
    if any(isinstance(each, str) or not {*each} <= {*guests} for each in answer.values()):
        raise WrongForm(f"a list of some of {names_of(guests)} is asked for with each patch")
    told = []
    for patch, found in payers().items():
        yours = {*answer[patch]}
        if yours != found:
            told.append(
                f"{patch}: your list has {len(yours & found)} of {len(found)} who pay, and {len(yours - found)} more"
            )
    return not told or f"{'; '.join(told)}."


EXERCISES = {
    "L10-E1": Exercise(
        Numbers(exits_saved, "%", within=0.02),
        checked="both shares within 2 %",
        not_checked="what one exit costs on each machine: they are different machines",
    ),
    "L10-E2": Exercise(
        Judged("you named all who pay, and nobody else", names_who_pays),
        checked="each guest under each patch and under rev 3, in v6.18, by simulation; 20 µs per second count",
        not_checked="all other guests; and which of the three you would merge",
    ),
}
