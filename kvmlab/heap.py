"""A priority queue whose entries can be taken out from the middle: a pairing heap threaded through the entries.

The kernel keeps hrtimers in a red-black tree threaded through the timers themselves (``timerqueue``); this is the same
idea with less code. Entries are records with the fields of `NODE`; a heap is the index of its first entry, or `NONE`.
Order is (time, order): ``order`` is set by the caller so that no two entries compare equal.

Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", Algorithmica 1, 1986.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Nodes = Any
"""An array of records that have the fields of `NODE`, or a list of such objects."""
NONE = -1
NODE = [(name, np.int64) for name in ("time", "order", "child", "next", "prev")]
"""Fields every entry has: its key (``time`` in ns, ``order``) and its links (indices into the same array)."""


def before(nodes: Nodes, a: int, b: int) -> bool:
    """Tell whether entry `a` comes before entry `b`."""
    x = nodes[a]
    y = nodes[b]
    return bool(x.time < y.time or (x.time == y.time and x.order < y.order))


def meld(nodes: Nodes, a: int, b: int) -> int:
    """Join two heaps; return the first entry of the result."""
    if a == NONE:
        return b
    if b == NONE:
        return a
    if before(nodes, b, a):
        first, second = b, a
    else:
        first, second = a, b
    parent = nodes[first]
    child = nodes[second]
    child.next = parent.child
    child.prev = first
    if parent.child != NONE:
        nodes[parent.child].prev = second
    parent.child = second
    return first


def meld_siblings(nodes: Nodes, first: int) -> int:
    """Join the children of an entry that leaves: in pairs from the left, then from the right into one."""
    pairs = NONE
    while first != NONE:
        a = first
        b = nodes[a].next
        first = NONE
        nodes[a].next = NONE
        if b != NONE:
            first = nodes[b].next
            nodes[b].next = NONE
        pair = meld(nodes, a, b)
        nodes[pair].prev = pairs
        pairs = pair
    root = NONE
    while pairs != NONE:
        left = nodes[pairs].prev
        root = meld(nodes, root, pairs)
        pairs = left
    if root != NONE:
        nodes[root].prev = NONE
        nodes[root].next = NONE
    return root


def heap_push(nodes: Nodes, root: int, i: int) -> int:
    """Put entry `i`, whose key is set, into the heap `root`; return the first entry."""
    node = nodes[i]
    node.child = NONE
    node.next = NONE
    node.prev = NONE
    return meld(nodes, root, i)


def heap_remove(nodes: Nodes, root: int, i: int) -> int:
    """Take entry `i` out of the heap `root`; return the first entry that is left, or `NONE`."""
    node = nodes[i]
    rest = meld_siblings(nodes, node.child)
    if i == root:
        return rest
    if nodes[node.prev].child == i:
        nodes[node.prev].child = node.next
    else:
        nodes[node.prev].next = node.next
    if node.next != NONE:
        nodes[node.next].prev = node.prev
    return meld(nodes, root, rest)


RULES = (before, meld, meld_siblings, heap_push, heap_remove)
"""What engine.py compiles from this module, callees first."""
