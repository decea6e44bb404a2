"""Events of a recording, however it is given; and what an event says that the host ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kvmlab.host.formats import read_kvm_trace
from kvmlab.host.formats.between import GAPS
from kvmlab.host.formats.events import Event
from kvmlab.host.recording_events import FrameEvents, events_of, shown_fields

LISTING = """\
some prose
kt-7 [001] d..1. 1.000000: kvm_exit: reason HLT rip 0x1 info 0 0
CPU:1 [LOST 5 EVENTS]
kt-7 [001] d..1. 1.000002: kvm_entry: vcpu 0
"""
EVENTS = [
    Event(1.0, 10**9, 1, "kt", 7, "kvm_exit", None, "HLT", {"rip": 1, "info1": 0, "info2": 0}, "d..1."),
    Event(1.000002, 10**9 + 2000, 1, "kt", 7, "kvm_entry", 0, None, {}, "d..1."),
]


def test_a_text_a_path_and_a_table_give_the_same_events(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(LISTING)
    for recording in (LISTING, path, read_kvm_trace(LISTING)):
        with events_of(recording) as events:
            assert list(events) == EVENTS


def test_a_table_remembers_what_was_passed_over_and_lost() -> None:
    frame = read_kvm_trace(LISTING)
    events = FrameEvents(frame)
    assert events.lost_events == 5
    assert events.left_out == 0
    assert events.notes() == frame.attrs["notes"] != []
    frame.attrs["passed_over"] = {GAPS: 3}
    assert FrameEvents(frame).left_out == 3
    frame.attrs.clear()
    bare = FrameEvents(frame)
    assert (bare.lost_events, bare.left_out, bare.notes(), list(bare)) == (0, 0, [], EVENTS)


def test_what_is_no_recording_is_refused_naming_what_it_lacks() -> None:
    with pytest.raises(ValueError, match=r"^trace: ") as refused:
        FrameEvents(read_kvm_trace(LISTING).drop(columns=["pid", "tgid"]))
    assert str(refused.value) == (
        "trace: DataFrame without pid, tgid is not allowed; it must be text, a path, or a table of read_kvm_trace or "
        "read_perf_kvm_stat"
    )
    with pytest.raises(ValueError, match=r"^trace: int without time_s, "), events_of(5):
        pass
    with pytest.raises(ValueError, match=r"^trace: DataFrame without time_s, "):
        FrameEvents(pd.DataFrame())


@pytest.mark.parametrize(
    ("name", "fields", "shown"),
    [
        ("irq_handler_entry", {"irq": 24, "name": "eth0"}, "irq 24 eth0"),
        ("irq_handler_entry", {"irq": 24}, "irq 24"),
        ("irq_handler_entry", {}, "irq ?"),
        ("irq_handler_exit", {"irq": 24, "name": "eth0"}, None),
        ("hrtimer_expire_entry", {"function": "tick_nohz_handler"}, "hrtimer tick_nohz_handler"),
        ("timer_expire_entry", {"function": "delayed_work_timer_fn"}, "timer delayed_work_timer_fn"),
        ("timer_expire_entry", {}, "timer ?"),
        ("timer_start", {"function": "delayed_work_timer_fn"}, None),
        ("softirq_entry", {"vec": 1, "action": "TIMER]"}, "softirq TIMER"),
        ("softirq_entry", {"vec": 1}, "softirq 1"),
        ("softirq_entry", {}, "softirq ?"),
        ("softirq_raise", {"vec": 1, "action": "TIMER]"}, None),
        ("workqueue_execute_start", {"text": "work struct 00aa: function vmstat_update"}, "work vmstat_update"),
        ("workqueue_execute_start", {"function": "wb_workfn", "text": "work struct 1"}, "work wb_workfn"),
        ("workqueue_execute_start", {}, "work ?"),
        ("workqueue_execute_end", {"function": "wb_workfn"}, None),
        ("local_timer_entry", {"vector": 236}, "local_timer"),
        ("local_timer_exit", {"vector": 236}, None),
        ("sys_entry", {"vector": "no number"}, None),
        ("sys_entry", {}, None),
    ],
)
def test_what_an_event_says_that_the_host_ran(name: str, fields: dict[str, Any], shown: str | None) -> None:
    assert shown_fields(Event(1.0, 10**9, 1, "kt", 7, name, None, None, fields, None)) == shown
