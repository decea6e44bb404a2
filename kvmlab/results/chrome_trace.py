"""Chrome trace JSON, which the Perfetto UI opens."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvmlab.results.timeline import TIMELINE_COLUMNS
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

_Event = dict[str, Any]


@dataclass(frozen=True)
class _Span:
    """One row of a timeline."""

    row: int
    start_ns: int
    end_ns: int
    track: tuple[str, str]
    what: str
    flow: int


def write_chrome_trace(
    timeline: pd.DataFrame | Mapping[str, pd.DataFrame], path: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Return a timeline as Chrome trace JSON, for the Perfetto UI; written to `path` where one is given.

    Columns of `timeline`: ``start_ns``, ``end_ns`` (ints, ns), ``lane`` (the track: ``pCPU 3``, ``vCPU 0``), ``what``
    (the span's name), ``flow`` (-1, or an id that the two ends of an arrow share), and perhaps ``process`` (the group
    of tracks). Without it, lanes ``pCPU ...`` go under ``pCPUs`` and all others under ``vCPUs``. Several timelines, as
    a mapping of names to them, share one axis of time: each is a process of its own, named so.

    Each process and each lane gets its name and place by metadata events (``ph`` M), each row a complete event (X)
    with ``ts`` and ``dur`` in us and the exact ns under ``args``, each pair of rows with the same flow an arrow from
    the start of the earlier to the start of the later (s, f). A flow of one row, as at the end of a timeline that was
    cut, gets no arrow.

    Raises ValueError for a missing column, times that are not ints, a row that ends before it starts, and a flow of
    more than two rows; with the row.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise checks.refusal("path", path, "a path: a text, or a pathlib.Path")
    if isinstance(timeline, Mapping):
        timeline = _side_by_side(timeline)
    spans = _spans(timeline)
    places = _places(span.track for span in spans)
    events = _metadata(places)
    events += [_complete_event(span, places) for span in spans]
    events += _arrows(spans, places)
    trace = {"traceEvents": events, "displayTimeUnit": "ns"}
    if path is not None:
        Path(path).write_text(json.dumps(trace, allow_nan=False), encoding="utf-8")
    return trace


def _side_by_side(timelines: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return several timelines as one: a process each, and no flow id twice."""
    import pandas as pd

    if not timelines:
        raise ValueError("timelines: found an empty mapping; expected one timeline or more, by name")
    frames, first = [], 0
    for name, timeline in timelines.items():
        _check_columns(timeline)
        flows = _ints(timeline, "flow")
        moved = [flow + first if flow >= 0 else -1 for flow in flows]
        frames.append(timeline[list(TIMELINE_COLUMNS)].assign(flow=moved, process=str(name)))
        first = 1 + max([first - 1, *moved])
    return pd.concat(frames, ignore_index=True)


def _check_columns(timeline: pd.DataFrame) -> None:
    """Raise ValueError for a missing column."""
    missing = [column for column in TIMELINE_COLUMNS if column not in timeline.columns]
    if missing:
        raise ValueError(f"the timeline has no column {', '.join(missing)}; expected {', '.join(TIMELINE_COLUMNS)}")


def _spans(timeline: pd.DataFrame) -> list[_Span]:
    """Return the rows, checked, each with its process and lane."""
    _check_columns(timeline)
    columns = [_ints(timeline, name) for name in ("start_ns", "end_ns", "flow")]
    lanes = [str(lane) for lane in timeline["lane"]]
    groups = [str(group) for group in timeline["process"]] if "process" in timeline.columns else map(_group, lanes)
    what = [str(each) for each in timeline["what"]]
    tracks = zip(groups, lanes, strict=True)
    rows = enumerate(zip(*columns, tracks, what, strict=True))
    spans = [_Span(row, start, end, track, name, flow) for row, (start, end, flow, track, name) in rows]
    for span in spans:
        if span.end_ns < span.start_ns:
            message = f"row {span.row}: found end_ns {span.end_ns}; expected at least start_ns {span.start_ns}"
            raise ValueError(message)
    return spans


