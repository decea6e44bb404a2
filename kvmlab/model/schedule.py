"""Which event comes next, and the trace of what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from kvmlab.model.heap import remove, sift
from kvmlab.model.names import LANE_BITS, NEVER, NONE, Lane
from kvmlab.model.records import Machine

SEQ_BITS = 48
"""An entry's order is its kind of lane, and below it this many bits of `Loop.seq`."""
P = ParamSpec("P")
T = TypeVar("T")


def cold(rule: Callable[P, T]) -> Callable[P, T]:
    """Mark a rule that few events need: translated, it is not inlined into those that call it."""
    rule.cold = True  # type: ignore[attr-defined]
    return rule


def lane_of(m: Machine, kind: int, owner: int) -> int:
    """Return the number of a lane: those of a vCPU stand together, behind them all one per pCPU, and again one.

    `owner`: the vCPU, or for Lane.PCPU and Lane.TASK the pCPU.
    """
    if kind == Lane.PCPU:
        return (m.loop.n_vcpus << LANE_BITS) + owner
    if kind == Lane.TASK:
        return (m.loop.n_vcpus << LANE_BITS) + len(m.pcpus) + owner
    return (owner << LANE_BITS) + kind


def schedule(m: Machine, kind: int, owner: int, time: int) -> None:
    """Set when the lane's next event comes (ns); NEVER clears it. Order: time, then kind, then sequence.

    The lane whose event is under way stays in the queue until that is done (`Loop.handled`), so that a new event only
    moves it.
    """
    loop = m.loop
    i = lane_of(m, kind, owner)
    lane = m.lanes[i]
    place = lane.place
    if i == loop.handled:
        if time == NEVER:
            return
        loop.handled = NONE
    elif lane.time == time:
        return
    elif time == NEVER:
        clear(m, i)
        return
    elif lane.time == NEVER:
        place = loop.queued
        loop.queued += 1
    lane.time = time
    loop.seq += 1
    lane.order = (kind << SEQ_BITS) | loop.seq
    sift(m.lanes, m.queue, 0, loop.queued, place, i)


def clear(m: Machine, i: int) -> None:
    """Take lane `i` out of the queue."""
    m.lanes[i].time = NEVER
    m.loop.queued -= 1
    remove(m.lanes, m.queue, 0, m.loop.queued + 1, i)


def scheduled(m: Machine, kind: int, owner: int) -> int:
    """Return when the lane's next event comes (ns), or NEVER; the one under way does not count."""
    i = lane_of(m, kind, owner)
    return NEVER if i == m.loop.handled else m.lanes[i].time


@cold
def write_step(m: Machine, time: int, cpu: int, vcpu: int, code: int, arg: int) -> None:
    """Write one step into the trace, in which there is room."""
    step = m.trace[m.loop.trace_used]
    step.time = time
    step.cpu = cpu
    step.vcpu = vcpu
    step.code = code
    step.arg = arg
    m.loop.trace_used += 1


def trace_step(m: Machine, time: int, cpu: int, vcpu: int, code: int, arg: int) -> None:
    """Write one step (a `Trace`) into the trace while there is room."""
    if m.loop.trace_used < len(m.trace):
        write_step(m, time, cpu, vcpu, code, arg)
