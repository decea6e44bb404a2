"""The host's side of a vCPU thread: enter the guest, block, be preempted, move.

First the functions of arch/x86/kvm/x86.c, in its order (v6.8), then what the scheduler and devices do. A function that
is not the kernel's says so: "Ours".
"""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.guest_os import guest_resume
from kvmlab.model.kvm_main import adjust_halt_poll, kvm_vcpu_kick, kvm_vcpu_wake_up, on_fastpath
from kvmlab.model.lapic import (
    kvm_inject_apic_timer_irqs,
    kvm_lapic_restart_hv_timer,
    kvm_lapic_switch_to_hv_timer,
    kvm_lapic_switch_to_sw_timer,
    kvm_migrate_apic_timer,
    kvm_wait_lapic_expire,
)
from kvmlab.model.names import NEVER, NONE, Cost, Exit, Lane, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step
from kvmlab.model.vmexit import count_gap, kvm_entry, kvm_exit, leave_fastpath
from kvmlab.model.vmx import kvm_vcpu_trigger_posted_interrupt, vmx_sched_in, vmx_update_hv_timer


def kvm_vcpu_exit_request(m: Machine, v: int) -> bool:
    """Return True if the vCPU has to look at something before it enters its guest again, so that a fast path ends.

    A timer pending, an interrupt to be injected without APICv, another task or another pCPU for its thread.
    """
    vcpu = m.vcpus[v]
    if vcpu.device_irr and not vcpu.apicv:
        return True
    return bool(vcpu.pending) or vcpu.preempted_for > 0 or vcpu.move_to != NONE


def kvm_arch_vcpu_load(m: Machine, v: int, cpu: int, now: int) -> None:
    """Run the vCPU on `cpu`, as the scheduler wants. The hv timer is restarted while vcpu->cpu is still the old one."""
    vcpu = m.vcpus[v]
    if m.pcpus[vcpu.pcpu].vcpu == v:
        m.pcpus[vcpu.pcpu].vcpu = NONE
    m.pcpus[cpu].vcpu = v
    vcpu.pcpu = cpu
    trace_step(m, now, cpu, v, Trace.LOAD, vcpu.cpu)
    if vcpu.cpu != cpu:
        kvm_lapic_restart_hv_timer(m, v, now)
        vcpu.req_migrate_timer = 1
        vcpu.cpu = cpu


def move_if_asked(m: Machine, v: int, now: int) -> int:
    """Carry out a move that the scheduler wants, if the pCPU is free; return the time after it. Ours."""
    vcpu = m.vcpus[v]
    if vcpu.move_to != NONE:
        if m.pcpus[vcpu.move_to].vcpu == NONE:
            now += cost(m, v, Cost.WAKE_UP)
            vmx_sched_in(m, v)
            kvm_arch_vcpu_load(m, v, vcpu.move_to, now)
        vcpu.move_to = NONE
    return now


def vcpu_enter_guest(m: Machine, v: int, now: int) -> None:
    """Serve requests, inject what is pending, wait out the advance, enter; or block, if the guest has halted."""
    vcpu = m.vcpus[v]
    if on_fastpath(m, v) and kvm_vcpu_exit_request(m, v):
        end = leave_fastpath(m, v)
        if end > now:
            schedule(m, Lane.VCPU, v, end)
            return
    now = move_if_asked(m, v, now)
    if vcpu.preempted_for:
        trace_step(m, now, vcpu.pcpu, v, Trace.SCHED_OUT, vcpu.preempted_for)
        vcpu.state = State.PREEMPTED
        schedule(m, Lane.VCPU, v, now + vcpu.preempted_for)
        vcpu.away_ns += vcpu.preempted_for
        vcpu.preempted_for = 0
        return
    if vcpu.req_migrate_timer:
        vcpu.req_migrate_timer = 0
        kvm_migrate_apic_timer(m, v, now)
    if vcpu.search_ns > 0:
        schedule(m, Lane.VCPU, v, now + vcpu.search_ns)
        vcpu.search_ns = 0
        return
    kvm_inject_apic_timer_irqs(m, v, now)
    if vcpu.halting and not vcpu.irr and not vcpu.device_irr:
        vcpu_block(m, v, now)
        return
    vcpu.halting = 0
    kvm_entry(m, v, now)
    if vcpu.irr:
        now = kvm_wait_lapic_expire(m, v, vcpu.pcpu, now)
    vcpu.in_guest_at = now + cost(m, v, Cost.ENTRY_TRANSITION)
    vcpu.state = State.GUEST
    count_gap(m, v)
    vmx_update_hv_timer(m, v)
    guest_resume(m, v, vcpu.in_guest_at)


