"""What interrupts a pCPU or a vCPU: the CPU's event timer, the preemption timer, and IPIs."""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.guest_os import take_interrupt
from kvmlab.model.hrtimer import __remove_hrtimer, first_expiry, hrtimer_force_reprogram, hrtimer_forward
from kvmlab.model.kvm_main import on_fastpath
from kvmlab.model.lapic import apic_timer_fn, kvm_lapic_expired_hv_timer
from kvmlab.model.names import NONE, Cost, Exit, Lane, Owner, State, Trace
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
        __remove_hrtimer(m, timer)
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
    hrtimer_forward(m, timer, now)
    return now


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
    pcpu.irq_until = t
    pcpu.irq_end = t
    pcpu.queue_max = max(pcpu.queue_max, served)
    trace_step(m, started, cpu, NONE, Trace.HRTIMER_INTERRUPT, t - started)
    if resident != NONE and handles_exit(m, resident):
        schedule(m, Lane.VCPU, resident, scheduled(m, Lane.VCPU, resident) + t - started)
    if first <= t:
        # "hrtimer: interrupt took ... ns": as long again for everything else, at most HANG_MAX_NS
        pcpu.irq_until = t + min(t - started, HANG_MAX_NS)
    hrtimer_force_reprogram(m, cpu)


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
