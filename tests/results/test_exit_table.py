"""perf's table of exits: its columns, units and errors, and the text that reads back."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

import kvmlab as kl
from kvmlab.model.names import EXITS
from tests.results.storm import STORM
from tests.strategies import COSTS, constant_costs, few, scenarios

PERF = ["Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "+-%"]


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


def test_perf_table_of_a_run_reads_back():
    run = kl.simulate(kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(), duration_s=0.5))
    table = kl.read_perf_kvm_stat(run.to_perf_kvm_stat())
    assert table["Samples"].to_dict() == run.exits["Samples"].to_dict()
    assert (table["Avg time"] - run.exits["Avg time"]).abs().max() <= 0.005 + 1e-9
