"""One LAPIC timer's life: arm, expire, deliver, block, wake, migrate: arch/x86/kvm/lapic.c, function by function.

The functions have the kernel's names, without a leading ``__``, and stand in the order of lapic.c (v6.8; they were read
in v5.2 to v7.1). One that is not the kernel's stands before its first user and says so: "Ours". `v` is a vCPU's number,
`now` a time in ns. Where releases differ, the kernel's machinery is asked (`kvmlab.kernels`).
"""

from __future__ import annotations

from kvmlab.kernels import AdvanceRule
from kvmlab.model.draws import cost
from kvmlab.model.hrtimer import enqueue_hrtimer, hrtimer_cancel, hrtimer_start
from kvmlab.model.kvm_main import kvm_vcpu_kick, on_fastpath
from kvmlab.model.names import NEVER, Cost, Lane, Place, State, TimerMode, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step
from kvmlab.model.vmx import HV_ERANGE, set_irr, vmx_deliver_posted_interrupt, vmx_set_hv_timer
from kvmlab.policy import HOUSEKEEPING_BIT

ADVANCE_NS_INIT = 1000
ADVANCE_NS_MAX = 5000
ADVANCE_ADJUST_MIN_CYCLES = 100
ADVANCE_ADJUST_MAX_CYCLES = 10000
ADVANCE_ADJUST_STEP = 8
"""LAPIC_TIMER_ADVANCE_..."""


def kvm_can_post_timer_interrupt(m: Machine, v: int) -> bool:
    """Return the policy's answer, for the pCPU that vcpu->cpu names; it may be stale while the vCPU moves."""
    vcpu = m.vcpus[v]
    facts = vcpu.facts | (m.pcpus[vcpu.cpu].housekeeping << HOUSEKEEPING_BIT)
    m.loop.asked |= 1 << facts
    return (m.kernel.policy >> facts) & 1 == 1


def kvm_can_use_hv_timer(m: Machine, v: int) -> bool:
    """Return True if there is a preemption timer, MWAIT exits (deep C-states stop it), and no posting is allowed."""
    vcpu = m.vcpus[v]
    return bool(vcpu.has_hv_timer) and not vcpu.mwait and not kvm_can_post_timer_interrupt(m, v)


def kvm_use_posted_timer_interrupt(m: Machine, v: int) -> bool:
    """Return True if an expiry is posted, asked when it comes: posting is allowed, and vcpu->mode is IN_GUEST_MODE.

    So it is on the fast path, too: what is posted then, the vCPU takes as it enters again.
    """
    in_guest_mode = m.vcpus[v].state == State.GUEST or on_fastpath(m, v)
    return in_guest_mode and kvm_can_post_timer_interrupt(m, v)


def adjust_lapic_timer_advance(m: Machine, v: int, late_ns: int) -> None:
    """Tune timer_advance_ns by how late (or, negative, early) the timer was seen, in ns."""
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
        vcpu.advance_ns = 0 if rule == AdvanceRule.V5_2 else ADVANCE_NS_INIT
        vcpu.advance_done = int(rule == AdvanceRule.V5_2)


def kvm_wait_lapic_expire(m: Machine, v: int, cpu: int, now: int) -> int:
    """Wait on `cpu` for the true deadline, at most the advance; return the time after it.

    The advance is tuned by how late or early the timer was seen: from v5.13 on before the wait, so that one that has
    just shrunk may end the wait a little early; before that after it (5.2.1 to 5.11.4, 5.14.2 to 7.1.3).
    """
    vcpu = m.vcpus[v]
    deadline = vcpu.expired_deadline
    if deadline == NEVER or vcpu.advance_ns == 0:
        return now
    vcpu.expired_deadline = NEVER
    if vcpu.advance_dynamic and m.kernel.tunes_before_wait:
        adjust_lapic_timer_advance(m, v, now - deadline)
    wait = min(max(0, deadline - now), vcpu.advance_ns)
    if vcpu.advance_dynamic and not m.kernel.tunes_before_wait:
        adjust_lapic_timer_advance(m, v, now - deadline)
    trace_step(m, now, cpu, v, Trace.WAIT, wait)
    return now + wait


def timer_is_spent(m: Machine, v: int) -> None:
    """Disarm a TSC-deadline or one-shot timer that is delivered. Ours: part of kvm_apic_inject_pending_timer_irqs()."""
    vcpu = m.vcpus[v]
    if vcpu.timer_mode != TimerMode.PERIODIC:
        vcpu.deadline = NEVER


def kvm_apic_inject_pending_timer_irqs(m: Machine, v: int) -> None:
    """Deliver the expiry that is pending, in the vCPU's own context."""
    set_irr(m, v, m.vcpus[v].pending_deadline)
    timer_is_spent(m, v)


