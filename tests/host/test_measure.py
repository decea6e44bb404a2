"""What a table says of its host's timers, by hand: how many at most, how few, and whose the interrupts are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.host.formats.unlisted import Unlisted
from kvmlab.host.names import TMICT, TSC_DEADLINE
from kvmlab.host.outcome import Outcome
from kvmlab.host.what_if.duration import Duration
from kvmlab.host.what_if.findings import Findings
from kvmlab.host.what_if.measure import (
    apic_writes_in,
    at_work,
    counts_of,
    fewest,
    halt_length_us,
    housekeeping_period_us,
    how_many_expire,
    leaves_out_much,
    measured_from,
    much_was_lost,
    ordered,
    recorded_quantities,
    timer_mode_of,
    timers_in_table,
    timers_in_trace,
    timers_of_a_halting_guest,
    writes_in,
)
from kvmlab.results.story import NOT_VISIBLE
from kvmlab.scenario.interval import Interval
from tests.host.made_up import WORKS, table
from tests.places import RECORDED
from tests.tracefs_listing import listing_of

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
        ({"CPUID": (5, 1.0), "HLT": (7, 1.0)}, "VM-EXIT", 0),
    ],
)
def test_writes_are_those_to_the_lapic(rows, title, writes):
    told = kl.explain(table(rows, title=title))
    assert writes_in(told, counts_of(told.exits)) == writes


@pytest.mark.parametrize(
    ("rows", "us"),
    [
        ({"MSR_WRITE": (5, 1.0), "HLT": (3, 90.0)}, 90),
        ({"MSR_WRITE": (5, 1.0), "hlt": (3, 0.5)}, 0.5),
        ({"MSR_WRITE": (5, 1.0)}, 0),
    ],
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
    assert said({WRITES: 7, IRQS: 2}, registers=True) == (
        ["7 writes armed the timer, or disarmed it."],
        ["What such a table leaves out: halts, interrupts, other exits; none are simulated."],
    )
    assert said({WRITES: 7, IRQS: 0})[1] == []


def test_a_table_of_registers_has_each_timer_and_no_interrupts():
    assert timers_in_table({WRITES: 7}, Findings(), registers=True) == (7, 0)


@pytest.mark.parametrize(
    ("counts", "halt_us", "timers"),
    [
        ({WRITES: 1000, HALTS: 400}, 9.0, 400),
        ({WRITES: 300, HALTS: 400}, 9.0, 300),
        ({WRITES: 300}, 0.0, 0),
        ({HALTS: 400}, 9.0, 0),
        ({WRITES: 1000, HALTS: 1000, PREEMPTION: 2}, 10_000.0, 200),  # all of the time: 99 % are believed
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
SOMEHOW = Outcome(NOT_VISIBLE, "own", "EXTERNAL_INTERRUPT", "vm_entry", "delivered")
DISARMED = Outcome(None, None, None, None, "disarmed")
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


def test_of_a_trace_without_expiries_no_shares_are_said():
    findings = Findings()
    trace = SimpleNamespace(**{**vars(TRACE), "counts": {REARMED: 3, DISARMED: 2}, "armed": 3, "seconds": 0.0})
    assert timers_in_trace(trace, findings) == (0, 0)
    assert findings.known == ["3 timers were armed in 0 s by 2 vCPU(s), 0 expired."]


def test_a_timer_that_was_delivered_is_one_whatever_armed_it():
    assert timers_in_trace(SimpleNamespace(**{**vars(TRACE), "counts": {SOMEHOW: 4, UNSEEN: 1}}), Findings()) == (5, 4)


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


SAID = "What an exit costs the host: fitted to the rows {}."


def measured(rows, seconds=1.0, **how):
    findings = Findings()
    return measured_from(kl.explain(table(rows, **how)), findings, seconds, 1, None), findings


def test_a_busy_guest_is_measured():
    rows = {"MSR_WRITE": (901, 1.0), "EXTERNAL_INTERRUPT": (300, 2.0), "CPUID": (50, 4.0), "EPT_MISCONFIG": (17, 10.0)}
    m, findings = measured(rows)
    assert m.timers == Interval(901, 450, 901)
    assert (m.host_irqs, m.unsure_irqs, m.other_exits, m.unsure) == (0, 300, 67, False)
    assert m.handled_s == pytest.approx((901 + 300 * 2 + 50 * 4 + 17 * 10) / 1e6, rel=1e-9)
    assert m.recorded == {
        "MSR_WRITE": 901,
        "PREEMPTION_TIMER": 0,
        "EXTERNAL_INTERRUPT": 300,
        "HLT": 0,
        "other": 67,
        "exits": 1268,
    }
    assert m.costs.msr_write.mean_ns == pytest.approx(1000)
    assert findings.first == []
    assert findings.known == [
        "At most 901 timers were armed: that many writes exited, EOI and ICR writes among them.",
        "Apart from timers: 0 halts, 0 interrupts that are not the timer's, 67 other exits.",
        SAID.format("MSR_WRITE, EXTERNAL_INTERRUPT"),
    ]
    assert findings.cannot == [
        "Which of the 300 interrupt exits are the guest's timers, and which the host's own: taken as timers as far as "
        "there are writes.",
        how_many_expire({WRITES: 901}, 450.0, 901.0),
    ]


def test_a_guest_that_works_half_of_the_time_is_measured():
    """Halted for 4.8 of 10 s, so that 48 timers woke it for each 52 of the 7000: more than 98 % of the halts."""
    m, findings = measured(WORKS, seconds=10.0)
    assert m.timers == Interval(7000 + 5880, 7000, 24_000)
    assert (m.halts, m.halt_us, m.expiries_at_work) == (6000, 800, 7000)
    assert (m.host_irqs, m.unsure_irqs, m.other_exits, m.unsure) == (500, 0, 9000, False)
    assert m.handled_s == pytest.approx((24_000 * 0.9 + 7000 * 0.7 + 500 + 9000 * 3) / 1e6)
    assert m.recorded == {
        "MSR_WRITE": 24_000,
        "PREEMPTION_TIMER": 7000,
        "EXTERNAL_INTERRUPT": 500,
        "HLT": 6000,
        "other": 9000,
        "exits": 46_500,
    }
    assert m.costs.msr_write_fastpath.mean_ns == pytest.approx(900)
    assert findings.known[2] == (
        "Apart from timers: 6000 halts, 500 interrupts that are not the timer's, 20120 other exits."
    )
    assert findings.cannot == [how_many_expire({WRITES: 24_000}, 7000.0, 12_880.0)]


def test_a_table_that_was_shortened_is_measured_by_what_it_has():
    m, findings = measured(WORKS, seconds=10.0, listed=("MSR_WRITE", "EXTERNAL_INTERRUPT"))
    assert m.timers == Interval(24_000, 12_000, 24_000)
    assert (m.other_exits, m.unsure, m.halts) == (22_000, True, 0)
    assert m.recorded == {"MSR_WRITE": 24_000, "EXTERNAL_INTERRUPT": 500, "exits": 46_500}
    [first] = findings.first
    assert first.endswith(" Here they are taken for other exits.")
    assert findings.known[1] == "Apart from timers, as far as the table tells: 22000 other exits."


def test_of_a_table_that_lacks_time_only_nothing_is_taken_for_other_exits():
    rows = {"MSR_WRITE": (80_000, 1.1), "EXTERNAL_INTERRUPT": (2000, 1.0), "HLT": (3, 9e6)}
    text = table(rows, listed=("MSR_WRITE", "EXTERNAL_INTERRUPT")).partition("\nTotal")[0]
    findings = Findings()
    m = measured_from(kl.explain(text), findings, 90.0, 1, None)
    assert (m.other_exits, m.unsure) == (0, True)
    assert findings.first[0].endswith("Nothing is concluded from a row that is not there.")
    assert findings.known[1] == "Apart from timers, as far as the table tells: nothing."


def test_a_table_without_totals_or_shares_says_nothing_of_all_exits():
    bare = kl.read_perf_kvm_stat(table({"MSR_WRITE": (80, 1.0), "HLT": (20, 1.0)}))[["Samples", "Avg time"]]
    bare.attrs.clear()
    assert recorded_quantities(kl.explain(bare), {WRITES: 80, HALTS: 20}, 0) == {"MSR_WRITE": 80, "HLT": 20}


def test_a_table_without_times_does_not_tell_how_long_a_halt_is():
    assert halt_length_us(pd.DataFrame({"Avg time": [1.0, np.nan]}, index=["MSR_WRITE", "HLT"])) == 0


@pytest.mark.parametrize(
    ("rows", "timers", "doubt"),
    [
        ({"APIC_WRITE": (700, 1.0), "MSR_WRITE": (200, 1.0)}, Interval(900, 200, 900), 700),
        ({"APIC_WRITE": (700, 1.0)}, Interval(700, 1, 700), 700),
        (
            {"APIC_WRITE": (700, 1.0), "MSR_WRITE": (200, 1.0), "PREEMPTION_TIMER": (600, 1.0)},
            Interval(600, 600, 900),
            700,
        ),
        ({"APIC_WRITE": (500, 1.0), "MSR_WRITE": (500, 1.0)}, Interval(1000, 500, 1000), 0),
        ({"APIC_WRITE": (501, 1.0), "MSR_WRITE": (400, 1.0), "msr": (100, 1.0)}, Interval(1001, 500, 1001), 501),
        ({"APIC_WRITE": (1, 1.0)}, Interval(1, 0, 1), 1),
        ({"MSR_WRITE": (500, 1.0)}, Interval(500, 250, 500), 0),
        ({"MSR_WRITE": (1, 1.0)}, Interval(1, 0, 1), 0),
    ],
)
def test_apic_writes_that_outnumber_those_of_msrs_may_be_no_timers(rows, timers, doubt):
    assert apic_writes_in(kl.explain(table(rows))) == doubt
    m, findings = measured(rows)
    assert (m.timers, m.unsure) == (timers, doubt > 0)
    assert findings.first == [
        f"{doubt} of the writes are APIC_WRITE exits, which may be IPIs and EOIs: how many arm a timer is not in this "
        "table."
    ] * (doubt > 0)


def test_a_table_of_registers_is_measured():
    rows = {"0x6e0:W": (700, 2.0), "0x80b:W": (650, 2.0), "0x1b:R": (30, 2.0)}
    m, findings = measured(rows, title="MSR Access")
    assert m.timers == Interval(700, 700, 700)
    assert (m.writes, m.other_exits, m.host_irqs, m.unsure_irqs, m.halts) == (1350, 0, 0, 0, 0)
    assert m.recorded == {"MSR_WRITE": 1350}
    assert len(findings.cannot) == 1


def test_a_trace_is_measured():
    """Of its 24 writes ten arm the timer; it ends with an exit of the recorder's own."""
    e, findings = kl.explain(RECORDED / "perf-script.no-apicv.txt"), Findings()
    m = measured_from(e, findings, None, None, None)
    assert m.timers == Interval(10, 10, 10)
    assert (m.writes, m.host_irqs, m.unsure_irqs, m.other_exits, m.unsure) == (24, 0, 0, 4, False)
    assert m.recorded == {
        "MSR_WRITE": 24,
        "PREEMPTION_TIMER": 0,
        "EXTERNAL_INTERRUPT": 10,
        "HLT": 0,
        "other": 4,
        "exits": 38,
        "posted": 0,
        "expiry exits": 100,
    }
    assert findings.first == findings.cannot == []
    assert findings.known[2:4] == [
        "There, 100 % of expiries cost an exit, 0 % were posted.",
        "Apart from timers: 0 halts, 0 interrupts that are not the timer's, 18 other exits.",
    ]
    assert apic_writes_in(e) == 0


