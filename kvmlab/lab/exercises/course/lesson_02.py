"""Exercises of lesson 02."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlab import data
from kvmlab.host.formats.events import read_kvm_trace
from kvmlab.host.interrupts import exit_interrupts
from kvmlab.lab.exercises.kinds import Exercise, Number, Several
from kvmlab.results.follow import follow_timer

NO_POST = {"pi_inject_timer": False}
WAYS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "the preemption timer": ("v5.3", NO_POST),
    "a local hrtimer": ("v5.2", {**NO_POST, "hv_timer": False}),
    "a kick": ("v5.3", {**NO_POST, "hv_timer": False}),
    "a post": ("v5.3", {"hv_timer": False}),
}
"""A kernel and options of `kvmlab.follow_timer` for each choice of L02-P2, as panel 02-1 has them."""
WHO = {"own": "its own pCPU", "housekeeping": "a housekeeping CPU", None: "nobody"}
"""The choices of L02-P1, by where a story's timer fires."""


def who_fires(*, vcpu_at_expiry: str) -> str:
    """Return who fires a timer that was armed as a preemption timer, as a choice of L02-P1."""
    kernel, options = WAYS["the preemption timer"]
    return WHO[follow_timer(kernel, vcpu_at_expiry=vcpu_at_expiry, **options).fires_on]


def exits_all_the_same(*, vcpu_at_expiry: str) -> str:
    """Return which way costs an exit where the deadline finds the vCPU outside the guest, as a choice of L02-P2."""
    stories = {
        way: follow_timer(kernel, vcpu_at_expiry=vcpu_at_expiry, **given) for way, (kernel, given) in WAYS.items()
    }
    return next((way for way, story in stories.items() if story.expiry_exit), "none")


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
