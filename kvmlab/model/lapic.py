"""One LAPIC timer's life: arm, expire, deliver, block, wake, migrate. The only place that knows these rules.

The functions carry the names they have in arch/x86/kvm/lapic.c (a few in vmx.c and kvm_main.c), read in v5.2 to v7.1.
`v` is a vCPU's number, `now` a time in ns. Where releases differ, the kernel's machinery (see kernels.py) is asked.
"""

from __future__ import annotations

from kvmlab.kernels import AdvanceRule, ArmFastpath
from kvmlab.model.draws import cost
from kvmlab.model.hrtimer import enqueue_hrtimer, hrtimer_cancel, hrtimer_start
from kvmlab.model.names import NEVER, Cost, Lane, Place, State, TimerMode, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, scheduled, trace_step
from kvmlab.policy import HOUSEKEEPING_BIT

ADVANCE_NS_INIT = 1000
ADVANCE_NS_MAX = 5000
ADVANCE_ADJUST_MIN_CYCLES = 100
ADVANCE_ADJUST_MAX_CYCLES = 10000
ADVANCE_ADJUST_STEP = 8


# The questions.


def kvm_can_post_timer_interrupt(m: Machine, v: int) -> bool:
    """Ask the policy, on vcpu->cpu, which may be stale while the vCPU moves."""
    vcpu = m.vcpus[v]
    facts = vcpu.facts | (m.pcpus[vcpu.cpu].housekeeping << HOUSEKEEPING_BIT)
    return (m.kernel.policy >> facts) & 1 == 1


def kvm_can_use_hv_timer(m: Machine, v: int) -> bool:
    """The preemption timer exists, MWAIT exits (it stops in deep C-states), and the timer may not be posted."""
    vcpu = m.vcpus[v]
    return bool(vcpu.has_hv_timer) and not vcpu.mwait and not kvm_can_post_timer_interrupt(m, v)


def kvm_use_posted_timer_interrupt(m: Machine, v: int) -> bool:
    """Asked again at expiry: posting is allowed, and the vCPU is in guest mode."""
    return m.vcpus[v].state == State.GUEST and kvm_can_post_timer_interrupt(m, v)


def arm_takes_fastpath(m: Machine, v: int) -> bool:
    """Return True if the write that arms the timer avoids the long way: TSC-deadline only, by release."""
    gate = m.kernel.arm_fastpath
    if m.vcpus[v].timer_mode != TimerMode.TSC_DEADLINE or gate == ArmFastpath.NEVER:
        return False
    return gate != ArmFastpath.HV_ONLY or kvm_can_use_hv_timer(m, v)


# Waking and interrupting a vCPU (kvm_main.c, vmx.c).


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


def send_ipi(m: Machine, v: int, time: int) -> None:
    """Let an interrupt reach the vCPU's pCPU at `time`, or with the one already on its way if that is earlier."""
    if time < scheduled(m, Lane.IPI, v):
        schedule(m, Lane.IPI, v, time)


def kvm_vcpu_kick(m: Machine, v: int, cpu: int, now: int) -> None:
    """Make a vCPU look at its requests: wake it, or force it out of guest mode by a reschedule IPI from `cpu`."""
    vcpu = m.vcpus[v]
    if vcpu.state == State.BLOCKED:
        kvm_vcpu_wake_up(m, v, now)
    elif vcpu.state == State.GUEST and vcpu.pcpu != cpu:
        trace_step(m, now, cpu, v, Trace.KICK, vcpu.pcpu)
        vcpu.ipi_kick = 1
        send_ipi(m, v, now + cost(m, v, Cost.KICK))


# Timer advance: fire early, spend the rest waiting.


