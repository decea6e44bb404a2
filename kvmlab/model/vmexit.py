"""Leaving guest mode and coming back: what perf kvm stat counts and times, and what the guest loses."""

from __future__ import annotations

from kvmlab.model.machine import (
    C_EXIT,
    C_EXTERNAL_INTERRUPT,
    C_HLT,
    C_MSR_WRITE,
    C_MSR_WRITE_FAST,
    C_OTHER,
    C_PAUSE,
    C_PREEMPTION_TIMER,
    C_PREEMPTION_TIMER_FAST,
    EXITS,
    HOST,
    LANE_HV,
    LANE_VCPU,
    NEVER,
    X_EXTERNAL_INTERRUPT,
    X_HLT,
    X_MSR_WRITE,
    X_PAUSE,
    X_PREEMPTION_TIMER,
    Machine,
    cost,
    note,
    schedule,
)
from kvmlab.model.trace import FAST, T_ENTRY, T_EXIT


def handling_step(reason: int, fast: bool) -> int:
    """Which cost an exit's handling has."""
    if reason == X_EXTERNAL_INTERRUPT:
        return C_EXTERNAL_INTERRUPT
    if reason == X_MSR_WRITE:
        return C_MSR_WRITE_FAST if fast else C_MSR_WRITE
    if reason == X_PREEMPTION_TIMER:
        return C_PREEMPTION_TIMER_FAST if fast else C_PREEMPTION_TIMER
    if reason == X_HLT:
        return C_HLT
    if reason == X_PAUSE:
        return C_PAUSE
    return C_OTHER


def consume(m: Machine, v: int, now: int) -> None:
    """Take the guest time since `since` off what the guest is doing."""
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
    vcpu.state = HOST
    vcpu.exit_at = now
    vcpu.exit_start = now + cost(m, v, C_EXIT)
    vcpu.exit_reason = reason
    vcpu.exit_fast = 1 if fast else 0
    vcpu.blocked_ns = 0
    if vcpu.halted_at != NEVER:
        vcpu.idle_ns += now - vcpu.halted_at
        vcpu.halted_at = NEVER
    schedule(m, LANE_HV, v, NEVER)
    note(m, vcpu.exit_start, vcpu.pcpu, v, T_EXIT, reason | (FAST if fast else 0))
    schedule(m, LANE_VCPU, v, vcpu.exit_start + cost(m, v, handling_step(reason, fast)))
    return int(vcpu.exit_start)


def handles_exit(m: Machine, v: int) -> bool:
    """Tell whether the host works for this vCPU, and not only because its guest has not booted yet."""
    vcpu = m.vcpus[v]
    return bool(vcpu.state == HOST and vcpu.exit_reason >= 0)


def kvm_entry(m: Machine, v: int, now: int) -> None:
    """Count the exit that ends at `now`: host time only, from kvm_exit to kvm_entry, as perf does."""
    vcpu = m.vcpus[v]
    note(m, now, vcpu.pcpu, v, T_ENTRY, 0)
    if vcpu.exit_reason < 0:
        return
    ns = now - vcpu.exit_start
    row = m.exits[v * len(EXITS) + vcpu.exit_reason]
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
