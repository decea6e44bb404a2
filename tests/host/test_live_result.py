"""What a live run says of itself, and the scenario in which the model does the same; on a made-up host."""

from __future__ import annotations

import sys

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("Linux only", allow_module_level=True)

import kvmlab as kl
from kvmlab.host import live
from kvmlab.host.live import host, result
from kvmlab.host.live.guest import Measured, Settings
from kvmlab.host.live.result import Arguments, policy_of, scaled

ARGUMENTS: Arguments = {
    "timers": 4,
    "period_us": 1500.0,
    "timer_mode": "periodic",
    "waits_by": "hlt",
    "hlt_in_guest": False,
    "pause_in_guest": True,
    "pcpu": None,
    "traced_timers": 0,
}
PARAMETERS = {
    "kvm.pi_inject_timer": "Y",
    "kvm.halt_poll_ns": "50000",
    "kvm.min_timer_period_us": "100",
    "kvm_intel.preemption_timer": "N",
    "kvm_intel.enable_apicv": "Y",
}


def a_run(*, parameters=None, modules=("kvm_intel",), counters=None, lost=0, backend=None, **arguments):
    return live.LiveRun(
        settings=ARGUMENTS | arguments,
        latency_ns=np.array([1000.06, 2000.0, 3000.0, 10_000.0]),
        lost_ticks=lost,
        counters={} if counters is None else counters,
        parameters=PARAMETERS if parameters is None else parameters,
        backend=backend,
        evidence=["A < b.", "So it is."],
        modules=list(modules),
        release="6.1.176",
        tsc_khz=2_100_000,
    )


@pytest.fixture(name="machine", autouse=True)
def fixture_machine(monkeypatch):
    """A host of 8 CPUs of which 4 to 7 are isolated, the last two by nohz_full= alone."""
    monkeypatch.setattr(host, "online", lambda: tuple(range(8)))
    monkeypatch.setattr(host, "isolated", lambda: (4, 5))
    monkeypatch.setattr(host, "nohz_full", lambda: (5, 6, 7))
    monkeypatch.setattr(host, "timer_migration", lambda: False)


def test_the_summary_is_said_line_by_line():
    run = a_run(counters={"exits": 12, "halt_exits": 0, "irq_exits": 3}, lost=2, backend="hv", parameters={"a.b": "Y"})
    # By np.quantile the 0.99 quantile of four lies 0.97 of the way from the third to the last, and 0.999 at 0.997.
    lines = [
        "live: 4 timers, 1500 us, periodic, waits by hlt; Linux 6.1.176, kvm_intel",
        "latency (measured, ns): mean 4000, min 1000, p50 2500, p99 9790, p99.9 9979, max 10000",
        "lost ticks: 2",
        "counters (measured): exits 12, irq_exits 3",
        "parameters: a.b=Y",
        "backend: hv",
        "  - A < b.",
        "  - So it is.",
    ]
    assert run.summary() == str(run) == "\n".join(lines)


def test_what_is_not_known_is_said():
    lines = a_run(parameters={}, modules=()).summary().splitlines()
    assert lines[0].endswith("Linux 6.1.176, no vendor module listed")
    assert lines[2:5] == ["counters (measured): none", "parameters: none", "backend: cannot tell"]


def test_the_dict_has_everything():
    run = a_run(counters={"exits": 12}, backend="hrtimer", lost=1)
    assert run.to_dict() == {
        "settings": ARGUMENTS,
        "release": "6.1.176",
        "modules": ["kvm_intel"],
        "parameters": PARAMETERS,
        "tsc_khz": 2_100_000,
        "latency": pytest.approx(
            {"count": 4, "mean": 4000.015, "min": 1000.06, "p50": 2500, "p99": 9790, "p99.9": 9979, "max": 10_000}
        ),
        "latency_ns": [1000.1, 2000.0, 3000.0, 10_000.0],
        "lost_ticks": 1,
        "counters": {"exits": 12},
        "backend": "hrtimer",
        "evidence": ["A < b.", "So it is."],
    }


def test_latency_is_one_row():
    assert a_run().latency.index.tolist() == ["live/0"]
    assert a_run().latency.index.name == "vCPU"
    assert list(a_run().latency.columns) == ["count", "mean", "min", "p50", "p99", "p99.9", "max"]


def test_the_html_has_what_was_measured_and_simulated():
    html = a_run(counters={"exits": 12, "irq_exits": 3, "halt_exits": 4})._repr_html_()
    assert html.startswith(
        "<p>Measured on this host. Backend: <b>cannot tell</b></p><ul><li>A &lt; b.</li><li>So it is.</li></ul>"
        "<p>Deadline to handler, ns</p><table"
    )
    assert "<td>10000</td>" in html
    assert "</table><p>Counts; simulated: Linux 6.1.176</p><table" in html
    assert "border=" not in html
    assert "trace=" not in repr(a_run())