def vcpu_block(m: Machine, v: int, now: int) -> None:
    """Sleep: the guest has halted, and nothing is pending."""
    vcpu = m.vcpus[v]
    trace_step(m, now, vcpu.pcpu, v, Trace.BLOCK, 0)
    kvm_lapic_switch_to_sw_timer(m, v, now)
    vcpu.state = State.BLOCKED
    vcpu.search_ns = 0  # a little later asleep, no later awake
    vcpu.blocked_at = now
    schedule(m, Lane.VCPU, v, NEVER)
    if vcpu.pending or vcpu.irr:
        kvm_vcpu_wake_up(m, v, now)


def vcpu_unblock(m: Machine, v: int, now: int) -> None:
    """Let the vCPU thread run again, perhaps elsewhere. Ours: the second half of vcpu_block()."""
    vcpu = m.vcpus[v]
    blocked = now - vcpu.blocked_at
    polled = min(blocked, vcpu.halt_poll_ns)
    vcpu.polled_ns += polled
    vcpu.away_ns += blocked - polled
    adjust_halt_poll(m, v, blocked)
    vcpu.idle_ns += blocked
    vcpu.blocked_ns += blocked
    vcpu.state = State.HOST
    vcpu.halting = 0
    now = move_if_asked(m, v, now)
    kvm_lapic_switch_to_hv_timer(m, v, now)
    vcpu_enter_guest(m, v, now)


def vcpu_runs(m: Machine, v: int, now: int) -> None:
    """Go on with the thread: an exit is handled, a wake-up is through, or the task that had preempted it is done.

    A thread that is to run while its pCPU handles an interrupt has to wait for the end of that. Ours: vcpu_run() and
    the scheduler.
    """
    vcpu = m.vcpus[v]
    irq_end = m.pcpus[vcpu.pcpu].irq_end
    if now < irq_end:
        schedule(m, Lane.VCPU, v, irq_end)
    elif vcpu.state == State.BLOCKED:
        vcpu_unblock(m, v, now)
    else:
        if vcpu.state == State.PREEMPTED:
            vmx_sched_in(m, v)
        vcpu.state = State.HOST
        vcpu_enter_guest(m, v, now)


def leave_guest_by_irq(m: Machine, v: int, now: int) -> int:
    """Take a vCPU in guest mode out of it, by an interrupt for the host; return when the host sees it. Ours."""
    vcpu = m.vcpus[v]
    if vcpu.state != State.GUEST:
        return now
    return kvm_exit(m, v, Exit.EXTERNAL_INTERRUPT, False, max(now, vcpu.in_guest_at))


def preempt(m: Machine, v: int, for_ns: int, now: int) -> None:
    """Let another task take the pCPU for `for_ns`. Ours."""
    vcpu = m.vcpus[v]
    if vcpu.state == State.GUEST or vcpu.state == State.HOST:
        vcpu.preempted_for = for_ns
    leave_guest_by_irq(m, v, now)


def move(m: Machine, v: int, cpu: int, now: int) -> None:
    """Let the scheduler want the vCPU on `cpu`: at once if it is in the guest, else when it next runs. Ours."""
    m.vcpus[v].move_to = cpu
    leave_guest_by_irq(m, v, now)


def deliver_device_interrupt(m: Machine, v: int, now: int) -> None:
    """Raise an interrupt of a device, whose model runs on another CPU: posted with APICv, else by kick.

    Ours: what vmx_deliver_interrupt() does with it.
    """
    vcpu = m.vcpus[v]
    vcpu.device_irr = 1
    if vcpu.apicv:
        kvm_vcpu_trigger_posted_interrupt(m, v, now)
    else:
        kvm_vcpu_kick(m, v, NONE, now)
