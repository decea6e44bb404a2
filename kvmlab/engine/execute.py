"""The event loop: the earliest event, one after another. Compiled where llvmlite is installed.

The rules stand in plain functions; `translate` turns `run` and all that it calls into machine code on first use. The
same source runs in plain Python, with the same result event by event.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kvmlab.model import guest_os as guest, hrtimer, lapic, machine, queue, vcpu, vmexit
from kvmlab.model.guest_os import guest_acts, guest_resume, new_work, next_multiple, sleeps, take_interrupt
from kvmlab.model.hrtimer import enqueue_hrtimer, first_expiry, forward_hrtimer, remove_hrtimer, reprogram
from kvmlab.model.lapic import apic_timer_fn, kvm_lapic_expired_hv_timer, post_timer_interrupt
from kvmlab.model.machine import (
    APIC_TIMER,
    C_HRTIMER,
    C_TICK,
    GUEST,
    LANE_BITS,
    LANE_DEVICE,
    LANE_HOST_IRQ,
    LANE_HV,
    LANE_IPI,
    LANE_KINDS,
    LANE_MOVE,
    LANE_OTHER,
    LANE_POST,
    LANE_PREEMPT,
    LANE_VCPU,
    LANE_WORK,
    LAYOUT,
    NEVER,
    NONE,
    S_BUSY,
    S_DEVICE,
    S_HOST_IRQ,
    S_MOVE,
    S_OTHER,
    S_PREEMPT,
    S_PREEMPT_GAP,
    SCHED_TICK,
    X_OTHER,
    X_PREEMPTION_TIMER,
    Machine,
    clear,
    cost,
    exponential,
    note,
    schedule,
    scheduled,
    uniform,
)
from kvmlab.model.trace import T_APIC_TIMER_FN, T_HRTIMER_INTERRUPT
from kvmlab.model.vcpu import deliver_device_interrupt, leave_guest_by_irq, move, preempt, vcpu_runs
from kvmlab.model.vmexit import consume, handles_exit, kvm_exit

HRTIMER_RETRIES = 3
"""How often hrtimer_interrupt() looks again for timers that came due meanwhile, before it gives the CPU back."""


def run_hrtimer(m: Machine, cpu: int, timer: int, interrupted: int, now: int) -> int:
    """Run one timer's callback on `cpu`; return the time after it."""
    t = m.timers[timer]
    pcpu = m.pcpus[cpu]
    expires = t.time
    if t.kind == APIC_TIMER:
        remove_hrtimer(m, timer)
        done = now
        if interrupted == NONE:
            done += cost(m, m.g[0].n_vcpus + cpu, C_HRTIMER)
        note(m, done, cpu, t.owner, T_APIC_TIMER_FN, done - expires)
        done = apic_timer_fn(m, t.owner, cpu, interrupted, done)
        pcpu.fired += 1
        pcpu.timer_busy_ns += done - now
        pcpu.late_max = max(pcpu.late_max, now - expires)
        return done
    now += cost(m, m.g[0].n_vcpus + cpu, C_TICK if t.kind == SCHED_TICK else C_HRTIMER)
    forward_hrtimer(m, timer, next_multiple(expires, t.period, now))
    return now


def hrtimer_interrupt(m: Machine, cpu: int, now: int) -> None:
    """The CPU's event timer fires: run all callbacks that are due. A vCPU in guest mode there has to exit first."""
    pcpu = m.pcpus[cpu]
    resident = pcpu.vcpu
    interrupted = NONE
    t = now
    if resident != NONE and m.vcpus[resident].state == GUEST:
        t = leave_guest_by_irq(m, resident, now)
        interrupted = resident
    started = t
    served = 0
    retries = 0
    first = first_expiry(m, cpu)
    while first <= t and retries < HRTIMER_RETRIES:
        retries += 1
        due = t
        while first <= due:
            t = run_hrtimer(m, cpu, m.bases[pcpu.base], interrupted, t)
            served += 1
            first = first_expiry(m, cpu)
    pcpu.irq_until = t
    pcpu.irq_end = t
    pcpu.queue_max = max(pcpu.queue_max, served)
    note(m, started, cpu, NONE, T_HRTIMER_INTERRUPT, t - started)
    if resident != NONE and handles_exit(m, resident):
        schedule(m, LANE_VCPU, resident, scheduled(m, LANE_VCPU, resident) + t - started)
    if first <= t:
        pcpu.irq_until = t + (t - started)  # "interrupt took too long": as long again for everything else
    reprogram(m, cpu)


