"""What-if reproduces the recording before it predicts, and keeps within the times that it contains."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import kvmlab as kl
from kvmlab.host.inference import Fact
from kvmlab.host.what_if import backcast, what_if
from kvmlab.host.what_if.assumptions import Assumptions
from kvmlab.host.what_if.backcast import Backcast, BackcastRow, Reading, best_reading, compared, readings, say_first
from kvmlab.host.what_if.predict import QUANTITIES, REASONS, Row
from kvmlab.scenario.interval import Interval
from tests.host.made_up import IPIS, READS, WAITS, WORKS, table
from tests.host.recorded import REPORTS, TRACES
from tests.host.test_worlds import measured
from tests.places import RECORDED

MADE_UP = {"waits": (WAITS, 60.0), "works": (WORKS, 10.0), "reads": (READS, 10.0)}


def check_backcast(w):
    """Each recorded rate lies in its range, and the exits are the sum of the reasons: recorded, and reproduced."""
    assert w.backcast["within"].all(), w.summary()
    assert w.doubtful == ()
    rows = w.backcast.set_index("quantity")
    assert rows.loc["exits", "recorded"] == pytest.approx(rows.loc[list(REASONS), "recorded"].sum())
    assert rows.loc["exits", "reproduced"] == pytest.approx(rows.loc[list(REASONS), "reproduced"].sum(), rel=0.02)


RECORDINGS = [*((name, {}) for name in (*REPORTS, *TRACES)), *((name, {"seconds": 1.0}) for name in REPORTS)]


@pytest.mark.parametrize(("name", "facts"), RECORDINGS)
def test_recordings_are_reproduced(name, facts):
    w = what_if(RECORDED / name, revisions=["rev3"], replications=1, **facts)
    check_backcast(w)
    assert "The recording is reproduced (under " in w.summary()
    assert w.reproduced_as in w.to_dict()["reproduced_as"]


@pytest.mark.parametrize("name", MADE_UP)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_guests_that_halt_are_reproduced(name, vcpus):
    """Other exits included, which the guest causes at whatever time it works."""
    rows, seconds = MADE_UP[name]
    w = what_if(table(rows), seconds=seconds / vcpus, vcpus=vcpus, replications=1)
    check_backcast(w)
    for quantity, row in {"HLT": "HLT", "MSR_WRITE": "MSR_WRITE", "PREEMPTION_TIMER": "PREEMPTION_TIMER"}.items():
        recorded = rows.get(row, (0, 0))[0] / seconds
        range_ = w.of(w.reproduced_as, quantity)
        assert range_.low <= recorded <= range_.high or recorded == pytest.approx(range_.value, rel=0.05)
    recorded = sum(count for count, _ in rows.values()) / seconds
    assert w.of(w.reproduced_as, "exits").value == pytest.approx(recorded, rel=0.05)


OFTEN_WOKEN = {
    "by devices": {"MSR_WRITE": (480, 1.0), "HLT": (30_000, 120.0), "CPUID": (20, 1.0)},
    "AMD": {"msr": (500, 1.2), "hlt": (11_600, 62.0), "interrupt": (19_000, 1.5)},
    "some at work": {"MSR_WRITE": (760, 1.2), "HLT": (10_900, 420.0), "PREEMPTION_TIMER": (420, 1.0)},
}


@pytest.mark.parametrize("name", OFTEN_WOKEN)
def test_guests_that_are_woken_often_halt_as_often_as_recorded(name):
    """Halting and waking take their time, too, which is none of the guest's idleness."""
    rows = OFTEN_WOKEN[name]
    w = what_if(table(rows), seconds=5, replications=1, revisions=["rev3"])
    check_backcast(w)
    halts = next(count for row, (count, _) in rows.items() if row.lower() == "hlt")
    assert w.of("rev3", "HLT").value == pytest.approx(halts / 5, rel=0.03)


GUESTS = {
    "ticks and halts": kl.Workload(tick_hz=250, busy_us=300, idle_us=700, other_exit_hz=3000, host_irq_hz=300),
    "woken by devices": kl.Workload(tick_hz=100, idle_us=1, nohz_idle=False, device_irq_hz=800),
    "busy": kl.Workload(tick_hz=1000, other_exit_hz=500, host_irq_hz=100),
    "periodic": kl.Workload(tick_hz=1000, timer_mode="periodic"),
}


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("kernel", ["v5.18", "v5.3"])
def test_simulated_guests_are_reproduced_from_their_tables(guest, kernel):
    """Another run of the model, of which what-if knows the table only."""
    host = kl.Host(pcpus=3, isolated=(1, 2))
    scenario = kl.Scenario(host, kl.Guest(vcpus=2, workload=GUESTS[guest]), kernel=kernel, duration_s=1)
    table = kl.simulate(scenario).to_perf_kvm_stat()
    check_backcast(what_if(table, seconds=1, vcpus=2, kernel=kernel, revisions=["rev3"], replications=1))


