"""kvmlab.what_if: what is fitted, what is varied, and what is said of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

import kvmlab as kl
import kvmlab.host.what_if as steps
from kvmlab.host.what_if import QUANTITIES, Findings, fitted_costs, measured_from, what_if
from kvmlab.host.what_if.assumptions import Assumptions
from kvmlab.host.what_if.backcast import Backcast, Reading
from kvmlab.policy import REVISIONS
from tests.host.made_up import IPIS, table
from tests.places import RECORDED
from tests.tracefs_listing import listing_of

TABLE = RECORDED / "perf-kvm-stat.pi0_none.txt"
POSTED = RECORDED / "vmx-6.1-rev1-posted.trace.txt"


@pytest.fixture(scope="module")
def of_table():
    return what_if(TABLE, seconds=1.0, replications=2)


def test_the_table_is_tidy(of_table):
    assert list(of_table.table.columns) == ["revision", "quantity", "low", "central", "high", "unit"]
    assert len(of_table.table) == len(REVISIONS) * len(QUANTITIES)
    known = of_table.table.dropna()
    assert (known["low"] <= known["central"]).all()
    assert (known["central"] <= known["high"]).all()


def test_what_was_recorded_comes_out_again(of_table):
    """The table is of a host that used the preemption timer, 1004 writes in what is said to be one second."""
    for revision in ("before", "rev3"):
        assert of_table.of(revision, "MSR_WRITE").value == pytest.approx(1004, rel=0.02)
        assert of_table.of(revision, "PREEMPTION_TIMER").value == pytest.approx(1000, rel=0.02)
        assert of_table.of(revision, "expiry exits").value == 100
    assert of_table.of("rev1", "PREEMPTION_TIMER").high == 0
    # Offload depends on what the housekeeping CPU does, which no table tells: the range is wide, and says so.
    posted = of_table.of("rev1", "posted")
    assert posted.high - posted.low > 50
    assert any("housekeeping CPUs" in sentence for sentence in of_table.cannot_be_known)


def test_what_the_reader_knows_narrows_the_range(of_table):
    busy = what_if(TABLE, seconds=1.0, housekeeping="timers", replications=2, revisions=["rev1"]).of("rev1", "posted")
    assert busy.low > 90
    assert busy.high - busy.low < of_table.of("rev1", "posted").high - of_table.of("rev1", "posted").low


def test_writes_are_an_upper_bound():
    w = what_if(RECORDED / "perf-kvm-stat.pi1_all.txt", replications=1, revisions=["rev1"])
    assert w.measured.timers.low == 502
    assert w.measured.timers.high == 1004
    assert any("At most 1004 timers" in sentence for sentence in w.known)
    assert any("seconds=" in sentence for sentence in w.cannot_be_known)


def test_a_trace_tells_rate_and_housekeeping():
    w = what_if(POSTED, replications=2, revisions=["rev1"])
    assert w.measured.timers.low == w.measured.timers.high == 10
    assert w.measured.housekeeping_us == pytest.approx(100, rel=0.05)
    assert any("100 % were posted" in sentence for sentence in w.known)
    # The recording posted all ten.
    assert w.of("rev1", "posted").high > 95


@pytest.mark.parametrize("fast", [True, False])
def test_costs_are_fitted_to_the_rows(fast):
    findings = Findings()
    costs = fitted_costs(kl.read_perf_kvm_stat(TABLE), findings, fast=fast)
    taken = costs.msr_write_fastpath if fast else costs.msr_write
    assert (taken.shift_ns, taken.mean_ns) == (pytest.approx(3660), pytest.approx(5980))
    default = kl.Costs.default()
    by = default.msr_write.mean_ns - default.msr_write_fastpath.mean_ns
    assert costs.msr_write.mean_ns - costs.msr_write_fastpath.mean_ns == pytest.approx(by)
    # Three samples are too few.
    assert costs.external_interrupt == default.external_interrupt
    assert "MSR_WRITE" in findings.known[0]


def test_a_simulated_table_gives_back_its_own_run():
    """Fit a run's own perf table, and predict that run: exits within 3 %, handling time within 10 %."""
    host = kl.Host(pcpus=2, isolated=(1,))
    guest = kl.Guest(workload=kl.Workload(tick_hz=0, timer_us=500, other_exit_hz=300))
    run = kl.simulate(kl.Scenario(host, guest, kernel="v5.18", duration_s=2))
    w = what_if(kl.read_perf_kvm_stat(run.to_perf_kvm_stat()), seconds=2, revisions=["rev3"], replications=2)
    assert w.of("rev3", "exits").value == pytest.approx(run.exits["Samples"].sum() / 2, rel=0.03)
    share = 100 * run.disturbance["share_taken"].iloc[0]
    assert w.of("rev3", "time taken from the guest").value == pytest.approx(share, rel=0.1)


