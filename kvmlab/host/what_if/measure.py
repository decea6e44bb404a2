"""What a recording shows of its host: how many timers there were, what else happened, and what it cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvmlab.host.explain import Explanation
from kvmlab.host.names import HLT_EXITS, IRQ_EXITS, MWAIT_EXITS, TMICT, WRITE_EXITS
from kvmlab.host.outcome import fate
from kvmlab.host.what_if.cost_fit import fitted_costs
from kvmlab.host.what_if.findings import Findings
from kvmlab.scenario import checks
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.interval import Interval

if TYPE_CHECKING:
    import pandas as pd

MORE_THAN_TICKS_HZ = 2000
"""More hrtimers per second than a CPU's tick makes (CONFIG_HZ is 1000 at most)."""
RATE_HZ = Interval(1000.0, 100.0, 4000.0)
"""Timers per vCPU and second where a table does not contain how long it took."""
WRITES, IRQS, HALTS, PREEMPTION = "writes", "interrupts", "halts", "PREEMPTION_TIMER"
"""Kinds of exits that are counted together, and apart from all others."""
MSR_TITLE = "MSR Access"
TIMER_MSRS = frozenset({"0x6e0:W", "0x838:W"})
"""Rows of perf's MSR table that arm the timer: TSC-deadline, and x2APIC's initial count."""


@dataclass(frozen=True)
class Measured:
    """What a recording shows of the host. Counts are of the whole recording, over all vCPUs."""

    seconds: float
    """How long it took; made up from a rate where `rate_is_assumed`."""
    vcpus: int
    timers: Interval
    """Timers that expired."""
    writes: float
    """Writes that exit, those that do not arm a timer that expires included."""
    timer_mode: str
    """"tsc_deadline", "oneshot" or "periodic": the mode of most timers."""
    halts: float
    """Exits by HLT and MWAIT."""
    halt_us: float
    """How long a halt lasts, on average, in us."""
    host_irqs: float
    """Interrupt exits that are not the guest's timers."""
    other_exits: float
    """Exits of any other kind, and writes that do not arm a timer that expires."""
    costs: Costs
    """What exits cost the host: fitted to the recording where it has enough of them."""
    rate_is_assumed: bool
    """Neither the recording nor the reader says how long it took."""
    housekeeping_us: float | None = None
    """Period in us of the timers that a housekeeping CPU was seen to have of its own; None: not seen."""

    def spare_writes_hz(self, timers: float, factor: float) -> float:
        """Return how often per second a vCPU writes without arming one of `timers` timers, times `factor`."""
        return self.per_second(max(0.0, self.writes - timers)) * factor

    def per_second(self, count: float) -> float:
        """Return a count as a rate per vCPU and second."""
        return count / self.seconds / self.vcpus


def measured_from(
    e: Explanation, findings: Findings, seconds: float | None, vcpus: int | None, timer_hz: float | None
) -> Measured:
    """Read off how many timers there were, what else happened, and what it cost; say so in `findings`.

    `seconds`, `vcpus`, `timer_hz`: as in `what_if`. Raises ValueError for one that is invalid, and where nothing arms
    a timer.
    """
    seconds = None if seconds is None else checks.number("seconds", seconds, 1e-6, 1e7, "s")
    timer_hz = None if timer_hz is None else checks.number("timer_hz", timer_hz, checks.MIN_RATE, 1e5, "Hz")
    vcpus = (None if vcpus is None else checks.whole("vcpus", vcpus, 1, 100_000)) or e.vcpus or 1
    counts = counts_of(e.exits)
    timers, own_irqs = timers_in_table(counts, findings) if e.table is not None else timers_in_trace(e, findings)
    if timers.value <= 0:
        raise ValueError(f"{e.name}: nothing that arms a timer was found; expected MSR_WRITE exits, or kvm_msr events")
    took = seconds or e.seconds
    rate_is_assumed = not took and timer_hz is None
    if rate_is_assumed:
        findings.cannot.append(
            f"How long the recording took: varied, as if each vCPU had {RATE_HZ.low:g}, {RATE_HZ.value:g} (central) "
            f"or {RATE_HZ.high:g} timers per second. Say seconds= or timer_hz=."
        )
    host_irqs = max(0.0, counts.get(IRQS, 0) - own_irqs)
    others = sum(n for name, n in counts.items() if name not in (WRITES, IRQS, HALTS, PREEMPTION))
    other_exits = others + max(0.0, counts.get(WRITES, 0) - timers.value)
    halts = counts.get(HALTS, 0)
    findings.known.append(
        f"Apart from timers: {halts:.0f} halts, {host_irqs:.0f} interrupts that are not the timer's, "
        f"{other_exits:.0f} other exits."
    )
    return Measured(
        seconds=float(took or timers.value / (timer_hz or RATE_HZ.value) / vcpus),
        vcpus=vcpus,
        timers=timers,
        writes=float(counts.get(WRITES, 0)),
        timer_mode=timer_mode_of(e),
        halts=halts,
        halt_us=halt_length_us(e.exits),
        host_irqs=host_irqs,
        other_exits=other_exits,
        costs=fitted_costs(e.exits, findings, fast=counts.get(PREEMPTION, 0) > 0),
        rate_is_assumed=rate_is_assumed,
        housekeeping_us=housekeeping_period_us(e, findings),
    )


