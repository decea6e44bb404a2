"""Exercises of lesson 04."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from kvmlab.lab.exercises.kinds import Exercise, Judged, Number, WrongForm
from kvmlab.policy import Policy, before, rev1, table_bits
from kvmlab.results.per_guest import compare_guests
from kvmlab.scenario.example import three_guests

POLLER_VCPUS = 8
KERNEL = "v5.13"
ISOLATED = ("database", "poller")


def time_lost(policy: Policy) -> pd.Series[float]:
    """Return the guest time lost to exits under a policy, us per vCPU per second, by guest."""
    return compare_guests(three_guests(KERNEL), [policy])["lost us"].droplevel("kernel")


@functools.cache
def time_lost_before() -> tuple[pd.Series[float], pd.Series[float]]:
    """Return the same under "before" and under rev 1."""
    return time_lost(before), time_lost(rev1)


def vcpus_that_pay_the_gain() -> float:
    """Return up to how many ordinary vCPUs lose no more by rev 1 than what 8 vCPUs of pollers gain."""
    old, new = time_lost_before()
    change = new - old
    return float(-POLLER_VCPUS * change["poller"] // change["ordinary"])


def harms_nobody(policy: Any) -> bool | str:
    """Return whether no guest loses more than before, and those on isolated pCPUs no more than under rev 1."""
    if not callable(policy):
        raise WrongForm("a function is asked for, without quotes")
    if table_bits(policy) == table_bits(rev1):
        return "it is still rev 1."
    limits, first = time_lost_before()
    for guest in ISOLATED:
        limits = limits.where(limits.index != guest, first)
    more = time_lost(policy) - limits
    paid = [f"{guest}: {us:.0f} us per vCPU per second more than it may lose" for guest, us in more.items() if us > 0]
    return not paid or f"{'; '.join(paid)}."


EXERCISES = {
    "L04-E1": Exercise(
        Number(vcpus_that_pay_the_gain, "vCPUs", within=0.03),
        checked="the whole number, or the break-even itself",
        not_checked="whether a microsecond of one guest is worth as much as one of another",
    ),
    "L04-E2": Exercise(
        Judged("your policy", harms_nobody),
        checked=f"the time lost by the three guests, kernel {KERNEL}, one seed",
        not_checked="any other host; whether the kernel can know the answer at the moment it asks",
    ),
}
