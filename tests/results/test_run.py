"""A run's result: empty and full tables, disturbance, placement, housekeeping, counters, summary, files."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.model.names import EXITS, PLACES

PERF = ["Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "+-%"]


def test_a_run_in_which_nothing_happens_has_empty_tables():
    quiet = kl.Scenario(kl.Host(), kl.Guest(workload=kl.Workload(tick_hz=0)), duration_s=0.01)
    run = kl.simulate(quiet)
    assert list(run.exits.columns) == PERF
    assert run.exits["Samples"].sum() <= 1
    assert run.latency["count"].tolist() == [0]
    assert run.latency.drop(columns="count").isna().all(axis=None)
    assert run.latency_histogram.empty
    assert math.isnan(run.latency_percentile(0.5))
    assert (run.placement["expiries"] == 0).all()
    assert (run.placement["share"] == 0).all()
    assert isinstance(run.to_perf_kvm_stat(), str)


def test_disturbance_is_what_exits_take(run):
    table = run.disturbance
    assert list(table.columns) == ["share_taken", "lost_us", "longest_gap_us"]
    assert list(table.index) == run.vcpu_names
    of_all = table["lost_us"] * 1000 / run.duration_ns
    np.testing.assert_allclose(table["share_taken"].iloc[:2], of_all.iloc[:2], rtol=0.03)  # it boots a little late
    assert (table["share_taken"].iloc[2:] > 1.3 * of_all.iloc[2:]).all()
    busy = run.exits_of(0)
    handled = (busy["Samples"] * busy["Avg time"]).sum()
    transitions = busy["Samples"].sum() * 0.32
    waited = table["lost_us"].iloc[0] - handled - transitions
    assert abs(waited) < 0.1 * table["lost_us"].iloc[0] + 2


def test_placement_lists_every_place(run):
    table = run.placement
    assert list(table.columns) == ["expiries", "share"]
    assert list(table.index) == list(PLACES)
    assert table.index.name == "place"
    assert table["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(table["share"], table["expiries"] / table["expiries"].sum())
    assert table.loc["housekeeping posted", "expiries"] > 100


def test_fired_on_and_housekeeping_say_where(run):
    assert list(run.fired_on.index) == list(range(8))
    assert run.fired_on.index.name == "pCPU"
    table = run.housekeeping
    assert list(table.columns) == [
        *("timers_fired", "share_of_time", "deepest_queue", "latest_us", "spurious_interrupts"),
    ]
    assert list(table.index) == [0, 1]
    assert table["timers_fired"].tolist() == run.fired_on.loc[[0, 1]].tolist()
    assert run.fired_on.sum() == run.placement["expiries"].drop(["hv", "at arm"]).sum()
    assert table["share_of_time"].between(0, 1).all()
    fired = table["timers_fired"].iloc[0]
    assert table["share_of_time"].iloc[0] > fired * 1000 / run.duration_ns
    assert (table["latest_us"] >= 0).all()


def test_kvm_s_counters(run):
    count = run.exits["Samples"]
    stat = run.kvm_stat
    assert list(stat) == ["exits", "irq_exits", "halt_exits"]
    assert stat["irq_exits"] == count["EXTERNAL_INTERRUPT"]
    assert stat["halt_exits"] == count["HLT"]
    assert stat["exits"] == count.sum()


@pytest.mark.parametrize(("version", "hidden"), [("5.10.230", True), ("6.1.176", False)])
def test_kernel_5_10_does_not_count_fast_exits(version, hidden):
    scenario = kl.Scenario(kl.Host(), kl.Guest(), kernel=kernels.release(version, policy.rev3), duration_s=0.5)
    run = kl.simulate(scenario)
    assert run.fastpath_exits > 100
    seen = run.exits["Samples"].sum() - (run.fastpath_exits if hidden else 0)
    assert run.kvm_stat["exits"] == seen


def test_summary_is_one_flat_line(run):
    summary = run.summary()
    assert summary["exits"] == run.exits["Samples"].sum()
    assert [summary[name] for name in EXITS] == [run.exits["Samples"].get(name, 0) for name in EXITS]
    assert summary["exits_per_vcpu_second"] == pytest.approx(summary["exits"] / 0.2 / 4)
    assert summary["latency_max_ns"] == run.latency["max"].max()
    assert summary["latency_mean_ns"] == pytest.approx(np.average(run.latency["mean"], weights=run.latency["count"]))
    assert sum(summary[f"{place} share"] for place in PLACES) == pytest.approx(1)
    assert summary["housekeeping_share"] == run.housekeeping["share_of_time"].max()
    assert summary["longest_gap_us"] == run.disturbance["longest_gap_us"].max()
    json.dumps(summary)


def test_tables_are_made_once(run):
    for name in ("exits", "latency", "placement", "housekeeping", "disturbance", "timeline", "trace"):
        assert getattr(run, name) is getattr(run, name)


def test_tables_as_csv_read_back(tmp_path):
    run = kl.simulate(kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(), duration_s=0.05))
    paths = run.to_csv(tmp_path / "out")
    assert {path.stem for path in paths} >= {"exits", "latency", "timeline"}
    exits = pd.read_csv(tmp_path / "out" / "exits.csv", index_col="VM-EXIT")
    assert exits["Samples"].to_dict() == run.exits["Samples"].to_dict()
    assert len(pd.read_csv(tmp_path / "out" / "timeline.csv")) == len(run.timeline)


@pytest.mark.parametrize("option", ["plain", "progress"])
@pytest.mark.parametrize("value", ["yes", 2, np.array([1, 2]), [True]])
def test_switches_are_true_or_false(option, value):
    with pytest.raises(ValueError, match=rf"{option}: .* it must be True or False"):
        kl.simulate(kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.001), **{option: value})


@pytest.mark.parametrize("path", [3, True, b"run.json", ["run.json"]])
def test_a_timeline_is_written_to_a_path(path, run):
    with pytest.raises(ValueError, match=r"path: .* it must be a path"):
        run.to_chrome_trace(path)