def test_what_cannot_be_reproduced_is_marked():
    """Two of ten timers were posted there, so its housekeeping CPU has no timers every 100 us, as the reader says."""
    w = what_if(RECORDED / "vmx-6.1-rev3-halted-in-guest.trace.txt", housekeeping="timers", replications=1)
    missed = set(w.backcast.loc[~w.backcast["within"], "quantity"])
    assert {"EXTERNAL_INTERRUPT", "posted"} <= missed <= set(w.doubtful)
    assert {"expiry exits", "posted"} <= set(w.doubtful)
    assert "is not wholly reproduced" in w.summary()
    cells = w.wide.loc["rev1"]
    assert cells["posted, % of timers"].endswith(" ?")
    assert not cells["latency p50, us"].endswith(" ?")


def test_what_a_table_leaves_out_makes_every_number_doubtful():
    w = what_if(table(WORKS, listed=("MSR_WRITE", "EXTERNAL_INTERRUPT")), seconds=10, replications=1)
    assert "are not listed" in w.first[0]
    assert set(w.doubtful) == set(w.table["quantity"])
    assert all(cell.endswith(" ?") for cell in w.wide.loc["rev3"])
    w = what_if(table(IPIS), seconds=20, replications=1)
    assert "APIC_WRITE exits, which may be IPIs" in w.first[0]
    assert w.measured.timers.low == 1


def test_a_row_that_is_not_there_was_not_recorded():
    """Of an incomplete table nothing says that it had no halts, and no exits of the preemption timer."""
    w = what_if(
        table(WORKS, listed=("MSR_WRITE", "EXTERNAL_INTERRUPT")), seconds=10, replications=1, revisions=["rev3"]
    )
    assert set(w.backcast["quantity"]) == {"exits", "MSR_WRITE", "EXTERNAL_INTERRUPT"}
    [row] = w.backcast.loc[w.backcast["quantity"] == "exits", "recorded"]
    assert row == pytest.approx(sum(count for count, _ in WORKS.values()) / 10)
    assert not any("0 halts" in sentence for sentence in w.known)
    whole = what_if(table({"MSR_WRITE": (900, 1.0), "CPUID": (9, 1.0)}), seconds=1, replications=1, revisions=["rev3"])
    assert any("0 halts" in sentence for sentence in whole.known)
    assert whole.backcast.set_index("quantity").loc["HLT", "recorded"] == 0
    # One row of exits is no table of registers: who knows what the writes are.
    one = what_if(table(WORKS, listed=("MSR_WRITE",)), seconds=10, replications=1, revisions=["rev3"])
    assert any(sentence.startswith("At most 24000 timers") for sentence in one.known)


def test_rows_without_which_the_time_is_missing_make_it_doubtful():
    """Three halts of nine seconds each were left out: hardly any sample, nearly all of the time."""
    rows = {"MSR_WRITE": (80_000, 1.1), "EXTERNAL_INTERRUPT": (2000, 1.0), "HLT": (3, 9e6)}
    text = table(rows, listed=("MSR_WRITE", "EXTERNAL_INTERRUPT")).partition("\nTotal")[0]
    assert "99.7 % of the time are not listed" in kl.explain(text).summary()
    assert kl.explain(text).policy.observations == ()
    assert len(what_if(text, seconds=90, replications=1, revisions=["rev3"]).doubtful) == 12


@pytest.mark.parametrize("title", ["MSR Access", "MMIO Access"])
def test_a_table_of_registers_is_reproduced_with_its_eois(title):
    arm, eoi, icr = (
        ("0x6e0:W", "0x80b:W", "0x830:W")
        if title == "MSR Access"
        else (*("0xfee00380:W", "0xfee000b0:W", "0xfee00300:W"),)
    )
    text = table({arm: (58_000, 1.1), eoi: (60_000, 0.9), icr: (2000, 2.0), "0xfeb00010:R": (70, 1.0)}, title=title)
    w = what_if(text, seconds=58, replications=1, revisions=["rev3"])
    [row] = w.backcast.itertuples()
    assert row.within
    assert row.recorded == pytest.approx(120_000 / 58)
    assert row.reproduced == pytest.approx(row.recorded, rel=0.05)
    assert "which writes arm the timer, not what fires it" in kl.explain(text).answer[0]


