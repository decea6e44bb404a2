"""On which CPU a host timer is queued: kernel/time/hrtimer.c and get_nohz_timer_target() of kernel/sched/core.c."""

from __future__ import annotations

from kvmlab.model.machine import (
    APIC_TIMER,
    BLOCKED,
    DONE,
    LANE_KINDS,
    NEVER,
    NONE,
    Machine,
    note,
    schedule,
)
from kvmlab.model.queue import rise, sink, take_out
from kvmlab.model.trace import T_HRTIMER_CANCEL, T_HRTIMER_START, T_NOHZ_TARGET, T_TARGET_REFUSED


def idle_cpu(m: Machine, cpu: int) -> bool:
    """Tell whether nothing runs on `cpu`: no host task, and no vCPU that is awake."""
    pcpu = m.pcpus[cpu]
    if pcpu.busy or pcpu.vcpu == NONE:
        return not pcpu.busy
    state = m.vcpus[pcpu.vcpu].state
    return bool(state in (BLOCKED, DONE))


def housekeeping_any_cpu(m: Machine, cpu: int) -> int:
    """A housekeeping CPU, busy or not: the nearest from v5.8 on, the lowest before."""
    domain = m.pcpus[cpu].domain
    if m.g[0].nearest_any_cpu:
        for i in range(len(m.housekeeping)):
            near = m.housekeeping[i]
            if m.pcpus[near].domain == domain:
                return int(near)
    return int(m.housekeeping[0])


def get_nohz_timer_target(m: Machine, cpu: int) -> int:
    """The CPU that should take an unpinned timer armed on `cpu`, which is busy arming it.

    A housekeeping CPU keeps the timer. Otherwise the first busy housekeeping CPU, nearest scheduler domain first,
    lowest number first within it; else any housekeeping CPU. CPUs taken out of the scheduler domains (isolcpus=domain)
    have none to search.
    """
    if m.pcpus[cpu].housekeeping:
        return cpu
    if m.g[0].domains:
        domain = m.pcpus[cpu].domain
        farther = NONE
        for i in range(len(m.housekeeping)):
            other = m.housekeeping[i]
            if not idle_cpu(m, other):
                if m.pcpus[other].domain == domain:
                    return int(other)
                if farther == NONE:
                    farther = other
        if farther != NONE:
            return int(farther)
    return housekeeping_any_cpu(m, cpu)


def first_expiry(m: Machine, cpu: int) -> int:
    """When the first of the timers queued on `cpu` expires, or NEVER."""
    pcpu = m.pcpus[cpu]
    if pcpu.queued == 0:
        return NEVER
    return int(m.timers[m.bases[pcpu.base]].time)


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
        note(m, now, cpu, vcpu, T_TARGET_REFUSED, target)
        return cpu
    return target


def reprogram(m: Machine, cpu: int) -> None:
    """Set when hrtimer_interrupt() next runs on `cpu`."""
    time = first_expiry(m, cpu)
    if time != NEVER:
        time = max(time, m.pcpus[cpu].irq_until)
    schedule(m, LANE_KINDS, cpu, time)


def enqueue_hrtimer(m: Machine, timer: int, cpu: int, expires: int) -> None:
    """Queue a timer on `cpu`; whoever calls reprograms the CPU, hrtimer_interrupt() once at its end."""
    g = m.g[0]
    g.seq += 1
    t = m.timers[timer]
    t.time = expires
    t.order = g.seq
    t.cpu = cpu
    pcpu = m.pcpus[cpu]
    pcpu.queued += 1
    rise(m.timers, m.bases, pcpu.base, pcpu.queued - 1, timer)


def forward_hrtimer(m: Machine, timer: int, expires: int) -> None:
    """Let a queued timer expire later."""
    g = m.g[0]
    g.seq += 1
    t = m.timers[timer]
    t.time = expires
    t.order = g.seq
    pcpu = m.pcpus[t.cpu]
    sink(m.timers, m.bases, pcpu.base, pcpu.queued, t.place, timer)


def remove_hrtimer(m: Machine, timer: int) -> None:
    """Take a queued timer out; whoever calls reprograms the CPU."""
    t = m.timers[timer]
    pcpu = m.pcpus[t.cpu]
    take_out(m.timers, m.bases, pcpu.base, pcpu.queued, timer)
    pcpu.queued -= 1
    t.cpu = NONE


def dequeue_hrtimer(m: Machine, timer: int) -> None:
    """Take a queued timer out before its time."""
    cpu = m.timers[timer].cpu
    remove_hrtimer(m, timer)
    reprogram(m, cpu)


def hrtimer_cancel(m: Machine, timer: int, now: int) -> bool:
    """Stop a timer; tell whether it was queued."""
    t = m.timers[timer]
    if t.cpu == NONE:
        return False
    note(m, now, t.cpu, t.owner, T_HRTIMER_CANCEL, 0)
    dequeue_hrtimer(m, timer)
    return True


def hrtimer_start(m: Machine, timer: int, expires: int, cpu: int, now: int) -> None:
    """Arm a timer on behalf of a task that runs on `cpu`."""
    g = m.g[0]
    t = m.timers[timer]
    if t.cpu != NONE:
        dequeue_hrtimer(m, timer)
    target = cpu
    if t.kind == APIC_TIMER and not g.hrtimer_pinned and g.timer_migration:
        wanted = get_nohz_timer_target(m, cpu)
        note(m, now, cpu, t.owner, T_NOHZ_TARGET, wanted)
        target = switch_hrtimer_base(m, t.owner, cpu, wanted, expires, now)
    enqueue_hrtimer(m, timer, target, expires)
    reprogram(m, target)
    note(m, now, cpu, t.owner, T_HRTIMER_START, target)