def hv_timer_expires(m: Machine, v: int, now: int) -> None:
    """The preemption timer reaches zero in guest mode. Without APICv the fast path has to go the long way round."""
    x = m.vcpus[v]
    fast = bool(m.g[0].expiry_fastpath and x.apicv)
    start = kvm_exit(m, v, X_PREEMPTION_TIMER, fast, now)
    kvm_lapic_expired_hv_timer(m, v, start)


def ipi_arrives(m: Machine, v: int, now: int) -> None:
    """A kick takes the vCPU out of the guest, a posted interrupt is taken in it; else the next entry sees to both."""
    x = m.vcpus[v]
    kick = x.ipi_kick
    if x.state == GUEST and now < x.in_guest_at:
        schedule(m, LANE_IPI, v, x.in_guest_at)
        return
    x.ipi_kick = 0
    if x.state == GUEST:
        if kick:
            leave_guest_by_irq(m, v, now)
        else:
            take_interrupt(m, v, now)


def post_arrives(m: Machine, v: int, now: int) -> None:
    """The true deadline has come: the interrupt is posted, to a vCPU that may have left the guest meanwhile."""
    x = m.vcpus[v]
    x.posting = 0
    post_timer_interrupt(m, v, x.posting_deadline, now)


def work_arrives(m: Machine, v: int, now: int) -> None:
    """A guest that sleeps is woken by a device; one that polls sees its work by itself."""
    x = m.vcpus[v]
    if x.state == GUEST:
        consume(m, v, max(now, x.since))  # the time asleep is not taken off the new burst
    new_work(m, v, now)
    if sleeps(m, v):
        deliver_device_interrupt(m, v, now)
    elif x.state == GUEST and not x.in_handler:
        guest_resume(m, v, max(now, x.in_guest_at))


def move_somewhere(m: Machine, v: int, now: int) -> None:
    """The scheduler picks a free pCPU of the guest's pool."""
    x = m.vcpus[v]
    program = m.programs[x.guest]
    first = uniform(m, v, S_MOVE) % program.pool_size
    for i in range(program.pool_size):
        cpu = m.pools[program.pool_first + (first + i) % program.pool_size]
        if m.pcpus[cpu].vcpu == NONE:
            move(m, v, cpu, now)
            return


def outside_event(m: Machine, kind: int, v: int, now: int) -> None:
    """Something that comes at random times: do it, and set when the next comes."""
    x = m.vcpus[v]
    program = m.programs[x.guest]
    if kind == LANE_DEVICE:
        deliver_device_interrupt(m, v, now)
        schedule(m, kind, v, now + exponential(m, v, S_DEVICE, program.device_gap))
    elif kind == LANE_OTHER:
        if x.state == GUEST and now >= x.in_guest_at and not x.idle:
            kvm_exit(m, v, X_OTHER, False, now)
        schedule(m, kind, v, now + exponential(m, v, S_OTHER, program.other_gap))
    elif kind == LANE_HOST_IRQ:
        if x.state == GUEST:
            leave_guest_by_irq(m, v, now)
        schedule(m, kind, v, now + exponential(m, v, S_HOST_IRQ, program.host_irq_gap))
    elif kind == LANE_PREEMPT:
        preempt(m, v, exponential(m, v, S_PREEMPT, program.preempt_ns), now)
        schedule(m, kind, v, now + exponential(m, v, S_PREEMPT_GAP, program.preempt_gap))
    else:
        move_somewhere(m, v, now)
        schedule(m, kind, v, now + program.move_gap)


def handle(m: Machine, kind: int, owner: int, now: int) -> None:
    """One event."""
    if kind >= LANE_KINDS:
        hrtimer_interrupt(m, owner, now)
    elif kind == LANE_VCPU:
        if m.vcpus[owner].state == GUEST:
            guest_acts(m, owner, now)
        else:
            vcpu_runs(m, owner, now)
    elif kind == LANE_HV:
        hv_timer_expires(m, owner, now)
    elif kind == LANE_IPI:
        ipi_arrives(m, owner, now)
    elif kind == LANE_POST:
        post_arrives(m, owner, now)
    elif kind == LANE_WORK:
        work_arrives(m, owner, now)
    else:
        outside_event(m, kind, owner, now)


def start_at_random(m: Machine, kind: int, v: int, stream: int, mean_ns: int) -> None:
    """Set when something that comes at random first comes, if it comes at all."""
    if mean_ns != NEVER:
        schedule(m, kind, v, exponential(m, v, stream, mean_ns))


