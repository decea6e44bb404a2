"""A story's machine: driven to where it begins, and to where its expiry is to find the vCPU."""

import pytest

import kvmlab as kl
from kvmlab.model.hrtimer import first_expiry
from kvmlab.model.loop import run
from kvmlab.model.names import NEVER, Cost, Exit, Place, State, Trace
from kvmlab.model.one_timer import AFTER_NS, HOUSEKEEPING_CPU, LONGEST_NS, arm_one_timer, follow_one_timer, send_vcpu
from tests.model.machines import machine
from tests.strategies import constant_costs

DEADLINE = 2_000_000
COSTS = constant_costs()


def story(kernel="v5.13", mode="tsc_deadline", **guest):
    """Return a machine for a story: pCPU 0 for housekeeping, the vCPU on the isolated pCPU 1."""
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping="ticking", housekeeping_timer_us=1e6, pi_inject_timer=True)
    workload = kl.Workload(tick_hz=0, timers=1, timer_mode=mode, waits_by="hlt")
    return machine(host, kl.Guest(pcpus=(1,), workload=workload, **guest), kernel=kernel)


@pytest.mark.parametrize("mode", ["tsc_deadline", "oneshot", "periodic"])
def test_time_0_is_when_the_host_sees_the_write(mode):
    m = story(mode=mode)
    begin = arm_one_timer(m, DEADLINE, 1_000_000)
    assert begin == round(getattr(COSTS, Cost.EXIT_TRANSITION.name.lower()).mean_ns)
    assert m.vcpus[0].exit_reason == Exit.MSR_WRITE
    assert m.vcpus[0].exit_start == begin
    assert m.vcpus[0].deadline == begin + DEADLINE


def test_the_housekeeping_cpu_has_the_event_that_was_given():
    m = story(mode="oneshot")
    begin = arm_one_timer(m, DEADLINE, DEADLINE + 1)
    assert first_expiry(m, HOUSEKEEPING_CPU) == begin + DEADLINE + 1
    assert m.timers[0].cpu == 1


def test_a_deadline_of_0_arms_nothing():
    m = story()
    begin = arm_one_timer(m, 0, 1_000_000)
    assert m.vcpus[0].deadline == NEVER
    assert m.vcpus[0].armed == 0
    assert follow_one_timer(m, State.GUEST, begin, 0) == begin + LONGEST_NS
    assert m.vcpus[0].delivered == 0
    assert m.places == [0] * len(Place)


@pytest.mark.parametrize("hlt_in_guest", [False, True])
@pytest.mark.parametrize("found", [State.GUEST, State.BLOCKED, State.HOST, State.PREEMPTED])
def test_the_expiry_finds_the_vcpu_where_it_is_to(found, hlt_in_guest):
    m = story(hlt_in_guest=hlt_in_guest)
    begin = arm_one_timer(m, DEADLINE, 1_000_000)
    send_vcpu(m, found, begin)
    run(m, m.vcpus[0].deadline - m.vcpus[0].advance_ns - 1)
    assert m.vcpus[0].state == found


@pytest.mark.parametrize("found", [State.HOST, State.PREEMPTED])
def test_a_vcpu_that_is_away_comes_back_after_the_deadline(found):
    m = story()
    begin = arm_one_timer(m, DEADLINE, 1_000_000)
    follow_one_timer(m, found, begin, DEADLINE)
    [handler] = [step.time for step in m.trace[: m.loop.trace_used] if step.code == Trace.HANDLER]
    assert handler - begin - DEADLINE == pytest.approx(AFTER_NS, abs=5000)
    assert m.vcpus[0].state == State.DONE


@pytest.mark.parametrize("found", [State.HOST, State.PREEMPTED])
def test_a_vcpu_goes_away_halfway_between_its_write_and_the_earliest_expiry(found):
    """An hrtimer expires early by the advance, and the halves leave as much time again."""
    m = story()
    begin = arm_one_timer(m, DEADLINE, 1_000_000)
    send_vcpu(m, found, begin)
    advance = m.vcpus[0].advance_ns
    assert advance > 0
    assert m.loop.now == begin + (DEADLINE - 2 * advance) // 2


def test_a_vcpu_whose_deadline_is_within_the_advance_goes_away_at_once():
    m = story()
    begin = arm_one_timer(m, 1_500, 1_000_000)
    send_vcpu(m, State.PREEMPTED, begin)
    assert m.loop.now == begin


def test_a_vcpu_that_is_still_on_its_way_into_the_guest_leaves_it_once_it_is_there():
    """Halfway to a near deadline it has not arrived: the exit begins when it has."""
    m = story()
    begin = arm_one_timer(m, 6_000, 1_000_000)
    while m.vcpus[0].state != State.GUEST:
        run(m, m.loop.now + 10)
    arrives = m.vcpus[0].in_guest_at
    assert m.loop.now < arrives
    m.vcpus[0].deadline = 2 * m.loop.now - begin + 2 * m.vcpus[0].advance_ns
    send_vcpu(m, State.HOST, begin)
    assert m.vcpus[0].state == State.HOST
    assert m.vcpus[0].exit_at == arrives