def test_a_guest_that_halts_is_seen_to():
    guest = kl.Guest(workload=kl.Workload(tick_hz=0, timer_us=1000, busy_us=300, idle_us=700, nohz_idle=False))
    run = kl.simulate(kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), guest, duration_s=2))
    table = kl.read_perf_kvm_stat(run.to_perf_kvm_stat())
    findings = Findings()
    measured = measured_from(kl.explain(table), findings, 2.0, 1, None)
    assert measured.halts == run.exits.loc["HLT", "Samples"]
    w = what_if(table, seconds=2, revisions=["rev3"], replications=1)
    assert w.of("rev3", "HLT").value == pytest.approx(measured.halts / 2, rel=0.2)
    with pytest.raises(ValueError, match=r"hlt_in_guest: True does not fit"):
        what_if(table, seconds=2, hlt_in_guest=True)


def test_an_own_policy_takes_part():
    def revision4(v):
        return kl.policy.rev1(v) and v.hlt_in_guest

    w = what_if(TABLE, seconds=1, revisions=["rev1", revision4], replications=1, housekeeping="timers")
    assert list(dict.fromkeys(w.table["revision"])) == ["rev1", "revision4"]
    assert w.of("revision4", "posted").high == 0


def test_what_is_shown_reads_well(of_table):
    for part in ("Known", "Assumed", "Cannot be known from this", "rev3", "latency p99, us"):
        assert part in of_table.summary()
        assert part in of_table._repr_html_()
    assert json.loads(json.dumps(of_table.to_dict(), allow_nan=False))["known"] == list(of_table.known)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seconds": 0}, "seconds: 0 is not allowed"),
        ({"seconds": float("nan")}, "seconds: nan"),
        ({"timer_hz": "x"}, "timer_hz: 'x' is not allowed; it must be a number"),
        ({"vcpus": 1.5}, "vcpus: 1.5"),
        ({"housekeeping": "busy"}, "housekeeping: 'busy' is not allowed; it must be one of idle, ticking, timers"),
        ({"waits_by": "nap"}, "waits_by: 'nap' is not allowed"),
        ({"revisions": ["rev9"]}, "'rev9' is not allowed"),
        ({"kernel": "v9"}, "kernel: 'v9' is not allowed"),
        ({"replications": 0}, "replications: 0 is not allowed"),
        ({"isolated": 3}, "isolated: 3 is not allowed"),
    ],
)
def test_what_does_not_fit_is_named(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        what_if(TABLE, **arguments)


def test_a_recording_without_timers_is_refused():
    text = TABLE.read_text().replace("MSR_WRITE", "CPUID    ")
    with pytest.raises(ValueError, match="nothing that arms a timer was found"):
        what_if(text)


def test_an_msr_table_counts_the_writes_that_arm():
    text = """\
Analyze events for all VMs, all VCPUs:

          MSR Access    Samples  Samples%     Time%    Min Time    Max Time         Avg time

            0x6e0:W        900    90.00%    90.00%      0.50us      5.00us      0.90us ( +-   1.00% )
            0x80b:W        100    10.00%    10.00%      0.50us      5.00us      0.90us ( +-   1.00% )

Total Samples:1000, Total events handled time:900.00us.
"""
    w = what_if(text, seconds=1, revisions=["rev3"], replications=1)
    assert w.measured.timers.low == w.measured.timers.high == 900
    assert w.of("rev3", "PREEMPTION_TIMER").value == pytest.approx(900, rel=0.02)


def test_amd_has_no_preemption_timer_and_cancelled_timers_do_not_expire():
    """A tickless guest writes its timer three times for each expiry; its table's writes stay what they were."""
    guest = kl.Guest(vcpus=2, workload=kl.Workload(tick_hz=1000, busy_us=300, idle_us=300))
    host = kl.Host(pcpus=3, isolated=(1, 2), vendor="amd", housekeeping="timers")
    run = kl.simulate(kl.Scenario(host, guest, kernel="v5.18", duration_s=0.1, trace_steps=200_000))
    expiries = run.placement["expiries"].sum()
    w = what_if(listing_of(run), revisions=["rev1"], replications=1)
    assert w.measured.timers.value == pytest.approx(expiries, abs=4)
    assert w.of("rev1", "PREEMPTION_TIMER").high == 0
    writes = run.exits.loc["msr", "Samples"] / 0.1 / 2
    assert w.of("rev1", "MSR_WRITE").value == pytest.approx(writes, rel=0.1)


def test_a_periodic_timer_is_simulated_as_one():
    w = what_if(RECORDED / "vmx-6.1-rev3-hv-periodic.trace.txt", revisions=["rev3"], replications=1)
    assert w.measured.timer_mode == "periodic"
    # Two writes, which start and stop it, in a recording of ten periods: as recorded, and not one for each period.
    assert w.of("rev3", "MSR_WRITE").value == pytest.approx(2 / w.measured.seconds, rel=0.05)
    assert w.of("rev3", "PREEMPTION_TIMER").value == pytest.approx(1000, rel=0.05)


# --- what goes into a prediction, without any run ---------------------------------------------------------------------


BUSY = {"MSR_WRITE": (900, 1.0), "CPUID": (50, 1.0)}


@pytest.fixture
def hosts(monkeypatch):
    """The hosts on which revisions are run, in order, with the seeds; their runs give nothing."""
    found = []

    def predictor(measured, host, base, seeds):
        found.append((host, seeds))
        return SimpleNamespace(rows=lambda revision: [], runs=10)

    monkeypatch.setattr(steps, "Predictor", predictor)
    return found


def test_three_replications_with_a_tsc_of_2_5_ghz_unless_said(hosts):
    assert what_if(table(BUSY), seconds=1).runs == 10
    [(host, seeds)] = hosts
    assert (host.tsc_ghz, seeds) == (2.5, range(3))


def test_replications_are_1_to_1000(hosts):
    for replications in (1, 1000):
        what_if(table(BUSY), seconds=1, replications=replications)
        assert hosts[-1][1] == range(replications)
    with pytest.raises(ValueError, match="replications: 1001 is not allowed; it must be an integer from 1 to 1000"):
        what_if(table(BUSY), seconds=1, replications=1001)


def test_facts_of_the_host_are_given_once(hosts):
    facts = "/sys/module/kvm/parameters/pi_inject_timer:N"
    what_if(table(BUSY), seconds=1, host_facts=facts)
    what_if(kl.explain(table(BUSY), host_facts=facts), seconds=1)
    assert [host.pi_inject_timer for host, _ in hosts[-2:]] == [False, False]
    with pytest.raises(ValueError, match="host_facts: not allowed beside an Explanation"):
        what_if(kl.explain(table(BUSY)), seconds=1, host_facts=facts)


def test_what_nobody_said_is_predicted_as_the_back_cast_takes_it(hosts, monkeypatch):
    """APICv was said to be on; that HLT does not exit was said by nobody."""
    changed = ("apicv_active", "hlt_in_guest")
    reading = Reading(Assumptions(apicv=False, hlt_in_guest=True, waits_by="pause"), ("rev1",), changed)
    monkeypatch.setattr(steps, "best_reading", lambda *_: (reading, Backcast("rev1", (), unsure=False)))
    w = what_if(table(BUSY), seconds=1, apicv_active=True)
    [(host, _)] = hosts
    assert (host.apicv, host.hlt_in_guest, host.waits_by) == (True, True, "spin")
    assert "takes it that APICv is not active and HLT does not exit" in w.first[0]
    assert any("APICv is on" in sentence for sentence in w.assumed)


def test_notes_of_the_reader_are_told_unless_they_were(hosts):
    amd = what_if(table({"msr": (900, 1.0), "interrupt": (100, 1.0)}), seconds=1)
    [note] = [sentence for sentence in amd.known if "AMD" in sentence]
    assert note in kl.explain(table({"msr": (900, 1.0), "interrupt": (100, 1.0)})).notes
    cut = table(IPIS, listed=("APIC_WRITE", "EXTERNAL_INTERRUPT"))
    w = what_if(cut, seconds=10)
    assert len(w.first) == 2
    [sentence] = [sentence for sentence in w.first if "are not listed" in sentence]
    assert any(note in sentence for note in kl.explain(cut).notes)
    assert not any("are not listed" in sentence for sentence in w.known)


def test_a_machine_without_a_lapic_timer_is_refused():
    with pytest.raises(ValueError, match=r"the text: .*arm64"):
        what_if(table({"WFx": (500, 900.0), "DABT_LOW": (300, 9.0)}), seconds=1)