def test_shares_of_timers_are_those_that_were_delivered():
    e = kl.explain(RECORDED / "vmx-6.1-rev3-halted-in-guest.trace.txt")
    shares = recorded_quantities(e, {}, 0)
    assert (shares["posted"], shares["expiry exits"]) == (20, 80)


LINES = """\
 CPU 0/KVM-81 [005] d..1. 60.{0:06d}: kvm_exit: reason {1} rip 0x1000 info 0 0
 CPU 0/KVM-81 [005] d..1. 60.{2:06d}: kvm_entry: vcpu 0
"""


def listing(*reasons):
    return "".join(LINES.format(1000 * at, reason, 1000 * at + 4) for at, reason in enumerate(reasons))


def test_a_listing_of_exits_alone_is_measured_as_its_table_would_be():
    """Its halts may each have been ended by a timer, and each write may arm one."""
    e, findings = kl.explain(listing(*["MSR_WRITE", "HLT", "MSR_WRITE"] * 20)), Findings()
    m = measured_from(e, findings, None, None, None)
    assert m.timers == Interval(20, 20, 20)
    assert (m.writes, m.halts, m.halt_us, m.expiries_at_work) == (40, 20, pytest.approx(4), 0)
    assert m.handled_s == pytest.approx(160e-6)
    assert findings.first == []


