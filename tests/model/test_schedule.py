"""The queue of events, and the trace."""

import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.model.names import NEVER, NONE, Lane, Trace
from kvmlab.model.schedule import SEQ_BITS, clear, lane_of, schedule, scheduled, trace_step
from tests.model.machines import machine
from tests.strategies import few

VCPUS, PCPUS = 2, 3


def empty(**options):
    """Return a machine without events: 2 vCPUs on 3 pCPUs."""
    return machine(kl.Host(pcpus=PCPUS, isolated=(1, 2)), kl.Guest(VCPUS), **options)


def owners_of(kind):
    return range(PCPUS if kind in (Lane.PCPU, Lane.TASK) else VCPUS)


def drained(m):
    """Take out all events, first to last: the numbers of their lanes."""
    numbers = []
    while m.loop.queued:
        numbers.append(m.queue[0])
        clear(m, m.queue[0])
    return numbers


def test_each_lane_has_a_number_of_its_own():
    m = empty()
    numbers = [lane_of(m, kind, owner) for kind in Lane for owner in owners_of(kind)]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) == lane_of(m, Lane.TASK, PCPUS - 1) == len(m.lanes) - 1


def test_at_one_time_the_kind_of_lane_decides_then_who_came_first():
    m = empty()
    for kind, owner in [(Lane.PCPU, 0), (Lane.VCPU, 1), (Lane.VCPU, 0), (Lane.HV, 1)]:
        schedule(m, kind, owner, 50)
    schedule(m, Lane.MOVE, 0, 49)
    expected = [(Lane.MOVE, 0), (Lane.HV, 1), (Lane.VCPU, 1), (Lane.VCPU, 0), (Lane.PCPU, 0)]
    assert drained(m) == [lane_of(m, kind, owner) for kind, owner in expected]


def test_the_kind_stands_above_any_number_of_events():
    m = empty()
    m.loop.seq = (1 << SEQ_BITS) - 3
    schedule(m, Lane.POST, 0, 50)
    m.loop.seq = 0
    schedule(m, Lane.IPI, 0, 50)
    assert drained(m) == [lane_of(m, Lane.POST, 0), lane_of(m, Lane.IPI, 0)]


def test_an_event_at_the_time_it_has_keeps_its_turn():
    m = empty()
    schedule(m, Lane.VCPU, 0, 50)
    schedule(m, Lane.VCPU, 1, 50)
    schedule(m, Lane.VCPU, 0, 50)
    assert drained(m) == [lane_of(m, Lane.VCPU, 0), lane_of(m, Lane.VCPU, 1)]


@given(st.lists(st.tuples(st.sampled_from(list(Lane)), st.integers(0, PCPUS - 1), st.sampled_from([*range(6), NEVER]))))
@few(100)
def test_the_queue_holds_what_was_last_said_of_each_lane(calls):
    m = empty()
    said = {}
    for kind, owner, time in calls:
        owner = min(owner, owners_of(kind)[-1])
        schedule(m, kind, owner, time)
        said[kind, owner] = time
    for (kind, owner), time in said.items():
        assert scheduled(m, kind, owner) == time
    times = {lane_of(m, *lane): time for lane, time in said.items() if time != NEVER}
    assert m.loop.queued == len(times)
    order = drained(m)
    assert sorted(order) == sorted(times)
    assert [times[i] for i in order] == sorted(times.values())


@pytest.mark.parametrize(("again", "left"), [(None, 0), (NEVER, 0), (70, 1)])
def test_the_event_under_way_counts_as_gone_but_is_still_queued(again, left):
    m = empty()
    schedule(m, Lane.VCPU, 0, 50)
    m.loop.handled = m.queue[0]
    assert scheduled(m, Lane.VCPU, 0) == NEVER
    if again is not None:
        schedule(m, Lane.VCPU, 0, again)
    assert m.loop.queued == 1
    if m.loop.handled != NONE:  # as `run` does
        clear(m, m.loop.handled)
        m.loop.handled = NONE
    assert m.loop.queued == left
    assert scheduled(m, Lane.VCPU, 0) == (70 if left else NEVER)


def test_the_trace_keeps_the_first_steps():
    m = empty(trace_steps=2)
    for time in (3, 1, 2):
        trace_step(m, time, 0, 1, Trace.KICK, -time)
    assert [(step.time, step.cpu, step.vcpu, step.code, step.arg) for step in m.trace] == [
        (3, 0, 1, Trace.KICK, -3),
        (1, 0, 1, Trace.KICK, -1),
    ]
    assert m.loop.trace_used == 2
