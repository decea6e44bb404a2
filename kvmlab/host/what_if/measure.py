"""What a recording shows of its host: how many timers there were, what else happened, and what it cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvmlab.host.explain import Explanation
from kvmlab.host.explain.counts import MSR_EXITS
from kvmlab.host.formats.unlisted import Unlisted, handled_s, unlisted_of
from kvmlab.host.names import HLT_EXITS, IRQ_EXITS, MWAIT_EXITS, TIMER_ROWS, TMICT, WRITE_EXITS
from kvmlab.host.outcome import Outcome, is_disarm
from kvmlab.host.what_if.cost_fit import fitted_costs
from kvmlab.host.what_if.duration import Duration, duration_of
from kvmlab.host.what_if.findings import Findings
from kvmlab.results.story import NOT_VISIBLE
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.interval import Interval

if TYPE_CHECKING:
    import pandas as pd

MORE_THAN_TICKS_HZ = 2000
"""More hrtimers per second than a CPU's tick makes (CONFIG_HZ is 1000 at most)."""
WRITES, IRQS, HALTS, PREEMPTION = "writes", "interrupts", "halts", "PREEMPTION_TIMER"
"""Kinds of exits that are counted together, and apart from all others."""
MOST_IDLE = 0.99
"""The greatest share of time that a guest is taken to halt."""
FEWEST_BURSTS = 0.02
"""Of the halts of a guest that a timer found at work, at least this share ends a burst of work."""
MUCH = 0.01
"""Where a greater share of a table's samples or times is not listed, nothing that follows can be relied on."""
ARM_TITLES = ("MSR Access", "MMIO Access")
"""Tables of perf kvm stat whose rows are registers: they tell which writes arm the timer."""


@dataclass(frozen=True)
class Measured:
    """What a recording shows of the host. Counts are of the whole recording, over all vCPUs."""

    duration: Duration
    """How long it took."""
    timers: Interval
    """Timers that expired."""
    expiries_at_work: float | None
    """How many of them found a guest at work that also halts; None: the guest does not halt."""
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
    unsure_irqs: float
    """Interrupt exits beside these that may be the host's own, or the guest's timers."""
    other_exits: float
    """Exits of any other kind."""
    handled_s: float
    """For how long the host handled exits that are not halts, in s."""
    unsure: bool
    """It leaves out too much for a prediction that could be relied on."""
    recorded: dict[str, float]
    """What was counted, under the names of `QUANTITIES`: exits of each kind, and shares of timers in percent."""
    costs: Costs
    """What exits cost the host: fitted to the recording where it has enough of them."""
    housekeeping_us: float | None = None
    """Period in us of the timers that a housekeeping CPU was seen to have of its own; None: not seen."""

    @property
    def seconds(self) -> float:
        """How long the recording took, in s."""
        return self.duration.seconds

    @property
    def vcpus(self) -> int:
        """How many vCPUs were recorded."""
        return self.duration.vcpus

    def per_second(self, count: float) -> float:
        """Return a count as a rate per vCPU per second."""
        return count / self.duration.vcpu_seconds


