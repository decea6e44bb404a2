"""What a guest does with its vCPU: a tick, a timer, bursts of work and idleness; and which writes that costs.

A guest has one LAPIC timer a vCPU and programs it for the nearest thing it waits for, as Linux does.
"""

from __future__ import annotations

from kvmlab.model.lapic import arm_takes_fastpath, start_apic_timer
from kvmlab.model.machine import (
    C_CSTATE,
    C_HANDLER,
    C_MSR_WRITE,
    DONE,
    HIST_BINS,
    HLT,
    LANE_KINDS,
    LANE_VCPU,
    LANE_WORK,
    MWAIT,
    NEVER,
    PAUSE,
    PERIODIC,
    S_BUSY,
    S_IDLE,
    SPIN,
    TSC_DEADLINE,
    X_HLT,
    X_MSR_WRITE,
    X_PAUSE,
    Machine,
    cost,
    exponential,
    histogram_bin,
    note,
    schedule,
)
from kvmlab.model.trace import T_DEVICE, T_DONE, T_GUEST_HALTS, T_HANDLER, T_WRMSR
from kvmlab.model.vmexit import consume, kvm_exit

PLE_WINDOW_GROW = 2
"""kvm_intel's ple_window doubles at each PAUSE exit (KVM_DEFAULT_PLE_WINDOW_GROW, arch/x86/kvm/x86.h)."""
TIMER_HANDLER, DEVICE_HANDLER = 1, 2


def stays_in_guest(m: Machine, v: int) -> bool:
    """Tell whether this guest's way of waiting keeps the vCPU in guest mode, with nothing left to do.

    A guest that is not offered MWAIT waits by HLT.
    """
    vcpu = m.vcpus[v]
    wait = m.programs[vcpu.guest].wait
    if wait == PAUSE:
        return bool(vcpu.pause_in_guest)
    if wait == MWAIT and vcpu.mwait:
        return True
    return bool(wait == SPIN or vcpu.hlt)


def sleeps(m: Machine, v: int) -> bool:
    """Tell whether the guest waits by an instruction that needs an interrupt to end (HLT or MWAIT)."""
    wait = m.programs[m.vcpus[v].guest].wait
    return bool(wait in (HLT, MWAIT))


