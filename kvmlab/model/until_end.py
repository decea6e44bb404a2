"""The times of a run cut at its end: what reaches beyond it counts up to there, and so does what is under way.

The model adds a time up when it knows how long that takes: a gap as the vCPU enters the guest again, which may be after
the end of the run, and a sleep as it ends, which may be never. `end` is the time at which the run ended, ns.
"""

from __future__ import annotations

from kvmlab.model.names import NEVER, NO_EXIT, State
from kvmlab.model.records import Machine


def idle_until(m: Machine, v: int, end: int) -> int:
    """Return for how long a guest's vCPU was idle: not booted yet, asleep, or halted in guest mode. Ours."""
    vcpu = m.vcpus[v]
    since = end
    if vcpu.state == State.BLOCKED:
        since = vcpu.blocked_at
    elif vcpu.halted_at != NEVER:
        since = vcpu.halted_at
    return min(vcpu.idle_ns + max(0, end - since), end)


def lost_until(m: Machine, v: int, end: int) -> int:
    """Return how much of its time a vCPU's guest lost to exits: `Vcpu.lost_ns`, and the gap that is open. Ours."""
    vcpu = m.vcpus[v]
    lost = max(0, vcpu.lost_ns - max(0, vcpu.in_guest_at - end))
    out = vcpu.state == State.HOST or vcpu.state == State.BLOCKED or vcpu.state == State.PREEMPTED
    if out and vcpu.exit_reason != NO_EXIT:
        stopped = vcpu.blocked_at if vcpu.state == State.BLOCKED else end
        lost += max(0, stopped - vcpu.exit_at - vcpu.blocked_ns)
    return lost


def timer_busy_until(m: Machine, cpu: int, end: int) -> int:
    """Return for how long LAPIC timers kept a pCPU: `Pcpu.timer_busy_ns`, without what an interrupt still takes. Ours.

    An interrupt that ends with the host's own timers loses their time as well, some us.
    """
    pcpu = m.pcpus[cpu]
    return max(0, pcpu.timer_busy_ns - max(0, pcpu.irq_end - end))
