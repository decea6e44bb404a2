"""Which lane is next: a binary heap of lane numbers, where each lane knows its place, so that its time may change.

Order is (time, order), as in heap.py. A lane that is in the queue is moved when its event is set anew, which is what
most events do; a pairing heap would take it out and put it in again.
"""

from __future__ import annotations

from typing import Any

Lanes = Any
"""An array of records with the fields time, order and place, or a list of such objects."""
Places = Any
"""Lane numbers in heap order; behind the lanes in the queue anything may stand."""


def sooner(lanes: Lanes, a: int, b: int) -> bool:
    """Tell whether lane `a` comes before lane `b`."""
    x = lanes[a]
    y = lanes[b]
    return bool(x.time < y.time or (x.time == y.time and x.order < y.order))


def rise(lanes: Lanes, queue: Places, place: int, i: int) -> None:
    """Put lane `i` at `place` or, before all that come later, above it."""
    while place > 0:
        above = queue[(place - 1) >> 1]
        if not sooner(lanes, i, above):
            break
        queue[place] = above
        lanes[above].place = place
        place = (place - 1) >> 1
    queue[place] = i
    lanes[i].place = place


def sink(lanes: Lanes, queue: Places, size: int, place: int, i: int) -> None:
    """Put lane `i` at `place` or, behind all that come sooner, below it."""
    below = 2 * place + 1
    while below < size:
        if below + 1 < size and sooner(lanes, queue[below + 1], queue[below]):
            below += 1
        child = queue[below]
        if not sooner(lanes, child, i):
            break
        queue[place] = child
        lanes[child].place = place
        place = below
        below = 2 * place + 1
    queue[place] = i
    lanes[i].place = place


def settle(lanes: Lanes, queue: Places, size: int, place: int, i: int) -> None:
    """Put lane `i` where it belongs, from `place` on; `size` lanes are in the queue with it."""
    if place > 0 and sooner(lanes, i, queue[(place - 1) >> 1]):
        rise(lanes, queue, place, i)
    else:
        sink(lanes, queue, size, place, i)


def take_out(lanes: Lanes, queue: Places, size: int, i: int) -> None:
    """Take lane `i` out of a queue of `size`: the last one fills the gap."""
    last = queue[size - 1]
    if last != i:
        settle(lanes, queue, size - 1, lanes[i].place, last)


RULES = (sooner, rise, sink, settle, take_out)
"""What engine.py compiles from this module, callees first."""