def next_multiple(last: int, period: int, now: int) -> int:
    """The first of last + period, last + 2 * period, ... after `now`."""
    return last + ((max(0, now - last)) // period + 1) * period


def wanted_deadline(m: Machine, v: int) -> int:
    """What the guest wants its LAPIC timer to be set to; a tickless idle guest drops its tick."""
    vcpu = m.vcpus[v]
    if vcpu.timer_mode == PERIODIC and vcpu.programmed != NEVER:
        return int(vcpu.programmed)
    if vcpu.idle and m.programs[vcpu.guest].nohz_idle and sleeps(m, v):
        return int(vcpu.next_timer)
    return int(min(vcpu.next_tick, vcpu.next_timer))


def initial_count(m: Machine, v: int, deadline: int, now: int) -> int:
    """What the guest writes into TMICT, as a time: its period, or how far the deadline is. KVM counts from the exit."""
    program = m.programs[m.vcpus[v].guest]
    if m.vcpus[v].timer_mode == PERIODIC:
        return int(min(program.tick_ns, program.timer_ns))
    return int(max(1, deadline - now))


def write_timer(m: Machine, v: int, deadline: int, now: int) -> None:
    """Arm (or, for NEVER, disarm) the LAPIC timer: an MSR_WRITE exit."""
    vcpu = m.vcpus[v]
    start = kvm_exit(m, v, X_MSR_WRITE, arm_takes_fastpath(m, v), now)
    vcpu.programmed = deadline
    note(m, start, vcpu.pcpu, v, T_WRMSR, deadline)
    if deadline != NEVER and vcpu.timer_mode != TSC_DEADLINE:
        deadline = start + initial_count(m, v, deadline, now)
    start_apic_timer(m, v, deadline, start)
    if vcpu.exit_fast and vcpu.pending:
        # Due at once, and without APICv that is a request to the vCPU: the fast path ends, and the long way is gone.
        vcpu.exit_fast = 0
        schedule(m, LANE_VCPU, v, start + cost(m, v, C_MSR_WRITE))


def record_latency(m: Machine, v: int, ns: int) -> None:
    """Add one deadline -> handler time."""
    vcpu = m.vcpus[v]
    m.histogram[v * HIST_BINS + histogram_bin(max(0, ns))] += 1
    vcpu.lat_min = ns if vcpu.lat_n == 0 else min(vcpu.lat_min, ns)
    vcpu.lat_max = ns if vcpu.lat_n == 0 else max(vcpu.lat_max, ns)
    vcpu.lat_n += 1
    vcpu.lat_sum += ns


def take_interrupt(m: Machine, v: int, now: int) -> None:
    """Start the handler of a pending interrupt, unless one is running."""
    vcpu = m.vcpus[v]
    if vcpu.in_handler or not (vcpu.irr or vcpu.device_irr):
        return
    consume(m, v, now)
    if vcpu.halted_at != NEVER:
        vcpu.idle_ns += now - vcpu.halted_at
        vcpu.halted_at = NEVER
        now += cost(m, v, C_CSTATE)
    vcpu.since = now
    vcpu.eoi_done = vcpu.apicv
    vcpu.handled = 0
    vcpu.left = cost(m, v, C_HANDLER)
    if vcpu.irr:
        vcpu.irr = 0
        vcpu.in_handler = TIMER_HANDLER
        vcpu.delivered += 1
        record_latency(m, v, now - vcpu.irr_deadline)
        note(m, now, vcpu.pcpu, v, T_HANDLER, now - vcpu.irr_deadline)
    else:
        vcpu.device_irr = 0
        vcpu.in_handler = DEVICE_HANDLER
        note(m, now, vcpu.pcpu, v, T_DEVICE, 0)
    schedule(m, LANE_VCPU, v, now + vcpu.left)


def guest_resume(m: Machine, v: int, now: int) -> None:
    """Go on with what the guest was doing, or take an interrupt first; set when it next acts by itself."""
    vcpu = m.vcpus[v]
    vcpu.since = now
    if not vcpu.in_handler and (vcpu.irr or vcpu.device_irr):
        take_interrupt(m, v, now)
    elif vcpu.in_handler:
        schedule(m, LANE_VCPU, v, now + vcpu.left)
    elif not vcpu.idle:
        schedule(m, LANE_VCPU, v, NEVER if vcpu.work_left == NEVER else now + vcpu.work_left)
    elif stays_in_guest(m, v):
        schedule(m, LANE_VCPU, v, NEVER)
        if sleeps(m, v):
            vcpu.halted_at = now
            note(m, now, vcpu.pcpu, v, T_GUEST_HALTS, 0)
    elif m.programs[vcpu.guest].wait == PAUSE:
        schedule(m, LANE_VCPU, v, now + vcpu.ple_window)
    else:
        schedule(m, LANE_VCPU, v, now)


def finish(m: Machine, v: int, now: int) -> None:
    """The guest has had all its timers: it stops for good."""
    vcpu = m.vcpus[v]
    consume(m, v, now)
    vcpu.state = DONE
    m.g[0].n_done += 1
    note(m, now, vcpu.pcpu, v, T_DONE, 0)
    for kind in range(LANE_KINDS):
        schedule(m, kind, v, NEVER)


def timer_handled(m: Machine, v: int, now: int) -> None:
    """The timer handler's work: what was due is done, and due again later."""
    vcpu = m.vcpus[v]
    program = m.programs[vcpu.guest]
    vcpu.handled = 1
    if vcpu.timer_mode != PERIODIC:
        vcpu.programmed = NEVER  # the event that was programmed is spent, even if it came early and nothing is due
    if vcpu.timers_left > 0:
        vcpu.timers_left -= 1
    if vcpu.next_tick <= now:
        vcpu.next_tick = next_multiple(vcpu.next_tick, program.tick_ns, now)
    if vcpu.next_timer <= now:
        if program.relative:
            vcpu.next_timer = now + program.timer_ns
        else:
            vcpu.next_timer = next_multiple(vcpu.next_timer, program.timer_ns, now)


def handler_ends(m: Machine, v: int, now: int) -> None:
    """The handler has run: EOI (an exit without APICv), program the timer if it must change, and return."""
    vcpu = m.vcpus[v]
    if not vcpu.eoi_done:
        vcpu.eoi_done = 1
        kvm_exit(m, v, X_MSR_WRITE, False, now)
        return
    if vcpu.in_handler == TIMER_HANDLER and not vcpu.handled:
        timer_handled(m, v, now)
    if vcpu.timers_left == 0:
        if vcpu.timer_mode == PERIODIC and vcpu.programmed != NEVER:
            write_timer(m, v, NEVER, now)
        else:
            finish(m, v, now)
        return
    deadline = wanted_deadline(m, v)
    if deadline != vcpu.programmed:
        write_timer(m, v, deadline, now)
        return
    vcpu.in_handler = 0
    guest_resume(m, v, now)


def work_ends(m: Machine, v: int, now: int) -> None:
    """A burst of work is over: idle for a while; a tickless guest reprograms its timer first."""
    vcpu = m.vcpus[v]
    vcpu.idle = 1
    schedule(m, LANE_WORK, v, now + exponential(m, v, S_IDLE, m.programs[vcpu.guest].idle_ns))
    deadline = wanted_deadline(m, v)
    if deadline != vcpu.programmed:
        write_timer(m, v, deadline, now)
    else:
        guest_resume(m, v, now)


def waits(m: Machine, v: int, now: int) -> None:
    """The guest executes the instruction it waits by, and that exits."""
    vcpu = m.vcpus[v]
    if m.programs[vcpu.guest].wait == PAUSE:
        vcpu.ple_window *= PLE_WINDOW_GROW
        kvm_exit(m, v, X_PAUSE, False, now)
    else:
        vcpu.halting = 1
        kvm_exit(m, v, X_HLT, False, now)


def guest_acts(m: Machine, v: int, now: int) -> None:
    """What the guest was doing has come to its end, in guest mode."""
    vcpu = m.vcpus[v]
    consume(m, v, now)
    if vcpu.in_handler:
        handler_ends(m, v, now)
    elif not vcpu.idle:
        work_ends(m, v, now)
    else:
        waits(m, v, now)


def new_work(m: Machine, v: int, now: int) -> None:
    """Idleness ends: the next burst begins, and a tickless guest's tick is due again."""
    vcpu = m.vcpus[v]
    program = m.programs[vcpu.guest]
    vcpu.idle = 0
    vcpu.work_left = exponential(m, v, S_BUSY, program.busy_ns)
    if program.nohz_idle and vcpu.next_tick <= now:
        vcpu.next_tick = next_multiple(vcpu.next_tick, program.tick_ns, now)