def start(m: Machine) -> None:
    """Time 0: the host's timers run, and every vCPU will enter its guest when that boots."""
    for i in range(len(m.timers)):
        if m.timers[i].time != NEVER:
            enqueue_hrtimer(m, i, m.timers[i].owner, m.timers[i].time)
            reprogram(m, m.timers[i].owner)
    for v in range(len(m.vcpus)):
        x = m.vcpus[v]
        program = m.programs[x.guest]
        schedule(m, LANE_VCPU, v, x.boot)
        start_at_random(m, LANE_DEVICE, v, S_DEVICE, program.device_gap)
        start_at_random(m, LANE_OTHER, v, S_OTHER, program.other_gap)
        start_at_random(m, LANE_HOST_IRQ, v, S_HOST_IRQ, program.host_irq_gap)
        start_at_random(m, LANE_PREEMPT, v, S_PREEMPT_GAP, program.preempt_gap)
        if program.move_gap != NEVER:
            schedule(m, LANE_MOVE, v, program.move_gap + v)
        if program.idle_ns and program.busy_ns:
            x.work_left = exponential(m, v, S_BUSY, program.busy_ns)


def run(m: Machine, until: int) -> int:
    """Handle events in order up to the time `until`, or until every guest has finished; return the time reached."""
    g = m.g[0]
    if g.seq == 0:
        start(m)
    while g.queued and g.n_done < g.n_vcpus:
        i = m.queue[0]
        lane = m.lanes[i]
        if lane.time > until:
            break
        g.now = lane.time
        g.events += 1
        kind = LANE_KINDS
        owner = i - (g.n_vcpus << LANE_BITS)
        if owner < 0:
            kind = i & ((1 << LANE_BITS) - 1)
            owner = i >> LANE_BITS
        g.handled = i
        handle(m, kind, owner, g.now)
        if g.handled != NONE:
            clear(m, i)
            g.handled = NONE
    if g.n_done < g.n_vcpus:
        g.now = until
    return int(g.now)


MODULES: tuple[ModuleType, ...] = (queue, machine, hrtimer, lapic, vmexit, guest, vcpu)
"""Where the rules stand, besides here."""


def source_digest(*others: ModuleType) -> str:
    """A digest of the sources of the rules, and of other modules."""
    files = {__file__, *(str(module.__file__) for module in (*MODULES, *others))}
    return hashlib.sha256(b"".join(Path(name).read_bytes() for name in sorted(files))).hexdigest()[:16]


@functools.cache
def compiled_run() -> Callable[[Machine, int], int]:
    """`run` as machine code, from the cache on disk when it is there."""
    from kvmlab.engine import compiled

    run_at = compiled.compiled(run, LAYOUT, source_digest())

    def run_compiled(m: Machine, until: int) -> int:
        words = compiled.words(m)  # kept until the run has ended
        return run_at(words.ctypes.data, until)

    return run_compiled


def can_compile() -> bool:
    """Tell whether runs are compiled: llvmlite is installed, and KVMLAB_ENGINE does not say python."""
    return os.environ.get("KVMLAB_ENGINE") != "python" and importlib.util.find_spec("llvmlite") is not None


@functools.cache
def row_class(names: tuple[str, ...]) -> type:
    """An object with the fields of a record: quicker to read in plain Python than a numpy record."""
    return type("Row", (), {"__slots__": names})


def as_objects(array: np.ndarray) -> list[Any]:
    """The table as a list of objects, or of numbers."""
    if array.dtype.names is None:
        return list(array.tolist())
    row = row_class(array.dtype.names)
    objects = []
    for values in array.tolist():
        objects.append(row())
        for name, value in zip(array.dtype.names, values, strict=True):
            setattr(objects[-1], name, value)
    return objects


def plain_copy(m: Machine) -> Machine:
    """The machine as lists of objects, for plain Python."""
    return Machine(*(as_objects(table) for table in m))


def copy_back(objects: list[Any], array: np.ndarray) -> None:
    """Write what `as_objects` made of `array`, changed by a run, back into it."""
    names = array.dtype.names
    if len(array):
        array[:] = objects if names is None else [tuple(getattr(o, name) for name in names) for o in objects]


def advance(m: Machine, until: int, *, plain: bool | None = None) -> int:
    """Run `m`, whose tables are numpy arrays, up to `until` (ns); return the time reached.

    `plain`: use plain Python even where runs can be compiled (None: as `can_compile` says).
    """
    if not (plain if plain is not None else not can_compile()):
        return compiled_run()(m, until)
    objects = plain_copy(m)
    reached = run(objects, until)
    for changed, array in zip(objects, m, strict=True):
        copy_back(changed, array)
    return reached