def test_the_model_s_counts_stand_beside_kvm_s():
    run = a_run(counters={"exits": 12, "halt_exits": 4})
    assert run.comparison["measured"].astype(object).where(run.comparison["measured"].notna(), None).tolist() == [
        12,
        None,
        4,
    ]
    assert run.comparison["simulated"].tolist() == list(kl.simulate(run.scenario()).kvm_stat.values())
    assert list(run.comparison.index) == ["exits", "irq_exits", "halt_exits"]
    assert run.comparison.index.name == "counter"


def test_the_scenario_s_guest_does_what_the_run_did():
    scenario = a_run().scenario()
    [guest] = scenario.guests
    work = guest.workload
    assert (guest.name, guest.pcpus, guest.hlt_in_guest, guest.pause_in_guest) == ("live", None, False, True)
    assert (work.tick_hz, work.timer_us, work.rearm, work.timers) == (0, 1500, "relative", 4)
    assert (work.timer_mode, work.idle_us, work.waits_by) == ("periodic", 1, "hlt")
    assert scenario.duration_s == pytest.approx(
        0.1 + 3 * 4 * 1.5e-3, rel=1e-12
    )  # three times as long as its timers take


def test_the_scenario_s_host_is_this_one():
    machine = a_run().scenario().host
    assert (machine.pcpus, machine.isolated, machine.nohz_full) == (8, (4, 5, 6, 7), True)
    assert (machine.vendor, machine.apicv, machine.preemption_timer) == ("intel", True, False)
    assert (machine.pi_inject_timer, machine.timer_migration, machine.tsc_ghz) == (True, False, 2.1)
    assert (machine.halt_poll_us, machine.min_timer_period_us) == (pytest.approx(50), 100)
    assert machine.lapic_timer_advance_ns is None


def test_what_the_host_does_not_show_is_at_its_default():
    machine = a_run(parameters={}).scenario().host
    default = kl.Host()
    for name in ("preemption_timer", "pi_inject_timer", "halt_poll_us", "min_timer_period_us"):
        assert getattr(machine, name) == getattr(default, name)
    assert not machine.apicv


@pytest.mark.parametrize(
    ("name", "value", "advance_ns"),
    [("", "N", 0), ("", "Y", None), ("_ns", "-1", None), ("_ns", "0", 0), ("_ns", "1500", 1500)],
)
def test_the_timer_advance_is_off_adaptive_or_set_by_hand(name, value, advance_ns):
    """Older kernels have a number, of which -1 is adaptive (kvm_create_lapic); newer ones a switch."""
    machine = a_run(parameters={f"kvm.lapic_timer_advance{name}": value}).scenario().host
    assert machine.lapic_timer_advance_ns == advance_ns


@pytest.mark.parametrize(
    ("modules", "vendor", "apicv"),
    [
        (["kvm_amd"], "amd", False),
        (["kvm_pvm"], "amd", False),
        ([], "amd", False),
        (["kvm_pvm", "kvm_intel"], "intel", True),
    ],
)
def test_only_kvm_intel_is_a_host_with_a_preemption_timer(modules, vendor, apicv):
    machine = a_run(modules=modules).scenario().host
    assert (machine.vendor, machine.apicv) == (vendor, apicv)
    assert a_run(modules=["kvm_amd"], parameters={"kvm_amd.avic": "Y"}).scenario().host.apicv


@pytest.mark.parametrize(
    ("online", "pcpu", "pcpus"), [((0,), None, 1), ((0, 1), None, 2), ((0, 1), 1, 2), ((0,), 3, 4), ((0, 9), 0, 10)]
)
def test_the_host_has_as_many_cpus_as_the_highest_number_says(monkeypatch, online, pcpu, pcpus):
    monkeypatch.setattr(host, "online", lambda: online)
    monkeypatch.setattr(host, "isolated", lambda: ())
    monkeypatch.setattr(host, "nohz_full", lambda: ())
    scenario = a_run(pcpu=pcpu).scenario()
    assert scenario.host.pcpus == pcpus
    assert scenario.host.isolated == ()
    assert not scenario.host.nohz_full
    assert scenario.guests[0].pcpus == (None if pcpu is None else (pcpu,))


