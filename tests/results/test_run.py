"""What came out of a run: every documented column, its unit, and how runs are compared and swept."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.model.machine import EXITS, HIST_BINS, PLACES, histogram_bin, histogram_edges
from tests.strategies import COSTS, constant_costs, few, scenarios

PERF = ["Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "+-%"]
LATENCY = ["count", "mean", "min", "p50", "p99", "p99.9", "max"]
STORM = kl.Scenario(
    kl.Host(housekeeping="timers"),
    (
        kl.Guest(2, (2, 3), kl.Workload(timer_us=500, device_irq_hz=500, other_exit_hz=2000), name="busy"),
        kl.Guest(2, (4, 5), kl.Workload(timer_us=700, idle_us=300, busy_us=300), name="lazy"),
    ),
    kernel="v5.13",
    duration_s=0.2,
    seed=4,
)


@pytest.fixture(scope="module")
def run():
    return kl.simulate(STORM)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_exits_is_perf_s_table(run):
    table = run.exits
    assert list(table.columns) == PERF
    assert table.index.name == "VM-EXIT"
    assert set(table.index) <= set(EXITS)
    assert table["Samples"].dtype == int
    assert table["Samples"].is_monotonic_decreasing
    assert (table["Samples"] > 0).all()
    assert table["Samples%"].sum() == pytest.approx(100)
    assert table["Time%"].sum() == pytest.approx(100)
    np.testing.assert_allclose(table["Samples%"], 100 * table["Samples"] / table["Samples"].sum())
    time = table["Samples"] * table["Avg time"]
    np.testing.assert_allclose(table["Time%"], 100 * time / time.sum())
    assert (table["Min Time"] <= table["Avg time"]).all()
    assert (table["Avg time"] <= table["Max Time"]).all()


def test_times_are_in_us_and_leave_out_the_transitions():
    """0.71 us an EXTERNAL_INTERRUPT, and no spread: every step takes its mean."""
    workload = kl.Workload(tick_hz=0, other_exit_hz=5000)
    scenario = kl.Scenario(kl.Host(), kl.Guest(workload=workload), costs=constant_costs(), duration_s=0.1)
    row = kl.simulate(scenario).exits.loc["EPT_MISCONFIG"]
    mean_us = constant_costs().other_exit.mean_ns / 1000
    assert row["Samples"] > 400
    assert (row["Min Time"], row["Avg time"], row["Max Time"]) == pytest.approx((mean_us,) * 3)
    assert row["+-%"] == pytest.approx(0, abs=1e-6)


def test_the_standard_error_is_relative_and_in_percent():
    """Against a direct estimate: sd / sqrt(n) / mean of the very cost drawn from."""
    workload = kl.Workload(tick_hz=0, other_exit_hz=100_000)
    row = kl.simulate(kl.Scenario(kl.Host(), kl.Guest(workload=workload), duration_s=1)).exits.loc["EPT_MISCONFIG"]
    cost = COSTS[0].other_exit
    assert row["+-%"] == pytest.approx(100 * cost.sd_ns / math.sqrt(row["Samples"]) / cost.mean_ns, rel=0.05)
    assert row["Avg time"] == pytest.approx(cost.mean_ns / 1000, rel=0.02)


def test_a_halt_counts_the_time_asleep():
    workload = kl.Workload(tick_hz=100, idle_us=1, nohz_idle=False)
    run = kl.simulate(kl.Scenario(kl.Host(), kl.Guest(workload=workload), duration_s=0.5))
    assert run.exits.loc["HLT", "Avg time"] == pytest.approx(10_000, rel=0.05)
    assert run.disturbance["lost_us"].iloc[0] < 2000
    assert run.disturbance["longest_gap_us"].iloc[0] < 500


def test_exits_of_one_vcpu(run):
    tables = [run.exits_of(i) for i in range(4)]
    total = sum(table["Samples"].reindex(run.exits.index, fill_value=0) for table in tables)
    pd.testing.assert_series_equal(total, run.exits["Samples"], check_names=False)
    assert all(list(table.columns) == PERF for table in tables)
    assert "HLT" not in tables[0].index
    assert "HLT" in tables[2].index


def test_on_amd_exits_have_amd_s_names():
    names = kl.simulate(STORM.replace(**{"host.vendor": "amd"})).exits.index
    assert set(names) <= {"interrupt", "hlt", "msr", "pause", "npf"}
    assert {"interrupt", "msr", "npf"} <= set(names)


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


def test_latency_has_a_row_a_vcpu(run):
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
    assert list(table.columns) == ["timers_fired", "share_of_time", "deepest_queue", "latest_us"]
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


# --- trace and timeline -----------------------------------------------------------------------------------------------


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
    assert all(what in (["post", "handler"], ["post"]) for what in arrows)


def test_perf_text_reads_back(run):
    text = run.to_perf_kvm_stat()
    back = kl.read_perf_kvm_stat(text)
    assert list(back.index) == list(run.exits.index)
    assert back["Samples"].tolist() == run.exits["Samples"].tolist()
    for column in PERF[1:]:
        np.testing.assert_allclose(back[column], run.exits[column], atol=0.00501, err_msg=column)
    assert f"Total Samples:{run.exits['Samples'].sum()}" in text


@given(scenarios(costs=COSTS[:1]))
@few(30)
def test_perf_text_of_any_run_reads_back(scenario):
    run = kl.simulate(scenario)
    if len(run.exits):
        back = kl.read_perf_kvm_stat(run.to_perf_kvm_stat())
        assert back["Samples"].to_dict() == run.exits["Samples"].to_dict()


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


# --- comparing -------------------------------------------------------------------------------------------------------

SHORT = STORM.replace(duration_s=0.02)


def test_compare_runs_every_kernel_by_default():
    table = kl.compare(SHORT)
    assert list(table.index) == list(kl.KERNELS)
    assert table.index.name == "kernel"
    assert list(table.columns) == list(kl.simulate(SHORT).summary())
    for name in kl.KERNELS:
        assert table.loc[name].to_dict() == pytest.approx(kl.simulate(SHORT.replace(kernel=name)).summary())


def test_compare_takes_policies_by_name_and_function():
    def mine(v):
        return v.pi_inject_timer and v.apicv_active

    table = kl.compare(SHORT, ["rev1", policy.rev1, mine, "before", kl.KERNELS["v5.13"], "v5.2"])
    assert list(table.index) == ["rev1", "mine", "before", "v5.13", "v5.2"]
    for same in ("mine", "v5.13"):
        pd.testing.assert_series_equal(table.loc[same], table.loc["rev1"], check_names=False)
    assert table.loc["before", "PREEMPTION_TIMER"] > 0 == table.loc["rev1", "PREEMPTION_TIMER"]


@pytest.mark.parametrize("one", ["rev1", "v5.2", policy.rev2, kl.KERNELS["v5.3"]])
def test_compare_takes_a_single_one(one):
    assert len(kl.compare(SHORT, one)) == 1


def test_compare_keeps_two_policies_of_one_name():
    assert len(kl.compare(SHORT, [lambda v: False, lambda v: v.apicv_active])) == 2


def test_compare_shows_the_same_world_to_each():
    """What comes at random does not depend on who fires."""
    table = kl.compare(SHORT.replace(**{"workload.idle_us": 0}), ["before", "rev1", "rev3"])
    assert table["EPT_MISCONFIG"].nunique() == 1


def test_tables_as_csv_read_back(tmp_path):
    run = kl.simulate(kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(), duration_s=0.05))
    paths = run.to_csv(tmp_path / "out")
    assert {path.stem for path in paths} >= {"exits", "latency", "timeline"}
    exits = pd.read_csv(tmp_path / "out" / "exits.csv", index_col="VM-EXIT")
    assert exits["Samples"].to_dict() == run.exits["Samples"].to_dict()
    assert len(pd.read_csv(tmp_path / "out" / "timeline.csv")) == len(run.timeline)


def test_perf_table_of_a_run_reads_back():
    run = kl.simulate(kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(), duration_s=0.5))
    table = kl.read_perf_kvm_stat(run.to_perf_kvm_stat())
    assert table["Samples"].to_dict() == run.exits["Samples"].to_dict()
    assert (table["Avg time"] - run.exits["Avg time"]).abs().max() <= 0.005 + 1e-9


def test_chrome_trace_of_some_runs_names_each(tmp_path):
    scenario = kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(), duration_s=0.02)
    runs = [kl.simulate(scenario.replace(kernel=name)) for name in ("v5.13", "v5.18", "v5.18")]
    trace = kl.to_chrome_trace(runs, tmp_path / "runs.json")
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "process_name"]
    assert sorted(names) == ["v5.13", "v5.18", "v5.18 2"]
    assert kl.to_chrome_trace(runs[0])["traceEvents"]
    with pytest.raises(ValueError, match=r"runs\['a'\]: 7 has no timeline"):
        kl.to_chrome_trace({"a": 7})