def measured_from(
    e: Explanation, findings: Findings, seconds: float | None, vcpus: int | None, timer_hz: float | None
) -> Measured:
    """Read off how many timers there were, what else happened, and what it cost; say so in `findings`.

    `seconds`, `vcpus`, `timer_hz`: as in `what_if`. Raises ValueError for one that is invalid or that the recording
    contradicts, and where nothing arms a timer.
    """
    if e.table is None and not len(e.exits):
        raise ValueError(f"{e.name}: there is no kvm_exit in it; expected kvm_exit and kvm_entry events, too")
    counts = counts_of(e.exits)
    if e.table is None and e.counts:
        timers, own_irqs = timers_in_trace(e, findings)
    else:
        timers, own_irqs = timers_in_table(counts, findings, registers=e.exits.index.name in ARM_TITLES)
    if timers <= 0:
        raise ValueError(f"{e.name}: nothing that arms a timer was found; expected MSR_WRITE exits, or kvm_msr events")
    duration = duration_of(e, timers, seconds, vcpus, timer_hz, findings)
    halts, halt_us = counts.get(HALTS, 0), halt_length_us(e.exits)
    halting = bool(halts) and (e.table is not None or not e.counts)
    if halting:
        timers = timers_of_a_halting_guest(counts, duration, halt_us)
    least = fewest(timers, counts, halting=halting, exact=e.table is None or e.exits.index.name in ARM_TITLES)
    others = sum(n for name, n in counts.items() if name not in (WRITES, IRQS, HALTS, PREEMPTION))
    unlisted = unlisted_of(e.exits) if e.table is not None else None
    if e.incomplete:
        findings.first.append("Events are missing from this listing: rates are at least as high as they seem.")
    missing = unlisted.samples if unlisted else 0
    if unlisted and unlisted.sentence:
        findings.first.append(unlisted.sentence + (" Here they are taken for other exits." if missing else ""))
    doubt = apic_writes_in(e)
    if doubt:
        least = min(least, max(1.0, counts[WRITES] - doubt, counts.get(PREEMPTION, 0)))
        findings.first.append(
            f"{doubt:,} of the writes are APIC_WRITE exits, which may be IPIs and EOIs: how many arm a timer is not in "
            "this table."
        )
    if least < timers:
        findings.cannot.append(how_many_expire(counts, least, timers))
    host_irqs = max(0.0, counts.get(IRQS, 0) - own_irqs)
    more = others + missing + max(0.0, counts.get(WRITES, 0) - timers)
    beside = {"halts": halts, "interrupts that are not the timer's": host_irqs, "other exits": more}
    if unlisted and not unlisted.nothing:
        # Of a row that is not there, not even that it is 0.
        beside = {what: count for what, count in beside.items() if count}
        findings.known.append(f"Apart from timers, as far as the table tells: {counted(beside) or 'nothing'}.")
    else:
        findings.known.append(f"Apart from timers: {counted(beside)}.")
    return Measured(
        duration=duration,
        timers=ordered(timers, min(least, timers), max(timers, counts[WRITES] if e.table is not None else timers)),
        expiries_at_work=at_work(e, counts) if halts else None,
        writes=writes_in(e, counts),
        timer_mode=timer_mode_of(e),
        halts=halts,
        halt_us=halt_us,
        host_irqs=host_irqs,
        unsure_irqs=own_irqs if e.table is not None else 0.0,
        other_exits=others + missing,
        handled_s=max(0.0, handled_s(e.exits) - halts * halt_us / 1e6),
        unsure=bool(doubt) or leaves_out_much(unlisted) or much_was_lost(e),
        recorded=recorded_quantities(e, counts, others),
        costs=fitted_costs(e.exits, findings, fast=counts.get(PREEMPTION, 0) > 0),
        housekeeping_us=housekeeping_period_us(e, findings),
    )


def counted(numbers: Mapping[str, float]) -> str:
    """Return counts by what they are of, as part of a sentence."""
    return ", ".join(f"{count:.0f} {what}" for what, count in numbers.items())


def leaves_out_much(unlisted: Unlisted | None) -> bool:
    """Return True if a table's rows leave out too much of its exits, or of their time."""
    if unlisted is None:
        return False
    return unlisted.samples > MUCH * unlisted.total_samples or unlisted.time_share > 100 * MUCH


def much_was_lost(e: Explanation) -> bool:
    """Return True if too many events of a listing are missing, or nobody knows how many."""
    events = 2 * int(e.exits["Samples"].sum()) if len(e.exits) else 0
    return e.left_out > 0 or e.lost_events > MUCH * (events + e.lost_events)


def apic_writes_in(e: Explanation) -> int:
    """Return how many APIC_WRITE exits a table has, where they are more than its writes of MSRs; 0 otherwise."""
    if e.table is None:
        return 0
    count = {str(name): int(samples) for name, samples in e.table["Samples"].items()}
    apic = count.get("APIC_WRITE", 0)
    return apic if apic > sum(count.get(name, 0) for name in MSR_EXITS) else 0


