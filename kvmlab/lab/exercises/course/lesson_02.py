"""Exercises of lesson 02."""

from __future__ import annotations

from kvmlab import data
from kvmlab.host.formats.events import read_kvm_trace
from kvmlab.host.interrupts import exit_interrupts
from kvmlab.lab.exercises.kinds import Exercise, Number, Several


def own_timers() -> float:
    """Return how many exits of the recording without APICv were the local timer's."""
    interrupts = exit_interrupts(read_kvm_trace(data.path("recorded", "perf-script.no-apicv.txt")))
    return float(interrupts["exits"].to_dict()["0xec"])


EXERCISES = {
    "L02-E1": Exercise(Number(own_timers, "exits"), checked="the number", not_checked="your reason"),
    "L02-E2": Exercise(
        Several(("a", "b", "c", "d", "e", "f"), seal="7963cdb9"),
        checked="which of the six",
        not_checked="which way each of them takes",
    ),
}