def test_a_listing_with_lines_left_out_says_so_first():
    text = listing(*["MSR_WRITE"] * 20) + "[...]\n" + LINES.format(90_000, "CPUID", 90_002)
    findings = Findings()
    assert measured_from(kl.explain(text), findings, None, None, None).unsure
    assert findings.first == ["Events are missing from this listing: rates are at least as high as they seem."]


def test_without_exits_or_writes_there_is_nothing_to_measure():
    line = " CPU 0/KVM-7 [003] d..1. 70.{0:03d}000: kvm_msr: msr_write 6e0 = 0x{0:x}00\n"
    with pytest.raises(ValueError, match="there is no kvm_exit in it"):
        measured_from(kl.explain("".join(map(line.format, range(1, 20)))), Findings(), None, None, None)
    with pytest.raises(ValueError, match="nothing that arms a timer was found"):
        measured({"CPUID": (300, 1.0), "EXTERNAL_INTERRUPT": (20, 1.0)})


def test_counts_are_rates_per_vcpu():
    findings = Findings()
    e = kl.explain(table({"MSR_WRITE": (900, 1.0)}))
    m = measured_from(e, findings, 10.0, 3, None)
    assert (m.seconds, m.vcpus, m.per_second(600)) == (10, 3, 20)


@pytest.mark.parametrize(
    ("samples", "total", "time_share", "much"),
    [
        (0, 100, 0.0, False),
        (1, 100, 0.0, False),
        (2, 100, 0.0, True),
        (0, 100, 1.0, False),
        (0, 100, 1.01, True),
        (0, 100, np.nan, False),
    ],
)
def test_more_than_a_percent_is_much(samples, total, time_share, much):
    assert leaves_out_much(Unlisted(samples, total, time_share, 0, known=True)) is much