def counts_of(table: pd.DataFrame) -> dict[str, int]:
    """Return samples by kind: writes, interrupts, halts, PREEMPTION_TIMER, and every other row by its name."""
    counts: dict[str, int] = {}
    if table.index.name == MSR_TITLE:
        arms = [int(samples) for name, samples in table["Samples"].items() if str(name) in TIMER_MSRS]
        return {WRITES: sum(arms)}
    for name, samples in table["Samples"].items():
        kind = kind_of(str(name))
        counts[kind] = counts.get(kind, 0) + int(samples)
    return counts


def kind_of(row: str) -> str:
    """Return the kind under which a row's exits are counted."""
    if row in HLT_EXITS | MWAIT_EXITS:
        return HALTS
    if row in WRITE_EXITS - {"EPT_MISCONFIG"}:
        return WRITES
    return IRQS if row in IRQ_EXITS else row


def halt_length_us(table: pd.DataFrame) -> float:
    """Return the average of the HLT row: host time, and for HLT that is the time asleep. 0 without such a row."""
    return max(0.0, next((float(us) for name, us in table["Avg time"].items() if str(name) in HLT_EXITS), 0.0))


def timers_in_table(counts: Mapping[str, int], findings: Findings) -> tuple[Interval, float]:
    """Return how many timers a table may hold, and how many of its interrupts may be theirs."""
    writes, hv, irqs = counts.get(WRITES, 0), counts.get(PREEMPTION, 0), counts.get(IRQS, 0)
    if counts.keys() == {WRITES}:
        findings.known.append(f"{writes} writes armed the timer, or disarmed it.")
        findings.cannot.append("What an MSR table leaves out: halts, interrupts, other exits; none are simulated.")
        return ordered(writes, writes, writes), 0.0
    halts = counts.get(HALTS, 0)
    # A guest that halts writes its timer to stop its tick and to start it again, too: few of its writes may expire.
    central = min(writes, hv + irqs + halts) if halts else writes
    least = min(central, max(hv, central // 2))
    findings.known.append(
        f"At most {writes} timers were armed: that many writes exited, EOI and ICR writes among them."
    )
    if hv:
        findings.known.append(f"At least {hv} timers expired by the preemption timer.")
    findings.cannot.append(
        f"How many of the {writes} writes arm a timer that expires: varied from {least} to {central} (central), at "
        "most all. An MSR table (perf kvm stat report --event=msr) would tell how many arm one."
    )
    # With the preemption timer in use, no interrupt is the guest's timer.
    own = 0.0 if hv else float(min(irqs, writes))
    if not hv and irqs:
        findings.cannot.append(
            f"Which of the {irqs} interrupt exits are the guest's timers, and which the host's own: taken as timers as "
            "far as there are writes."
        )
    return ordered(central, least, writes), own


def timers_in_trace(e: Explanation, findings: Findings) -> tuple[Interval, float]:
    """Return how many timers of a trace expired, and how many interrupts they cost."""
    timers = [timer for timer in e.timers_kept if fate(timer) != "disarmed"]
    armed = sum(timer.arm_exit is not None for timer in timers)
    # One that was re-armed before it fired costs a write and no expiry; where nothing of it is visible, who knows.
    expired = [timer for timer in timers if timer.delivery is not None]
    count = len(expired) + sum(timer.backend is None and timer.delivery is None for timer in timers)
    findings.known.append(
        f"{armed} timers were armed in {e.seconds or 0:.4g} s by {e.vcpus} vCPU(s), {len(expired)} expired."
    )
    ahead = [timer.fired_ns - timer.armed_ns for timer in expired if timer.fired_ns is not None]
    if ahead:
        findings.known.append(f"Half of these were set less than {statistics.median(ahead) / 1e3:.4g} us ahead.")
    if expired:
        costly = 100 * sum(timer.expiry_exit is not None for timer in expired) / len(expired)
        posted = 100 * sum(timer.posted for timer in expired) / len(expired)
        findings.known.append(f"There, {costly:.0f} % of expiries cost an exit, {posted:.0f} % were posted.")
    own = sum(timer.expiry_exit in IRQ_EXITS for timer in expired)
    return ordered(count, count, count), float(own)


def ordered(value: float, low: float, high: float) -> Interval:
    """Return an interval; raise ValueError if its numbers are not in order, or one is NaN."""
    if not low <= value <= high:
        raise ValueError(f"range: {low!r}, {value!r}, {high!r} are not in order")
    return Interval(value, low, high)


def timer_mode_of(e: Explanation) -> str:
    """Return the mode of most timers: periodic if they went on by themselves, one-shot if they were initial counts."""
    kinds = [
        "periodic" if t.arm_exit is None else "oneshot" if t.msr == TMICT else "tsc_deadline" for t in e.timers_kept
    ]
    return max(("tsc_deadline", "oneshot", "periodic"), key=kinds.count)


def housekeeping_period_us(e: Explanation, findings: Findings) -> float | None:
    """Return the period of a housekeeping CPU's own timers in us, where they were recorded and are more than a tick."""
    hz = e.housekeeping_hrtimers_hz
    if hz is None or hz < MORE_THAN_TICKS_HZ:
        return None
    findings.known.append(
        f"A pCPU without a vCPU fires {hz:,.0f} hrtimers of its own per second: a busy housekeeping CPU."
    )
    return min(1e6, max(5.0, 1e6 / hz))
