"""The event loop: the earliest event, one after another."""

from __future__ import annotations

from kvmlab.model.guest_os import guest_acts
from kvmlab.model.interrupts import handle_preemption_timer, hrtimer_interrupt, ipi_arrives, task_sleeps
from kvmlab.model.names import LANE_BITS, NEVER, NONE, Lane, State
from kvmlab.model.outside import outside_event, work_arrives
from kvmlab.model.records import Machine
from kvmlab.model.schedule import clear
from kvmlab.model.start import start
from kvmlab.model.vcpu import vcpu_runs
from kvmlab.model.vmx import vmx_deliver_posted_interrupt


def handle(m: Machine, i: int, now: int) -> None:
    """Handle the event of lane `i`; its number says what it is about (see `lane_of`)."""
    cpu = i - (m.loop.n_vcpus << LANE_BITS)
    v = i >> LANE_BITS
    kind = i & ((1 << LANE_BITS) - 1)
    if cpu >= len(m.pcpus):
        task_sleeps(m, cpu - len(m.pcpus), now)
    elif cpu >= 0:
        hrtimer_interrupt(m, cpu, now)
    elif kind == Lane.VCPU:
        if m.vcpus[v].state == State.GUEST:
            guest_acts(m, v, now)
        else:
            vcpu_runs(m, v, now)
    elif kind == Lane.HV:
        handle_preemption_timer(m, v, now)
    elif kind == Lane.IPI:
        ipi_arrives(m, v, now)
    elif kind == Lane.POST:
        vmx_deliver_posted_interrupt(m, v, now)
    elif kind == Lane.WORK:
        work_arrives(m, v, now)
    else:
        outside_event(m, kind, v, now)


def run(m: Machine, until: int) -> int:
    """Handle events in order up to the time `until` (ns), or until every guest has finished; return the time reached.

    The first call starts the machine; a later one goes on where the last one ended.
    """
    return run_some(m, until, NEVER)


def run_some(m: Machine, until: int, most: int) -> int:
    """Do as `run` does, but stop after `most` events: NONE then says that there is more to do before `until`.

    Called again and again, it does what one call of `run` does, and the caller has a say in between.
    """
    loop = m.loop
    if loop.seq == 0:
        start(m)
    handled = 0
    while loop.n_done < loop.n_vcpus:
        i = m.queue[0]  # of an empty queue a lane without an event, whose time is NEVER
        lane = m.lanes[i]
        if lane.time > until:
            break
        if handled == most:
            return NONE
        handled += 1
        loop.now = lane.time
        loop.events += 1
        loop.handled = i
        handle(m, i, loop.now)
        if loop.handled != NONE:
            clear(m, i)
            loop.handled = NONE
    if loop.n_done < loop.n_vcpus:
        loop.now = until
    return loop.now