def test_of_a_trace_no_rows_are_left_out():
    assert leaves_out_much(None) is False


@pytest.mark.parametrize(
    ("exits", "lost", "left_out", "much"),
    [
        ([99], 0, 0, False),
        ([99], 2, 0, False),  # of 200 events
        ([99], 3, 0, True),
        ([40, 59], 2, 0, False),
        ([99], 0, 1, True),
        ([], 0, 0, False),
        ([], 1, 0, True),
    ],
)
def test_more_than_a_percent_of_lost_events_is_much(exits, lost, left_out, much):
    e = SimpleNamespace(exits=pd.DataFrame({"Samples": exits}), lost_events=lost, left_out=left_out)
    assert much_was_lost(e) is much


@pytest.mark.parametrize("bounds", [(2.0, 1.0, 3.0), (1.0, 1.0, 3.0), (3.0, 1.0, 3.0), (1.0, 1.0, 1.0)])
def test_a_value_lies_between_its_bounds_or_on_one(bounds):
    assert ordered(*bounds) == Interval(*bounds)


@pytest.mark.parametrize("bounds", [(0.9, 1.0, 3.0), (3.1, 1.0, 3.0), (np.nan, 1.0, 3.0), (2.0, np.nan, 3.0)])
def test_bounds_that_are_not_in_order_are_refused(bounds):
    with pytest.raises(ValueError, match="are not in order"):
        ordered(*bounds)


def test_timers_of_a_trace_are_counted_though_its_guest_halts():
    guest = kl.Guest(workload=kl.Workload(tick_hz=1000, busy_us=300, idle_us=300))
    scenario = kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), guest, duration_s=0.02, trace_steps=10_000)
    run = kl.simulate(scenario)
    m = measured_from(kl.explain(listing_of(run)), Findings(), None, None, None)
    assert m.timers.low == m.timers.value == m.timers.high == pytest.approx(run.placement["expiries"].sum(), abs=2)
    assert m.halts > 15
    assert 0 < m.expiries_at_work <= m.timers.value < min(m.writes, m.halts)
