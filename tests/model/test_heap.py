"""The queues against plain dictionaries."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvmlab.model.heap import remove, sift
from tests.strategies import few

SIZE, HEAPS = 20, 3


class Entry:
    def __init__(self):
        self.time = self.order = self.place = 0


class Queues(RuleBasedStateMachine):
    """Set entries, set them again, take the first, take any: in several heaps in one list."""

    def __init__(self):
        super().__init__()
        self.entries = [Entry() for _ in range(HEAPS * SIZE)]
        self.queue = [-1] * (HEAPS * SIZE)
        self.inside = [{} for _ in range(HEAPS)]
        self.order = 0

    @rule(
        heap=st.integers(0, HEAPS - 1), i=st.integers(0, SIZE - 1), time=st.integers(0, 8), newest_first=st.booleans()
    )
    def set_entry(self, heap, i, time, newest_first):
        i += heap * SIZE
        inside = self.inside[heap]
        place = self.entries[i].place if i in inside else len(inside)
        self.order += 1
        self.entries[i].time, self.entries[i].order = time, -self.order if newest_first else self.order
        inside[i] = (time, self.entries[i].order)
        sift(self.entries, self.queue, heap * SIZE, len(inside), place, i)

    def take(self, heap, i):
        remove(self.entries, self.queue, heap * SIZE, len(self.inside[heap]), i)
        del self.inside[heap][i]

    @precondition(lambda self: any(self.inside))
    @rule(heap=st.integers(0, HEAPS - 1), at=st.integers(0, SIZE - 1))
    def take_any(self, heap, at):
        if self.inside[heap]:
            self.take(heap, sorted(self.inside[heap])[at % len(self.inside[heap])])

    @invariant()
    def first_is_the_least(self):
        for heap, inside in enumerate(self.inside):
            assert not inside or self.queue[heap * SIZE] == min(inside, key=inside.get)

    def teardown(self):
        for heap, inside in enumerate(self.inside):
            while inside:
                self.first_is_the_least()
                self.take(heap, self.queue[heap * SIZE])


TestQueues = Queues.TestCase
TestQueues.settings = few(60)
