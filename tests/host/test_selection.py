"""Rows of a recording: which callbacks go with a thread, which times and numbers are allowed."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.host.formats import read_kvm_trace
from kvmlab.host.selection import callbacks_of, checked_ns, present

LAPIC, OTHER = "apic_timer_fn", "hrtimer_wakeup"


def start(pid: int, cpu: int, hrtimer: str, function: str = LAPIC) -> tuple[str, int, int, dict[str, Any]]:
    return "hrtimer_start", pid, cpu, {"hrtimer": hrtimer, "function": function}


def expire(cpu: int, hrtimer: str, function: str = LAPIC) -> tuple[str, int, int, dict[str, Any]]:
    return "hrtimer_expire_entry", 0, cpu, {"hrtimer": hrtimer, "function": function}


def other(name: str, cpu: int) -> tuple[str, int, int, dict[str, Any]]:
    return name, 0, cpu, {}


ACCEPT, ENDS, WAKES = "kvm_apicv_accept_irq", "hrtimer_expire_exit", "sched_wakeup"
# Of the callbacks of thread 7's LAPIC hrtimer?
ROWS = [
    (start(7, 1, "a"), False),
    (start(8, 2, "b"), False),
    (start(7, 1, "c", OTHER), False),
    (other(ACCEPT, 0), False),  # outside of any callback
    (expire(0, "c", OTHER), False),
    (other(ACCEPT, 0), False),
    (expire(0, "a"), True),
    (other(ACCEPT, 0), True),
    (other(ACCEPT, 3), False),  # on another pCPU
    (start(0, 0, "a"), True),  # its next period, of the same owner
    (other(ENDS, 0), True),
    (other(ACCEPT, 0), False),
    (expire(0, "b"), False),
    (other(ACCEPT, 0), False),
    (expire(0, "a"), True),
    (other(WAKES, 0), False),  # no callback leaves it
    (other(ACCEPT, 0), False),
    (expire(0, "a"), True),
    (expire(0, "c", OTHER), False),
    (other(ACCEPT, 0), False),
    (expire(0, "a"), True),
    (expire(0, "unknown"), False),
    (other(ACCEPT, 0), False),
    (start(8, 2, "a"), False),  # an address is given to another timer
    (expire(0, "a"), False),
]


def test_a_callback_is_of_the_thread_that_queued_its_hrtimer() -> None:
    trace = pd.DataFrame([row for row, _ in ROWS], columns=["event", "pid", "cpu", "fields"], index=range(5, 30))
    found = callbacks_of(trace, {7})
    assert found.tolist() == [expected for _, expected in ROWS]
    assert found.index.equals(trace.index)


@pytest.mark.parametrize(
    ("seconds", "ns"), [(None, 5), (0, 0), (1.5, 1_500_000_000), (1.001, 1_001_000_000), (9e9, 9 * 10**18)]
)
def test_a_time_in_ns(seconds: float | None, ns: int) -> None:
    assert checked_ns("start_s", seconds, 5) == ns


@pytest.mark.parametrize("seconds", [-1, -0.5, 9_000_000_000.5, 1e10])
def test_a_time_out_of_range_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="end_s"):
        checked_ns("end_s", seconds, 5)


@pytest.mark.parametrize(
    ("there", "listed"),
    [
        ([], "none"),
        ([3, 1, 1, None], "1, 3"),
        (range(20), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19"),
        (range(21), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, ..."),
    ],
)
def test_what_is_not_there_is_refused_naming_up_to_twenty_that_are(there: Any, listed: str) -> None:
    column = pd.Series(list(there), dtype="Int64")
    with pytest.raises(ValueError, match=r"^cpu=99 ") as refused:
        present("cpu", 99, column)
    assert str(refused.value) == f"cpu=99 is not in the recording; there are: {listed}"


def test_one_number_or_several_are_asked_for() -> None:
    column = pd.Series([1, 2, 3], dtype="Int64")
    assert present("cpu", 2, column) == {2}
    assert present("cpu", [1, 3], column) == {1, 3}


LINE = "kt-{} [{:03d}] d..1. {}: kvm_entry: vcpu {}\n"
LISTING = "".join(
    [
        LINE.format(7, 1, "0.000000", 0),
        LINE.format(8, 2, "1.001000", 1),
        LINE.format(9, 1, "8999999999.000000", 0),
    ]
)


def test_all_times_are_selected_unless_told_otherwise_and_the_ends_are_included() -> None:
    trace = read_kvm_trace("# prose\n" + LISTING)
    whole = kl.select_events(trace)
    pd.testing.assert_frame_equal(whole, trace)
    assert whole.attrs == trace.attrs
    assert kl.select_events(trace, end_s=1.001)["pid"].tolist() == [7, 8]
    assert kl.select_events(trace, end_s=1.0009)["pid"].tolist() == [7]
    late = kl.select_events(trace, start_s=1.001)
    assert late["pid"].tolist() == [8, 9]
    assert late.index.tolist() == [0, 1]


def test_all_arguments_have_to_select_a_row() -> None:
    trace = read_kvm_trace(LISTING)
    assert kl.select_events(trace, vcpu=0)["pid"].tolist() == [7, 9]
    assert kl.select_events(trace, vcpu=0, thread=[7, 8])["pid"].tolist() == [7]
    assert kl.select_events(trace, vcpu=0, start_s=5)["pid"].tolist() == [9]
    assert kl.select_events(trace, cpu=1, thread=[8, 9])["pid"].tolist() == [9]
    assert kl.select_events(trace, cpu=[1, 2], end_s=2)["pid"].tolist() == [7, 8]


def test_what_is_no_table_of_a_trace_is_refused_naming_what_it_lacks() -> None:
    trace = read_kvm_trace(LISTING)
    with pytest.raises(ValueError, match=r"^trace: no column pid, flags; expected a table of read_kvm_trace$"):
        kl.select_events(trace.drop(columns=["pid", "flags"]))
    with pytest.raises(ValueError, match=r"^trace: no column time_s, time_ns, cpu, "):
        kl.select_events("text")
    with pytest.raises(ValueError, match=r"^vm=7: the listing does not show processes; record it with the option "):
        kl.select_events(trace, vm=7)