def test_an_assumption_that_the_recording_contradicts_is_said_first():
    hrtimers = table({"MSR_WRITE": (9000, 1.0), "EXTERNAL_INTERRUPT": (300, 1.0)})
    w = what_if(hrtimers, seconds=9, hv_timer=True, replications=1)
    assert any("hrtimers were used" in sentence and "before and rev3 would not" in sentence for sentence in w.first)
    text = w.summary()
    assert text.index(w.first[0]) < text.index("PREEMPTION_TIMER, 1/s")
    assert w.reproduced_as == "rev1"


def test_facts_are_taken_over_from_explain_and_from_the_recording():
    no_apicv = RECORDED / "perf-script.no-apicv.txt"
    w = what_if(no_apicv, replications=1)
    # No revision posts without APICv, and hrtimers were used: there is no preemption timer, or MWAIT does not exit.
    assert any("APICv is off" in sentence and "preemption timer is off" in sentence for sentence in w.assumed)
    assert any("takes it that there is no preemption timer" in sentence for sentence in w.first)
    hv = RECORDED / "vmx-6.1-rev3-hv-timer.trace.txt"
    w = what_if(kl.explain(hv, pi_inject_timer=False), replications=1)
    assert any("pi_inject_timer is off" in sentence for sentence in w.assumed)
    assert w.of("rev1", "posted").high == 0
    # What is asked for goes before what is known: what if it were on?
    w = what_if(kl.explain(hv, pi_inject_timer=False), pi_inject_timer=True, replications=1)
    assert w.of("rev1", "posted").high > 0


# --- how long it took -------------------------------------------------------------------------------------------------


def test_the_exits_took_no_longer_than_the_recording():
    """An idle guest: 59.7 s of halts, so at most 5 halts a second and vCPU."""
    w = what_if(table(WAITS), replications=1)
    halts = w.of(w.reproduced_as, "HLT")
    assert halts.high <= 1.05 * 300 / 59.7
    assert halts.low < halts.high / 5
    assert any("seconds x vcpus is at least 59.7" in sentence for sentence in w.known)
    # A busy guest's table does not bound it: as before.
    w = what_if(RECORDED / "perf-kvm-stat.pi0_none.txt", replications=1)
    assert w.of("rev3", "MSR_WRITE").high > 3900


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        ({"seconds": 1, "vcpus": 1}, r"seconds: 1 s of 1 vCPU do not fit: .*allowed: seconds x vcpus of at least 59.7"),
        ({"seconds": 29, "vcpus": 2}, r"seconds: 29 s of 2 vCPUs do not fit"),
        ({"timer_hz": 500}, r"timer_hz: 500 does not fit: .*allowed: at most"),
    ],
)
def test_a_time_that_is_too_short_is_refused(facts, complaint):
    with pytest.raises(ValueError, match=complaint):
        what_if(table(WAITS), **facts)
    # Seconds are said in round numbers, so a percent does not matter.
    assert what_if(table(WAITS), seconds=59.5, replications=1, revisions=["rev3"]).measured.seconds == 59.5


def test_a_listing_without_exits_is_refused():
    line = " CPU 0/KVM-7 [003] d..1. 70.{0:03d}000: kvm_msr: msr_write 6e0 = 0x{0:x}00\n"
    with pytest.raises(ValueError, match=r"there is no kvm_exit in it; expected kvm_exit and kvm_entry"):
        what_if("".join(line.format(i) for i in range(1, 20)))


@pytest.mark.parametrize("kept", [1, 4, 100])
def test_timers_are_counted_over_the_whole_time(kept):
    """Stories are kept of the first timers only; rates are of all."""
    path = RECORDED / "vmx-6.1-rev3-hv-timer.trace.txt"
    w = what_if(kl.explain(path, max_timers=kept), replications=1, revisions=["rev3"])
    assert w.measured.timers.value == 10
    assert any(sentence.startswith("10 timers were armed") for sentence in w.known)
    assert w.of("rev3", "PREEMPTION_TIMER").value == pytest.approx(10 / w.measured.seconds, rel=0.02)


# --- by hand ----------------------------------------------------------------------------------------------------------


def beside(quantity, within):
    return BackcastRow(quantity, 1.0, 1.0, 1.0, 1.0, "", within)


