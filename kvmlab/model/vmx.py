"""What Intel's side does for a timer: arch/x86/kvm/vmx/vmx.c, function by function in its order (v6.8).

`v` is a vCPU's number, `now` a time in ns. A function that is not the kernel's says so: "Ours".
"""

from __future__ import annotations

from kvmlab.model.draws import cost
from kvmlab.model.kvm_main import kvm_vcpu_wake_up, send_ipi
from kvmlab.model.names import Cost, Lane, State, Trace
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step

HV_ERANGE = -1
"""What `vmx_set_hv_timer` returns for a deadline beyond the preemption timer's range."""
PLE_WINDOW_GROW = 2
"""kvm_intel's ple_window doubles at each PAUSE exit (KVM_DEFAULT_PLE_WINDOW_GROW, arch/x86/kvm/x86.h)."""
SHORTEST_HV_NS = 1000
"""A timer whose grain is longer than what remains exits at once, over and over until the deadline. That 1 us passes
each time keeps such a run finite even where exits cost nothing."""


def kvm_vcpu_trigger_posted_interrupt(m: Machine, v: int, now: int) -> None:
    """Notify a vCPU in guest mode by IPI. Any other finds the vector at its next entry, and is woken if it sleeps."""
    if m.vcpus[v].state == State.GUEST:
        send_ipi(m, v, now + cost(m, v, Cost.POSTED_DELIVERY))
    else:
        kvm_vcpu_wake_up(m, v, now)


def set_irr(m: Machine, v: int, deadline: int) -> None:
    """Set the timer's vector pending: one bit, which stands for any number of interrupts.

    Ours: the posted-interrupt requests (PIR) and the IRR, which the kernel syncs at VM entry, are one here.
    """
    vcpu = m.vcpus[v]
    if vcpu.irr:
        vcpu.coalesced += 1
    else:
        vcpu.irr = 1
        vcpu.irr_deadline = deadline


def vmx_deliver_posted_interrupt(m: Machine, v: int, now: int) -> None:
    """Post the timer's vector, now that a housekeeping CPU has waited for the true deadline, and notify the vCPU."""
    vcpu = m.vcpus[v]
    vcpu.posting = 0
    trace_step(m, now, vcpu.posted_by, v, Trace.EXPIRED_POSTED, vcpu.pcpu)
    set_irr(m, v, vcpu.posting_deadline)
    kvm_vcpu_trigger_posted_interrupt(m, v, now)


def grow_ple_window(m: Machine, v: int) -> None:
    """Let the vCPU spin longer before its next PAUSE exit, at most for ple_window_max cycles (handle_pause).

    svm.c does the same with pause_filter_count, which counts PAUSEs and not cycles; here it is ple_window on AMD too.
    """
    vcpu = m.vcpus[v]
    vcpu.ple_window = min(vcpu.ple_window * PLE_WINDOW_GROW, m.host.ple_window_max_ns)


def vmx_update_hv_timer(m: Machine, v: int) -> None:
    """Load the preemption timer for this entry: whole grains of 2**N cycles, 0 when overdue; it counts in the guest."""
    vcpu = m.vcpus[v]
    if vcpu.hv_timer_in_use:
        host = m.host
        remaining = max(0, vcpu.hv_deadline - vcpu.in_guest_at)
        grains = (remaining * host.tsc_khz // 1_000_000) >> host.preemption_timer_shift
        loaded = (grains << host.preemption_timer_shift) * 1_000_000 // host.tsc_khz
        schedule(m, Lane.HV, v, vcpu.in_guest_at + max(loaded, min(remaining, SHORTEST_HV_NS)))


def vmx_set_hv_timer(m: Machine, v: int, now: int) -> int:
    """Set hv_deadline; return how far it is in ns (0: expired), or HV_ERANGE (beyond 32 bits of 2**N cycles)."""
    vcpu = m.vcpus[v]
    delta = max(0, vcpu.deadline - now - vcpu.advance_ns)
    if delta >= m.host.hv_range_ns:
        trace_step(m, now, vcpu.pcpu, v, Trace.HV_ERANGE, 0)
        return HV_ERANGE
    vcpu.hv_deadline = now + delta
    return delta


def vmx_sched_in(m: Machine, v: int) -> None:
    """Let the vCPU spin for ple_window cycles again, as its thread is scheduled in (shrink_ple_window, 5.2.1 to 6.8.1).

    ple_window_shrink is 0, which resets it. svm_sched_in() is alike; in v7.1 vmx_vcpu_load() does it.
    """
    m.vcpus[v].ple_window = m.host.ple_window_ns