def recorded_quantities(e: Explanation, counts: Mapping[str, float], others: float) -> dict[str, float]:
    """Return what was counted, under the names of `QUANTITIES`; of a table of registers its writes only.

    Of an incomplete table: what its rows and its total have. Of a row that is not there nothing was recorded.
    """
    recorded = {"MSR_WRITE": writes_in(e, counts)}
    if e.exits.index.name in ARM_TITLES:
        return recorded
    rows = {"PREEMPTION_TIMER": PREEMPTION, "EXTERNAL_INTERRUPT": IRQS, "HLT": HALTS}
    if e.table is not None and not (unlisted := unlisted_of(e.table)).nothing:
        recorded |= {name: float(counts[kind]) for name, kind in rows.items() if kind in counts}
        return recorded | ({"exits": float(unlisted.total_samples)} if unlisted.known else {})
    recorded |= {name: float(counts.get(kind, 0)) for name, kind in rows.items()} | {"other": others}
    recorded["exits"] = sum(recorded.values())
    delivered = delivered_of(e)
    if expired := sum(delivered.values()):
        posted = sum(count for outcome, count in delivered.items() if outcome.delivery == "posted")
        costly = sum(count for outcome, count in delivered.items() if outcome.expiry_exit is not None)
        recorded |= {"posted": 100 * posted / expired, "expiry exits": 100 * costly / expired}
    return recorded


def counts_of(table: pd.DataFrame) -> dict[str, int]:
    """Return samples by kind: writes, interrupts, halts, PREEMPTION_TIMER, and every other row by its name."""
    counts: dict[str, int] = {}
    if table.index.name in ARM_TITLES:
        arms = [int(samples) for name, samples in table["Samples"].items() if str(name) in TIMER_ROWS]
        return {WRITES: sum(arms)}
    for name, samples in table["Samples"].items():
        kind = kind_of(str(name))
        counts[kind] = counts.get(kind, 0) + int(samples)
    return counts


def writes_in(e: Explanation, counts: Mapping[str, float]) -> float:
    """Return how many writes exit, as far as a recording counts them; of MMIO those to the LAPIC's page."""
    if e.exits.index.name not in ARM_TITLES:
        return float(counts.get(WRITES, 0))
    of_lapic = "0xfee00" if e.exits.index.name == "MMIO Access" else ""
    rows = e.exits["Samples"].items()
    return float(sum(int(n) for name, n in rows if str(name).endswith(":W") and str(name).startswith(of_lapic)))


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


def timers_in_table(counts: Mapping[str, int], findings: Findings, *, registers: bool) -> tuple[float, float]:
    """Return how many timers of a table expired, at most if the guest halts, and how many interrupts are theirs.

    `registers`: its rows are registers, of which those that arm the timer are counted.
    """
    writes, hv, irqs = counts.get(WRITES, 0), counts.get(PREEMPTION, 0), counts.get(IRQS, 0)
    if registers:
        findings.known.append(f"{writes} writes armed the timer, or disarmed it.")
        findings.cannot.append("What such a table leaves out: halts, interrupts, other exits; none are simulated.")
        return float(writes), 0.0
    findings.known.append(
        f"At most {writes} timers were armed: that many writes exited, EOI and ICR writes among them."
    )
    if hv:
        findings.known.append(f"At least {hv} timers expired by the preemption timer.")
    # With the preemption timer in use, no interrupt is the guest's timer.
    own = 0.0 if hv or HALTS in counts else float(min(irqs, writes))
    if not hv and irqs:
        taken = "taken as timers as far as there are writes" if own else "taken as the host's, as the guest halts"
        findings.cannot.append(
            f"Which of the {irqs} interrupt exits are the guest's timers, and which the host's own: {taken}."
        )
    if not writes:
        return 0.0, 0.0
    if halts := counts.get(HALTS, 0):
        return float(max(hv, min(writes, hv + halts))), 0.0
    # A timer that expires at work exits then, so there are as many as such exits: of a periodic one more than writes.
    return float(hv or writes), own


def timers_of_a_halting_guest(counts: Mapping[str, int], duration: Duration, halt_us: float) -> float:
    """Return how many timers expired, in a table of a guest that halts.

    It writes its timer to stop its tick and to start it again, too, so few of its writes may expire. Those that found
    it at work are the exits of the preemption timer; those that woke it are to them as the time that it halts to the
    time that it works. Without any, each halt may have been ended by a timer.
    """
    writes, hv, halts = counts.get(WRITES, 0), counts.get(PREEMPTION, 0), counts.get(HALTS, 0)
    if not hv:
        return float(min(writes, halts))
    halted = min(MOST_IDLE, halts * halt_us / 1e6 / duration.vcpu_seconds) if halt_us else 0.5
    # A periodic timer, which expires more often than it is written, is not bounded by the writes.
    room = writes - hv if writes >= hv else halts
    return float(hv + min(hv * halted / (1 - halted), room, (1 - FEWEST_BURSTS) * halts))


