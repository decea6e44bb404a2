"""On which CPU a host timer is queued: kernel/time/hrtimer.c, and what it asks of kernel/sched/.

Each file's functions have the kernel's names and stand in its order (v6.8). One that is not the kernel's says so:
"Ours".
"""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.heap import remove, sift_down, sift_up
from kvmlab.model.names import NEVER, NONE, Cost, Lane, Owner, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, scheduled, trace_step

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


def get_nohz_timer_target(m: Machine, cpu: int, now: int) -> int:
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
            if not idle_cpu(m, other, now):
                if m.pcpus[other].domain == domain:
                    return other
                if farther == NONE:
                    farther = other
        if farther != NONE:
            return farther
    return housekeeping_any_cpu(m, cpu)


def search_ns(m: Machine, cpu: int, target: int, now: int) -> int:
    """Return how long get_nohz_timer_target() took on `cpu` to come to `target`. Ours.

    Up to v5.5 it looks at every other CPU of the nearest domain, and then of the whole host, lowest number first, until
    it finds a busy housekeeping CPU (5.2.1, 5.3.1). With one domain there is no second round.
    """
    if not m.kernel.searches_all_cpus or not m.host.isolated_domains or m.pcpus[cpu].housekeeping:
        return 0
    domain = m.pcpus[cpu].domain
    found = not idle_cpu(m, target, now)
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


def idle_cpu(m: Machine, cpu: int, now: int) -> bool:
    """Return True if nothing runs on `cpu`: no host task, and no vCPU thread.

    The thread of a vCPU that polls instead of sleeping is the running task, rq->curr, of its CPU (kvm_vcpu_halt,
    kvm_main.c); one that is being woken is in the run queue, or on its way there (rq->nr_running, rq->ttwu_pending).
    """
    pcpu = m.pcpus[cpu]
    if pcpu.busy:
        return False
    if pcpu.vcpu == NONE:
        return True
    vcpu = m.vcpus[pcpu.vcpu]
    if vcpu.state == State.BLOCKED:
        polls = now - vcpu.blocked_at <= vcpu.halt_poll_ns
        return not polls and scheduled(m, Lane.VCPU, pcpu.vcpu) == NEVER
    return vcpu.state == State.DONE


# kernel/time/hrtimer.c


def first_expiry(m: Machine, cpu: int) -> int:
    """Return when the first of the timers queued on `cpu` expires, or NEVER. Ours: __hrtimer_get_next_event()."""
    pcpu = m.pcpus[cpu]
    if pcpu.queued == 0:
        return NEVER
    return m.timers[m.bases[pcpu.base]].time


def hrtimer_check_target(expires: int, expires_next: int) -> bool:
    """Return True if a CPU refuses a timer from afar: the timer would come before what its event timer is set to.

    From v6.13 on hrtimer_suitable_target(), which answers the other way round.
    """
    return expires < expires_next


def switch_hrtimer_base(m: Machine, vcpu: int, cpu: int, target: int, expires: int, now: int) -> int:
    """Return the CPU that really takes the timer: `target`, unless that refuses it, since it can be reprogrammed by
    itself only.

    What decides is the target's expires_next, true or stale. While it is inside hrtimer_interrupt() that is KTIME_MAX,
    and every timer is refused.
    """
    if target == cpu:
        return cpu
    pcpu = m.pcpus[target]
    pcpu.offered += 1
    if hrtimer_check_target(expires, NEVER if now < pcpu.shut_until else pcpu.expires_next):
        pcpu.refused += 1
        trace_step(m, now, cpu, vcpu, Trace.TARGET_REFUSED, target)
        return cpu
    if expires < first_expiry(m, target):
        pcpu.taken_stale += 1
    return target


def hrtimer_update_next_event(m: Machine, cpu: int) -> int:
    """Return when the first of the timers queued on `cpu` expires, or NEVER; remember which timer that is."""
    pcpu = m.pcpus[cpu]
    pcpu.next_timer = NONE if pcpu.queued == 0 else m.bases[pcpu.base]
    return first_expiry(m, cpu)


def __hrtimer_reprogram(m: Machine, cpu: int, expires: int) -> None:
    """Set the event timer of `cpu` to `expires`, or to the end of an interrupt under way.

    After a hang the delay that hrtimer_interrupt() has set stays in force.
    """
    pcpu = m.pcpus[cpu]
    pcpu.expires_next = expires
    if not pcpu.hang_detected:
        schedule(m, Lane.PCPU, cpu, expires if expires == NEVER else max(expires, pcpu.irq_until))


