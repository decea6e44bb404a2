"""What an exit costs, and how it is counted."""

import pytest

import kvmlab as kl
from kvmlab.model.names import Cost, Exit, State
from kvmlab.model.vmexit import count_gap, handles_exit, handling_step, kvm_entry, leave_fastpath
from tests.model.machines import machine
from tests.strategies import constant_costs

STEPS = {
    Exit.MSR_WRITE: Cost.MSR_WRITE,
    Exit.EXTERNAL_INTERRUPT: Cost.EXTERNAL_INTERRUPT,
    Exit.PREEMPTION_TIMER: Cost.PREEMPTION_TIMER,
    Exit.HLT: Cost.HLT,
    Exit.PAUSE_INSTRUCTION: Cost.PAUSE,
    Exit.EPT_MISCONFIG: Cost.OTHER_EXIT,
}
FAST = {Exit.MSR_WRITE: Cost.MSR_WRITE_FASTPATH, Exit.PREEMPTION_TIMER: Cost.PREEMPTION_TIMER_FASTPATH}


def test_each_exit_has_its_step():
    assert {reason: handling_step(reason, False) for reason in Exit} == STEPS
    assert {reason: handling_step(reason, True) for reason in FAST} == FAST


def out_of_the_guest(reason, fast=1):
    """Return a machine whose vCPU left its guest at 1000 ns, and is out of it since 1100 ns."""
    m = machine(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(pcpus=(1,)), costs=constant_costs(50))
    vcpu = m.vcpus[0]
    vcpu.state, vcpu.exit_reason, vcpu.exit_fast = State.HOST, reason, fast
    vcpu.exit_at, vcpu.exit_start = 1000, 1100
    return m


def test_an_exit_that_leaves_the_fast_path_takes_as_long_as_a_slow_one():
    m = out_of_the_guest(Exit.MSR_WRITE)
    assert leave_fastpath(m, 0) == 1150
    assert m.vcpus[0].exit_fast == 0


@pytest.mark.parametrize(
    ("state", "reason", "handles"),
    [(State.HOST, 0, True), (State.HOST, -1, False), (State.GUEST, 0, False), (State.BLOCKED, 3, False)],
)
def test_a_vcpu_that_has_not_booted_handles_no_exit(state, reason, handles):
    m = out_of_the_guest(reason)
    m.vcpus[0].state = state
    assert handles_exit(m, 0) == handles


def test_exits_are_counted_from_kvm_exit_to_kvm_entry():
    m = out_of_the_guest(Exit.MSR_WRITE)
    for ended, fast in ((1500, 1), (1200, 0), (1900, 1)):
        m.vcpus[0].exit_fast = fast
        kvm_entry(m, 0, ended)
    row = m.exits[Exit.MSR_WRITE]
    assert (row.count, row.fast, row.min_ns, row.max_ns, row.sum_ns) == (3, 2, 100, 800, 1300)
    assert row.sum_sq == 400**2 + 100**2 + 800**2
    m.vcpus[0].exit_reason = -1
    kvm_entry(m, 0, 2000)
    assert sum(each.count for each in m.exits) == 3


def test_a_gap_is_the_time_out_of_the_guest_without_the_time_asleep():
    m = out_of_the_guest(Exit.HLT)
    vcpu = m.vcpus[0]
    for back, asleep in ((1600, 100), (1900, 700), (1700, 0)):
        vcpu.in_guest_at, vcpu.blocked_ns = back, asleep
        count_gap(m, 0)
    assert (vcpu.lost_ns, vcpu.gap_max) == (500 + 200 + 700, 700)
    vcpu.exit_reason = -1
    count_gap(m, 0)
    assert vcpu.lost_ns == 1400
