"""What comes next: binary heaps of numbers of entries, where each entry knows its place, so that its time may change.

An entry is a record with the fields time, order and place; what is first by (time, order) stands in front. The kernel
keeps hrtimers in a red-black tree threaded through them (``timerqueue``): an array needs fewer steps in memory.
"""

from __future__ import annotations

from typing import Any

Entries = Any
"""An array of records with the fields time, order and place, or a list of such objects."""
Queue = Any
"""Numbers of entries, heap after heap; behind those in a heap anything may stand. `first`: where a heap begins."""


def sooner(entries: Entries, a: int, b: int) -> bool:
    """Tell whether entry `a` comes before entry `b`."""
    x = entries[a]
    y = entries[b]
    return bool(x.time < y.time or (x.time == y.time and x.order < y.order))


def rise(entries: Entries, queue: Queue, first: int, place: int, i: int) -> None:
    """Put entry `i` at `place` or, before all that come later, above it."""
    while place > 0:
        above = queue[first + ((place - 1) >> 1)]
        if not sooner(entries, i, above):
            break
        queue[first + place] = above
        entries[above].place = place
        place = (place - 1) >> 1
    queue[first + place] = i
    entries[i].place = place


def sink(entries: Entries, queue: Queue, first: int, size: int, place: int, i: int) -> None:
    """Put entry `i` at `place` or, behind all that come sooner, below it."""
    below = 2 * place + 1
    while below < size:
        if below + 1 < size and sooner(entries, queue[first + below + 1], queue[first + below]):
            below += 1
        child = queue[first + below]
        if not sooner(entries, child, i):
            break
        queue[first + place] = child
        entries[child].place = place
        place = below
        below = 2 * place + 1
    queue[first + place] = i
    entries[i].place = place


def settle(entries: Entries, queue: Queue, first: int, size: int, place: int, i: int) -> None:
    """Put entry `i` where it belongs, from `place` on; `size` entries are in the heap with it."""
    if place > 0 and sooner(entries, i, queue[first + ((place - 1) >> 1)]):
        rise(entries, queue, first, place, i)
    else:
        sink(entries, queue, first, size, place, i)


def take_out(entries: Entries, queue: Queue, first: int, size: int, i: int) -> None:
    """Take entry `i` out of a heap of `size`: the last one fills the gap."""
    last = queue[first + size - 1]
    if last != i:
        settle(entries, queue, first, size - 1, entries[i].place, last)
