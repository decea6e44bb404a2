"""Nothing is lost: every timer is accounted for, and the tables add up."""

import numpy as np
import pytest
from hypothesis import assume, example, given

import kvmlab as kl
from kvmlab.model.names import EXITS, FAST, Place
from tests.model.observed import exit_counts, places
from tests.strategies import COSTS, few, scenarios

WANDERS_AND_WAKES = kl.Scenario(
    kl.Host(pcpus=2, isolated=(0,)),
    kl.Guest(
        pcpus=(0, 1),
        moves_every_ms=0.05,
        workload=kl.Workload(timer_us=1000, timer_mode="oneshot", idle_us=0.5, device_irq_hz=50_000),
    ),
    kernel="v5.13",
    duration_s=0.1,
)
"""Each block ends with arming again; twice that finds a deadline past whose hrtimer is still queued."""
CATCHES_UP = kl.Scenario(
    kl.Host(pcpus=2, isolated=(0,), min_timer_period_us=0),
    kl.Guest(pcpus=(0, 1), moves_every_ms=0.05, workload=kl.Workload(tick_hz=0, timer_us=10, timer_mode="periodic")),
    kernel="v5.13",
    duration_s=0.1,
)
"""A periodic timer that is late by periods is due again while its interrupt is on its way."""


@given(scenarios(costs=COSTS))
@example(WANDERS_AND_WAKES)
@example(CATCHES_UP)
@few(150)
def test_every_timer_armed_is_delivered_cancelled_coalesced_or_still_due(scenario):
    v = kl.simulate(scenario).machine.vcpus
    due = v["live"] + v["pending"] + v["posting"] + v["irr"]
    np.testing.assert_array_equal(v["armed"], v["delivered"] + v["cancelled"] + v["coalesced"] + due)
    assert all(np.all((v[name] >= 0) & (v[name] <= 1)) for name in ("live", "pending", "posting", "irr"))
    np.testing.assert_array_equal(v["lat_n"], v["delivered"])


@given(scenarios(costs=COSTS))
@few(100)
def test_tables_add_up(scenario):
    run = kl.simulate(scenario)
    rows = run.exit_rows
    assert (
        run.exits["Samples"].sum()
        == rows["count"].sum()
        == sum(run.exits_of(i)["Samples"].sum() for i in range(len(rows)))
    )
    assert np.all(rows["fast"] <= rows["count"])
    assert set(np.array(EXITS)[np.any(rows["fast"], axis=0)]) <= {"MSR_WRITE", "PREEMPTION_TIMER"}
    if len(run.exits):
        assert run.exits["Samples%"].sum() == pytest.approx(100)
        assert run.exits["Time%"].sum() == pytest.approx(100 if rows["sum_ns"].any() else 0)
    assert run.placement["share"].sum() == pytest.approx(1 if run.placement["expiries"].any() else 0)
    assert run.latency["count"].sum() == run.latency_histogram["count"].sum() == run.machine.vcpus["delivered"].sum()
    assert run.fired_on.sum() == np.sum(run.machine.pcpus["fired"])
    assert np.all(run.machine.vcpus["lost_ns"] >= 0)
    assert np.all(run.disturbance["longest_gap_us"] * 1000 <= run.machine.vcpus["lost_ns"] + 1e-6)


@given(scenarios())
@few(100)
def test_every_exit_that_an_expiry_makes_is_counted(scenario):
    run = kl.simulate(scenario)
    at = places(run)
    assert np.all(exit_counts(run, "PREEMPTION_TIMER") >= at[:, Place.HV])
    others = sum(g.workload.host_irq_hz + g.preempt_hz + bool(g.moves_every_ms) for g in scenario.guests)
    if not others:
        assert np.all(exit_counts(run, "PREEMPTION_TIMER") == at[:, Place.HV])
    # Of two timers served in one interrupt, or whose kicks meet, the second finds the vCPU on its way out.
    assert np.all(exit_counts(run, "EXTERNAL_INTERRUPT") >= at[:, Place.KICKED])


def test_a_one_shot_timer_that_is_due_on_waking_is_delivered_once():
    """No interrupt without a deadline: the hrtimer from before the block is gone."""
    run = kl.simulate(WANDERS_AND_WAKES)
    assert run.placement["expiries"]["at arm"] >= 2
    assert run.machine.vcpus["lat_min"][0] >= 0
    assert run.machine.vcpus["delivered"][0] <= run.machine.vcpus["armed"][0]


@given(scenarios(costs=COSTS))
@few(60)
def test_the_trace_and_the_tables_tell_the_same(scenario):
    """Of each vCPU exits and entries alternate, and as many exits are traced of each reason as were counted."""
    run = kl.simulate(scenario.replace(trace_steps=200_000))
    trace = run.trace
    assume(len(trace) < 200_000)
    for vcpu in range(len(run.machine.vcpus)):
        steps = trace[(trace["vcpu"] == vcpu) & trace["step"].isin(["kvm_exit", "kvm_entry"])]
        times, is_exit = steps["time_ns"].to_numpy(), (steps["step"] == "kvm_exit").to_numpy()
        assert np.all(np.diff(times) >= 0)
        assert np.all(is_exit[1:] != is_exit[:-1])
        reasons = steps["arg"].to_numpy()[is_exit] & ~FAST
        counted = [int(exit_counts(run, name)[vcpu]) for name in EXITS]
        assert np.bincount(reasons, minlength=len(EXITS)).tolist() == counted


@given(scenarios())
@few(60)
def test_a_pcpu_runs_one_guest_at_a_time(scenario):
    trace = kl.simulate(scenario.replace(trace_steps=200_000)).trace
    assume(len(trace) < 200_000)
    for _, steps in trace[trace["step"].isin(["kvm_exit", "kvm_entry"])].groupby("pcpu"):
        inside: set[int] = set()
        for vcpu, step in zip(steps["vcpu"], steps["step"], strict=True):
            inside = inside | {vcpu} if step == "kvm_entry" else inside - {vcpu}
            assert len(inside) <= 1