def test_one_cpu_is_left_for_housekeeping(monkeypatch):
    monkeypatch.setattr(host, "online", lambda: (0, 1, 2))
    monkeypatch.setattr(host, "isolated", lambda: (0, 1, 2, 3))
    monkeypatch.setattr(host, "nohz_full", lambda: ())
    assert a_run().scenario().host.isolated == (0, 1)
    monkeypatch.setattr(host, "isolated", lambda: (1, 3))  # CPU 3 is offline
    assert a_run().scenario().host.isolated == (1,)


@pytest.mark.parametrize(("text", "number"), [("200", 0.2), ("0", 0), ("-1", None), ("", None), (None, None)])
def test_numbers_of_sysfs_are_scaled(text, number):
    assert scaled(text, 1e-3) == number


@pytest.mark.parametrize(
    ("release", "policy"),
    [("v5.2", "before"), ("v5.3", "rev1"), ("5.17.3", "rev1"), ("v5.18", "rev3"), ("6.0", "rev3")],
)
def test_policies_change_with_two_releases(release, policy):
    assert policy_of(release) is getattr(kl.policy, policy)


# ---------------------------------------------------------------------------------------------------------------------
# measure(), with a guest that says what it is told
# ---------------------------------------------------------------------------------------------------------------------


def guest_says(monkeypatch, measured, *, is_guest=False, parameters=None):
    """Let the guest's thread answer this; return what it was asked for."""
    from kvmlab.host.live import guest

    asked = []
    monkeypatch.setattr(guest, "run_guest", lambda *what: asked.append(what) or measured)
    monkeypatch.setattr(host, "unfit", lambda: None)
    monkeypatch.setattr(host, "parameters", lambda: PARAMETERS if parameters is None else parameters)
    monkeypatch.setattr(host, "vendor_modules", lambda: ["kvm_intel"])
    monkeypatch.setattr(host, "is_guest", lambda: is_guest)
    monkeypatch.setattr(host, "release", lambda: "6.1.7")
    return asked


def samples(*late):
    return np.array([[1_000_000 * (n + 1) + cycles, 1_000_000 * (n + 1)] for n, cycles in enumerate(late)], np.uint64)


def test_a_run_is_measured_with_what_it_was_asked_for(monkeypatch):
    measured = Measured(2_000_000, samples(2000, 4000, 6000), {"exits": 5})
    asked = guest_says(monkeypatch, measured)
    run = live.measure(3, 250.5, "oneshot", "pause", True, 0, pcpu=7, traced_timers=2, timeout_s=4)
    assert asked == [(Settings(3, 250_500, "oneshot", "pause", True, False, 7, 2), 4.0)]
    assert run.latency_ns.tolist() == [1000, 2000, 3000]
    assert (run.lost_ticks, run.counters, run.tsc_khz, run.trace) == (0, {"exits": 5}, 2_000_000, "")
    assert (run.modules, run.release, run.parameters) == (["kvm_intel"], "6.1.7", PARAMETERS)
    assert run.settings == {
        **{"timers": 3, "period_us": 250.5, "timer_mode": "oneshot", "waits_by": "pause", "pcpu": 7},
        **{"hlt_in_guest": True, "pause_in_guest": False, "traced_timers": 2},
    }
    assert run.backend == "hrtimer"
    assert run.evidence == [
        "kvm_intel.preemption_timer is N: it can only be an hrtimer.",
        "KVM's counters are not available (KVM_GET_STATS_FD: Linux 5.14).",
    ]


def test_unasked_it_measures_1000_timers_of_a_ms_and_traces_10(monkeypatch):
    asked = guest_says(monkeypatch, Measured(2_000_000, samples(2000), {}))
    live.measure()
    assert asked == [(Settings(1000, 1_000_000, "tsc_deadline", "hlt", False, False, None, 10), 10.0)]


def test_a_trace_is_read_and_a_refused_one_is_said(monkeypatch):
    listing = " vcpu-7 [002] 1.000000: kvm_hv_timer_state: vcpu_id 0 hv_timer 1\n"
    measured = Measured(2_000_000, samples(2000), {}, listing, 7)
    guest_says(monkeypatch, measured, parameters={})
    run = live.measure(1, traced_timers=5)
    assert run.trace == listing
    assert run.backend == "hv"
    assert run.evidence[0] == "kvm_hv_timer_state, 5 timers traced: armed on hv: 1."
    guest_says(monkeypatch, Measured(2_000_000, samples(2000), {}, refused="There is no trace."), is_guest=True)
    run = live.measure(1, traced_timers=5)
    assert run.evidence[-2:] == [
        "There is no trace.",
        "This host is itself a guest (CPU flag hypervisor): its exits cost what its own host makes them cost.",
    ]


