"""The hrtimer of a one-shot or periodic LAPIC timer (start_sw_period, lapic.c)."""

import pytest

import kvmlab as kl
from kvmlab.model.lapic import start_sw_period
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
