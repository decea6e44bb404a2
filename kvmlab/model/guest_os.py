"""What a guest does with its vCPU: a tick, a timer, bursts of work and idleness; and which writes that costs.

A guest has one LAPIC timer per vCPU and programs it for the nearest thing it waits for, as Linux does.
"""

from __future__ import annotations

from kvmlab.model.draws import HIST_BINS, UNIFORM_BITS, cost, exponential, histogram_bin, uniform
from kvmlab.model.hrtimer import next_multiple
from kvmlab.model.lapic import start_apic_timer
from kvmlab.model.names import NEVER, Cost, Exit, Handler, Lane, State, Stream, TimerMode, Trace, Wait
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule, trace_step
from kvmlab.model.vmexit import arm_takes_fastpath, consume, kvm_exit
from kvmlab.model.vmx import grow_ple_window


def stays_in_guest(m: Machine, v: int) -> bool:
    """Return True if this guest's way of waiting keeps the vCPU in guest mode, with nothing left to do.

    A guest that is not offered MWAIT waits by HLT.
    """
    vcpu = m.vcpus[v]
    wait = m.guests[vcpu.guest].wait
    if wait == Wait.PAUSE:
        return bool(vcpu.pause_in_guest)
    if wait == Wait.MWAIT and vcpu.mwait:
        return True
    return wait == Wait.SPIN or bool(vcpu.hlt)


def sleeps(m: Machine, v: int) -> bool:
    """Return True if the guest waits by an instruction that needs an interrupt to end (HLT or MWAIT)."""
    wait = m.guests[m.vcpus[v].guest].wait
    return wait in (Wait.HLT, Wait.MWAIT)


def wanted_deadline(m: Machine, v: int) -> int:
    """Return the time that the guest wants its LAPIC timer set to, or NEVER; a tickless idle guest drops its tick."""
    vcpu = m.vcpus[v]
    if vcpu.timer_mode == TimerMode.PERIODIC and vcpu.programmed != NEVER:
        return vcpu.programmed
    if vcpu.idle and m.guests[vcpu.guest].nohz_idle and sleeps(m, v):
        return vcpu.next_timer
    return min(vcpu.next_tick, vcpu.next_timer)


def initial_count(m: Machine, v: int, deadline: int, now: int) -> int:
    """Return the initial count (TMICT) in ns: the period, or how far the deadline is. KVM counts from the exit."""
    program = m.guests[m.vcpus[v].guest]
    if m.vcpus[v].timer_mode == TimerMode.PERIODIC:
        return min(program.tick_ns, program.timer_ns)
    return max(1, deadline - now)


def write_timer(m: Machine, v: int, deadline: int, now: int) -> None:
    """Arm the LAPIC timer for `deadline` (ns; NEVER disarms), by a write that exits: MSR_WRITE."""
    vcpu = m.vcpus[v]
    start = kvm_exit(m, v, Exit.MSR_WRITE, arm_takes_fastpath(m, v), now)
    vcpu.programmed = deadline
    trace_step(m, start, vcpu.pcpu, v, Trace.WRMSR, deadline)
    if deadline != NEVER and vcpu.timer_mode != TimerMode.TSC_DEADLINE:
        deadline = start + initial_count(m, v, deadline, now)
    start_apic_timer(m, v, deadline, start)


def record_latency(m: Machine, v: int, ns: int) -> None:
    """Count the time from a deadline to its handler, in ns; it may be negative."""
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
        now += cost(m, v, Cost.CSTATE_EXIT)
    vcpu.since = now
    vcpu.eoi_done = vcpu.apicv
    vcpu.handled = 0
    vcpu.left = cost(m, v, Cost.GUEST_HANDLER)
    if vcpu.irr:
        vcpu.irr = 0
        vcpu.in_handler = Handler.TIMER
        vcpu.delivered += 1
        record_latency(m, v, now - vcpu.irr_deadline)
        trace_step(m, now, vcpu.pcpu, v, Trace.HANDLER, now - vcpu.irr_deadline)
    else:
        vcpu.device_irr = 0
        vcpu.in_handler = Handler.DEVICE
        trace_step(m, now, vcpu.pcpu, v, Trace.DEVICE, 0)
    schedule(m, Lane.VCPU, v, now + vcpu.left)


def guest_resume(m: Machine, v: int, now: int) -> None:
    """Go on with what the guest was doing, or take an interrupt first; set when it next acts by itself."""
    vcpu = m.vcpus[v]
    vcpu.since = now
    if not vcpu.in_handler and (vcpu.irr or vcpu.device_irr):
        take_interrupt(m, v, now)
    elif vcpu.in_handler:
        schedule(m, Lane.VCPU, v, now + vcpu.left)
    elif vcpu.acts_at != NEVER:
        schedule(m, Lane.VCPU, v, max(now, vcpu.acts_at))
    elif not vcpu.idle:
        schedule(m, Lane.VCPU, v, NEVER if vcpu.work_left == NEVER else now + vcpu.work_left)
    elif stays_in_guest(m, v):
        schedule(m, Lane.VCPU, v, NEVER)
        if sleeps(m, v):
            vcpu.halted_at = now
            trace_step(m, now, vcpu.pcpu, v, Trace.GUEST_HALTS, 0)
    elif m.guests[vcpu.guest].wait == Wait.PAUSE:
        schedule(m, Lane.VCPU, v, now + vcpu.ple_window)
    else:
        schedule(m, Lane.VCPU, v, now)


