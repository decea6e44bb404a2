"""What a table says of its host's timers, by hand: how many at most, how few, and whose the interrupts are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import kvmlab as kl
from kvmlab.host.names import TMICT, TSC_DEADLINE
from kvmlab.host.outcome import Outcome
from kvmlab.host.what_if.duration import Duration
from kvmlab.host.what_if.findings import Findings
from kvmlab.host.what_if.measure import (
    at_work,
    counts_of,
    fewest,
    halt_length_us,
    housekeeping_period_us,
    measured_from,
    timer_mode_of,
    timers_in_table,
    timers_in_trace,
    timers_of_a_halting_guest,
    writes_in,
)
from kvmlab.results.story import NOT_VISIBLE
from tests.host.made_up import table

WRITES, IRQS, HALTS, PREEMPTION = "writes", "interrupts", "halts", "PREEMPTION_TIMER"
TEN_SECONDS = Duration(10.0, 1)


def read(rows, title="VM-EXIT"):
    return kl.explain(table(rows, title=title)).exits


def test_rows_are_counted_by_kind():
    rows = {"MSR_WRITE": (5, 1.0), "APIC_WRITE": (7, 1.0), "HLT": (3, 9.0), "MWAIT_INSTRUCTION": (2, 9.0)}
    rows |= {"EXTERNAL_INTERRUPT": (11, 1.0), "PREEMPTION_TIMER": (13, 1.0), "EPT_MISCONFIG": (17, 1.0)}
    counted = {WRITES: 12, HALTS: 5, IRQS: 11, PREEMPTION: 13, "EPT_MISCONFIG": 17}
    assert counts_of(read(rows)) == counted
    registers = {"0x6e0:W": (5, 1.0), "0x80b:W": (7, 1.0), "0x6e0:R": (9, 1.0)}
    assert counts_of(read(registers, "MSR Access")) == {WRITES: 5}


@pytest.mark.parametrize(
    ("rows", "title", "writes"),
    [
        ({"0x6e0:W": (5, 1.0), "0x80b:W": (7, 1.0), "0x6e0:R": (9, 1.0)}, "MSR Access", 12),
        ({"0xfee00380:W": (5, 1.0), "0xfee000b0:W": (7, 1.0), "0xfeb00010:W": (9, 1.0)}, "MMIO Access", 12),
        ({"MSR_WRITE": (5, 1.0), "HLT": (7, 1.0)}, "VM-EXIT", 5),
    ],
)
def test_writes_are_those_to_the_lapic(rows, title, writes):
    told = kl.explain(table(rows, title=title))
    assert writes_in(told, counts_of(told.exits)) == writes


@pytest.mark.parametrize(
    ("rows", "us"), [({"MSR_WRITE": (5, 1.0), "HLT": (3, 90.0)}, 90), ({"MSR_WRITE": (5, 1.0)}, 0)]
)
def test_a_halt_lasts_as_long_as_its_row_says(rows, us):
    assert halt_length_us(read(rows)) == us


@pytest.mark.parametrize(
    ("counts", "timers", "own"),
    [
        ({WRITES: 1000}, 1000, 0),
        ({WRITES: 1000, IRQS: 300}, 1000, 300),
        ({WRITES: 1000, IRQS: 1700}, 1000, 1000),
        ({WRITES: 1000, PREEMPTION: 900, IRQS: 300}, 900, 0),
        ({WRITES: 1000, HALTS: 400, IRQS: 300}, 400, 0),
        ({WRITES: 1000, HALTS: 0, IRQS: 300}, 1000, 0),
        ({WRITES: 1000, HALTS: 400, PREEMPTION: 250}, 650, 0),
        ({WRITES: 1000, HALTS: 900, PREEMPTION: 250}, 1000, 0),
        ({WRITES: 100, HALTS: 900, PREEMPTION: 250}, 250, 0),
        ({PREEMPTION: 250, IRQS: 9}, 0, 0),
        ({IRQS: 9}, 0, 0),
    ],
)
def test_a_table_has_this_many_timers_at_most_and_these_interrupts_are_theirs(counts, timers, own):
    assert timers_in_table(counts, Findings(), registers=False) == (timers, own)


def test_what_is_known_of_a_table_is_said():
    def said(counts, registers=False):
        findings = Findings()
        timers_in_table(counts, findings, registers=registers)
        return findings.known, findings.cannot

    assert said({WRITES: 7}) == (
        ["At most 7 timers were armed: that many writes exited, EOI and ICR writes among them."],
        [],
    )
    known, cannot = said({WRITES: 7, PREEMPTION: 3, IRQS: 2})
    assert known[1:] == ["At least 3 timers expired by the preemption timer."]
    assert cannot == []
    [as_timers] = said({WRITES: 7, IRQS: 2})[1]
    assert as_timers.endswith("taken as timers as far as there are writes.")
    [as_host] = said({WRITES: 7, HALTS: 4, IRQS: 2})[1]
    assert as_host.endswith("taken as the host's, as the guest halts.")
    assert said({WRITES: 7}, registers=True)[0] == ["7 writes armed the timer, or disarmed it."]


@pytest.mark.parametrize(
    ("counts", "halt_us", "timers"),
    [
        ({WRITES: 1000, HALTS: 400}, 9.0, 400),
        ({WRITES: 300, HALTS: 400}, 9.0, 300),
        (
            {WRITES: 1000, HALTS: 500, PREEMPTION: 100},
            10_000.0,
            200,
        ),  # halted half of the time
        ({WRITES: 1000, HALTS: 500, PREEMPTION: 100}, 0.0, 200),  # not known how long: half of the time
        ({WRITES: 1000, HALTS: 500, PREEMPTION: 100}, 15_000.0, 400),  # three quarters
        ({WRITES: 150, HALTS: 500, PREEMPTION: 100}, 15_000.0, 150),  # no more than were written
        ({WRITES: 100, HALTS: 500, PREEMPTION: 100}, 15_000.0, 100),
        ({WRITES: 99, HALTS: 500, PREEMPTION: 100}, 15_000.0, 400),  # a periodic one
        ({WRITES: 1000, HALTS: 200, PREEMPTION: 100}, 45_000.0, 296),  # 98 % of the halts at most
    ],
)
def test_a_halting_guest_has_as_many_timers_as_its_times_say(counts, halt_us, timers):
    assert timers_of_a_halting_guest(counts, TEN_SECONDS, halt_us) == pytest.approx(timers)


@pytest.mark.parametrize(
    ("counts", "halting", "exact", "least"),
    [
        ({}, False, False, 50),
        ({}, False, True, 101),
        ({PREEMPTION: 20}, False, False, 101),
        ({PREEMPTION: 20}, True, False, 50),
        ({PREEMPTION: 80}, True, False, 80),
        ({PREEMPTION: 180}, True, False, 101),
    ],
)
def test_half_of_the_timers_at_least_expired(counts, halting, exact, least):
    assert fewest(101.0, counts, halting=halting, exact=exact) == least


POSTED = Outcome("hrtimer", "housekeeping", None, "posted", "delivered")
HERE = Outcome("hrtimer", "own", "EXTERNAL_INTERRUPT", "vm_entry", "delivered")
PREEMPTED = Outcome("hv", "own", "PREEMPTION_TIMER", "vm_entry", "delivered")
WOKEN = Outcome("hrtimer", "housekeeping", None, "wake_up", "delivered")
REARMED = Outcome("hrtimer", None, None, NOT_VISIBLE, "armed anew")
UNSEEN = Outcome(NOT_VISIBLE, NOT_VISIBLE, None, NOT_VISIBLE, "armed anew")
DISARMED = Outcome(NOT_VISIBLE, None, None, NOT_VISIBLE, "disarmed")
TRACE = SimpleNamespace(
    counts={POSTED: 40, HERE: 5, PREEMPTED: 10, WOKEN: 25, REARMED: 100, UNSEEN: 7, DISARMED: 50},
    armed=187,
    seconds=2.0,
    vcpus=2,
    timers_kept=[],
)


def test_timers_of_a_trace_expired_that_were_delivered_or_of_which_nothing_is_visible():
    findings = Findings()
    assert timers_in_trace(TRACE, findings) == (40 + 5 + 10 + 25 + 7, 5)
    assert findings.known == [
        "187 timers were armed in 2 s by 2 vCPU(s), 80 expired.",
        "There, 19 % of expiries cost an exit, 50 % were posted.",
    ]


@pytest.mark.parametrize(("expired", "whom"), [(3, "these"), (80, "the first 3")])
def test_how_far_ahead_timers_were_set_is_said(expired, whom):
    def timer(us, delivery="posted", value=1):
        return SimpleNamespace(delivery=delivery, value=value, armed_ns=5_000, fired_ns=5_000 + us * 1000)

    timers = [*map(timer, (100, 300, 200)), timer(9, delivery=None), timer(9, value=0)]
    findings = Findings()
    counts = {POSTED: expired}
    timers_in_trace(SimpleNamespace(**{**vars(TRACE), "counts": counts, "timers_kept": timers}), findings)
    assert findings.known[1] == f"Half of {whom} were set less than 200 us ahead."


def test_timers_that_woke_nobody_found_the_guest_at_work():
    assert at_work(TRACE, {}) == 55
    assert at_work(SimpleNamespace(counts={REARMED: 3}), {PREEMPTION: 4}) == 4
    assert at_work(SimpleNamespace(counts={}), {}) == 0


@pytest.mark.parametrize(
    ("rows", "mode"),
    [
        ({"MSR_WRITE": (10, 1.0), "PREEMPTION_TIMER": (21, 1.0)}, "periodic"),
        ({"MSR_WRITE": (10, 1.0), "PREEMPTION_TIMER": (20, 1.0)}, "tsc_deadline"),
        ({"CPUID": (10, 1.0), "PREEMPTION_TIMER": (21, 1.0)}, "tsc_deadline"),
        ({"MSR_WRITE": (10, 1.0)}, "tsc_deadline"),
    ],
)
def test_a_table_with_more_expiries_than_writes_is_of_periodic_timers(rows, mode):
    assert timer_mode_of(kl.explain(table(rows))) == mode


def test_a_trace_is_of_the_mode_of_most_of_its_timers():
    deadline, oneshot = (SimpleNamespace(arm_exit="MSR_WRITE", msr=msr) for msr in (TSC_DEADLINE, TMICT))
    periodic = SimpleNamespace(arm_exit=None, msr=TMICT)
    for most, mode in ((deadline, "tsc_deadline"), (oneshot, "oneshot"), (periodic, "periodic")):
        timers = [deadline, oneshot, periodic, most]
        assert timer_mode_of(SimpleNamespace(table=None, timers_kept=timers)) == mode


@pytest.mark.parametrize(
    ("hz", "period_us"), [(None, None), (1999, None), (2000, 500), (10_000, 100), (1e9, 5), (250_000, 5)]
)
def test_more_hrtimers_than_a_tick_makes_are_a_load(hz, period_us):
    findings = Findings()
    assert housekeeping_period_us(SimpleNamespace(housekeeping_hrtimers_hz=hz), findings) == period_us
    assert len(findings.known) == (period_us is not None)


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ({"MSR_WRITE": (900, 1.0), "CPUID": (50, 1.0)}, (0, 0, 50, 900, 0, None)),
        ({"MSR_WRITE": (900, 1.0), "EXTERNAL_INTERRUPT": (1000, 1.0)}, (100, 900, 0, 900, 0, None)),
        ({"MSR_WRITE": (900, 1.0), "HLT": (300, 9.0), "EXTERNAL_INTERRUPT": (7, 1.0)}, (7, 0, 0, 900, 300, 0)),
    ],
)
def test_what_happened_beside_the_timers_is_counted(rows, shown):
    m = measured_from(kl.explain(table(rows)), Findings(), 1.0, 1, None)
    assert (m.host_irqs, m.unsure_irqs, m.other_exits, m.writes, m.halts, m.expiries_at_work) == shown