def apic_timer_expired(m: Machine, v: int, cpu: int, from_timer_fn: bool, now: int) -> int:
    """Deal with an expiry that `cpu` sees; return the time when that is done there.

    Dropped if one is pending; injected directly in the vCPU's own context with APICv (from v5.8); posted; else pending,
    and the vCPU is kicked if a host timer saw it (`from_timer_fn`).
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
        if vcpu.posting:
            vmx_deliver_posted_interrupt(m, v, now)  # a periodic timer that catches up: the one before is posted by now
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
    """Count an expiry by where it found the vCPU, and its outcome. Ours."""
    m.places[v * len(Place) + place] += 1


def expire_at_once(m: Machine, v: int, now: int) -> None:
    """Deliver a deadline that has come before its timer could be armed. Ours: apic_timer_expired() and the counting.

    An hrtimer still queued from before a block (up to v5.16 each block ends with arming again) is taken out. The kernel
    leaves it to expire once more, if the guest does not write its timer before, and to interrupt for nothing [derived]
    (start_sw_tscdeadline and start_sw_period, 5.2.1 to 5.15.16).
    """
    vcpu = m.vcpus[v]
    hrtimer_cancel(m, v, now)
    trace_step(m, now, vcpu.pcpu, v, Trace.EXPIRED_AT_ONCE, 0)
    count_place(m, v, Place.AT_ARM)
    apic_timer_expired(m, v, vcpu.pcpu, False, now)


def start_sw_tscdeadline(m: Machine, v: int, now: int) -> None:
    """Arm the hrtimer early by the advance; a deadline nearer than that is delivered at once."""
    vcpu = m.vcpus[v]
    if vcpu.deadline - now > vcpu.advance_ns:
        hrtimer_start(m, v, vcpu.deadline - vcpu.advance_ns, vcpu.pcpu, now)
    else:
        expire_at_once(m, v, now)


def set_target_expiration(m: Machine, v: int, count_ns: int, now: int) -> None:
    """Set period and deadline of a periodic timer from its initial count, at least kvm.min_timer_period_us."""
    vcpu = m.vcpus[v]
    vcpu.period = max(count_ns, m.host.min_timer_period_ns)
    vcpu.deadline = now + vcpu.period


def advance_periodic_target_expiration(m: Machine, v: int, now: int) -> None:
    """Set the next deadline of a periodic timer, one period after the last; by release not before `now` (7.1.3)."""
    vcpu = m.vcpus[v]
    vcpu.deadline += vcpu.period
    if m.kernel.skips_missed_periods:
        vcpu.deadline = max(vcpu.deadline, now)
    vcpu.live = 1
    vcpu.armed += 1


def start_sw_period(m: Machine, v: int, now: int) -> None:
    """Arm the hrtimer of a one-shot or periodic timer: no advance. What is already past is delivered at once."""
    vcpu = m.vcpus[v]
    if now > vcpu.deadline:
        expire_at_once(m, v, now)
        if vcpu.timer_mode == TimerMode.ONESHOT:
            return
        advance_periodic_target_expiration(m, v, now)
    hrtimer_start(m, v, vcpu.deadline, vcpu.pcpu, now)


def cancel_hv_timer(m: Machine, v: int, now: int) -> None:
    """Turn the preemption timer off."""
    vcpu = m.vcpus[v]
    if vcpu.hv_timer_in_use:
        trace_step(m, now, vcpu.pcpu, v, Trace.CANCEL_HV_TIMER, 0)
    vcpu.hv_timer_in_use = 0


def start_hv_timer(m: Machine, v: int, now: int) -> bool:
    """Arm the preemption timer; return False if it cannot serve."""
    vcpu = m.vcpus[v]
    if not kvm_can_use_hv_timer(m, v):
        trace_step(m, now, vcpu.pcpu, v, Trace.HV_REFUSED, 0)
        return False
    if vcpu.deadline == NEVER:
        return False
    delta = vmx_set_hv_timer(m, v, now)
    if delta == HV_ERANGE:
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


def start_sw_timer(m: Machine, v: int, now: int) -> None:
    """Arm the host hrtimer instead of the preemption timer."""
    vcpu = m.vcpus[v]
    cancel_hv_timer(m, v, now)
    if vcpu.timer_mode != TimerMode.PERIODIC and vcpu.pending:
        return
    trace_step(m, now, vcpu.pcpu, v, Trace.START_SW_TIMER, vcpu.deadline)
    if vcpu.deadline == NEVER:
        trace_step(m, now, vcpu.pcpu, v, Trace.NOTHING_ARMED, 0)
    elif vcpu.timer_mode == TimerMode.TSC_DEADLINE:
        start_sw_tscdeadline(m, v, now)
    else:
        start_sw_period(m, v, now)


def restart_apic_timer(m: Machine, v: int, now: int) -> None:
    """Arm the preemption timer, or else the hrtimer."""
    vcpu = m.vcpus[v]
    if vcpu.timer_mode != TimerMode.PERIODIC and vcpu.pending:
        return
    if not start_hv_timer(m, v, now):
        start_sw_timer(m, v, now)


def kvm_lapic_expired_hv_timer(m: Machine, v: int, now: int) -> None:
    """Deal with a preemption timer that took the vCPU out of the guest; a periodic timer is armed again.

    Up to v5.12 (5.2.1 to 5.11.4) it is cancelled first, so that apic_timer_expired() takes it for an hrtimer: nothing
    waits for the deadline of a one-shot or periodic timer, which comes early by the advance. From v5.13 on (5.14.2 to
    7.1.3) it is cancelled last.
    """
    vcpu = m.vcpus[v]
    if not vcpu.hv_timer_in_use:
        return
    trace_step(m, now, vcpu.pcpu, v, Trace.HV_EXPIRED, 0)
    count_place(m, v, Place.HV)
    if not m.kernel.hv_expiry_waits:
        cancel_hv_timer(m, v, now)
    apic_timer_expired(m, v, vcpu.pcpu, False, now)
    cancel_hv_timer(m, v, now)
    if vcpu.timer_mode == TimerMode.PERIODIC:
        advance_periodic_target_expiration(m, v, now)
        restart_apic_timer(m, v, now)


def kvm_lapic_switch_to_hv_timer(m: Machine, v: int, now: int) -> None:
    """Arm again as the vCPU wakes: up to v5.16 after every block, later only if the hv timer was in use before.

    vmx_post_block() in vmx.c (read in 5.2.1 to 5.15.16) asks for a set_hv_timer operation only; SVM has neither, and
    preemption_timer=0 takes it away (hardware_setup). vcpu_block() in x86.c (v6.8) asks what was in use.
    """
    vcpu = m.vcpus[v]
    if vcpu.was_hv or (m.kernel.rearm_after_block and vcpu.has_hv_timer):
        trace_step(m, now, vcpu.pcpu, v, Trace.SWITCH_TO_HV, 0)
        restart_apic_timer(m, v, now)


def kvm_lapic_switch_to_sw_timer(m: Machine, v: int, now: int) -> None:
    """Let an hrtimer take over as the vCPU blocks: the preemption timer counts in guest mode only."""
    vcpu = m.vcpus[v]
    vcpu.was_hv = vcpu.hv_timer_in_use
    if vcpu.hv_timer_in_use:
        trace_step(m, now, vcpu.pcpu, v, Trace.SWITCH_TO_SW, 0)
        start_sw_timer(m, v, now)


def kvm_lapic_restart_hv_timer(m: Machine, v: int, now: int) -> None:
    """Arm again as the vCPU is loaded on another pCPU, with vcpu->cpu still the old one."""
    if m.vcpus[v].hv_timer_in_use:
        restart_apic_timer(m, v, now)


def start_apic_timer(m: Machine, v: int, deadline: int, now: int) -> None:
    """Arm for `deadline` (ns; NEVER disarms). What was armed, or expired and not yet injected, is cancelled.

    With what its callers do first: kvm_set_lapic_tscdeadline_msr(), or cancel_apic_timer() at a write of TMICT.
    """
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
            set_target_expiration(m, v, deadline - now, now)
    trace_step(m, now, vcpu.pcpu, v, Trace.START_APIC_TIMER, deadline)
    restart_apic_timer(m, v, now)


def place_of_hrtimer(m: Machine, v: int, cpu: int, interrupted: int) -> int:
    """Return the `Place` of an expiry on `cpu`. Ours.

    `interrupted`: the vCPU that the interrupt took out of the guest, or NONE.
    """
    if interrupted == v:
        return Place.OWN
    if kvm_use_posted_timer_interrupt(m, v):
        return Place.POSTED
    return Place.KICKED if m.vcpus[v].state == State.GUEST else Place.NOT_IN_GUEST


def apic_timer_fn(m: Machine, v: int, cpu: int, interrupted: int, now: int) -> int:
    """Run the hrtimer's callback on `cpu`; return the time after it. A periodic timer is queued there again."""
    count_place(m, v, place_of_hrtimer(m, v, cpu, interrupted))
    done = apic_timer_expired(m, v, cpu, True, now)
    vcpu = m.vcpus[v]
    if vcpu.timer_mode == TimerMode.PERIODIC:
        advance_periodic_target_expiration(m, v, done)
        enqueue_hrtimer(m, v, cpu, vcpu.deadline)
    return done


def kvm_inject_apic_timer_irqs(m: Machine, v: int, now: int) -> None:
    """Inject what is pending, on the way into the guest: one interrupt, however many expiries were missed."""
    vcpu = m.vcpus[v]
    if vcpu.pending:
        trace_step(m, now, vcpu.pcpu, v, Trace.INJECT, 0)
        kvm_apic_inject_pending_timer_irqs(m, v)
        vcpu.pending = 0


def kvm_migrate_apic_timer(m: Machine, v: int, now: int) -> None:
    """Bring a queued hrtimer along to the new pCPU, unless its expiry may be posted."""
    vcpu = m.vcpus[v]
    expires = m.timers[v].time
    if not kvm_can_post_timer_interrupt(m, v) and hrtimer_cancel(m, v, now):
        trace_step(m, now, vcpu.pcpu, v, Trace.MIGRATE, 0)
        hrtimer_start(m, v, expires, vcpu.pcpu, now)