def adjust_lapic_timer_advance(m: Machine, v: int, late_ns: int) -> None:
    """Tune timer_advance_ns by how late (or, negative, early) the timer was seen."""
    vcpu = m.vcpus[v]
    rule = m.kernel.advance_rule
    error = abs(late_ns)
    cycles = error * m.host.tsc_khz // 1_000_000
    if rule == AdvanceRule.V5_8:
        if cycles < ADVANCE_ADJUST_MIN_CYCLES or cycles > ADVANCE_ADJUST_MAX_CYCLES:
            return
        step = error // ADVANCE_ADJUST_STEP
    else:
        if vcpu.advance_done:
            return
        step = min(error, vcpu.advance_ns // ADVANCE_ADJUST_STEP)
        if cycles < ADVANCE_ADJUST_MIN_CYCLES:
            vcpu.advance_done = 1
    vcpu.advance_ns += step if late_ns > 0 else -step
    if vcpu.advance_ns < 0 or vcpu.advance_ns > ADVANCE_NS_MAX:
        vcpu.advance_ns = ADVANCE_NS_INIT
        vcpu.advance_done = 0
        if rule == AdvanceRule.V5_2:
            vcpu.advance_ns = 0
            vcpu.advance_done = 1


def kvm_wait_lapic_expire(m: Machine, v: int, cpu: int, now: int) -> int:
    """Wait on `cpu` for the true deadline, at most the advance; return the time after it.

    The advance is tuned before the wait, as in the kernel: one that has just shrunk may end the wait a little early.
    """
    vcpu = m.vcpus[v]
    deadline = vcpu.expired_deadline
    if deadline == NEVER or vcpu.advance_ns == 0:
        return now
    vcpu.expired_deadline = NEVER
    if vcpu.advance_dynamic:
        adjust_lapic_timer_advance(m, v, now - deadline)
    wait = min(max(0, deadline - now), vcpu.advance_ns)
    trace_step(m, now, cpu, v, Trace.WAIT, wait)
    return now + wait


# Expiry and injection.


def set_irr(m: Machine, v: int, deadline: int) -> None:
    """Set the timer's vector pending in the virtual APIC, where one bit stands for any number of interrupts."""
    vcpu = m.vcpus[v]
    if vcpu.irr:
        vcpu.coalesced += 1
    else:
        vcpu.irr = 1
        vcpu.irr_deadline = deadline


def timer_is_spent(m: Machine, v: int) -> None:
    """A TSC-deadline or one-shot timer that has been delivered is no longer armed."""
    vcpu = m.vcpus[v]
    if vcpu.timer_mode != TimerMode.PERIODIC:
        vcpu.deadline = NEVER


def kvm_apic_inject_pending_timer_irqs(m: Machine, v: int) -> None:
    """Deliver in the vCPU's own context."""
    set_irr(m, v, m.vcpus[v].pending_deadline)
    timer_is_spent(m, v)


def post_timer_interrupt(m: Machine, v: int, deadline: int, now: int) -> None:
    """Set the vector in the posted-interrupt descriptor and notify the vCPU's pCPU (vmx_deliver_posted_interrupt).

    A vCPU that has left guest mode since it was asked finds the vector at its next entry, and is woken if it sleeps.
    """
    vcpu = m.vcpus[v]
    trace_step(m, now, vcpu.posted_by, v, Trace.EXPIRED_POSTED, vcpu.pcpu)
    set_irr(m, v, deadline)
    if vcpu.state == State.GUEST:
        send_ipi(m, v, now + cost(m, v, Cost.POSTED_DELIVERY))
    else:
        kvm_vcpu_wake_up(m, v, now)


def kvm_inject_apic_timer_irqs(m: Machine, v: int, now: int) -> None:
    """On the way into the guest: one interrupt, however many expiries were missed."""
    vcpu = m.vcpus[v]
    if vcpu.pending:
        trace_step(m, now, vcpu.pcpu, v, Trace.INJECT, 0)
        kvm_apic_inject_pending_timer_irqs(m, v)
        vcpu.pending = 0


def apic_timer_expired(m: Machine, v: int, cpu: int, from_timer_fn: bool, now: int) -> int:
    """The timer has expired, seen on `cpu`; return the time when this is dealt with there.

    Order of tests as in the kernel: dropped if one is pending; injected directly in the vCPU's own context with APICv
    (from v5.8); posted; else pending, and the vCPU is kicked when a host timer saw it.
    """
    vcpu = m.vcpus[v]
    vcpu.live = 0
    if vcpu.pending:
        trace_step(m, now, cpu, v, Trace.EXPIRED_DROPPED, 0)
        vcpu.coalesced += 1
        return now
    if vcpu.timer_mode == TimerMode.TSC_DEADLINE or vcpu.hv_timer_in_use:
        vcpu.expired_deadline = vcpu.deadline
    vcpu.pending_deadline = vcpu.deadline
    if not from_timer_fn and vcpu.apicv and m.kernel.expiry_fastpath:
        kvm_apic_inject_pending_timer_irqs(m, v)
        return now
    if from_timer_fn and kvm_use_posted_timer_interrupt(m, v):
        posted = kvm_wait_lapic_expire(m, v, cpu, now) + cost(m, v, Cost.POST)
        vcpu.posting = 1
        vcpu.posting_deadline = vcpu.deadline
        vcpu.posted_by = cpu
        timer_is_spent(m, v)
        schedule(m, Lane.POST, v, posted)
        return posted
    trace_step(m, now, cpu, v, Trace.EXPIRED_PENDING, 0)
    vcpu.pending = 1
    if from_timer_fn:
        kvm_vcpu_kick(m, v, cpu, now)
    return now


def count_place(m: Machine, v: int, place: int) -> None:
    """Count one expiry by where it found the vCPU and what became of it."""
    m.places[v * len(Place) + place] += 1


def place_of_hrtimer(m: Machine, v: int, cpu: int, interrupted: int) -> int:
    """Where an expiry on `cpu` finds the vCPU; `interrupted`: the vCPU that this interrupt took out of the guest."""
    if interrupted == v:
        return Place.OWN
    if m.vcpus[v].state != State.GUEST:
        return Place.NOT_IN_GUEST
    return Place.POSTED if kvm_can_post_timer_interrupt(m, v) else Place.KICKED


def advance_periodic_target_expiration(m: Machine, v: int) -> None:
    """Set the next deadline of a periodic timer."""
    vcpu = m.vcpus[v]
    vcpu.deadline += vcpu.period
    vcpu.live = 1
    vcpu.armed += 1


def apic_timer_fn(m: Machine, v: int, cpu: int, interrupted: int, now: int) -> int:
    """The hrtimer's callback, run on `cpu`; a periodic timer is queued again on the same CPU. Return the time after."""
    count_place(m, v, place_of_hrtimer(m, v, cpu, interrupted))
    done = apic_timer_expired(m, v, cpu, True, now)
    vcpu = m.vcpus[v]
    if vcpu.timer_mode == TimerMode.PERIODIC:
        advance_periodic_target_expiration(m, v)
        enqueue_hrtimer(m, v, cpu, vcpu.deadline)
    return done


# Arming.


def cancel_hv_timer(m: Machine, v: int, now: int) -> None:
    """Turn the preemption timer off."""
    vcpu = m.vcpus[v]
    if vcpu.hv_timer_in_use:
        trace_step(m, now, vcpu.pcpu, v, Trace.CANCEL_HV_TIMER, 0)
    vcpu.hv_timer_in_use = 0


def vmx_set_hv_timer(m: Machine, v: int, now: int) -> int:
    """Compute hv_deadline; return how far it is (0: expired), or -1 for -ERANGE (32 bits of 2**N cycles)."""
    vcpu = m.vcpus[v]
    delta = max(0, vcpu.deadline - now - vcpu.advance_ns)
    if delta >= m.host.hv_range_ns:
        trace_step(m, now, vcpu.pcpu, v, Trace.HV_ERANGE, 0)
        return -1
    vcpu.hv_deadline = now + delta
    return delta


def expire_at_once(m: Machine, v: int, now: int) -> None:
    """The deadline has come before the timer could be armed: deliver in the vCPU's own context."""
    vcpu = m.vcpus[v]
    trace_step(m, now, vcpu.pcpu, v, Trace.EXPIRED_AT_ONCE, 0)
    count_place(m, v, Place.AT_ARM)
    apic_timer_expired(m, v, vcpu.pcpu, False, now)


def start_hv_timer(m: Machine, v: int, now: int) -> bool:
    """Use the preemption timer; False if it can't serve."""
    vcpu = m.vcpus[v]
    if not kvm_can_use_hv_timer(m, v):
        trace_step(m, now, vcpu.pcpu, v, Trace.HV_REFUSED, 0)
        return False
    if vcpu.deadline == NEVER:
        return False
    delta = vmx_set_hv_timer(m, v, now)
    if delta < 0:
        return False
    vcpu.hv_timer_in_use = 1
    vcpu.hv_armed += 1
    trace_step(m, now, vcpu.pcpu, v, Trace.START_HV_TIMER, vcpu.deadline)
    hrtimer_cancel(m, v, now)
    if vcpu.timer_mode != TimerMode.PERIODIC:
        if vcpu.pending:
            cancel_hv_timer(m, v, now)
        elif delta == 0:
            expire_at_once(m, v, now)
            cancel_hv_timer(m, v, now)
    return True


def start_sw_tscdeadline(m: Machine, v: int, now: int) -> None:
    """Arm the hrtimer early by the advance; a deadline nearer than that is delivered at once.

    An hrtimer still queued from before a block (v5.16 and older come here after each) would fire once more, for nothing
    [derived]; the model takes it out.
    """
    vcpu = m.vcpus[v]
    if vcpu.deadline == NEVER:
        trace_step(m, now, vcpu.pcpu, v, Trace.NOTHING_ARMED, 0)
    elif vcpu.deadline - now > vcpu.advance_ns:
        hrtimer_start(m, v, vcpu.deadline - vcpu.advance_ns, vcpu.pcpu, now)
    else:
        hrtimer_cancel(m, v, now)
        expire_at_once(m, v, now)


def start_sw_period(m: Machine, v: int, now: int) -> None:
    """Arm the hrtimer for a one-shot or periodic timer: no advance."""
    vcpu = m.vcpus[v]
    if vcpu.deadline == NEVER:
        trace_step(m, now, vcpu.pcpu, v, Trace.NOTHING_ARMED, 0)
        return
    if now >= vcpu.deadline:
        expire_at_once(m, v, now)
        if vcpu.timer_mode == TimerMode.ONESHOT:
            return
        advance_periodic_target_expiration(m, v)
    hrtimer_start(m, v, vcpu.deadline, vcpu.pcpu, now)


def start_sw_timer(m: Machine, v: int, now: int) -> None:
    """Use a host hrtimer."""
    vcpu = m.vcpus[v]
    cancel_hv_timer(m, v, now)
    if vcpu.timer_mode != TimerMode.PERIODIC and vcpu.pending:
        return
    trace_step(m, now, vcpu.pcpu, v, Trace.START_SW_TIMER, vcpu.deadline)
    if vcpu.timer_mode == TimerMode.TSC_DEADLINE:
        start_sw_tscdeadline(m, v, now)
    else:
        start_sw_period(m, v, now)


def restart_apic_timer(m: Machine, v: int, now: int) -> None:
    """Choose again: the preemption timer, else an hrtimer."""
    vcpu = m.vcpus[v]
    if vcpu.timer_mode != TimerMode.PERIODIC and vcpu.pending:
        return
    if not start_hv_timer(m, v, now):
        start_sw_timer(m, v, now)


def start_apic_timer(m: Machine, v: int, deadline: int, now: int) -> None:
    """Arm for `deadline` (NEVER disarms). What was armed, or expired and not yet injected, is cancelled."""
    vcpu = m.vcpus[v]
    hrtimer_cancel(m, v, now)
    if vcpu.timer_mode != TimerMode.TSC_DEADLINE:
        cancel_hv_timer(m, v, now)
    vcpu.cancelled += vcpu.live + vcpu.pending
    vcpu.pending = 0
    vcpu.live = 0
    vcpu.deadline = deadline
    if deadline != NEVER:
        vcpu.live = 1
        vcpu.armed += 1
        if vcpu.timer_mode == TimerMode.PERIODIC:
            vcpu.period = max(deadline - now, m.host.min_timer_period_ns)
            vcpu.deadline = now + vcpu.period
    trace_step(m, now, vcpu.pcpu, v, Trace.START_APIC_TIMER, deadline)
    restart_apic_timer(m, v, now)


# The preemption timer's end, blocking, moving.


def kvm_lapic_expired_hv_timer(m: Machine, v: int, now: int) -> None:
    """The preemption timer took the vCPU out of the guest; a periodic timer chooses again."""
    vcpu = m.vcpus[v]
    if not vcpu.hv_timer_in_use:
        return
    trace_step(m, now, vcpu.pcpu, v, Trace.HV_EXPIRED, 0)
    count_place(m, v, Place.HV)
    apic_timer_expired(m, v, vcpu.pcpu, False, now)
    cancel_hv_timer(m, v, now)
    if vcpu.timer_mode == TimerMode.PERIODIC:
        advance_periodic_target_expiration(m, v)
        restart_apic_timer(m, v, now)


def kvm_lapic_switch_to_sw_timer(m: Machine, v: int, now: int) -> None:
    """The vCPU blocks: the preemption timer counts in guest mode only, so an hrtimer takes over."""
    vcpu = m.vcpus[v]
    vcpu.was_hv = vcpu.hv_timer_in_use
    if vcpu.hv_timer_in_use:
        trace_step(m, now, vcpu.pcpu, v, Trace.SWITCH_TO_SW, 0)
        start_sw_timer(m, v, now)


def kvm_lapic_switch_to_hv_timer(m: Machine, v: int, now: int) -> None:
    """The vCPU wakes: choose again. Up to v5.16 after every block, later only if the hv timer was in use before."""
    if m.kernel.rearm_after_block or m.vcpus[v].was_hv:
        trace_step(m, now, m.vcpus[v].pcpu, v, Trace.SWITCH_TO_HV, 0)
        restart_apic_timer(m, v, now)


def kvm_lapic_restart_hv_timer(m: Machine, v: int, now: int) -> None:
    """The vCPU was loaded on another pCPU: choose again, with vcpu->cpu still the old one."""
    if m.vcpus[v].hv_timer_in_use:
        restart_apic_timer(m, v, now)


def kvm_migrate_apic_timer(m: Machine, v: int, now: int) -> None:
    """Bring a queued hrtimer along to the new pCPU, unless it may be posted (__kvm_migrate_apic_timer)."""
    vcpu = m.vcpus[v]
    expires = m.timers[v].time
    if not kvm_can_post_timer_interrupt(m, v) and hrtimer_cancel(m, v, now):
        trace_step(m, now, vcpu.pcpu, v, Trace.MIGRATE, 0)
        hrtimer_start(m, v, expires, vcpu.pcpu, now)
