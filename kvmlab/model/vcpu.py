"""The host's side of a vCPU thread: enter the guest, block, be preempted, move (x86.c and kvm_main.c)."""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.guest_os import guest_resume
from kvmlab.model.lapic import (
    kvm_inject_apic_timer_irqs,
    kvm_lapic_restart_hv_timer,
    kvm_lapic_switch_to_hv_timer,
    kvm_lapic_switch_to_sw_timer,
    kvm_migrate_apic_timer,
    kvm_vcpu_kick,
    kvm_vcpu_wake_up,
    kvm_wait_lapic_expire,
    send_ipi,
)
from kvmlab.model.names import NEVER, NONE, Cost, Exit, Lane, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step
from kvmlab.model.vmexit import count_gap, kvm_entry, kvm_exit

HALT_POLL_NS_GROW_START = 10_000
HALT_POLL_NS_GROW = 2


def kvm_arch_vcpu_load(m: Machine, v: int, cpu: int, now: int) -> None:
    """The scheduler runs the vCPU on `cpu`. The hv timer is restarted before vcpu->cpu is brought up to date."""
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
    """Carry out a move that the scheduler wants; return the time after it."""
    vcpu = m.vcpus[v]
    if vcpu.move_to != NONE:
        if m.pcpus[vcpu.move_to].vcpu == NONE:
            now += cost(m, v, Cost.WAKE_UP)
            kvm_arch_vcpu_load(m, v, vcpu.move_to, now)
        vcpu.move_to = NONE
    return now


def adjust_halt_poll(m: Machine, v: int, halted_ns: int) -> None:
    """Grow or shrink how long a block polls before it sleeps (kvm_vcpu_halt in kvm_main.c)."""
    vcpu = m.vcpus[v]
    ceiling = m.host.halt_poll_max_ns
    if ceiling == 0 or halted_ns <= vcpu.halt_poll_ns:
        return
    if halted_ns > ceiling:
        vcpu.halt_poll_ns = 0
    elif vcpu.halt_poll_ns < ceiling:
        vcpu.halt_poll_ns = min(ceiling, max(HALT_POLL_NS_GROW_START, vcpu.halt_poll_ns * HALT_POLL_NS_GROW))


def vcpu_block(m: Machine, v: int, now: int) -> None:
    """The guest has halted and nothing is pending: sleep."""
    vcpu = m.vcpus[v]
    trace_step(m, now, vcpu.pcpu, v, Trace.BLOCK, 0)
    kvm_lapic_switch_to_sw_timer(m, v, now)
    vcpu.state = State.BLOCKED
    vcpu.blocked_at = now
    schedule(m, Lane.VCPU, v, NEVER)
    if vcpu.pending or vcpu.irr:
        kvm_vcpu_wake_up(m, v, now)


def vcpu_unblock(m: Machine, v: int, now: int) -> None:
    """The vCPU thread runs again, perhaps elsewhere."""
    vcpu = m.vcpus[v]
    blocked = now - vcpu.blocked_at
    adjust_halt_poll(m, v, blocked)
    vcpu.idle_ns += blocked
    vcpu.blocked_ns += blocked
    vcpu.state = State.HOST
    vcpu.halting = 0
    now = move_if_asked(m, v, now)
    kvm_lapic_switch_to_hv_timer(m, v, now)
    vcpu_enter_guest(m, v, now)


def vmx_update_hv_timer(m: Machine, v: int) -> None:
    """Load the preemption timer for this entry: whole grains of 2**N cycles, 0 when overdue; it counts in the guest."""
    vcpu = m.vcpus[v]
    if vcpu.hv_timer_in_use:
        host = m.host
        remaining = max(0, vcpu.hv_deadline - vcpu.in_guest_at)
        grains = (remaining * host.tsc_khz // 1_000_000) >> host.preemption_timer_shift
        loaded = (grains << host.preemption_timer_shift) * 1_000_000 // host.tsc_khz
        # A timer whose grain is longer than what remains exits at once, over and over until the deadline. That a
        # microsecond passes each time keeps such a run finite even where exits cost nothing.
        loaded = max(loaded, min(remaining, 1000))
        schedule(m, Lane.HV, v, vcpu.in_guest_at + loaded)


def vcpu_enter_guest(m: Machine, v: int, now: int) -> None:
    """Serve requests, inject what is pending, wait out the advance, enter; or block, if the guest has halted."""
    vcpu = m.vcpus[v]
    now = move_if_asked(m, v, now)
    if vcpu.preempted_for:
        trace_step(m, now, vcpu.pcpu, v, Trace.SCHED_OUT, vcpu.preempted_for)
        vcpu.state = State.PREEMPTED
        schedule(m, Lane.VCPU, v, now + vcpu.preempted_for)
        vcpu.preempted_for = 0
        return
    if vcpu.req_migrate_timer:
        vcpu.req_migrate_timer = 0
        kvm_migrate_apic_timer(m, v, now)
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


def vcpu_runs(m: Machine, v: int, now: int) -> None:
    """The host's part is over: the handling of an exit, a wake-up, or the task that had preempted the vCPU.

    A thread that is to run while its pCPU handles an interrupt has to wait for the end of that.
    """
    vcpu = m.vcpus[v]
    irq_end = m.pcpus[vcpu.pcpu].irq_end
    if now < irq_end:
        schedule(m, Lane.VCPU, v, irq_end)
    elif vcpu.state == State.BLOCKED:
        vcpu_unblock(m, v, now)
    else:
        vcpu.state = State.HOST
        vcpu_enter_guest(m, v, now)


def leave_guest_by_irq(m: Machine, v: int, now: int) -> int:
    """An interrupt for the host arrives on the vCPU's pCPU in guest mode; return when the host sees it."""
    return kvm_exit(m, v, Exit.EXTERNAL_INTERRUPT, False, max(now, m.vcpus[v].in_guest_at))


def preempt(m: Machine, v: int, for_ns: int, now: int) -> None:
    """Another task takes the pCPU for a while."""
    vcpu = m.vcpus[v]
    if vcpu.state == State.GUEST or vcpu.state == State.HOST:
        vcpu.preempted_for = for_ns
    if vcpu.state == State.GUEST:
        leave_guest_by_irq(m, v, now)


def move(m: Machine, v: int, cpu: int, now: int) -> None:
    """The scheduler wants the vCPU on `cpu`: at once if it runs, else when it next does."""
    vcpu = m.vcpus[v]
    vcpu.move_to = cpu
    if vcpu.state == State.GUEST:
        leave_guest_by_irq(m, v, now)


def deliver_device_interrupt(m: Machine, v: int, now: int) -> None:
    """A device model on another CPU raises an interrupt: posted with APICv, else by kick."""
    vcpu = m.vcpus[v]
    vcpu.device_irr = 1
    if vcpu.state == State.GUEST and vcpu.apicv:
        send_ipi(m, v, now + cost(m, v, Cost.POSTED_DELIVERY))
    else:
        kvm_vcpu_kick(m, v, NONE, now)