def finish(m: Machine, v: int, now: int) -> None:
    """Stop the guest for good: it has had all its timers."""
    vcpu = m.vcpus[v]
    consume(m, v, now)
    vcpu.state = State.DONE
    m.loop.n_done += 1
    trace_step(m, now, vcpu.pcpu, v, Trace.DONE, 0)
    for kind in range(Lane.PCPU):
        schedule(m, kind, v, NEVER)


def timer_is_due_again(m: Machine, v: int, now: int) -> None:
    """Set when the additional timer, which has come, is due again, and when the guest next writes it by itself."""
    vcpu = m.vcpus[v]
    program = m.guests[vcpu.guest]
    vcpu.rewrites_left = program.rewrites
    vcpu.acts_at = now + program.rewrite_ns if program.rewrites > 0 else NEVER
    if not program.relative:
        vcpu.next_timer = next_multiple(vcpu.next_timer, program.timer_ns, now)
    elif program.gap_ns == 0:
        vcpu.next_timer = now + program.timer_ns
    else:
        vcpu.next_timer = NEVER
        vcpu.acts_at = now + ((program.gap_ns * uniform(m, v, Stream.BUSY)) >> UNIFORM_BITS)


def writes_again(m: Machine, v: int, now: int) -> None:
    """Arm the additional timer after the gap, or write it once more before it expires."""
    vcpu = m.vcpus[v]
    program = m.guests[vcpu.guest]
    if vcpu.next_timer == NEVER:
        vcpu.next_timer = now + program.timer_ns
    else:
        vcpu.rewrites_left -= 1
        if program.slides:
            so_far = program.rewrites - vcpu.rewrites_left
            vcpu.next_timer = now + program.timer_ns + so_far * program.rewrite_by_ns
        else:
            vcpu.next_timer += program.rewrite_by_ns
    vcpu.acts_at = now + program.rewrite_ns if vcpu.rewrites_left > 0 else NEVER
    write_timer(m, v, wanted_deadline(m, v), now)


def timer_handled(m: Machine, v: int, now: int) -> None:
    """Do the timer handler's work: what was due is done, and due again later."""
    vcpu = m.vcpus[v]
    program = m.guests[vcpu.guest]
    vcpu.handled = 1
    if vcpu.timer_mode != TimerMode.PERIODIC:
        vcpu.programmed = NEVER  # the event that was programmed is spent, even if it came early and nothing is due
    if vcpu.timers_left > 0:
        vcpu.timers_left -= 1
    if vcpu.next_tick <= now:
        vcpu.next_tick = next_multiple(vcpu.next_tick, program.tick_ns, now)
    if vcpu.next_timer <= now:
        timer_is_due_again(m, v, now)


def handler_ends(m: Machine, v: int, now: int) -> None:
    """End a handler: EOI (an exit without APICv), program the timer if it must change, and return."""
    vcpu = m.vcpus[v]
    if not vcpu.eoi_done:
        vcpu.eoi_done = 1
        kvm_exit(m, v, Exit.MSR_WRITE, False, now)
        return
    if vcpu.in_handler == Handler.TIMER and not vcpu.handled:
        timer_handled(m, v, now)
    if vcpu.timers_left == 0:
        if vcpu.timer_mode == TimerMode.PERIODIC and vcpu.programmed != NEVER:
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
    """End a burst of work: idle for a while; a tickless guest reprograms its timer first."""
    vcpu = m.vcpus[v]
    vcpu.idle = 1
    schedule(m, Lane.WORK, v, now + exponential(m, v, Stream.IDLE, m.guests[vcpu.guest].idle_ns))
    deadline = wanted_deadline(m, v)
    if deadline != vcpu.programmed:
        write_timer(m, v, deadline, now)
    else:
        guest_resume(m, v, now)


def waits(m: Machine, v: int, now: int) -> None:
    """Execute the instruction that the guest waits by, and that exits."""
    vcpu = m.vcpus[v]
    if m.guests[vcpu.guest].wait == Wait.PAUSE:
        grow_ple_window(m, v)
        kvm_exit(m, v, Exit.PAUSE_INSTRUCTION, False, now)
    else:
        vcpu.halting = 1
        kvm_exit(m, v, Exit.HLT, False, now)


def guest_acts(m: Machine, v: int, now: int) -> None:
    """Go on in guest mode, where what the guest was doing has come to its end."""
    vcpu = m.vcpus[v]
    if vcpu.in_handler:
        handler_ends(m, v, now)
    elif vcpu.acts_at <= now:
        writes_again(m, v, now)
    elif not vcpu.idle:
        work_ends(m, v, now)
    else:
        waits(m, v, now)


def new_work(m: Machine, v: int, now: int) -> None:
    """Begin the next burst of work; a tickless guest's tick is due again."""
    vcpu = m.vcpus[v]
    program = m.guests[vcpu.guest]
    vcpu.idle = 0
    vcpu.work_left = exponential(m, v, Stream.BUSY, program.busy_ns)
    if program.nohz_idle and vcpu.next_tick <= now:
        vcpu.next_tick = next_multiple(vcpu.next_tick, program.tick_ns, now)