@pytest.mark.parametrize(
    ("missed", "doubtful"),
    [
        ([], []),
        (["HLT"], ["HLT"]),
        (["exits"], ["exits", "time taken from the guest"]),
        (["EXTERNAL_INTERRUPT"], ["EXTERNAL_INTERRUPT", "expiry exits", "posted"]),
        (["PREEMPTION_TIMER", "HLT"], ["PREEMPTION_TIMER", "HLT", "expiry exits", "posted"]),
        (["posted"], ["posted"]),
    ],
)
def test_what_rests_on_a_quantity_that_is_missed_is_doubtful(missed, doubtful):
    rows = tuple(beside(name, name not in missed) for name in QUANTITIES)
    cast = Backcast("rev1", rows, unsure=False)
    assert set(cast.missed) == set(missed)
    assert list(cast.doubtful) == doubtful
    assert cast._replace(unsure=True).doubtful == tuple(QUANTITIES)


RATE, SHARE = "1/s a vCPU", "% of timers"


@pytest.mark.parametrize(
    ("quantity", "unit", "timers", "counted", "recorded", "give"),
    [
        ("MSR_WRITE", RATE, 1000, 100, 10, 1),  # 100 give or take 10, in 10 s
        ("HLT", RATE, 1000, 0, 0, 0.1),  # one
        ("PREEMPTION_TIMER", RATE, 1000, 100, 10, 2),  # 2 % of the timers
        ("EXTERNAL_INTERRUPT", RATE, 1000, 900, 90, 3),
        ("posted", SHARE, 1600, 50, 50, 2.5),  # 1600 give or take 40
        ("expiry exits", SHARE, 10_000, 50, 50, 2),
        ("posted", SHARE, 0.25, 50, 50, 100),
    ],
)
def test_what_was_counted_lies_in_the_range_give_or_take_its_error(quantity, unit, timers, counted, recorded, give):
    host = measured(timers=Interval(timers, 0.0, timers), recorded={quantity: float(counted)})
    inside, outside = 0.999 * give, 1.001 * give
    for low, high, within in (
        (recorded + inside, recorded + 900, True),
        (recorded + outside, recorded + 900, False),
        (recorded - 900, recorded - inside, True),
        (recorded - 900, recorded - outside, False),
    ):
        rows = [Row("rev1", "other", 0.0, 0.0, 0.0, RATE), Row("rev1", quantity, low, 7.0, high, unit)]
        assert compared(host, rows) == [BackcastRow(quantity, recorded, 7.0, low, high, unit, within)]


@pytest.mark.parametrize(("low", "high"), [(11.0, 20.0), (2.0, 9.0)])
def test_a_count_at_the_end_of_its_error_is_within(low, high):
    [row] = compared(measured(recorded={"MSR_WRITE": 100.0}), [Row("rev1", "MSR_WRITE", low, low, high, RATE)])
    assert row.within


def recording(*facts, consistent=(), seen=()):
    observations = [SimpleNamespace(cpu=None, sentence=sentence) for sentence in seen]
    policy = SimpleNamespace(facts=facts, observations=observations, consistent=consistent)
    return SimpleNamespace(host=None, policy=policy)


ALL = ("pi_inject_timer", "apicv_active", "hv_timer", "mwait_in_guest", "hlt_in_guest")


@pytest.mark.parametrize(
    ("fits", "changed"),
    [
        (lambda host: True, [(), *((name,) for name in ALL)]),
        (lambda host: not host.apicv, [("apicv_active",)]),
        (lambda host: host.mwait_in_guest and not host.apicv, [("apicv_active", "mwait_in_guest")]),
        (lambda host: host.mwait_in_guest or host.hlt_in_guest, [("mwait_in_guest",), ("hlt_in_guest",)]),
    ],
)
def test_hosts_with_the_fewest_changed_facts_come_first(monkeypatch, fits, changed):
    monkeypatch.setattr(backcast, "revisions_that_fit", lambda e, host: ("rev1",) if fits(host) else ())
    found = list(readings(recording(), Assumptions()))
    assert [reading.changed for reading in found] == changed
    assert all(fits(reading.host) and reading.fitting == ("rev1",) for reading in found)


def test_what_is_known_is_not_changed(monkeypatch):
    monkeypatch.setattr(backcast, "revisions_that_fit", lambda e, host: ("rev1",))
    found = list(readings(recording(Fact("apicv_active", False, "a", "")), Assumptions()))
    assert found[0] == Reading(Assumptions(apicv=False), ("rev1",), ())
    assert [reading.changed for reading in found[1:]] == [(name,) for name in ALL if name != "apicv_active"]