def hrtimer_force_reprogram(m: Machine, cpu: int) -> None:
    """Set the event timer of `cpu` to what is queued there, whatever it was set to."""
    expires = hrtimer_update_next_event(m, cpu)
    if expires != m.pcpus[cpu].expires_next:
        __hrtimer_reprogram(m, cpu, expires)


def hrtimer_reprogram(m: Machine, timer: int) -> None:
    """Set the event timer of the CPU on which this timer was queued just now, if it comes before all others there.

    That CPU itself does this: an event timer cannot be set from afar.
    """
    t = m.timers[timer]
    pcpu = m.pcpus[t.cpu]
    if t.time < pcpu.expires_next:
        pcpu.next_timer = timer
        __hrtimer_reprogram(m, t.cpu, t.time)


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
    t.base = cpu
    pcpu = m.pcpus[cpu]
    pcpu.queued += 1
    sift_up(m.timers, m.bases, pcpu.base, pcpu.queued - 1, timer)


def __remove_hrtimer(m: Machine, timer: int, reprogram: bool) -> None:
    """Take a queued timer out; if asked, set its CPU's event timer anew, should that have been set for this one."""
    t = m.timers[timer]
    cpu = t.cpu
    pcpu = m.pcpus[cpu]
    remove(m.timers, m.bases, pcpu.base, pcpu.queued, timer)
    pcpu.queued -= 1
    t.cpu = NONE
    if reprogram and pcpu.next_timer == timer:
        hrtimer_force_reprogram(m, cpu)


def remove_hrtimer(m: Machine, timer: int, cpu: int, keep_local: bool, now: int) -> None:
    """Take a queued timer out before its time, by a task that runs on `cpu`.

    If it was queued elsewhere, nothing sets the other CPU's event timer ("a rare case and less expensive than a smp
    call", 5.2.1 to 7.1.3): its expires_next stays, and if that is not passed by an earlier timer of its own, one
    interrupt comes for nothing. Only if it is inside hrtimer_interrupt() right now, it looks again at the end.
    `keep_local`: the caller sets the event timer itself.
    """
    elsewhere = m.timers[timer].cpu
    __remove_hrtimer(m, timer, elsewhere == cpu and not keep_local)
    if elsewhere != cpu and now < m.pcpus[elsewhere].irq_end:
        hrtimer_force_reprogram(m, elsewhere)


def hrtimer_start(m: Machine, timer: int, expires: int, cpu: int, now: int) -> None:
    """Arm a timer for `expires` (ns), from a task that runs on `cpu`. A LAPIC timer may leave that CPU from v5.3 on.

    __hrtimer_start_range_ns(): from v5.15 on it stays if it was queued here last and the event timer is set for it.
    v7.1 (hrtimer_prefer_local) keeps on a housekeeping CPU what get_nohz_timer_target() would leave there anyway.
    """
    t = m.timers[timer]
    was_first = t.base != NONE and m.pcpus[t.base].next_timer == timer
    force_local = bool(m.kernel.keeps_first_local) and was_first and t.base == cpu
    if t.cpu != NONE:
        remove_hrtimer(m, timer, cpu, force_local, now)
    target = cpu
    if t.kind == Owner.APIC_TIMER and not m.kernel.hrtimer_pinned and m.host.timer_migration and not force_local:
        wanted = get_nohz_timer_target(m, cpu, now)
        m.vcpus[t.owner].search_ns += search_ns(m, cpu, wanted, now)
        trace_step(m, now, cpu, t.owner, Trace.NOHZ_TARGET, wanted)
        target = switch_hrtimer_base(m, t.owner, cpu, wanted, expires, now)
    enqueue_hrtimer(m, timer, target, expires)
    if force_local or (m.kernel.deferred_rearm and was_first and target == cpu):
        hrtimer_force_reprogram(m, cpu)
    elif target == cpu:
        hrtimer_reprogram(m, timer)
    trace_step(m, now, cpu, t.owner, Trace.HRTIMER_START, target)


def hrtimer_cancel(m: Machine, timer: int, now: int) -> bool:
    """Stop a vCPU's timer, by the vCPU's own thread; return True if it was queued."""
    t = m.timers[timer]
    if t.cpu == NONE:
        return False
    trace_step(m, now, t.cpu, t.owner, Trace.HRTIMER_CANCEL, 0)
    remove_hrtimer(m, timer, m.vcpus[t.owner].pcpu, False, now)
    return True
