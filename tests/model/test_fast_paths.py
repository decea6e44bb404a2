"""Fast paths: which exits may take one, by release."""

import pytest
from hypothesis import given

import kvmlab as kl
from kvmlab import kernels
from kvmlab.model.hrtimer import enqueue_hrtimer, hrtimer_force_reprogram
from kvmlab.model.lapic import apic_timer_fn
from kvmlab.model.loop import run
from kvmlab.model.names import EXITS, FAST, NONE, Cost, Exit, Place, State
from kvmlab.model.one_timer import HOUSEKEEPING_CPU, arm_one_timer
from tests.model.machines import machine
from tests.strategies import constant_costs, few, scenarios

COSTS = constant_costs()
FAR = 100_000_000
"""A time at which nothing happens in these tests."""


@given(scenarios())
@few(100)
def test_fast_paths_by_release(scenario):
    run = kl.simulate(scenario)
    fast = dict(zip(EXITS, run.exit_rows["fast"].sum(axis=0), strict=True))
    kernel = scenario.kernel
    if kernel.arm_fastpath == kernels.ArmFastpath.NEVER:
        assert run.fastpath_exits == 0
    if kernel.arm_fastpath == kernels.ArmFastpath.HV_ONLY and not run.machine.vcpus["hv_armed"].any():
        assert fast["MSR_WRITE"] == 0
    modes = {guest.workload.timer_mode for guest in scenario.guests}
    if "tsc_deadline" not in modes:
        assert fast["MSR_WRITE"] == 0


def arming(kernel, pi_inject_timer=True, apicv=True, mode="tsc_deadline"):
    """Return a machine whose guest writes its timer just now, and the time from which the host handles that.

    The host has a housekeeping CPU, number 0; HLT does not exit, so that rev 3 posts if `pi_inject_timer` is on.
    """
    host = kl.Host(pcpus=2, isolated=(1,), pi_inject_timer=pi_inject_timer, apicv=apicv)
    guest = kl.Guest(pcpus=(1,), hlt_in_guest=True, workload=kl.Workload(tick_hz=0, timers=1, timer_mode=mode))
    m = machine(host, guest, kernel=kernel)
    return m, arm_one_timer(m, FAR, FAR)


def exits(m, reason):
    """Return how many exits of vCPU 0 there were for a reason, and how many of them took the fast path."""
    return m.exits[reason].count, m.exits[reason].fast


def cost(step):
    """Return how long a step takes here, in ns."""
    return round(getattr(COSTS, step.name.lower()).mean_ns)


@pytest.mark.parametrize(
    ("kernel", "mode", "place"),
    [
        ("v6.18", "tsc_deadline", Place.POSTED),
        ("v7.1", "tsc_deadline", Place.POSTED),
        ("v5.18", "tsc_deadline", Place.NOT_IN_GUEST),  # who may be posted to arms the slow way
        ("v6.18", "oneshot", Place.NOT_IN_GUEST),
    ],
)
def test_a_vcpu_on_the_fast_path_is_posted_to(kernel, mode, place):
    """vcpu->mode is still IN_GUEST_MODE; on the slow way it is not."""
    m, start = arming(kernel, mode=mode)
    apic_timer_fn(m, 0, HOUSEKEEPING_CPU, NONE, start + 10)
    assert m.places[place] == 1
    assert (m.vcpus[0].posting, m.vcpus[0].pending) == ((1, 0) if place == Place.POSTED else (0, 1))
    run(m, FAR // 2)
    assert m.vcpus[0].delivered == 1
    assert exits(m, Exit.MSR_WRITE) == (1, int(place == Place.POSTED))
    assert exits(m, Exit.EXTERNAL_INTERRUPT) == (0, 0)


def test_a_request_ends_the_fast_path():
    """A timer pending is seen by kvm_vcpu_exit_request(): the exit takes as long as a slow one, and no kick exits."""
    m, start = arming("v6.18", pi_inject_timer=False)
    assert m.vcpus[0].exit_fast
    apic_timer_fn(m, 0, HOUSEKEEPING_CPU, NONE, start + 10)
    assert m.places[Place.NOT_IN_GUEST] == 1
    run(m, FAR // 2)
    assert exits(m, Exit.MSR_WRITE) == (1, 0)
    assert m.exits[Exit.MSR_WRITE].sum_ns == cost(Cost.MSR_WRITE)
    assert exits(m, Exit.EXTERNAL_INTERRUPT) == (0, 0)
    assert m.vcpus[0].delivered == 1


@pytest.mark.parametrize(("kernel", "interrupts"), [("v6.18", 1), ("v5.18", 0)])
def test_an_interrupt_of_the_host_waits_for_the_end_of_a_fast_path(kernel, interrupts):
    """Interrupts are off on the fast path: it exits as soon as the vCPU is back. A slow exit lets it in meanwhile."""
    m, start = arming(kernel)
    tick = 1 + 1  # the timers are the vCPU's, and then the ticks of the pCPUs
    enqueue_hrtimer(m, tick, 1, start + 10)
    hrtimer_force_reprogram(m, 1)
    run(m, start + 10)
    assert m.vcpus[0].state == State.HOST
    run(m, start + 100_000)
    assert exits(m, Exit.EXTERNAL_INTERRUPT) == (interrupts, 0)
    assert exits(m, Exit.MSR_WRITE) == (1, interrupts)


@pytest.mark.parametrize(("kernel", "fast"), [("v5.3", set()), ("v5.13", {"MSR_WRITE", "PREEMPTION_TIMER"})])
def test_the_trace_says_which_exits_took_the_fast_path(kernel, fast):
    host = kl.Host(pi_inject_timer=False)
    guest = kl.Guest(workload=kl.Workload(tick_hz=1000, other_exit_hz=500, host_irq_hz=500))
    run = kl.simulate(kl.Scenario(host, guest, kernel=kernel, duration_s=0.1, trace_steps=5000))
    arguments = run.trace.loc[run.trace["step"] == "kvm_exit", "arg"].tolist()
    assert {EXITS[arg & ~FAST] for arg in arguments} > {"MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT"}
    assert {EXITS[arg & ~FAST] for arg in arguments if arg & FAST} == fast
    assert sum(arg & FAST != 0 for arg in arguments) == run.fastpath_exits
