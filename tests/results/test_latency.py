"""Latencies: a row per vCPU, percentiles from bins, and the histogram itself."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.model.draws import HIST_BINS, histogram_bin, histogram_edges
from tests.results.storm import STORM
from tests.strategies import few

LATENCY = ["count", "mean", "min", "p50", "p99", "p99.9", "max"]


def test_latency_has_a_row_per_vcpu(run):
    table = run.latency
    assert list(table.columns) == LATENCY
    assert list(table.index) == ["busy/0", "busy/1", "lazy/0", "lazy/1"]
    assert table.index.name == "vCPU"
    assert (table["count"] > 100).all()
    for a, b in itertools.pairwise(LATENCY[2:]):
        assert (table[a] <= table[b] * 1.009).all()
    assert (table["min"] <= table["mean"]).all()
    assert (table["mean"] <= table["max"]).all()


def test_percentiles_come_from_bins_less_than_1_percent_off(run):
    handlers = kl.simulate(STORM.replace(trace_steps=1_000_000)).trace.query("step == 'guest handler'")
    exact = handlers["arg"].to_numpy().clip(0)
    assert len(exact) == run.latency["count"].sum()
    for share in (0.1, 0.5, 0.9, 0.99, 1):
        wanted = np.sort(exact)[max(0, math.ceil(share * len(exact)) - 1)]
        assert run.latency_percentile(share) == pytest.approx(wanted, rel=0.009, abs=1)
    assert run.latency_percentile(0) <= run.latency_percentile(1) <= run.latency["max"].max()


@given(st.integers(0, 1 << 40))
@few(300)
def test_a_bin_holds_what_falls_into_it_and_is_narrow(ns):
    low, high = histogram_edges(histogram_bin(ns))
    assert low <= ns < high
    assert high - low <= max(1, low / 64)
    assert histogram_bin(ns) < HIST_BINS
    assert histogram_bin(ns + 1) - histogram_bin(ns) in (0, 1)


def test_the_histogram_is_the_latencies(run):
    table = run.latency_histogram
    assert list(table.columns) == ["low_ns", "high_ns", "count"]
    assert (table["count"] > 0).all()
    assert (table["low_ns"] < table["high_ns"]).all()
    assert table["low_ns"].is_monotonic_increasing
    assert table["count"].sum() == run.latency["count"].sum()
    middle = (table["low_ns"] + table["high_ns"] - 1) / 2
    mean = (middle * table["count"]).sum() / table["count"].sum()
    assert mean == pytest.approx(np.average(run.latency["mean"], weights=run.latency["count"]), rel=0.01)
