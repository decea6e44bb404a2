"""What interrupts a pCPU or a vCPU: the CPU's event timer, the preemption timer, and IPIs."""

from __future__ import annotations

from kvmlab.model.draws import cost, exponential
from kvmlab.model.guest_os import take_interrupt
from kvmlab.model.hrtimer import (
    __hrtimer_reprogram,
    __remove_hrtimer,
    first_expiry,
    hrtimer_forward,
    hrtimer_start,
    hrtimer_update_next_event,
)
from kvmlab.model.kvm_main import on_fastpath
from kvmlab.model.lapic import apic_timer_fn, kvm_lapic_expired_hv_timer
from kvmlab.model.names import NONE, Cost, Exit, Lane, Owner, State, Stream, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, scheduled, trace_step
from kvmlab.model.vcpu import leave_guest_by_irq
from kvmlab.model.vmexit import handles_exit, kvm_exit

HRTIMER_RETRIES = 3
"""How often hrtimer_interrupt() looks again for timers that came due meanwhile, before it gives the CPU back."""
HANG_MAX_NS = 100_000_000
"""How long hrtimer_interrupt() gives the CPU back at most (hrtimer.c, 5.2.1 to 7.1.3)."""


def run_hrtimer(m: Machine, cpu: int, timer: int, interrupted: int, now: int) -> int:
    """Run the callback of a timer that is due on `cpu`; return the time after it (__run_hrtimer, hrtimer.c).

    `interrupted`: the vCPU that this interrupt took out of the guest, or NONE.
    """
    t = m.timers[timer]
    pcpu = m.pcpus[cpu]
    expires = t.time
    if t.kind == Owner.APIC_TIMER:
        __remove_hrtimer(m, timer, False)
        done = now
        if interrupted == NONE:
            done += cost(m, m.loop.n_vcpus + cpu, Cost.HRTIMER_INTERRUPT)
        trace_step(m, done, cpu, t.owner, Trace.APIC_TIMER_FN, done - expires)
        done = apic_timer_fn(m, t.owner, cpu, interrupted, done)
        pcpu.fired += 1
        pcpu.timer_busy_ns += done - now
        pcpu.late_max = max(pcpu.late_max, now - expires)
        return done
    now += cost(m, m.loop.n_vcpus + cpu, Cost.TICK if t.kind == Owner.SCHED_TICK else Cost.HRTIMER_INTERRUPT)
    if t.kind == Owner.BACKGROUND and m.host.task_ns > 0:
        __remove_hrtimer(m, timer, False)
        pcpu.busy = 1
        schedule(m, Lane.TASK, cpu, now + exponential(m, m.loop.n_vcpus + cpu, Stream.BUSY, m.host.task_ns))
    else:
        hrtimer_forward(m, timer, now)
    return now


def task_sleeps(m: Machine, cpu: int, now: int) -> None:
    """Let the task on `cpu`, which works and sleeps by turns, go to sleep; it had no timer meanwhile. Ours."""
    m.pcpus[cpu].busy = 0
    background = m.loop.n_vcpus + len(m.pcpus) + cpu
    hrtimer_start(m, background, now + m.host.background_ns, cpu, now)


