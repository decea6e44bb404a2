"""One made-up listing of four timers, and everything that is shown of it; worked out by hand from its times."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.host import explain as package
from kvmlab.host.explain import Explanation, explain, measured_ghz
from kvmlab.host.inference import infer
from kvmlab.host.outcome import Outcome
from kvmlab.host.threads import Thread
from kvmlab.host.tracker import Tracker
from tests.host.made_up import WORKS, table

ZERO, ONE = "CPU 0/KVM-640  [001]", "CPU 1/KVM-641  [002]"
IDLE, THIRD = "<idle>-0  [000]", "<idle>-0  [003]"
EXIT = "kvm_exit: vcpu {} reason {} rip 0x2000 info 0 0"
SLEEPER = "hrtimer_expire_entry: hrtimer=00dd function=hrtimer_wakeup now=5100000"
EVENTS = [
    (0, ZERO, "kvm_entry: vcpu 0"),
    (0, ONE, "kvm_entry: vcpu 1"),
    # vCPU 0 arms the preemption timer, and gets it 4 ms later; 1000 cycles of 2 GHz (500 ns) late when it was seen.
    (1000, ZERO, EXIT.format(0, "MSR_WRITE")),
    (1001, ZERO, "kvm_msr: msr_write 6e0 = 0x5000"),
    (1002, ZERO, "kvm_hv_timer_state: vcpu_id 0 hv_timer 1"),
    (1004, ZERO, "kvm_entry: vcpu 0"),
    # vCPU 1 arms an hrtimer, which fires on pCPU 0, 2.5 us late, and is posted 1 us later.
    (2000, ONE, EXIT.format(1, "MSR_WRITE")),
    (2001, ONE, "kvm_msr: msr_write 838 = 0x1000"),
    (2002, ONE, "kvm_hv_timer_state: vcpu_id 1 hv_timer 0"),
    (2003, ONE, "hrtimer_start: hrtimer=00aa function=apic_timer_fn expires=5000000 softexpires=5000000 mode=ABS|HARD"),
    (2004, ONE, "kvm_entry: vcpu 1"),
    (2500, THIRD, SLEEPER),
    (2600, THIRD, SLEEPER),
    (3000, IDLE, "hrtimer_expire_entry: hrtimer=00aa function=apic_timer_fn now=5002500"),
    (3001, IDLE, "kvm_apicv_accept_irq: apicid 1 vec 236 (Fixed|edge)"),
    (3500, IDLE, SLEEPER),
    # It disarms its timer.
    (4000, ONE, EXIT.format(1, "MSR_WRITE")),
    (4001, ONE, "kvm_msr: msr_write 838 = 0x0"),
    (4003, ONE, "kvm_entry: vcpu 1"),
    (5000, ZERO, EXIT.format(0, "PREEMPTION_TIMER")),
    (5001, ZERO, "kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)"),
    (5002, ZERO, "kvm_wait_lapic_expire: vcpu 0: delta 1000 (late)"),
    (5003, ZERO, "kvm_entry: vcpu 0"),
    # vCPU 0 arms its timer again; by what is not shown.
    (6000, ZERO, EXIT.format(0, "MSR_WRITE")),
    (6001, ZERO, "kvm_msr: msr_write 6e0 = 0x9000"),
    (6005, ZERO, "kvm_entry: vcpu 0"),
]


def listing(events):
    return "".join(f"  {who} d..1.  71.{us:06d}: {text}\n" for us, who, text in events)


@pytest.fixture(name="told", scope="module")
def fixture_told():
    return explain(listing(EVENTS), tsc_ghz=2)


def test_each_timer_is_a_row(told):
    rows = told.timers.astype(object).where(told.timers.notna(), None)
    armed = [1_000_000, 2_000_000, 4_000_000, 6_000_000]
    assert rows["armed_ns"].tolist() == [71_000_000_000 + ns for ns in armed]
    unseen = kl.results.story.NOT_VISIBLE
    assert rows.drop(columns="armed_ns").to_numpy().tolist() == [
        [0, 1, "MSR_WRITE", "hv", 1, "own", "interrupted", "PREEMPTION_TIMER", "vm_entry", "delivered", 1500],
        [1, 2, "MSR_WRITE", "hrtimer", 0, "housekeeping", "guest", None, "posted", "delivered", 3500],
        [1, 2, "MSR_WRITE", None, None, None, None, None, None, "disarmed", None],
        [0, 1, "MSR_WRITE", unseen, None, None, None, None, unseen, "still armed", None],
    ]
    assert [str(kind) for kind in told.timers.dtypes] == [
        *("Int64", "Int64", "Int64", "string", "string", "Int64", "string", "string", "string", "string", "string"),
        "Int64",
    ]
    assert told.outcomes["timers"].tolist() == [1, 1, 1, 1]


def test_stories_are_numbered_in_the_order_of_arming(told):
    assert [story.kernel for story in told.stories] == [
        "timer 0 of vCPU 0",
        "timer 1 of vCPU 1",
        "timer 2 of vCPU 1",
        "timer 3 of vCPU 0",
    ]
    assert [story.latency_ns for story in told.stories] == [1500, 3500, None, None]


def test_the_summary_says_it_line_by_line(told):
    answer, seen = told.summary().split("\n\n")[:2]
    assert answer.splitlines()[:2] == [
        "The events show what fired 2 timers: 1 by the VMX preemption timer (a PREEMPTION_TIMER exit each) and 1 by a "
        "host hrtimer on a housekeeping CPU that posted them (no exit).",
        "Behaves like rev1, rev2 or rev3, not like before.",
    ]
    lines = seen.splitlines()
    # Three were armed by two vCPUs, so two intervals less one: 1 / 5 ms / 2. 6.005 ms from the first to the last.
    assert lines[0] == "the text: 4 timers of 2 vCPUs in 6.0 ms, armed 100 times a second by each."
    assert sorted(lines[1:-1]) == [
        "          1 armed, by what is not visible: still armed",
        "          1 hrtimer armed, fired on housekeeping, no exit, posted",
        "          1 hv armed, fired on own, PREEMPTION_TIMER exit, vm_entry",
        "          1 nothing armed: disarmed",
    ]
    assert lines[-1] == "  deadline to post or VM entry: median 2.50 us, longest 3.50 us"


def test_counts_and_times_of_the_whole_listing(told):
    assert (told.armed, told.vcpus, told.seconds) == (3, 2, pytest.approx(6.005e-3, rel=1e-12))
    assert told.events == {text.partition(":")[0] for _, _, text in EVENTS}
    assert (told.lost_events, told.left_out, told.incomplete) == (0, 0, False)
    assert told.tsc_ghz == {640: 2, 641: 2}
    assert (told.name, told.kind, told.notes, told.host, told.table) == ("the text", "kvm trace", (), None, None)


def test_exits_are_a_table_as_perf_would_print_it(told):
    exits = told.exits
    assert exits["Samples"].to_dict() == {"MSR_WRITE": 4, "PREEMPTION_TIMER": 1}
    msr = exits.loc["MSR_WRITE"]  # 4, 4, 3 and 5 us
    assert (msr["Min Time"], msr["Max Time"], msr["Avg time"]) == (3, 5, 4)
    assert msr["Time%"] == pytest.approx(100 * 16 / 19)


def test_the_timeline_has_a_lane_for_each_cpu_and_vcpu(told):
    lanes = told.timeline.groupby("lane")["what"].apply(list).to_dict()
    assert lanes == {
        "pCPU 0": ["hrtimer", "post", "hrtimer"],
        "pCPU 3": ["hrtimer", "hrtimer"],
        "vCPU 0": ["guest", "MSR_WRITE", "guest", "PREEMPTION_TIMER", "guest", "MSR_WRITE"],
        "vCPU 1": ["guest", "MSR_WRITE", "guest", "handler", "MSR_WRITE", "guest"],
    }
    assert told.timeline.attrs["left_out"] == 0


def test_spans_beyond_those_that_are_kept_are_counted(monkeypatch):
    monkeypatch.setattr(package, "MAX_SPANS", 3)
    short = explain(listing(EVENTS)).timeline
    assert (len(short), short.attrs["left_out"]) == (3, 17 - 3)


def test_hrtimers_of_the_host_count_where_no_vcpu_arms():
    """pCPU 3 has two, pCPU 0 one of its own; pCPU 1 has three, but a vCPU."""
    busy = [(us, "<idle>-0  [001]", SLEEPER) for us in (6100, 6200, 6300)]
    told = explain(listing([*EVENTS, *busy, (10_000, ONE, EXIT.format(1, "CPUID"))]))
    assert told.housekeeping_hrtimers_hz == pytest.approx(2 / 10e-3, rel=1e-12)
    assert explain(listing(EVENTS[:6])).housekeeping_hrtimers_hz is None
    assert explain(listing([(0, THIRD, SLEEPER)])).housekeeping_hrtimers_hz is None


def test_the_dict_has_all_of_it(told):
    found = told.to_dict()
    assert list(found) == [
        *("name", "kind", "answer", "headline", "notes", "lost_events", "outcomes", "policy", "timers", "interrupts"),
        "gaps",
    ]
    assert found["headline"] == told.summary().split("\n\n")[1].splitlines()[0]
    assert (found["lost_events"], found["notes"], found["interrupts"]) == (0, [], [])
    assert [gap["gap_us"] for gap in found["gaps"]] == [5, 4, 4, 3, 3]
    assert [row["latency_ns"] for row in found["timers"]] == [1500, 3500, None, None]
    assert found["answer"] == list(told.answer)
    assert all(row["timers"] == 1 for row in found["outcomes"])
    assert str(told) == repr(told) == told.summary()


def test_a_notebook_shows_outcomes_with_dashes_and_escapes(told):
    html = told._repr_html_()
    assert html.startswith("<ol style='text-align:left'><li>The events show what fired 2 timers")
    assert "&amp;&amp;" in html or "&gt;" in html
    assert "<td>-</td>" in html
    assert "border=" not in html
    assert "<b>Behaves like rev1, rev2 or rev3, not like before.</b>" in html
    assert "<p style='text-align:left'>the text: 4 timers of 2 vCPUs in 6.0 ms" in html
    empty = explain(listing(EVENTS[:2]))._repr_html_()
    assert "<table" not in empty


def test_only_the_first_timers_are_kept_and_all_are_counted():
    told = explain(listing(EVENTS), max_timers=2)
    assert len(told.timers) == len(told.stories) == 2
    assert told.timers["armed_ns"].is_monotonic_increasing
    assert (told.outcomes["timers"].sum(), told.armed) == (4, 3)
    assert len(explain(listing(EVENTS), max_timers=4).timers) == 4
    assert len(explain(listing(EVENTS), max_timers=1).timers) == 1


@pytest.mark.parametrize("many", [0, 10_000_001])
def test_the_number_of_stories_has_limits(many):
    with pytest.raises(ValueError, match=r"max_timers: .* it must be an integer from 1 to 10000000"):
        explain(listing(EVENTS), max_timers=many)
    assert len(explain(listing(EVENTS), max_timers=10_000_000).timers) == 4


def test_ten_gaps_are_kept():
    events = [(0, ZERO, "kvm_entry: vcpu 0")]
    for at in range(12):
        events += [(10 + 100 * at, ZERO, EXIT.format(0, "CPUID")), (20 + 101 * at, ZERO, "kvm_entry: vcpu 0")]
    told = explain(listing(events))
    assert told.gaps["gap_us"].round().tolist() == [21, 20, 19, 18, 17, 16, 15, 14, 13, 12]
    assert told.gaps.attrs["gaps"] == 12


def test_a_listing_of_more_kinds_of_events_than_a_kernel_has_is_refused(monkeypatch):
    monkeypatch.setattr(package, "MAX_KINDS", 2)
    events = [*EVENTS[:3], (1500, ZERO, "sched_switch: x")]
    assert explain(listing(events[:3])).events == {"kvm_entry", "kvm_exit"}
    with pytest.raises(ValueError, match=r"^kvm_msr: more than 2 kinds of events; expected the trace of one host$"):
        explain(listing(EVENTS))


def test_lost_events_are_said_and_nothing_follows_from_what_is_missing():
    writes = []
    for at in range(150):
        writes += [(100 * at, ZERO, EXIT.format(0, "MSR_WRITE")), (100 * at + 2, ZERO, "kvm_entry: vcpu 0")]
    whole, lost = explain(listing(writes)), explain(listing(writes) + "CPU:1 [LOST 5 EVENTS]\n")
    assert len(whole.policy.observations) == 2
    assert lost.policy.observations == ()
    assert (lost.lost_events, lost.incomplete) == (5, True)
    assert "the text: 0 timers of 1 vCPU in 14.9 ms. 5 events were lost.\n        150 MSR_WRITE" in lost.summary()
    assert "the text: 0 timers of 1 vCPU in 14.9 ms.\n        150 MSR_WRITE" in whole.summary()


def arms(times, value=0x5000, who=ZERO):
    return [(us, who, f"kvm_msr: msr_write 6e0 = {value:#x}") for us in times]


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        ((0, 1000), ", armed 1,000 times a second"),
        ((0, 1001), ", armed 999 times a second"),
        ((0, 5, 2001), ", armed 999.5 times a second"),
        ((0, 500, 3000), ", armed 666.7 times a second"),
        ((0, 10, 20), ", armed 100,000 times a second"),
        ((10,), ""),
    ],
)
def test_how_often_timers_are_armed(times, rate):
    """1 / 1.001 ms is 999.0, of which four digits are shown."""
    ms = (max(times) - min(times)) / 1000
    timers = f"{len(times)} timer{'s' if len(times) > 1 else ''}"
    assert explain(listing(arms(times))).to_dict()["headline"] == f"the text: {timers} of 1 vCPU in {ms:.1f} ms{rate}."


def test_writes_of_0_arm_nothing():
    events = sorted(arms((0, 2000)) + arms((500, 1500, 2500), 0))
    assert "armed 500 times a second" in explain(listing(events)).summary()


@pytest.mark.parametrize(
    ("first", "last", "ghz"),
    [
        ((0, 0), (1_000_000, 2_000_000), 2.0),
        ((0, 0), (999_999, 2_000_000), None),
        ((5_000_000, 7), (7_000_000, 200_007), 0.1),
        ((0, 0), (1_000_000, 99_999), None),
        ((0, 0), (1_000_000, 10_000_000), 10.0),
        ((0, 0), (1_000_000, 10_000_001), None),
        (None, (1_000_000, 2_000_000), None),
        ((0, 0), None, None),
    ],
)
def test_two_readings_a_millisecond_apart_tell_the_tsc(first, last, ghz):
    assert measured_ghz(Thread(1, first_tsc=first, last_tsc=last)) == ghz


def test_what_the_reader_says_of_the_tsc_goes_before_what_was_measured():
    told = explain(listing(EVENTS), tsc_ghz=4)
    assert told.timers["latency_ns"].iloc[0] == 1250
    assert told.timers["latency_ns"].iloc[1] == 3500  # which does not rest on it
    assert explain(listing(EVENTS)).tsc_ghz == {}


def test_the_name_is_the_file_s(tmp_path):
    (tmp_path / "a.txt").write_text(listing(EVENTS))
    assert explain(tmp_path / "a.txt").name == explain(str(tmp_path / "a.txt")).name == "a.txt"
    assert explain(kl.read_kvm_trace(tmp_path / "a.txt")).name == "the trace"
    assert explain(kl.read_perf_kvm_stat(table(WORKS))).name == "the table"
    assert explain(table(WORKS)).name == "the text"
    with pytest.raises(FileNotFoundError):
        explain(tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        (listing(EVENTS), {"table": 0}, "table: 0 does not fit: the text is a kvm trace; allowed: only for tables"),
        (
            table(WORKS),
            {"file": "trace.dat"},
            "file: 'trace.dat' does not fit: the text is a table; allowed: only for kvm traces",
        ),
        (
            "T: 0 ( 1) P:80 I:1000 C: 9 Min: 1 Act: 1 Avg: 1 Max: 3\n",
            {},
            "the text: found the output of cyclictest; expected a kvm trace or a perf kvm stat table "
            "(kl.read_any and `kvmlab convert` read cyclictest)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(text, options, complaint):
    with pytest.raises(ValueError, match=complaint.split(":")[0]) as error:
        explain(text, **options)
    assert str(error.value) == complaint


def test_of_a_table_its_exits_are_shown():
    told = explain(table(WORKS))
    assert (told.vcpus, told.seconds, told.armed, told.incomplete) == (None, None, 0, False)
    assert told.to_dict()["headline"] == "the text: perf kvm stat, 46500 VM-EXIT samples."
    assert told.exits is told.table
    assert isinstance(told.table, pd.DataFrame)
    lines = told.summary().split("\n\n")[1].splitlines()
    assert sorted(lines[-5:]) == sorted(f"  {count:>9} {name}" for name, (count, _) in WORKS.items())
    assert told.housekeeping_hrtimers_hz is None
    assert told.to_dict()["timers"] == told.to_dict()["outcomes"] == told.to_dict()["gaps"] == []
    assert explain(table(WORKS, title="MSR Access")).to_dict()["headline"].endswith("46500 MSR Access samples.")


def test_where_no_timer_s_end_is_seen_the_exits_are_listed():
    told = explain(listing([*EVENTS[:6]]))
    assert "          1 MSR_WRITE\n          1 hv armed: still armed" in told.summary()
    assert "PREEMPTION_TIMER" not in told.summary().split("\n\n")[1]


def test_the_eight_most_frequent_outcomes_are_shown():
    counts = Counter({Outcome("hrtimer", "own", f"EXIT_{n}", "vm_entry", "delivered"): n for n in range(1, 10)})
    told = Explanation("a.txt", "kvm trace", [], Tracker(0), infer([], [], {}), outcomes=counts)
    assert told.summary().split("\n\n")[1].splitlines() == [
        "a.txt: 45 timers of 0 vCPUs in 0.0 ms.",
        *(f"          {n} hrtimer armed, fired on own, EXIT_{n} exit, vm_entry" for n in range(9, 1, -1)),
    ]
    assert told.outcomes["timers"].tolist() == [*range(9, 0, -1)]
    assert (told.tsc_ghz, told.armed, told.lost_events, told.left_out) == ({}, 0, 0, 0)
    assert told.interrupts is told.gaps is None


def test_latencies_are_shown_in_microseconds():
    """1233.56 us late, and posted a microsecond later; the other timer's is 1.5 us."""
    told = explain(listing(EVENTS).replace("now=5002500", "now=6233560"), tsc_ghz=2)
    assert "\n  deadline to post or VM entry: median 618.03 us, longest 1234.56 us\n" in told.summary()


def test_a_vcpu_without_number_is_named_by_its_thread():
    told = explain(listing(arms((0, 1000))))
    assert told.timers["vcpu"].isna().all()
    assert [story.kernel for story in told.stories] == [
        "timer 0 of vCPU ? (thread 640)",
        "timer 1 of vCPU ? (thread 640)",
    ]
