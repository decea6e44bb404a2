"""The hrtimer of a one-shot or periodic LAPIC timer (start_sw_period, lapic.c)."""

import pytest

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.model.hrtimer import hrtimer_cancel
from kvmlab.model.lapic import apic_timer_fn, start_sw_period
from kvmlab.model.names import NONE, Place, TimerMode
from tests.model.machines import machine

NOW = 5_000_000


@pytest.mark.parametrize(("late_ns", "at_once"), [(-1, 0), (0, 0), (1, 1)])
def test_a_deadline_that_is_just_now_gets_an_hrtimer_and_one_that_is_past_an_interrupt(late_ns, at_once):
    """ktime_after() is strict."""
    m = machine(kl.Host(preemption_timer=False))
    vcpu = m.vcpus[0]
    vcpu.timer_mode = TimerMode.ONESHOT
    vcpu.deadline = NOW - late_ns
    start_sw_period(m, 0, NOW)
    assert m.places[Place.AT_ARM] == at_once
    assert (m.timers[0].cpu == NONE) == bool(at_once)


@pytest.mark.parametrize(("release", "missed"), [("v5.2", 3), ("v6.18", 3), ("v6.19", 0), ("v7.1", 0)])
@pytest.mark.parametrize("late_ns", [0, 999_999, 1_000_000, 3_500_000])
def test_a_late_periodic_timer_catches_up_period_by_period_up_to_v6_18(release, missed, late_ns):
    """Three and a half periods late: three more deadlines are past already, and are due one after the other."""
    m = machine(kl.Host(preemption_timer=False), kernel=kernels.release(release, policy.rev3))
    vcpu = m.vcpus[0]
    vcpu.timer_mode = TimerMode.PERIODIC
    vcpu.period = 1_000_000
    vcpu.deadline = NOW - late_ns
    apic_timer_fn(m, 0, 0, NONE, NOW)
    past = 0
    while m.timers[0].time < NOW:
        past += 1
        hrtimer_cancel(m, 0, NOW)
        apic_timer_fn(m, 0, 0, NONE, NOW)
    assert past == (missed if late_ns > vcpu.period else 0)
    assert m.timers[0].time - NOW in range(vcpu.period + 1)