@pytest.mark.parametrize(
    ("period_us", "mode", "parameters", "granted_ns", "said"),
    [
        (99.5, "periodic", {"kvm.min_timer_period_us": "100"}, 100_000, True),
        (100, "periodic", {"kvm.min_timer_period_us": "100"}, 100_000, False),
        (99.5, "oneshot", {"kvm.min_timer_period_us": "100"}, 99_500, False),
        (99.5, "periodic", {"kvm.min_timer_period_us": "-"}, 99_500, False),
        (99.5, "periodic", {}, 99_500, False),
    ],
)
def test_kvm_slows_a_fast_periodic_timer(monkeypatch, period_us, mode, parameters, granted_ns, said):
    asked = guest_says(monkeypatch, Measured(2_000_000, samples(2000), {}), parameters=parameters)
    run = live.measure(1, period_us, mode)
    assert asked[0][0].period_ns == granted_ns
    note = "kvm.min_timer_period_us is 100: KVM slows the periodic timer of 99.5 us to that."
    assert ([sentence for sentence in run.evidence if "KVM slows" in sentence] == [note]) == said


def test_lost_periods_are_those_of_the_granted_period(monkeypatch):
    """2.5 periods of 100 us late: two are lost, and 50 us remain."""
    measured = Measured(2_000_000, samples(500_000), {})
    guest_says(monkeypatch, measured, parameters={"kvm.min_timer_period_us": "100"})
    run = live.measure(1, 30, "periodic")
    assert (run.latency_ns.tolist(), run.lost_ticks) == ([50_000], 2)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            {"timers": 1_000_001, "period_us": 20},
            "timers: 1000001 is not allowed; it must be an integer from 1 to 1000000",
        ),
        ({"period_us": 19.9}, "period_us: 19.9 is not allowed; it must be a number from 20 to 1e+07 us"),
        ({"period_us": 10_000_000.5}, "period_us: 10000000.5 is not allowed; it must be a number from 20 to 1e+07 us"),
        ({"traced_timers": 1001}, "traced_timers: 1001 is not allowed; it must be an integer from 0 to 1000"),
        ({"timeout_s": 3601}, "timeout_s: 3601 is not allowed; it must be a number from 0.01 to 3600 s"),
        ({"timeout_s": 0.009}, "timeout_s: 0.009 is not allowed; it must be a number from 0.01 to 3600 s"),
        ({"timers": 10_000}, "timeout_s: 10 is less than the 10.01 s that the timers take"),
        ({"pcpu": 8}, "pcpu: 8 is not allowed; it must be one of 0, 1, 2, 3, 4, 5, 6, 7"),
    ],
)
def test_arguments_beyond_a_limit_are_named(monkeypatch, arguments, complaint):
    guest_says(monkeypatch, None)
    with pytest.raises(ValueError, match=complaint.split()[0]) as error:
        live.measure(**arguments)
    assert str(error.value) == complaint


@pytest.mark.parametrize(
    "arguments",
    [
        {"timers": 1_000_000, "period_us": 20, "timeout_s": 3600},
        {"timers": 360, "period_us": 1e7, "timeout_s": 3600, "traced_timers": 0},
        {"timers": 1, "traced_timers": 1000},
        {"timers": 9990},
        {"timers": 9, "traced_timers": 1, "timeout_s": 0.01},
        {"pcpu": 0},
    ],
)
def test_arguments_at_a_limit_are_taken(monkeypatch, arguments):
    asked = guest_says(monkeypatch, Measured(2_000_000, samples(2000), {}))
    live.measure(**arguments)
    assert len(asked) == 1


def test_lost_periods_are_whole_ones():
    """At exactly one period late one is lost; what comes early has lost none."""
    on_time = np.array([[3_000_000, 2_000_000]], np.uint64)
    assert live.latencies(on_time, 1_000_000, 1_000_000, "periodic")[1] == 1
    ns, lost = live.latencies(on_time, 1_000_000, 1_000_001, "periodic")
    assert (ns.tolist(), lost) == ([1_000_000], 0)
    early = np.array([[1_999_900, 2_000_000]], np.uint64)
    ns, lost = live.latencies(early, 1_000_000, 1_000_000, "periodic")
    assert (ns.tolist(), lost) == ([-100], 0)
    assert result.COMPARED == ("exits", "irq_exits", "halt_exits")


@pytest.mark.parametrize(("count", "online"), [(3, (0, 1, 2)), (1, (0,)), (None, (0,))])
def test_where_sysfs_shows_no_cpus_they_are_counted(monkeypatch, tmp_path, count, online):
    monkeypatch.undo()
    monkeypatch.setattr(host.os, "cpu_count", lambda: count)
    assert host.online(tmp_path) == online
