"""The outcome of a recorded timer: what was armed, who fired it, how the guest got it, and how late.

The words are those of `Story`; "not visible" is said where a recording does not show it.
"""

from __future__ import annotations

from typing import NamedTuple

from kvmlab.host.names import TSC_DEADLINE
from kvmlab.host.timers import Timer
from kvmlab.results.story import NOT_VISIBLE

LONGEST_NS = 1 << 62
"""No recording is as long, 146 years: whatever is said to be later than that is not."""


class Outcome(NamedTuple):
    """What timers are counted by; columns of `Explanation.outcomes`."""

    backend: str | None
    fires_on: str | None
    expiry_exit: str | None
    delivery: str | None
    fate: str


def outcome_of(timer: Timer) -> Outcome:
    """Return the outcome of a timer."""
    return Outcome(backend_of(timer), fires_on(timer), timer.expiry_exit, delivery_of(timer), fate(timer))


def is_disarm(timer: Timer) -> bool:
    """Return True if the guest wrote 0."""
    return timer.value == 0


def backend_of(timer: Timer) -> str | None:
    """Return "hv", "hrtimer", None (nothing had to be armed) or "not visible"."""
    return None if is_disarm(timer) or timer.at_arm else timer.backend or NOT_VISIBLE


def fires_on(timer: Timer) -> str | None:
    """Return "own", "housekeeping", None (it did not fire) or "not visible".

    An hrtimer that fires elsewhere than where it was armed was sent there, and is sent to housekeeping CPUs only
    (get_nohz_timer_target).
    """
    if is_disarm(timer) or timer.at_arm:
        return None
    if timer.fired_cpu is None:
        return NOT_VISIBLE if timer.accepted_ns is not None or fate(timer) == NOT_VISIBLE else None
    if timer.fired_cpu == timer.vcpu_cpu:
        return "own"
    return "housekeeping" if timer.fired_cpu != timer.pcpu else NOT_VISIBLE


def fate(timer: Timer) -> str:
    """Return how a timer ended: "delivered", "armed anew", "disarmed", "still armed" or "not visible"."""
    if is_disarm(timer):
        return "disarmed"
    if timer.delivery is not None:
        return "delivered"
    if timer.fired_ns is not None:
        return NOT_VISIBLE
    return "armed anew" if timer.ended_ns is not None else "still armed"


def delivery_of(timer: Timer) -> str | None:
    """Return how the guest got it, or "not visible"; None where nothing was armed."""
    return None if is_disarm(timer) else timer.delivery or NOT_VISIBLE


def latency_ns(timer: Timer, tsc_ghz: float | None) -> int | None:
    """Return deadline -> post or VM entry, in ns; None where the recording does not show it.

    The deadline follows from kvm_wait_lapic_expire, which says how many TSC cycles it is away; for a one-shot or
    periodic hrtimer it is the time that the hrtimer was set for.
    """
    reached = timer.accepted_ns if timer.posted or timer.at_arm else timer.entry_ns
    if reached is None:
        return None
    if timer.delta is not None and timer.wait_ns is not None and tsc_ghz:
        late_ns = round(timer.delta / tsc_ghz)
        return max(0, max(reached, timer.wait_ns) - timer.wait_ns + late_ns) if abs(late_ns) < LONGEST_NS else None
    exact = timer.backend == "hrtimer" and timer.msr is not None and timer.msr != TSC_DEADLINE
    if exact and timer.late_ns is not None and timer.fired_ns is not None:
        return max(0, timer.late_ns + reached - timer.fired_ns)
    return None
