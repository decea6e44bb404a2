"""The queue of lanes against a plain dictionary."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvmlab.queue import settle, take_out
from tests.strategies import few

SIZE = 40


class Lane:
    def __init__(self):
        self.time = self.order = self.place = 0


class Queue(RuleBasedStateMachine):
    """Set lanes, set them anew, take the first, take any."""

    def __init__(self):
        super().__init__()
        self.lanes = [Lane() for _ in range(SIZE)]
        self.queue = [-1] * SIZE
        self.inside = {}
        self.order = 0

    @rule(time=st.integers(0, 8), i=st.integers(0, SIZE - 1))
    def set_lane(self, time, i):
        place = self.lanes[i].place if i in self.inside else len(self.inside)
        self.order += 1
        self.lanes[i].time, self.lanes[i].order = time, self.order
        self.inside[i] = (time, self.order)
        settle(self.lanes, self.queue, len(self.inside), place, i)

    @precondition(lambda self: self.inside)
    @rule(at=st.integers(0, SIZE - 1))
    def take_any(self, at):
        i = sorted(self.inside)[at % len(self.inside)]
        take_out(self.lanes, self.queue, len(self.inside), i)
        del self.inside[i]

    @invariant()
    def first_is_the_least(self):
        assert not self.inside or self.queue[0] == min(self.inside, key=self.inside.get)

    def teardown(self):
        while self.inside:
            self.first_is_the_least()
            first = self.queue[0]
            take_out(self.lanes, self.queue, len(self.inside), first)
            del self.inside[first]


TestQueue = Queue.TestCase
TestQueue.settings = few(60)
