"""How long a recording took: as it says, as the reader says, or within the bounds that its own times set."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.host.explain import Explanation
from kvmlab.host.formats.unlisted import handled_s
from kvmlab.host.what_if.findings import Findings
from kvmlab.scenario import checks
from kvmlab.scenario.interval import Interval

RATE_HZ = Interval(1000.0, 100.0, 4000.0)
"""Timers per vCPU per second where a table does not contain how long it took, and its times allow it."""
ROUNDED = 0.99
"""A recording may seem shorter than its exits by this: the reader's seconds are round, and perf's times too."""
SLOWEST = 10.0
"""Where a table's times bound the rate, it may be lower than their bound by this factor."""


@dataclass(frozen=True)
class Duration:
    """How long a recording took, and of how many vCPUs it is."""

    seconds: float
    """In s; worked out from a rate where `rate_hz` is one."""
    vcpus: int
    rate_hz: Interval | None = None
    """Timers per vCPU per second between which it is varied; None where the recording or the reader says how long."""

    @property
    def vcpu_seconds(self) -> float:
        """How much time of vCPUs was recorded, in s."""
        return self.seconds * self.vcpus

    @property
    def factors(self) -> tuple[float, ...]:
        """By how much every rate may be lower or higher; () where it is known."""
        if self.rate_hz is None:
            return ()
        return tuple(end / self.rate_hz.value for end in (self.rate_hz.low, self.rate_hz.high))


def duration_of(
    e: Explanation,
    timers: float,
    seconds: float | None,
    vcpus: int | None,
    timer_hz: float | None,
    findings: Findings,
) -> Duration:
    """Return how long a recording took, from what the reader says or the recording does; say so in `findings`.

    `timers`: how many expired; `seconds`, `vcpus`, `timer_hz`: as in `what_if`. Raises ValueError for one that is
    invalid, and for a time that is shorter than the exits of that recording took together.
    """
    seconds = None if seconds is None else checks.number("seconds", seconds, 1e-6, 1e7, "s")
    timer_hz = None if timer_hz is None else checks.number("timer_hz", timer_hz, checks.MIN_RATE, 1e5, "Hz")
    count = (None if vcpus is None else checks.whole("vcpus", vcpus, 1, 100_000)) or e.vcpus or 1
    least = handled_s(e.exits)
    took = seconds or e.seconds
    if took:
        if took * count < ROUNDED * least:
            name = "seconds" if seconds else "vcpus"
            raise ValueError(
                f"{name}: {took:g} s of {count} vCPU{'s' * (count != 1)} do not fit: the host handled exits for "
                f"{least:.6g} s in all; allowed: seconds x vcpus of at least {least:.6g}"
            )
        return Duration(float(took), count)
    if timer_hz is not None:
        if timers / timer_hz < ROUNDED * least:
            raise ValueError(
                f"timer_hz: {timer_hz:g} does not fit: {timers:.0f} timers then take {timers / timer_hz:.3g} s, "
                f"but the host handled exits for {least:.6g} s; allowed: at most {timers / least:.3g} Hz"
            )
        return Duration(timers / timer_hz / count, count)
    rate = possible_rate(timers, least)
    most = f" (central) or {rate.high:.4g}" if rate.high > rate.value else " (central, and at most)"
    findings.cannot.append(
        f"How long the recording took: varied, as if each vCPU had {rate.low:.4g}, {rate.value:.4g}{most} timers per "
        "second. Say seconds= or timer_hz=."
    )
    if rate.high < RATE_HZ.high:
        findings.known.append(
            f"seconds x vcpus is at least {least:.6g}: for so long the host handled exits, halts among them."
        )
    return Duration(timers / rate.value / count, count, rate)


def possible_rate(timers: float, least_s: float) -> Interval:
    """Return how many timers a vCPU may have had per second, if exits of all vCPUs took `least_s` seconds together."""
    if not least_s or timers / least_s >= RATE_HZ.high:
        return RATE_HZ
    high = timers / least_s
    value = min(RATE_HZ.value, high)
    return Interval(value, min(RATE_HZ.low, high / SLOWEST), high)
