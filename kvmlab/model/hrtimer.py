"""On which CPU a host timer is queued: kernel/time/hrtimer.c, and what it asks of kernel/sched/.

Each file's functions have the kernel's names and stand in its order (v6.8). One that is not the kernel's says so:
"Ours".
"""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.heap import remove, sift_down, sift_up
from kvmlab.model.names import NEVER, NONE, Cost, Lane, Owner, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step

# kernel/sched/isolation.c, kernel/sched/core.c


def housekeeping_any_cpu(m: Machine, cpu: int) -> int:
    """Return a housekeeping CPU, busy or not: the nearest from v5.4 on, the lowest before.

    kernel/sched/isolation.c, 5.3.1 and 5.8.18; v7.1 takes those that are equally near in turn (not in the model).
    """
    domain = m.pcpus[cpu].domain
    if m.kernel.nearest_any_cpu:
        for i in range(len(m.housekeeping)):
            near = m.housekeeping[i]
            if m.pcpus[near].domain == domain:
                return near
    return m.housekeeping[0]


def get_nohz_timer_target(m: Machine, cpu: int) -> int:
    """Return the CPU that should take an unpinned timer armed on `cpu`, which is busy arming it.

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


def search_ns(m: Machine, cpu: int, target: int) -> int:
    """Return how long get_nohz_timer_target() took on `cpu` to come to `target`. Ours.

    Up to v5.5 it looks at every other CPU of the nearest domain, and then of the whole host, lowest number first, until
    it finds a busy housekeeping CPU (5.2.1, 5.3.1). With one domain there is no second round.
    """
    if not m.kernel.searches_all_cpus or not m.host.isolated_domains or m.pcpus[cpu].housekeeping:
        return 0
    domain = m.pcpus[cpu].domain
    found = not idle_cpu(m, target)
    found_near = found and m.pcpus[target].domain == domain
    near = 0
    far = 0
    members = 0
    for i in range(len(m.pcpus)):
        if m.pcpus[i].domain == domain:
            members += 1
            if i != cpu and (not found_near or i <= target):
                near += 1
        if i != cpu and (not found or i <= target):
            far += 1
    looked_at = near
    if not found_near and members < len(m.pcpus):
        looked_at += far
    return looked_at * cost(m, m.loop.n_vcpus + cpu, Cost.SEARCHED_CPU)


def idle_cpu(m: Machine, cpu: int) -> bool:
    """Return True if nothing runs on `cpu`: no host task, and no vCPU that is awake."""
    pcpu = m.pcpus[cpu]
    if pcpu.busy:
        return False
    if pcpu.vcpu == NONE:
        return True
    state = m.vcpus[pcpu.vcpu].state
    return state in (State.BLOCKED, State.DONE)


# kernel/time/hrtimer.c


def first_expiry(m: Machine, cpu: int) -> int:
    """Return when the first of the timers queued on `cpu` expires, or NEVER. Ours: __hrtimer_get_next_event()."""
    pcpu = m.pcpus[cpu]
    if pcpu.queued == 0:
        return NEVER
    return m.timers[m.bases[pcpu.base]].time


def expires_next(m: Machine, cpu: int, now: int) -> int:
    """Return when `cpu` has its next hrtimer event; NEVER if none, and while it is inside hrtimer_interrupt().

    That sets cpu_base->expires_next to KTIME_MAX, so that no timer is moved to it meanwhile. Ours: a field there.
    """
    pcpu = m.pcpus[cpu]
    if now < pcpu.irq_until:
        return NEVER
    return first_expiry(m, cpu)


def switch_hrtimer_base(m: Machine, vcpu: int, cpu: int, target: int, expires: int, now: int) -> int:
    """Return the CPU that really takes the timer: `target`, unless the timer would be the first to expire there.

    The target would need reprogramming from afar, perhaps too late (hrtimer_check_target, from v6.13 on
    hrtimer_suitable_target).
    """
    if target != cpu and expires < expires_next(m, target, now):
        trace_step(m, now, cpu, vcpu, Trace.TARGET_REFUSED, target)
        return cpu
    return target


def hrtimer_force_reprogram(m: Machine, cpu: int) -> None:
    """Set when hrtimer_interrupt() next runs on `cpu`: when its first timer expires, but not inside the last one."""
    time = first_expiry(m, cpu)
    if time != NEVER:
        time = max(time, m.pcpus[cpu].irq_until)
    schedule(m, Lane.PCPU, cpu, time)


def next_multiple(last: int, period: int, now: int) -> int:
    """Return the first of last + period, last + 2 * period, ... after `now`. Ours: the sum in hrtimer_forward()."""
    return last + (max(0, now - last) // period + 1) * period


def hrtimer_forward(m: Machine, timer: int, now: int) -> None:
    """Let a queued timer expire again: whole periods later, after `now`. (The kernel's is not queued meanwhile.)"""
    m.loop.seq += 1
    t = m.timers[timer]
    t.time = next_multiple(t.time, t.period, now)
    t.order = m.loop.seq
    pcpu = m.pcpus[t.cpu]
    sift_down(m.timers, m.bases, pcpu.base, pcpu.queued, t.place, timer)


def enqueue_hrtimer(m: Machine, timer: int, cpu: int, expires: int) -> None:
    """Queue a timer on `cpu` for `expires` (ns); the caller reprograms the CPU, hrtimer_interrupt() once at its end."""
    m.loop.seq += 1
    t = m.timers[timer]
    t.time = expires
    t.order = m.loop.seq
    t.cpu = cpu
    pcpu = m.pcpus[cpu]
    pcpu.queued += 1
    sift_up(m.timers, m.bases, pcpu.base, pcpu.queued - 1, timer)


def __remove_hrtimer(m: Machine, timer: int) -> None:
    """Take a queued timer out; the caller reprograms the CPU."""
    t = m.timers[timer]
    pcpu = m.pcpus[t.cpu]
    remove(m.timers, m.bases, pcpu.base, pcpu.queued, timer)
    pcpu.queued -= 1
    t.cpu = NONE


def remove_hrtimer(m: Machine, timer: int) -> None:
    """Take a queued timer out before its time, and reprogram its CPU."""
    cpu = m.timers[timer].cpu
    __remove_hrtimer(m, timer)
    hrtimer_force_reprogram(m, cpu)


def hrtimer_start(m: Machine, timer: int, expires: int, cpu: int, now: int) -> None:
    """Arm a timer for `expires` (ns), from a task that runs on `cpu`. A LAPIC timer may leave that CPU from v5.3 on."""
    t = m.timers[timer]
    if t.cpu != NONE:
        remove_hrtimer(m, timer)
    target = cpu
    if t.kind == Owner.APIC_TIMER and not m.kernel.hrtimer_pinned and m.host.timer_migration:
        wanted = get_nohz_timer_target(m, cpu)
        m.vcpus[t.owner].search_ns += search_ns(m, cpu, wanted)
        trace_step(m, now, cpu, t.owner, Trace.NOHZ_TARGET, wanted)
        target = switch_hrtimer_base(m, t.owner, cpu, wanted, expires, now)
    enqueue_hrtimer(m, timer, target, expires)
    hrtimer_force_reprogram(m, target)
    trace_step(m, now, cpu, t.owner, Trace.HRTIMER_START, target)


def hrtimer_cancel(m: Machine, timer: int, now: int) -> bool:
    """Stop a timer; return True if it was queued."""
    t = m.timers[timer]
    if t.cpu == NONE:
        return False
    trace_step(m, now, t.cpu, t.owner, Trace.HRTIMER_CANCEL, 0)
    remove_hrtimer(m, timer)
    return True
