"""What is kept of a vCPU's thread: handling times, where it is, its name, and the spans of a timeline."""

from __future__ import annotations

import pytest

from kvmlab.host.threads import Handling, Span, Thread, Timeline
from kvmlab.host.timers import Timer


def test_a_timeline_has_room_for_so_many_spans_and_counts_the_others() -> None:
    timeline = Timeline(2)
    spans = [Span(number, number + 5, ("vCPU", 7), "guest") for number in range(4)]
    assert [timeline.add(span) is span for span in spans] == [True] * 4
    assert timeline.spans == spans[:2]
    assert timeline.left_out == 2
    assert (Timeline(2).spans, Timeline(2).left_out) == ([], 0)


def test_each_post_is_an_arrow_of_its_own() -> None:
    timeline = Timeline(9)
    timeline.add(Span(1, 2, ("pCPU", 0), "hrtimer"))
    timeline.add_post(5, 0, 7)
    timeline.add_post(9, 3, 8)
    assert [(span.start_ns, span.end_ns, span.lane, span.what, span.flow) for span in timeline.spans] == [
        (1, 2, ("pCPU", 0), "hrtimer", -1),
        (5, 5, ("pCPU", 0), "post", 0),
        (5, 5, ("vCPU", 7), "handler", 0),
        (9, 9, ("pCPU", 3), "post", 1),
        (9, 9, ("vCPU", 8), "handler", 1),
    ]


@pytest.mark.parametrize(
    ("times", "handling"),
    [
        ([], Handling(count=0, fast=0, sum_ns=0, sum_sq=0.0, min_ns=0, max_ns=0)),
        ([5], Handling(count=1, sum_ns=5, sum_sq=25.0, min_ns=5, max_ns=5)),
        ([5, 3, 8], Handling(count=3, sum_ns=16, sum_sq=98.0, min_ns=3, max_ns=8)),
    ],
)
def test_handling_times_add_up(times: list[int], handling: Handling) -> None:
    found = Handling()
    for ns in times:
        found.add(ns)
    assert found == handling
    assert (found.fast, found.count) == (0, len(times))


def test_the_host_handles_an_exit_until_the_next_entry() -> None:
    thread = Thread(7)
    assert (thread.vcpu, thread.cpu, thread.exit_cpu, thread.in_guest, thread.apicv) == (-1, -1, -1, False, False)
    thread.enter(100, 1)  # from an exit before the listing
    assert (thread.in_guest, thread.since_ns, thread.cpu, thread.exit_cpu) == (True, 100, 1, -1)
    assert thread.handling == {}
    for left, entered, reason in ((150, 160, "HLT"), (200, 230, "HLT"), (300, 305, "CPUID")):
        thread.leave(left, 2, reason)
        assert (thread.in_guest, thread.since_ns, thread.reason) == (False, left, reason)
        assert (thread.cpu, thread.exit_cpu) == (2, 2)
        thread.enter(entered, 3)
        assert (thread.cpu, thread.exit_cpu) == (3, 2)
    thread.enter(400, 3)  # an exit is missing: nothing was handled
    assert thread.exits == {"HLT": 2, "CPUID": 1}
    assert thread.handling == {
        "HLT": Handling(count=2, sum_ns=40, sum_sq=1000.0, min_ns=10, max_ns=30),
        "CPUID": Handling(count=1, sum_ns=5, sum_sq=25.0, min_ns=5, max_ns=5),
    }


def test_a_timer_is_armed_within_one_exit() -> None:
    thread, timer = Thread(7), Timer(0, 7, 1, 1, "MSR_WRITE")
    thread.arming = timer
    thread.enter(2, 1)
    assert thread.arming is None
    thread.arming = timer
    thread.leave(3, 1, "HLT")
    assert thread.arming is None


def test_a_vcpu_is_called_by_its_number_and_its_thread_where_that_is_not_enough() -> None:
    threads = [Thread(7, vcpu=0), Thread(8, vcpu=1), Thread(9, vcpu=1), Thread(10)]
    assert [thread.name(threads) for thread in threads] == [
        "vCPU 0",
        "vCPU 1 (thread 8)",
        "vCPU 1 (thread 9)",
        "vCPU ? (thread 10)",
    ]
