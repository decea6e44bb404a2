"""The pairing heap against a sorted list."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvmlab.heap import NODE, NONE, heap_push, heap_remove
from tests.strategies import few

SIZE = 60


class Entry:
    def __init__(self):
        self.time = self.order = 0
        self.child = self.next = self.prev = NONE


def entries(kind):
    return np.zeros(SIZE, NODE).view(np.recarray) if kind == "records" else [Entry() for _ in range(SIZE)]


def drain(nodes, root):
    taken = []
    while root != NONE:
        taken.append(root)
        root = heap_remove(nodes, root, root)
    return taken


@pytest.mark.parametrize("kind", ["records", "objects"])
@given(times=st.lists(st.integers(0, 20), max_size=SIZE))
@few(60)
def test_entries_leave_in_order_of_time_then_order(kind, times):
    nodes, root = entries(kind), NONE
    for i, time in enumerate(times):
        nodes[i].time, nodes[i].order = time, (i * 37) % SIZE
        root = heap_push(nodes, root, i)
    expected = sorted(range(len(times)), key=lambda i: (times[i], (i * 37) % SIZE))
    assert drain(nodes, root) == expected


class Heap(RuleBasedStateMachine):
    """Push, take the first, take any, in any order; beside it a plain dictionary."""

    def __init__(self):
        super().__init__()
        self.nodes = [Entry() for _ in range(SIZE)]
        self.root = NONE
        self.inside = {}
        self.order = 0

    @precondition(lambda self: len(self.inside) < SIZE)
    @rule(time=st.integers(0, 8), at=st.integers(0, SIZE - 1), newest_first=st.booleans())
    def push(self, time, at, newest_first):
        free = [i for i in range(SIZE) if i not in self.inside]
        i = free[at % len(free)]
        self.order += 1
        self.nodes[i].time, self.nodes[i].order = time, -self.order if newest_first else self.order
        self.inside[i] = (time, self.nodes[i].order)
        self.root = heap_push(self.nodes, self.root, i)

    @precondition(lambda self: self.inside)
    @rule(at=st.integers(0, SIZE - 1))
    def remove_any(self, at):
        i = sorted(self.inside)[at % len(self.inside)]
        del self.inside[i]
        self.root = heap_remove(self.nodes, self.root, i)

    @precondition(lambda self: self.inside)
    @rule()
    def remove_first(self):
        del self.inside[self.root]
        self.root = heap_remove(self.nodes, self.root, self.root)

    @invariant()
    def first_is_the_least(self):
        least = min(self.inside, key=self.inside.get, default=NONE)
        assert self.root == least

    def teardown(self):
        assert drain(self.nodes, self.root) == sorted(self.inside, key=self.inside.get)


TestHeap = Heap.TestCase
TestHeap.settings = few(60)