def fewest(timers: float, counts: Mapping[str, int], *, halting: bool, exact: bool) -> float:
    """Return how few timers may have expired; `exact`: the recording has each of them."""
    hv = counts.get(PREEMPTION, 0)
    if exact or (hv and not halting):
        return timers
    return min(timers, max(float(hv), timers // 2))


def how_many_expire(counts: Mapping[str, int], least: float, timers: float) -> str:
    """Return what a table cannot tell of its writes."""
    return (
        f"How many of the {counts[WRITES]} writes arm a timer that expires: varied from {least:.0f} to "
        f"{timers:.0f} (central), at most all. An MSR table (perf kvm stat report --event=msr) would tell how many arm "
        "one."
    )


def at_work(e: Explanation, counts: Mapping[str, int]) -> float:
    """Return how many timers found a guest that halts at work: as a trace shows, or by the preemption timer."""
    delivered = delivered_of(e)
    if delivered:
        return float(sum(count for outcome, count in delivered.items() if outcome.delivery != "wake_up"))
    return float(counts.get(PREEMPTION, 0))


def delivered_of(e: Explanation) -> dict[Outcome, int]:
    """Return the outcomes of timers whose interrupt reached the guest; {} of a table."""
    return {outcome: count for outcome, count in e.counts.items() if outcome.fate == "delivered"}


def timers_in_trace(e: Explanation, findings: Findings) -> tuple[float, float]:
    """Return how many timers of a trace expired, and how many interrupts they cost: of the whole trace.

    One that was re-armed before it fired costs a write and no expiry; where nothing of it is visible, who knows.
    """
    delivered = delivered_of(e)
    expired = sum(delivered.values())
    unseen = sum(
        count
        for outcome, count in e.counts.items()
        if outcome.backend == NOT_VISIBLE and outcome.delivery == NOT_VISIBLE
    )
    findings.known.append(
        f"{e.armed} timers were armed in {e.seconds or 0:.4g} s by {e.vcpus} vCPU(s), {expired} expired."
    )
    kept = [timer for timer in e.timers_kept if timer.delivery is not None and not is_disarm(timer)]
    ahead = [timer.fired_ns - timer.armed_ns for timer in kept if timer.fired_ns is not None]
    if ahead:
        some = "these" if len(kept) == expired else f"the first {len(kept)}"
        findings.known.append(f"Half of {some} were set less than {statistics.median(ahead) / 1e3:.4g} us ahead.")
    own = sum(count for outcome, count in delivered.items() if outcome.expiry_exit in IRQ_EXITS)
    if expired:
        posted = sum(count for outcome, count in delivered.items() if outcome.delivery == "posted")
        costly = sum(count for outcome, count in delivered.items() if outcome.expiry_exit is not None)
        shares = f"{100 * costly / expired:.0f} % of expiries cost an exit, {100 * posted / expired:.0f} % were posted"
        findings.known.append(f"There, {shares}.")
    return float(expired + unseen), float(own)


def ordered(value: float, low: float, high: float) -> Interval:
    """Return an interval; raise ValueError if its numbers are not in order, or one is NaN."""
    if not low <= value <= high:
        raise ValueError(f"range: {low!r}, {value!r}, {high!r} are not in order")
    return Interval(value, low, high)


def timer_mode_of(e: Explanation) -> str:
    """Return the mode of most timers: periodic if they went on by themselves, one-shot if they were initial counts.

    Of a table: periodic if more expired by the preemption timer than there are writes.
    """
    if e.table is not None:
        counts = counts_of(e.table)
        return "periodic" if counts.get(PREEMPTION, 0) > 2 * counts.get(WRITES, 0) > 0 else "tsc_deadline"
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
    return max(5.0, 1e6 / hz)
