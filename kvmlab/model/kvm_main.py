"""Waking and interrupting a vCPU: virt/kvm/kvm_main.c, function by function in its order (v6.8).

`v` is a vCPU's number, `now` a time in ns. A function that is not the kernel's says so: "Ours".
"""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.names import NEVER, Cost, Lane, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, scheduled, trace_step

HALT_POLL_NS_GROW_START = 10_000
HALT_POLL_NS_GROW = 2


def adjust_halt_poll(m: Machine, v: int, halted_ns: int) -> None:
    """Grow or shrink how long a block polls before it sleeps. Ours: the end of kvm_vcpu_halt() (v6.8).

    It grows after a block shorter than kvm.halt_poll_ns, and shrinks after a longer one (shrink_halt_poll_ns): to 0, or
    as far as kvm.halt_poll_ns_shrink divides it, but to 0 below the value that it begins to grow from.
    """
    vcpu = m.vcpus[v]
    ceiling = m.host.halt_poll_max_ns
    if halted_ns <= vcpu.halt_poll_ns:
        return
    if halted_ns > ceiling:
        shrink = m.kernel.halt_poll_ns_shrink
        vcpu.halt_poll_ns = vcpu.halt_poll_ns // shrink if shrink > 0 else 0
        if vcpu.halt_poll_ns < HALT_POLL_NS_GROW_START:
            vcpu.halt_poll_ns = 0
    elif halted_ns < ceiling and vcpu.halt_poll_ns < ceiling:
        vcpu.halt_poll_ns = min(ceiling, max(HALT_POLL_NS_GROW_START, vcpu.halt_poll_ns * HALT_POLL_NS_GROW))


def kvm_vcpu_wake_up(m: Machine, v: int, now: int) -> None:
    """Wake a blocked vCPU: at once if it is still polling, else through the scheduler and out of the C-state."""
    vcpu = m.vcpus[v]
    if vcpu.state != State.BLOCKED or scheduled(m, Lane.VCPU, v) != NEVER:
        return
    trace_step(m, now, vcpu.pcpu, v, Trace.WAKE_UP, 0)
    if now - vcpu.blocked_at <= vcpu.halt_poll_ns:
        delay = cost(m, v, Cost.HALT_POLL_NOTICE)
    else:
        delay = cost(m, v, Cost.WAKE_UP) + cost(m, v, Cost.CSTATE_EXIT)
    schedule(m, Lane.VCPU, v, now + delay)


def on_fastpath(m: Machine, v: int) -> bool:
    """Return True while the host handles an exit by the fast path. Ours.

    Interrupts are off then, and vcpu->mode is still IN_GUEST_MODE: both change behind the loop of vcpu_enter_guest()
    that enters the guest again (x86.c, 5.8.18 to 7.1.3). A vCPU that the host has put to sleep meanwhile has left it.
    """
    vcpu = m.vcpus[v]
    return vcpu.state == State.HOST and bool(vcpu.exit_fast) and vcpu.blocked_ns == 0


def send_ipi(m: Machine, v: int, time: int) -> None:
    """Let an IPI reach the vCPU's pCPU at `time`, or with the one already on its way if that is earlier. Ours."""
    if time < scheduled(m, Lane.IPI, v):
        schedule(m, Lane.IPI, v, time)


def kvm_vcpu_kick(m: Machine, v: int, cpu: int, now: int) -> None:
    """Make a vCPU look at its requests: wake it, or force it out of guest mode by a reschedule IPI from `cpu`."""
    vcpu = m.vcpus[v]
    kvm_vcpu_wake_up(m, v, now)
    if vcpu.state == State.GUEST and vcpu.pcpu != cpu:
        trace_step(m, now, cpu, v, Trace.KICK, vcpu.pcpu)
        vcpu.ipi_kick = 1
        send_ipi(m, v, now + cost(m, v, Cost.KICK))
