"""Leaving guest mode and coming back: which path an exit takes, what perf kvm stat times, and what the guest loses.

kvm_exit and kvm_entry are the kernel's tracepoints; what stands around them is ours.
"""

from __future__ import annotations

from kvmlab.kernels import ArmFastpath
from kvmlab.model.draws import cost
from kvmlab.model.lapic import kvm_can_use_hv_timer
from kvmlab.model.names import FAST, NEVER, Cost, Exit, Lane, State, TimerMode, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step


def arm_takes_fastpath(m: Machine, v: int) -> bool:
    """Return True if the write that arms the timer takes the fast path: TSC-deadline only, by release.

    handle_fastpath_set_tscdeadline() in x86.c, gone in v6.18.
    """
    gate = m.kernel.arm_fastpath
    allowed = gate == ArmFastpath.ALWAYS or (gate == ArmFastpath.HV_ONLY and kvm_can_use_hv_timer(m, v))
    return allowed and m.vcpus[v].timer_mode == TimerMode.TSC_DEADLINE


def handling_step(reason: int, fast: bool) -> int:
    """Return which `Cost` the handling of an exit has."""
    if reason == Exit.EXTERNAL_INTERRUPT:
        return Cost.EXTERNAL_INTERRUPT
    if reason == Exit.MSR_WRITE:
        return Cost.MSR_WRITE_FASTPATH if fast else Cost.MSR_WRITE
    if reason == Exit.PREEMPTION_TIMER:
        return Cost.PREEMPTION_TIMER_FASTPATH if fast else Cost.PREEMPTION_TIMER
    if reason == Exit.HLT:
        return Cost.HLT
    if reason == Exit.PAUSE_INSTRUCTION:
        return Cost.PAUSE
    return Cost.OTHER_EXIT


def consume(m: Machine, v: int, now: int) -> None:
    """Take the guest time since `Vcpu.since` off what the guest is doing."""
    vcpu = m.vcpus[v]
    used = now - vcpu.since
    vcpu.since = now
    if vcpu.in_handler:
        vcpu.left = max(0, vcpu.left - used)
    elif not vcpu.idle and vcpu.work_left != NEVER:
        vcpu.work_left = max(0, vcpu.work_left - used)


def kvm_exit(m: Machine, v: int, reason: int, fast: bool, now: int) -> int:
    """Leave the guest at `now`; return when the host starts to handle the exit."""
    vcpu = m.vcpus[v]
    consume(m, v, now)
    vcpu.state = State.HOST
    vcpu.exit_at = now
    vcpu.exit_start = now + cost(m, v, Cost.EXIT_TRANSITION)
    vcpu.exit_reason = reason
    vcpu.exit_fast = 1 if fast else 0
    vcpu.blocked_ns = 0
    if vcpu.halted_at != NEVER:
        vcpu.idle_ns += now - vcpu.halted_at
        vcpu.halted_at = NEVER
    schedule(m, Lane.HV, v, NEVER)
    trace_step(m, vcpu.exit_start, vcpu.pcpu, v, Trace.EXIT, reason | (FAST if fast else 0))
    schedule(m, Lane.VCPU, v, vcpu.exit_start + cost(m, v, handling_step(reason, fast)))
    return vcpu.exit_start


def leave_fastpath(m: Machine, v: int) -> int:
    """Let the exit under way end the slow way; return when it does. Ours: EXIT_FASTPATH_EXIT_HANDLED."""
    vcpu = m.vcpus[v]
    vcpu.exit_fast = 0
    return vcpu.exit_start + cost(m, v, handling_step(vcpu.exit_reason, False))


def handles_exit(m: Machine, v: int) -> bool:
    """Return True if the host works for this vCPU, and not only because its guest has not booted yet."""
    vcpu = m.vcpus[v]
    return vcpu.state == State.HOST and vcpu.exit_reason >= 0


def kvm_entry(m: Machine, v: int, now: int) -> None:
    """Count the exit that ends at `now`: host time only, from kvm_exit to kvm_entry, as perf does."""
    vcpu = m.vcpus[v]
    trace_step(m, now, vcpu.pcpu, v, Trace.ENTRY, 0)
    if vcpu.exit_reason < 0:
        return
    ns = now - vcpu.exit_start
    row = m.exits[v * len(Exit) + vcpu.exit_reason]
    row.min_ns = ns if row.count == 0 else min(row.min_ns, ns)
    row.max_ns = max(row.max_ns, ns)
    row.count += 1
    row.fast += vcpu.exit_fast
    row.sum_ns += ns
    row.sum_sq += float(ns) * float(ns)


def count_gap(m: Machine, v: int) -> None:
    """Add the time from leaving the guest to being back in it, less the time blocked, to what the guest lost."""
    vcpu = m.vcpus[v]
    if vcpu.exit_reason < 0:
        return
    gap = vcpu.in_guest_at - vcpu.exit_at - vcpu.blocked_ns
    vcpu.lost_ns += gap
    vcpu.gap_max = max(vcpu.gap_max, gap)