@pytest.mark.parametrize("needs", [3, 9])
def test_where_two_changes_are_not_enough_no_revision_fits(monkeypatch, needs):
    def fits(e, host):
        default = Assumptions()
        names = ("pi_inject_timer", "apicv", "preemption_timer", "mwait_in_guest", "hlt_in_guest")
        changed = sum(getattr(host, name) != getattr(default, name) for name in names)
        return ("rev1",) if changed >= needs else ()

    monkeypatch.setattr(backcast, "revisions_that_fit", fits)
    assert list(readings(recording(), Assumptions())) == [Reading(Assumptions(), (), ())]


ONE, OTHER = Assumptions(), Assumptions(apicv=False)


@pytest.mark.parametrize(
    ("fitting", "missed", "host", "revision", "runs"),
    [
        # As soon as nothing is missed, no more is run; rev 3 is tried first, and rev 2 last.
        (("before", "rev1", "rev2", "rev3"), {}, ONE, "rev3", 1),
        (("before", "rev1"), {}, ONE, "rev1", 1),
        (("before", "rev2"), {}, ONE, "before", 1),
        (("rev1", "rev3"), {(ONE, "rev3"): 1}, ONE, "rev1", 2),
        (("rev1", "rev3"), {(ONE, "rev3"): 1, (ONE, "rev1"): 1, (OTHER, "rev3"): 2}, OTHER, "rev1", 4),
        # Else the one that misses least, and of several the first.
        (
            ("rev1", "rev3"),
            {(ONE, "rev3"): 2, (ONE, "rev1"): 1, (OTHER, "rev3"): 1, (OTHER, "rev1"): 2},
            ONE,
            "rev1",
            4,
        ),
        (("rev3",), {(ONE, "rev3"): 2, (OTHER, "rev3"): 1}, OTHER, "rev3", 2),
    ],
)
def test_the_first_reading_that_misses_nothing_is_the_best(monkeypatch, fitting, missed, host, revision, runs):
    ran = []

    def run(host, name):
        ran.append((host, name))
        return [beside("HLT", number >= missed.get((host, name), 0)) for number in range(3)]

    monkeypatch.setattr(backcast, "readings", lambda e, said: [Reading(ONE, fitting, ()), Reading(OTHER, fitting, ())])
    monkeypatch.setattr(backcast, "compared", lambda measured, rows: rows)
    reading, cast = best_reading(recording(), measured(unsure=True), ONE, run)
    assert (reading.host, cast.revision, len(ran), cast.unsure) == (host, revision, runs, True)
    assert len(cast.missed) == missed.get((host, revision), 0)


@pytest.mark.parametrize(("consistent", "revision"), [(("rev1", "rev2"), "rev1"), ((), "rev3")])
def test_where_no_host_fits_the_consistent_revisions_are_tried_or_else_all(monkeypatch, consistent, revision):
    monkeypatch.setattr(backcast, "readings", lambda e, said: [Reading(ONE, (), ())])
    _, cast = best_reading(recording(consistent=consistent), measured(), ONE, lambda host, name: [])
    assert cast.revision == revision


NOT_LIKE_THAT = (
    "Recorded: Seen. Of the revisions rev1 or rev2 would do that, before and rev3 would not: what stands under before "
    "and rev3 is not the recorded host. If the host is not as assumed, say so: hv_timer, pi_inject_timer, "
    "apicv_active, mwait_in_guest, hlt_in_guest."
)


@pytest.mark.parametrize(
    ("seen", "fitting", "changed", "chosen", "said"),
    [
        (["Seen."], ("rev1", "rev2"), (), ("before", "rev1", "rev3", "my own"), [NOT_LIKE_THAT]),
        (["Seen."], ("rev1", "rev2"), (), ("rev1", "my own"), []),
        ([], ("rev1", "rev2"), (), ("before", "rev1"), []),
        (
            ["Seen."],
            (),
            ("apicv_active",),
            ("before",),
            ["Recorded: Seen. No revision does that on the host as assumed: rely on none of these numbers."],
        ),
        (
            ["Seen."],
            ("rev1",),
            ("apicv_active",),
            ("rev1",),
            ["The host as assumed cannot have made this recording. The back-cast takes it that APICv is not active."],
        ),
    ],
)
def test_what_does_not_go_together_is_said(seen, fitting, changed, chosen, said):
    assert list(say_first(recording(seen=seen), Reading(OTHER, fitting, changed), chosen)) == said
