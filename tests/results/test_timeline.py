"""Trace and timeline: bounded, in order, and the same as Chrome trace JSON."""

import json

import numpy as np
import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.model.names import EXITS
from tests.results.storm import STORM


@pytest.mark.parametrize("steps", [0, 1, 50, 2000])
def test_the_trace_is_bounded(steps):
    run = kl.simulate(STORM.replace(trace_steps=steps))
    assert list(run.trace.columns) == ["time_ns", "pcpu", "vcpu", "step", "arg"]
    assert len(run.trace) == steps
    assert len(run.timeline) <= steps
    assert list(run.timeline.columns) == ["start_ns", "end_ns", "lane", "what", "flow"]
    everything = kl.simulate(STORM.replace(trace_steps=2000)).trace
    pd.testing.assert_frame_equal(run.trace, everything.head(steps), check_dtype=steps > 0)


def test_the_timeline_is_made_of_spans_in_order(run):
    table = run.timeline
    assert table["start_ns"].is_monotonic_increasing
    assert (table["end_ns"] >= table["start_ns"]).all()
    assert table["lane"].str.fullmatch(r"(vCPU|pCPU) \d").all()
    assert set(table["what"]) <= {"guest", "hrtimer", "post", "handler", *EXITS}
    for _, spans in table[table["lane"].str.startswith("vCPU") & (table["what"] != "handler")].groupby("lane"):
        assert (spans["start_ns"].to_numpy()[1:] >= spans["end_ns"].to_numpy()[:-1]).all()
    arrows = table[table["flow"] >= 0].groupby("flow")["what"].agg(list)
    assert len(arrows) > 5
    assert set(table["flow"][table["flow"] < 0]) == {-1}, "what is no end of an arrow"
    assert all(what in (["post", "handler"], ["post"]) for what in arrows)


def test_chrome_trace_holds_the_spans(run, tmp_path):
    path = tmp_path / "run.json"
    trace = run.to_chrome_trace(path)
    assert json.loads(path.read_text()) == json.loads(json.dumps(trace))
    complete = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(complete) == len(run.timeline)
    assert run.to_chrome_trace() == trace
    starts = sorted(event["ts"] for event in complete)
    np.testing.assert_allclose(starts, run.timeline["start_ns"] / 1000)
    arrows = [event["ph"] for event in trace["traceEvents"] if event["ph"] in "sf"]
    assert arrows.count("s") == arrows.count("f") > 5
