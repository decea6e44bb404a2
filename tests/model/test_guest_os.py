"""What a guest does with its time."""

from itertools import pairwise

import pytest

import kvmlab as kl
from kvmlab.model.names import NEVER
from tests.strategies import constant_costs


@pytest.mark.parametrize("mode", ["oneshot", "periodic"])
def test_a_vcpu_boots_when_told_and_keeps_its_period(mode):
    """Beside a host timer every 5 us: before it boots, a vCPU has nothing to be delayed in."""
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping="timers", housekeeping_timer_us=5)
    workload = kl.Workload(tick_hz=0, timer_us=1000, timer_mode=mode)
    guest = kl.Guest(pcpus=(0,), boot_us=4000, workload=workload)
    run = kl.simulate(kl.Scenario(host, guest, duration_s=0.2, trace_steps=20_000))
    assert run.trace.query("step == 'kvm_entry'")["time_ns"].min() == pytest.approx(4e6, abs=10_000)
    assert 190 <= run.latency["count"].sum() <= 196


def test_a_burst_lasts_as_long_as_it_was_drawn_however_long_the_guest_slept_before():
    """A guest that halts in guest mode works busy/(busy + idle) of its time, as one whose HLT exits does."""
    workload = kl.Workload(tick_hz=0, busy_us=100, idle_us=300, nohz_idle=False)
    for hlt_in_guest in (False, True):
        guest = kl.Guest(hlt_in_guest=hlt_in_guest, workload=workload)
        run = kl.simulate(kl.Scenario(kl.Host(), guest, duration_s=2))
        idle = run.machine.vcpus["idle_ns"][0] / run.duration_ns
        assert idle == pytest.approx(0.75, abs=0.02), f"hlt_in_guest={hlt_in_guest}"


# --- a timer that is written again before it expires ------------------------------------------------------------------

T = 1_000_000


def writes(timers=4, **options):
    """Return what a guest wrote: for each timer, pairs of (when, deadline from there), in ns; steps take no time."""
    options = {"tick_hz": 0, "timer_us": T / 1000, "rearm": "relative", "timers": timers, "idle_us": 1} | options
    host = kl.Host(pcpus=2, isolated=(1,), lapic_timer_advance_ns=0, preemption_timer=False)
    guest = kl.Guest(pcpus=(1,), workload=kl.Workload(**options))
    run = kl.simulate(kl.Scenario(host, guest, duration_s=1, costs=constant_costs(0), trace_steps=20_000))
    assert run.machine.vcpus["delivered"][0] == timers
    all_of_them = [[]]
    for step in run.trace.itertuples():
        if step.step == "kvm_set_lapic_tscdeadline_msr" and step.arg < NEVER:
            all_of_them[-1].append((step.time_ns, step.arg - step.time_ns))
        elif step.step == "guest handler":
            all_of_them.append([])
    return all_of_them[:-1]


def test_a_deadline_that_slides_is_always_as_far():
    for timer in writes(rewrites=5, rewrite_every_us=200):
        assert [deadline for _, deadline in timer] == [T] * 6
        assert {after - before for (before, _), (after, _) in pairwise(timer)} == {200_000}


@pytest.mark.parametrize(("by_us", "slides"), [(-50, False), (0, False), (30.5, False), (-50, True)])
def test_each_write_moves_the_deadline(by_us, slides):
    for timer in writes(rewrites=3, rewrite_every_us=100, slides=slides, rewrite_by_us=by_us):
        passed = 0 if slides else 100_000
        assert [deadline for _, deadline in timer] == [T + i * (round(by_us * 1000) - passed) for i in range(4)]


def test_a_timer_that_comes_first_is_not_written_again():
    """Five writes 2 ms apart, of a timer of 1 ms: none is reached."""
    assert [len(timer) for timer in writes(rewrites=5, rewrite_every_us=2000)] == [1, 1, 1, 1]


def test_between_two_timers_lies_a_gap_of_any_length_up_to_the_longest():
    timers = writes(timers=200, gap_us=4000)
    assert [len(timer) for timer in timers] == [1] * 200
    gaps = [after[0][0] - before[0][0] - T for before, after in pairwise(timers)]
    assert 0 <= min(gaps) < 200_000
    assert 3_800_000 < max(gaps) < 4_000_000
    assert sum(gaps) / len(gaps) == pytest.approx(2_000_000, rel=0.1)


def test_a_guest_that_writes_in_a_moment_does_not_halt():
    """It halts once for each timer, however often that is written."""
    workload = kl.Workload(tick_hz=0, timer_us=1000, rearm="relative", timers=50, idle_us=1, rewrites=4, gap_us=300)
    run = kl.simulate(kl.Scenario(kl.Host(), kl.Guest(workload=workload), duration_s=1))
    assert run.kvm_stat["halt_exits"] == 50
    assert run.exits.loc["MSR_WRITE", "Samples"] == 250