def _ints(timeline: pd.DataFrame, column: str) -> list[int]:
    """Return a column's ints; ValueError names the row of anything else."""
    numbers: list[int] = []
    for row, value in enumerate(timeline[column]):
        # numpy's ints are no int, but they are an index; a float, NaN and NA are not.
        if not hasattr(value, "__index__") or isinstance(value, bool):
            raise ValueError(f"row {row}: found {column} {checks.shown(str(value))}; expected an int")
        numbers.append(int(value))
    return numbers


def _group(lane: str) -> str:
    """Return the process that a lane goes under when the timeline names none."""
    return "pCPUs" if lane.startswith("pCPU") else "vCPUs"


_Places = dict[tuple[str, str], tuple[int, int]]


def _places(tracks: Iterable[tuple[str, str]]) -> _Places:
    """Return pid and tid of each track: processes as they first appear, but pCPUs on top; lanes by their number."""
    seen = list(dict.fromkeys(tracks))
    processes = sorted(dict.fromkeys(process for process, _ in seen), key=lambda process: process != "pCPUs")
    pids = {process: pid for pid, process in enumerate(processes, start=1)}
    ordered = sorted(seen, key=lambda track: (pids[track[0]], _natural(track[1])))
    return {track: (pids[track[0]], tid) for tid, track in enumerate(ordered, start=1)}


def _natural(lane: str) -> list[tuple[int, str]]:
    """Return a sort key by which "pCPU 2" comes before "pCPU 10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,18})", lane)]


def _metadata(places: _Places) -> list[_Event]:
    """Return the events that name processes and lanes, and put them in order."""
    processes = {pid: process for (process, _), (pid, _) in places.items()}
    events: list[_Event] = []
    for pid, process in processes.items():
        events.append(_named("process_name", pid, 0, {"name": process}))
        events.append(_named("process_sort_index", pid, 0, {"sort_index": pid}))
    for (_, lane), (pid, tid) in places.items():
        events.append(_named("thread_name", pid, tid, {"name": lane}))
        events.append(_named("thread_sort_index", pid, tid, {"sort_index": tid}))
    return events


def _named(name: str, pid: int, tid: int, args: dict[str, str | int]) -> _Event:
    """Return one metadata event."""
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}


def _complete_event(span: _Span, places: _Places) -> _Event:
    """Return the event of one row."""
    pid, tid = places[span.track]
    return {
        "ph": "X",
        "name": span.what,
        "cat": span.track[0],
        "pid": pid,
        "tid": tid,
        "ts": span.start_ns / 1000,
        "dur": (span.end_ns - span.start_ns) / 1000,
        "args": {"start_ns": span.start_ns, "end_ns": span.end_ns},
    }


def _arrows(spans: Sequence[_Span], places: _Places) -> list[_Event]:
    """Return the two ends of each arrow; ValueError for a flow of more than two rows."""
    ends: dict[int, list[_Span]] = {}
    for span in spans:
        if span.flow >= 0:
            ends.setdefault(span.flow, []).append(span)
    events: list[_Event] = []
    for flow, both in ends.items():
        if len(both) > 2:
            rows = ", ".join(str(span.row) for span in both[:4])
            raise ValueError(f"rows {rows}: found {len(both)} rows of flow {flow}; expected two, its start and its end")
        if len(both) == 2:
            tail, head = sorted(both, key=lambda span: (span.start_ns, span.row))
            events.append(_arrow_end("s", flow, tail, places))
            # The head binds to the span that encloses it, not to the next one.
            events.append(_arrow_end("f", flow, head, places) | {"bp": "e"})
    return events


def _arrow_end(phase: str, flow: int, span: _Span, places: _Places) -> _Event:
    """Return one end of an arrow; `phase`: s (start) or f (finish)."""
    pid, tid = places[span.track]
    # Name and category are the same at both ends: together with the id they tell the arrow.
    return {"ph": phase, "name": "flow", "cat": "flow", "id": flow, "pid": pid, "tid": tid, "ts": span.start_ns / 1000}