def hrtimer_interrupt(m: Machine, cpu: int, now: int) -> None:
    """Run all callbacks that are due, as the CPU's event timer fires (hrtimer.c). A vCPU in guest mode exits first.

    A fast path is gone with interrupts off: the interrupt waits, and takes the vCPU out as soon as it is back in.
    """
    pcpu = m.pcpus[cpu]
    resident = pcpu.vcpu
    if resident != NONE and on_fastpath(m, resident):
        schedule(m, Lane.PCPU, cpu, scheduled(m, Lane.VCPU, resident))
        return
    interrupted = NONE
    t = now
    if resident != NONE and m.vcpus[resident].state == State.GUEST:
        t = leave_guest_by_irq(m, resident, now)
        interrupted = resident
    started = t
    served = 0
    retries = 0
    first = first_expiry(m, cpu)
    while first <= t and retries < HRTIMER_RETRIES:
        retries += 1
        due = t
        while first <= due:
            t = run_hrtimer(m, cpu, m.bases[pcpu.base], interrupted, t)
            served += 1
            first = first_expiry(m, cpu)
    if served == 0:
        t = spurious_interrupt(m, cpu, interrupted, t)
    pcpu.irq_end = t
    pcpu.shut_until = t
    pcpu.queue_max = max(pcpu.queue_max, served)
    trace_step(m, started, cpu, NONE, Trace.HRTIMER_INTERRUPT, t - started)
    if resident != NONE and handles_exit(m, resident):
        handled = scheduled(m, Lane.VCPU, resident) + t - started
        schedule(m, Lane.VCPU, resident, handled)
        if m.kernel.deferred_rearm and interrupted != NONE:
            pcpu.shut_until = handled
    end_hrtimer_interrupt(m, cpu, started, t)


def spurious_interrupt(m: Machine, cpu: int, interrupted: int, now: int) -> int:
    """Find no hrtimer due, since another CPU has taken out what the event timer was set for; return the time after it.

    It takes what an hrtimer's interrupt does [derived: at most that, as no callback runs], or is part of the exit of
    the vCPU that it interrupted. Ours.
    """
    pcpu = m.pcpus[cpu]
    pcpu.spurious += 1
    done = now
    if interrupted == NONE:
        done += cost(m, m.loop.n_vcpus + cpu, Cost.HRTIMER_INTERRUPT)
    pcpu.timer_busy_ns += done - now
    return done


def end_hrtimer_interrupt(m: Machine, cpu: int, started: int, now: int) -> None:
    """Look again what is queued, and set the event timer to it. Ours: the end of hrtimer_interrupt().

    If something is still due after HRTIMER_RETRIES rounds, the interrupt "took too long": everything waits as long
    again. Timers of other CPUs are taken meanwhile, by expires_next as it is (hrtimer_interrupt, 5.2.1 to 7.1.3).

    v7.1 sets expires_next only as the interrupt ends (__hrtimer_rearm_deferred; out of a guest, x86_entry_from_kvm).
    The model tells that apart where the interrupt is part of a vCPU's exit: until it is handled [derived].
    """
    pcpu = m.pcpus[cpu]
    expires = hrtimer_update_next_event(m, cpu)
    pcpu.irq_until = now
    pcpu.hang_detected = 0
    if expires <= now:
        # "hrtimer: interrupt took ... ns": as long again for everything else, at most HANG_MAX_NS
        pcpu.irq_until = now + min(now - started, HANG_MAX_NS)
    __hrtimer_reprogram(m, cpu, expires)
    pcpu.hang_detected = int(expires <= now)


def handle_preemption_timer(m: Machine, v: int, now: int) -> None:
    """Take the vCPU out of the guest as its preemption timer reaches zero: by the fast path only with APICv (vmx.c)."""
    fast = bool(m.kernel.expiry_fastpath and m.vcpus[v].apicv)
    start = kvm_exit(m, v, Exit.PREEMPTION_TIMER, fast, now)
    kvm_lapic_expired_hv_timer(m, v, start)


def ipi_arrives(m: Machine, v: int, now: int) -> None:
    """Let an IPI reach a pCPU: a kick takes the vCPU out of the guest, a posted interrupt is taken in it. Ours.

    A vCPU that is not in the guest sees to both at its next entry.
    """
    vcpu = m.vcpus[v]
    kick = vcpu.ipi_kick
    if vcpu.state == State.GUEST and now < vcpu.in_guest_at:
        schedule(m, Lane.IPI, v, vcpu.in_guest_at)
        return
    vcpu.ipi_kick = 0
    if vcpu.state == State.GUEST:
        if kick:
            leave_guest_by_irq(m, v, now)
        else:
            take_interrupt(m, v, now)
