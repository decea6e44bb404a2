"""Exercises of lesson 02."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from kvmlab import data
from kvmlab.host.formats.events import read_kvm_trace
from kvmlab.host.interrupts import exit_interrupts
from kvmlab.lab.exercises.kinds import Exercise, Number, Several
from kvmlab.results.follow import VCPU_STATES, follow_timer
from kvmlab.results.story import Story

NO_POST = {"pi_inject_timer": False}
WAYS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "preemption timer": ("v5.3", NO_POST),
    "local": ("v5.2", {**NO_POST, "hv_timer": False}),
    "kicked": ("v5.3", {**NO_POST, "hv_timer": False}),
    "posted": ("v5.3", {"hv_timer": False}),
}
"""A kernel and options of `kvmlab.follow_timer` for each way to fire, as panel 02-1 shows them."""
WHO = {"own": "its own pCPU", "housekeeping": "a housekeeping CPU", None: "nobody"}
"""The choices of L02-P1, by where a story's timer fires."""


def who_fires(*, vcpu_at_expiry: str) -> str:
    """Return who fires a timer that was armed as a preemption timer, as a choice of L02-P1."""
    kernel, options = WAYS["preemption timer"]
    return WHO[follow_timer(kernel, vcpu_at_expiry=vcpu_at_expiry, **options).fires_on]


def sixteen_stories() -> list[Story]:
    """Return the stories of all four ways and all four places where the deadline may find the vCPU."""
    cases = itertools.product(WAYS.values(), VCPU_STATES)
    return [follow_timer(kernel, vcpu_at_expiry=place, **options) for (kernel, options), place in cases]


def own_timers() -> float:
    """Return how many exits of the recording without APICv were the local timer's."""
    interrupts = exit_interrupts(read_kvm_trace(data.path("recorded", "perf-script.no-apicv.txt")))
    return float(interrupts["exits"].to_dict()["0xec"])


EXERCISES = {
    "L02-E1": Exercise(Number(own_timers, "exits"), checked="the number", not_checked="your reason"),
    "L02-E2": Exercise(
        Several(("a", "b", "c", "d", "e", "f"), seal="0bfab025"),
        checked="which of the six",
        not_checked="which way each of them takes",
    ),
}
