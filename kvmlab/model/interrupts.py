"""What interrupts a pCPU or a vCPU: the CPU's event timer, the preemption timer, IPIs and posted interrupts."""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.guest_os import next_multiple, take_interrupt
from kvmlab.model.hrtimer import first_expiry, forward_hrtimer, remove_hrtimer, reprogram
from kvmlab.model.lapic import apic_timer_fn, kvm_lapic_expired_hv_timer, post_timer_interrupt
from kvmlab.model.names import NONE, Cost, Exit, Lane, Owner, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, scheduled, trace_step
from kvmlab.model.vcpu import leave_guest_by_irq
from kvmlab.model.vmexit import handles_exit, kvm_exit

HRTIMER_RETRIES = 3
"""How often hrtimer_interrupt() looks again for timers that came due meanwhile, before it gives the CPU back."""


def run_hrtimer(m: Machine, cpu: int, timer: int, interrupted: int, now: int) -> int:
    """Run one timer's callback on `cpu`; return the time after it."""
    t = m.timers[timer]
    pcpu = m.pcpus[cpu]
    expires = t.time
    if t.kind == Owner.APIC_TIMER:
        remove_hrtimer(m, timer)
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
    forward_hrtimer(m, timer, next_multiple(expires, t.period, now))
    return now


def hrtimer_interrupt(m: Machine, cpu: int, now: int) -> None:
    """The CPU's event timer fires: run all callbacks that are due. A vCPU in guest mode there has to exit first."""
    pcpu = m.pcpus[cpu]
    resident = pcpu.vcpu
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
        pcpu.irq_until = t + (t - started)  # "interrupt took too long": as long again for everything else
    reprogram(m, cpu)


def hv_timer_expires(m: Machine, v: int, now: int) -> None:
    """The preemption timer reaches zero in guest mode. Without APICv the fast path has to go the long way round."""
    x = m.vcpus[v]
    fast = bool(m.kernel.expiry_fastpath and x.apicv)
    start = kvm_exit(m, v, Exit.PREEMPTION_TIMER, fast, now)
    kvm_lapic_expired_hv_timer(m, v, start)


def ipi_arrives(m: Machine, v: int, now: int) -> None:
    """A kick takes the vCPU out of the guest, a posted interrupt is taken in it; else the next entry sees to both."""
    x = m.vcpus[v]
    kick = x.ipi_kick
    if x.state == State.GUEST and now < x.in_guest_at:
        schedule(m, Lane.IPI, v, x.in_guest_at)
        return
    x.ipi_kick = 0
    if x.state == State.GUEST:
        if kick:
            leave_guest_by_irq(m, v, now)
        else:
            take_interrupt(m, v, now)


def post_arrives(m: Machine, v: int, now: int) -> None:
    """The true deadline has come: the interrupt is posted, to a vCPU that may have left the guest meanwhile."""
    x = m.vcpus[v]
    x.posting = 0
    post_timer_interrupt(m, v, x.posting_deadline, now)
