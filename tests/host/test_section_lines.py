"""The lines of a summary's sections, and tables as JSON, from small tables that are made up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from kvmlab.host.explain.sections import gap_lines, interrupt_lines, records, sections


def interrupts(count=1, **first):
    base = {"exits": 70, "name": "LOCAL_TIMER_VECTOR", "sender": "this CPU", "handler": "", "sent_by": ""}
    rows = [base | first] + [base | {"exits": 10 - n, "name": ""} for n in range(1, count)]
    return pd.DataFrame(rows, index=[f"0x{0xEC - n:x}" for n in range(count)])


@pytest.mark.parametrize(
    ("first", "line"),
    [
        ({}, "     70 0xec LOCAL_TIMER_VECTOR, from this CPU"),
        ({"name": ""}, "     70 0xec, from this CPU"),
        ({"handler": "a device"}, "     70 0xec LOCAL_TIMER_VECTOR, from this CPU; handled by a device"),
        (
            {"handler": "tick", "sent_by": "a task"},
            "     70 0xec LOCAL_TIMER_VECTOR, from this CPU; handled by tick; sent by a task",
        ),
    ],
)
def test_an_interrupt_is_a_line(first, line):
    assert list(interrupt_lines(interrupts(**first))) == [line]


def test_exits_without_a_vector_are_said_so():
    table = interrupts()
    table.index = ["not shown"]
    assert list(interrupt_lines(table)) == ["     70 not shown"]


@pytest.mark.parametrize(
    ("count", "lines", "more"),
    [(6, 6, []), (7, 7, ["        and 1 more vector"]), (9, 7, ["        and 3 more vectors"])],
)
def test_six_vectors_are_shown(count, lines, more):
    shown = list(interrupt_lines(interrupts(count)))
    assert len(shown) == lines
    assert shown[6:] == more
    assert shown[1] == "      9 0xeb, from this CPU"


def gaps(*vcpus, **first):
    base = {"gap_us": 1234.56, "reason": "CPUID", "thread": 640, "exit_s": 71.0000014, "meanwhile": ""}
    table = pd.DataFrame([base | {"vcpu": vcpu} | first for vcpu in vcpus]).astype({"vcpu": "Int64"}).astype(object)
    table.attrs["gaps"] = 1234
    return table


def test_a_gap_is_a_line_with_the_vcpu_or_its_thread():
    assert list(gap_lines(gaps(2))) == ["    1,234.6 us CPUID, vCPU 2, at 71.000001 s"]
    ran = list(gap_lines(gaps(0, meanwhile="vmstat_update")))
    assert ran == ["    1,234.6 us CPUID, vCPU 0, at 71.000001 s; meanwhile vmstat_update"]
    nameless = gaps(1)
    for unknown in (None, float("nan")):
        nameless["vcpu"] = pd.Series([unknown], dtype=object)
        assert list(gap_lines(nameless)) == ["    1,234.6 us CPUID, thread 640, at 71.000001 s"]
    assert len(list(gap_lines(gaps(0, 1, 2, 3)))) == 3


def told(table=None, gap_table=None, incomplete=False):
    return sections(SimpleNamespace(interrupts=table, gaps=gap_table, incomplete=incomplete))


def test_a_section_has_a_title_where_it_has_lines():
    by_vector = ["", "Interrupts that ended guest mode, by vector:", "       70 0xec LOCAL_TIMER_VECTOR, from this CPU"]
    longest = [
        "",
        "Longest times out of the guest, halts left out, of 1,234:",
        "      1,234.6 us CPUID, vCPU 2, at 71.000001 s",
    ]
    assert told(interrupts(), gaps(2)) == by_vector + longest
    assert told(interrupts()) == told(interrupts(), gaps(2).head(0)) == by_vector
    assert told(None, gaps(2)) == told(interrupts().head(0), gaps(2)) == longest
    assert told() == []
    assert told(None, gaps(2), incomplete=True)[1] == (
        "Longest times out of the guest, halts left out, of 1,234 (events are missing, so some of these may be "
        "several):"
    )


def test_a_table_as_json_has_nothing_for_what_is_not_known():
    table = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": ["x", None]})
    expected = [{"a": 1, "b": "x"}, {"a": None, "b": None}]
    assert records(table) == expected
    assert json.loads(json.dumps(records(table))) == expected
    assert records(table.set_index("b").head(1)) == [{"b": "x", "a": 1}]
    assert records(None) == records(table.head(0)) == []
