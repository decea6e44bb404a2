"""Chrome trace JSON: spans become events, lanes tracks, flows arrows; and what is no timeline is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.host.formats import write_chrome_trace
from tests.host.recorded import TRACES
from tests.places import RECORDED
from tests.strategies import few


@pytest.fixture
def timeline() -> pd.DataFrame:
    """A housekeeping pCPU that posts an interrupt to a vCPU, which handles it."""
    return pd.DataFrame(
        {
            "start_ns": [1_000, 5_500, 2_000],
            "end_ns": [4_001, 6_000, 9_000],
            "lane": ["pCPU 10", "vCPU 0", "pCPU 2"],
            "what": ["apic_timer_fn", "handler", "guest"],
            "flow": [7, 7, -1],
        }
    )


def by_phase(trace: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


def test_rows_become_complete_events_in_us(timeline: pd.DataFrame) -> None:
    events = by_phase(write_chrome_trace(timeline), "X")
    assert [event["name"] for event in events] == ["apic_timer_fn", "handler", "guest"]
    assert [(event["ts"], event["dur"]) for event in events] == [(1.0, 3.001), (5.5, 0.5), (2.0, 7.0)]
    assert events[0]["args"] == {"start_ns": 1000, "end_ns": 4001}


def test_lanes_become_tracks_of_two_processes(timeline: pd.DataFrame) -> None:
    trace = write_chrome_trace(timeline)
    metadata = by_phase(trace, "M")
    processes = {event["pid"]: event["args"]["name"] for event in metadata if event["name"] == "process_name"}
    threads = {event["tid"]: event["args"]["name"] for event in metadata if event["name"] == "thread_name"}
    order = {event["tid"]: event["args"]["sort_index"] for event in metadata if event["name"] == "thread_sort_index"}
    assert list(processes.values()) == ["pCPUs", "vCPUs"]
    assert sorted(threads, key=lambda tid: order[tid]) == [1, 2, 3]
    # By number, not by letter.
    assert [threads[tid] for tid in (1, 2, 3)] == ["pCPU 2", "pCPU 10", "vCPU 0"]
    for event in by_phase(trace, "X"):
        lane = {"apic_timer_fn": "pCPU 10", "handler": "vCPU 0", "guest": "pCPU 2"}[event["name"]]
        assert threads[event["tid"]] == lane
        assert processes[event["pid"]] == lane.split()[0] + "s"


def test_a_flow_becomes_an_arrow_in_time_order(timeline: pd.DataFrame) -> None:
    backwards = timeline.iloc[::-1]
    for rows in (timeline, backwards):
        trace = write_chrome_trace(rows)
        (tail,), (head,) = by_phase(trace, "s"), by_phase(trace, "f")
        assert (tail["ts"], head["ts"], head["bp"]) == (1.0, 5.5, "e")
        assert (tail["id"], tail["cat"], tail["name"]) == (head["id"], head["cat"], head["name"])
        spans = {event["name"]: event for event in by_phase(trace, "X")}
        assert (tail["pid"], tail["tid"]) == (spans["apic_timer_fn"]["pid"], spans["apic_timer_fn"]["tid"])
        assert (head["pid"], head["tid"]) == (spans["handler"]["pid"], spans["handler"]["tid"])


def test_a_flow_that_was_cut_has_no_arrow(timeline: pd.DataFrame) -> None:
    trace = write_chrome_trace(timeline.head(1))
    assert len(by_phase(trace, "X")) == 1
    assert by_phase(trace, "s") == by_phase(trace, "f") == []


def test_a_column_process_names_the_processes(timeline: pd.DataFrame) -> None:
    timeline["lane"] = "vCPU 0"
    timeline["process"] = ["guest b", "guest a", "guest b"]
    trace = write_chrome_trace(timeline)
    processes = [event["args"]["name"] for event in by_phase(trace, "M") if event["name"] == "process_name"]
    assert processes == ["guest b", "guest a"]
    tracks = [(event["pid"], event["tid"]) for event in by_phase(trace, "X")]
    assert tracks[0] == tracks[2] != tracks[1]


def test_the_file_holds_what_was_returned(timeline: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = write_chrome_trace(timeline, path)
    assert json.loads(path.read_text()) == trace
    assert write_chrome_trace(timeline, str(path)) == trace


def test_an_empty_timeline_is_an_empty_trace(timeline: pd.DataFrame) -> None:
    assert write_chrome_trace(timeline.head(0))["traceEvents"] == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"end_ns": [4000, 5000, 9000]}, "row 1: found end_ns 5000; expected at least start_ns 5500"),
        ({"start_ns": [0.5, 1.0, 2.0]}, r"row 0: found start_ns '0.5'; expected an int"),
        ({"end_ns": [9000, 9000, None]}, r"row 0: found end_ns '9000.0'; expected an int"),
        ({"flow": [True, False, True]}, "row 0: found flow 'True'; expected an int"),
        ({"flow": [7, 7, 7]}, "rows 0, 1, 2: found 3 rows of flow 7; expected two"),
        ({"start_ns": ["a", "b", "c"]}, "row 0: found start_ns 'a'; expected an int"),
    ],
)
def test_a_bad_timeline_is_refused_with_its_row(
    timeline: pd.DataFrame, changes: dict[str, list[Any]], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        write_chrome_trace(timeline.assign(**changes))


def test_a_timeline_without_its_columns_is_refused(timeline: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no column lane, flow; expected start_ns, end_ns, lane, what, flow"):
        write_chrome_trace(timeline.drop(columns=["lane", "flow"]))


@few(100)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**15),
            st.integers(0, 10**9),
            st.sampled_from(["pCPU 0", "pCPU 10", "vCPU 0", "vCPU 3", "guest"]),
            st.text(max_size=5),
        ),
        max_size=20,
    )
)
def test_every_row_is_in_the_json(rows: list[tuple[int, int, str, str]]) -> None:
    timeline = pd.DataFrame(
        [(start, start + length, lane, what, -1) for start, length, lane, what in rows],
        columns=["start_ns", "end_ns", "lane", "what", "flow"],
    )
    trace = json.loads(json.dumps(write_chrome_trace(timeline)))
    names = {event["tid"]: event["args"]["name"] for event in by_phase(trace, "M") if event["name"] == "thread_name"}
    got = [
        (event["args"]["start_ns"], event["args"]["end_ns"], names[event["tid"]], event["name"])
        for event in by_phase(trace, "X")
    ]
    assert got == [(start, start + length, lane, what) for start, length, lane, what in rows]
    assert len(names) == len({lane for _, _, lane, _ in rows})
    assert all(event["ts"] == event["args"]["start_ns"] / 1000 and event["dur"] >= 0 for event in by_phase(trace, "X"))


# What the Trace Event Format says of the kinds of events that are written here (the fields that a viewer needs).
CHROME_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["traceEvents"],
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "traceEvents": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["ph", "pid", "tid", "name"],
                "properties": {"pid": {"type": "integer"}, "tid": {"type": "integer"}, "ts": {"type": "number"}},
                "oneOf": [
                    {
                        "properties": {"ph": {"const": "X"}, "dur": {"type": "number", "minimum": 0}},
                        "required": ["ts", "dur", "cat"],
                    },
                    {
                        "properties": {
                            "ph": {"const": "M"},
                            "name": {
                                "enum": ["process_name", "process_sort_index", "thread_name", "thread_sort_index"]
                            },
                            "args": {"type": "object", "minProperties": 1},
                        },
                        "required": ["args"],
                    },
                    {"properties": {"ph": {"const": "s"}, "id": {"type": "integer"}}, "required": ["ts", "id", "cat"]},
                    {
                        "properties": {"ph": {"const": "f"}, "id": {"type": "integer"}, "bp": {"const": "e"}},
                        "required": ["ts", "id", "cat", "bp"],
                    },
                ],
            },
        },
    },
}


def test_several_timelines_are_processes_on_one_axis(timeline: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "three.json"
    write_chrome_trace({"rev1": timeline, "rev2": timeline, "rev3": timeline}, path)
    trace = json.loads(path.read_text())
    jsonschema.validate(trace, CHROME_SCHEMA)
    events = trace["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert sorted(names.values()) == ["rev1", "rev2", "rev3"]
    arrows = [event for event in events if event["ph"] in "sf"]
    assert len(arrows) == 6
    # An arrow stays within its process, and no two share an id.
    assert {(event["id"], event["pid"]) for event in arrows if event["ph"] == "s"} == {
        (event["id"], event["pid"]) for event in arrows if event["ph"] == "f"
    }
    assert len({event["id"] for event in arrows}) == 3
    places = [(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"]
    assert len(places) == len(set(places)) == 3 * timeline["lane"].nunique()


def test_a_mapping_without_timelines_is_refused(timeline: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"found an empty mapping"):
        write_chrome_trace({})
    with pytest.raises(ValueError, match=r"has no column what"):
        write_chrome_trace({"a": timeline, "b": timeline.drop(columns="what")})


@pytest.mark.parametrize("name", TRACES)
def test_every_recording_becomes_a_valid_chrome_trace(name: str) -> None:
    jsonschema.validate(kl.to_chrome_trace({name: kl.explain(RECORDED / name)}), CHROME_SCHEMA)
