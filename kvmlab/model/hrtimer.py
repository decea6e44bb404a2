"""On which CPU a host timer is queued: kernel/time/hrtimer.c and get_nohz_timer_target() of kernel/sched/core.c."""

from __future__ import annotations

from kvmlab.model.heap import remove, sift_down, sift_up
from kvmlab.model.names import NEVER, NONE, Lane, Owner, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step


def idle_cpu(m: Machine, cpu: int) -> bool:
    """Return True if nothing runs on `cpu`: no host task, and no vCPU that is awake."""
    pcpu = m.pcpus[cpu]
    if pcpu.busy:
        return False
    if pcpu.vcpu == NONE:
        return True
    state = m.vcpus[pcpu.vcpu].state
    return state in (State.BLOCKED, State.DONE)


def housekeeping_any_cpu(m: Machine, cpu: int) -> int:
    """A housekeeping CPU, busy or not: the nearest from v5.8 on, the lowest before."""
    domain = m.pcpus[cpu].domain
    if m.kernel.nearest_any_cpu:
        for i in range(len(m.housekeeping)):
            near = m.housekeeping[i]
            if m.pcpus[near].domain == domain:
                return near
    return m.housekeeping[0]


def get_nohz_timer_target(m: Machine, cpu: int) -> int:
    """The CPU that should take an unpinned timer armed on `cpu`, which is busy arming it.

    A housekeeping CPU keeps the timer. Otherwise the first busy housekeeping CPU, nearest scheduler domain first,
    lowest number first within it; else any housekeeping CPU. CPUs taken out of the scheduler domains (isolcpus=domain)
    have none to search.
    """
    if m.pcpus[cpu].housekeeping:
        return cpu
    if m.host.isolated_domains:
        domain = m.pcpus[cpu].domain
        farther = NONE
        for i in range(len(m.housekeeping)):
            other = m.housekeeping[i]
            if not idle_cpu(m, other):
                if m.pcpus[other].domain == domain:
                    return other
                if farther == NONE:
                    farther = other
        if farther != NONE:
            return farther
    return housekeeping_any_cpu(m, cpu)


def first_expiry(m: Machine, cpu: int) -> int:
    """When the first of the timers queued on `cpu` expires, or NEVER."""
    pcpu = m.pcpus[cpu]
    if pcpu.queued == 0:
        return NEVER
    return m.timers[m.bases[pcpu.base]].time


def expires_next(m: Machine, cpu: int, now: int) -> int:
    """When `cpu` has its next hrtimer event; NEVER if none, and while it is inside hrtimer_interrupt().

    hrtimer_interrupt() sets cpu_base->expires_next to KTIME_MAX so that no timer is moved to it meanwhile.
    """
    pcpu = m.pcpus[cpu]
    if now < pcpu.irq_until:
        return NEVER
    return first_expiry(m, cpu)


def switch_hrtimer_base(m: Machine, vcpu: int, cpu: int, target: int, expires: int, now: int) -> int:
    """The CPU that really takes the timer: `target`, unless the timer would be the first to expire there.

    The target would need reprogramming from afar, perhaps too late (hrtimer_check_target, from v6.13 on
    hrtimer_suitable_target).
    """
    if target != cpu and expires < expires_next(m, target, now):
        trace_step(m, now, cpu, vcpu, Trace.TARGET_REFUSED, target)
        return cpu
    return target


def reprogram(m: Machine, cpu: int) -> None:
    """Set when hrtimer_interrupt() next runs on `cpu`."""
    time = first_expiry(m, cpu)
    if time != NEVER:
        time = max(time, m.pcpus[cpu].irq_until)
    schedule(m, Lane.PCPU, cpu, time)


def enqueue_hrtimer(m: Machine, timer: int, cpu: int, expires: int) -> None:
    """Queue a timer on `cpu`; the caller reprograms the CPU, hrtimer_interrupt() once at its end."""
    m.loop.seq += 1
    t = m.timers[timer]
    t.time = expires
    t.order = m.loop.seq
    t.cpu = cpu
    pcpu = m.pcpus[cpu]
    pcpu.queued += 1
    sift_up(m.timers, m.bases, pcpu.base, pcpu.queued - 1, timer)


def forward_hrtimer(m: Machine, timer: int, expires: int) -> None:
    """Let a queued timer expire later."""
    m.loop.seq += 1
    t = m.timers[timer]
    t.time = expires
    t.order = m.loop.seq
    pcpu = m.pcpus[t.cpu]
    sift_down(m.timers, m.bases, pcpu.base, pcpu.queued, t.place, timer)


def remove_hrtimer(m: Machine, timer: int) -> None:
    """Take a queued timer out; the caller reprograms the CPU."""
    t = m.timers[timer]
    pcpu = m.pcpus[t.cpu]
    remove(m.timers, m.bases, pcpu.base, pcpu.queued, timer)
    pcpu.queued -= 1
    t.cpu = NONE


def dequeue_hrtimer(m: Machine, timer: int) -> None:
    """Take a queued timer out before its time."""
    cpu = m.timers[timer].cpu
    remove_hrtimer(m, timer)
    reprogram(m, cpu)


def hrtimer_cancel(m: Machine, timer: int, now: int) -> bool:
    """Stop a timer; return True if it was queued."""
    t = m.timers[timer]
    if t.cpu == NONE:
        return False
    trace_step(m, now, t.cpu, t.owner, Trace.HRTIMER_CANCEL, 0)
    dequeue_hrtimer(m, timer)
    return True


def hrtimer_start(m: Machine, timer: int, expires: int, cpu: int, now: int) -> None:
    """Arm a timer on behalf of a task that runs on `cpu`."""
    t = m.timers[timer]
    if t.cpu != NONE:
        dequeue_hrtimer(m, timer)
    target = cpu
    if t.kind == Owner.APIC_TIMER and not m.kernel.hrtimer_pinned and m.host.timer_migration:
        wanted = get_nohz_timer_target(m, cpu)
        trace_step(m, now, cpu, t.owner, Trace.NOHZ_TARGET, wanted)
        target = switch_hrtimer_base(m, t.owner, cpu, wanted, expires, now)
    enqueue_hrtimer(m, timer, target, expires)
    reprogram(m, target)
    trace_step(m, now, cpu, t.owner, Trace.HRTIMER_START, target)
