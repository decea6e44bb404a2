"""A recorded timer's story, step by step; the timers are made up, each as events would have filled it in."""

from __future__ import annotations

import pytest

from kvmlab.host.explain.stories import story_of
from kvmlab.host.timers import Timer

OWN = "the vCPU's pCPU"
FORGOTTEN = "The guest writes its timer again: this one is forgotten."
LEAVES, ENTERS = "The vCPU leaves guest mode: {}.", "The vCPU enters guest mode."
WRITE = "The host handles the guest's write to its timer."


def told(timer, ghz=None):
    """The steps of a timer's story: (time, where, function, sentence)."""
    return [(step.time_ns, step.where, step.function, step.sentence) for step in story_of("t", timer, ghz).timeline]


def timer(**changes):
    """A timer that the guest of pCPU 2 armed at 1000 ns."""
    return Timer(**{"vcpu": 0, "pid": 7, "armed_ns": 1000, "pcpu": 2, "arm_exit": "MSR_WRITE", "value": 5} | changes)


ARMED = [
    (0, OWN, "kvm_exit", LEAVES.format("MSR_WRITE")),
    (0, OWN, "write to the timer", WRITE),
]


def test_a_posted_timer():
    posted = timer(
        **{"backend": "hrtimer", "msr": 0x6E0, "fired_ns": 9000, "fired_cpu": 0, "late_ns": 1234, "vcpu_was": "guest"},
        **{"vcpu_cpu": 2, "posted": True, "accepted_ns": 9400, "wait_ns": 9300, "delta": -250, "arm_fast": True},
    )
    assert told(posted) == [
        *ARMED,
        (0, OWN, "hrtimer_start", "A host hrtimer takes the job; on which CPU it waits shows when it fires."),
        (8000, "pCPU 0", "apic_timer_fn", "The hrtimer's callback runs 1.23 us after the time it was set for."),
        (
            8300,
            "pCPU 0",
            "kvm_wait_lapic_expire",
            "The timer was set early on purpose: 250 TSC cycles are left to the deadline, and are waited out.",
        ),
        (
            8400,
            "pCPU 0",
            "apic_timer_expired",
            f"Posted: the vector is set in the posted-interrupt descriptor and {OWN} is notified. No exit.",
        ),
    ]
    story = story_of("timer 3", posted, 2.5)
    assert (story.kernel, story.backend, story.fires_on, story.delivery) == (
        "timer 3",
        "hrtimer",
        "housekeeping",
        "posted",
    )
    assert (story.arm_exit, story.arm_fastpath, story.expiry_exit, story.expiry_fastpath) == (
        "MSR_WRITE",
        True,
        None,
        False,
    )
    # Seen at 9300 ns, 100 ns (250 cycles of 2.5 GHz) before the deadline; posted 100 ns after that.
    assert story.latency_ns == 0


@pytest.mark.parametrize("fast", [True, False, None])
def test_a_preemption_timer(fast):
    hv = timer(
        **{"backend": "hv", "fired_ns": 9000, "fired_cpu": 2, "vcpu_was": "interrupted", "vcpu_cpu": 2},
        **{"expiry_exit": "PREEMPTION_TIMER", "expiry_exit_ns": 9000, "expiry_fast": fast},
        **{"accepted_ns": 9100, "wait_ns": 9200, "delta": 0, "entry_ns": 9500},
    )
    assert told(hv) == [
        *ARMED,
        (
            0,
            OWN,
            "start_hv_timer",
            "The VMX preemption timer is armed: it counts down while the vCPU is in guest mode.",
        ),
        (8000, OWN, "kvm_exit", LEAVES.format("PREEMPTION_TIMER")),
        (8100, OWN, "kvm_apic_inject_pending_timer_irqs", "The pending expiry becomes an interrupt of the guest."),
        (
            8200,
            OWN,
            "kvm_wait_lapic_expire",
            "The deadline was 0 TSC cycles ago: nothing is left to wait for.",
        ),
        (8500, OWN, "kvm_entry", ENTERS),
    ]
    story = story_of("t", hv, 1.0)
    assert story.expiry_fastpath is fast
    assert (story.fires_on, story.latency_ns) == ("own", 300)


def test_only_the_preemption_timer_s_exit_has_a_fast_path():
    kicked = timer(backend="hrtimer", fired_ns=1, fired_cpu=2, vcpu_cpu=2, expiry_exit="EXTERNAL_INTERRUPT")
    kicked.expiry_fast = True
    assert story_of("t", kicked, None).expiry_fastpath is False


def test_an_hrtimer_that_fires_on_the_own_cpu():
    own = timer(
        **{"backend": "hrtimer", "switched": True, "fired_ns": 9001, "fired_cpu": 2, "vcpu_was": "interrupted"},
        **{"vcpu_cpu": 2, "expiry_exit": "EXTERNAL_INTERRUPT", "expiry_exit_ns": 9000, "entry_ns": 9500},
    )
    assert told(own) == [
        *ARMED,
        (0, OWN, "hrtimer_start", "A host hrtimer takes the job; on which CPU it waits shows when it fires."),
        (
            0,
            OWN,
            "kvm_lapic_switch_to_sw_timer",
            "The preemption timer counts in guest mode only, so an hrtimer takes over while the vCPU sleeps.",
        ),
        (8000, OWN, "kvm_exit", LEAVES.format("EXTERNAL_INTERRUPT")),
        (8001, OWN, "apic_timer_fn", "The hrtimer's callback runs some time after the time it was set for."),
        (8500, OWN, "kvm_entry", ENTERS),
    ]


def test_a_timer_that_is_due_when_it_is_armed():
    at_once = "The deadline has come already: the interrupt is delivered without arming anything."
    due = timer(at_arm=True, accepted_ns=1200, entry_ns=1500)
    assert told(due) == [
        *ARMED,
        (0, OWN, "start_apic_timer", at_once),
        (200, OWN, "apic_timer_expired", at_once),
        (500, OWN, "kvm_entry", ENTERS),
    ]


def test_a_timer_that_is_disarmed_or_forgotten():
    assert told(timer(value=0, ended_ns=3000)) == [
        *ARMED,
        (0, OWN, "start_apic_timer", "A deadline of 0 disarms the timer: nothing is armed."),
        (2000, OWN, "start_apic_timer", FORGOTTEN),
    ]
    # A period that started by itself: no exit armed it.
    assert told(timer(arm_exit=None, ended_ns=3000)) == [
        (0, OWN, "start_apic_timer", "The timer is armed; who shall fire it is not in the recording."),
        (2000, OWN, "start_apic_timer", FORGOTTEN),
    ]


def test_the_least_that_is_left_to_the_deadline_is_one_cycle():
    waited = timer(backend="hv", wait_ns=2000, delta=-1, entry_ns=2500)
    assert "1 TSC cycles are left to the deadline" in told(waited)[3][3]


def test_a_late_callback_is_told_in_microseconds():
    late = timer(backend="hrtimer", fired_ns=5000, fired_cpu=2, vcpu_cpu=2, late_ns=12_345_678)
    assert told(late)[3][3] == "The hrtimer's callback runs 12345.68 us after the time it was set for."


def test_steps_stand_in_order_of_time():
    """The exit that an expiry cost may have been before its callback was seen, and the entry before the end."""
    late = timer(backend="hrtimer", fired_ns=9000, fired_cpu=2, vcpu_cpu=2, expiry_exit="X", expiry_exit_ns=8000)
    late.ended_ns = 8500
    assert [time for time, *_ in told(late)] == [0, 0, 0, 7000, 7500, 8000]
