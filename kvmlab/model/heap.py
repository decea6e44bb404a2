"""Binary heaps of numbers of entries, in which each entry knows its place, so that its time may change.

What is first by (time, order) stands in front. The kernel keeps hrtimers in a red-black tree threaded through them
(``timerqueue``): an array needs fewer steps in memory, and gives the same order.

In each function `entries` are the records, `queue` holds numbers of entries, heap after heap, and `first` says where in
it the heap begins. Behind the entries of a heap anything may stand.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.model.records import Entry


def before(entries: Sequence[Entry], a: int, b: int) -> bool:
    """Return True if entry `a` comes before entry `b`."""
    x = entries[a]
    y = entries[b]
    return x.time < y.time or (x.time == y.time and x.order < y.order)


def sift_up(entries: Sequence[Entry], queue: list[int], first: int, place: int, i: int) -> None:
    """Put entry `i` at `place`, or above it, in front of all that come later."""
    while place > 0:
        above = queue[first + ((place - 1) >> 1)]
        if not before(entries, i, above):
            break
        queue[first + place] = above
        entries[above].place = place
        place = (place - 1) >> 1
    queue[first + place] = i
    entries[i].place = place


def sift_down(entries: Sequence[Entry], queue: list[int], first: int, size: int, place: int, i: int) -> None:
    """Put entry `i` at `place`, or below it, behind all that come sooner; `size` entries are in the heap with it."""
    below = 2 * place + 1
    while below < size:
        if below + 1 < size and before(entries, queue[first + below + 1], queue[first + below]):
            below += 1
        child = queue[first + below]
        if not before(entries, child, i):
            break
        queue[first + place] = child
        entries[child].place = place
        place = below
        below = 2 * place + 1
    queue[first + place] = i
    entries[i].place = place


def sift(entries: Sequence[Entry], queue: list[int], first: int, size: int, place: int, i: int) -> None:
    """Put entry `i` where it belongs, starting at `place`; `size` entries are in the heap with it."""
    if place > 0 and before(entries, i, queue[first + ((place - 1) >> 1)]):
        sift_up(entries, queue, first, place, i)
    else:
        sift_down(entries, queue, first, size, place, i)


def remove(entries: Sequence[Entry], queue: list[int], first: int, size: int, i: int) -> None:
    """Take entry `i` out of a heap of `size`: the last one fills the gap."""
    last = queue[first + size - 1]
    if last != i:
        sift(entries, queue, first, size - 1, entries[i].place, last)
