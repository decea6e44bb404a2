"""No share is above 1, and nothing a run counts reaches beyond its end, whatever steps cost and however short it is."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.results import until_end
from tests.strategies import COSTS, constant_costs, few, scenarios


@given(scenarios(costs=[*COSTS, constant_costs(3_000_000)]), st.sampled_from([0.0005, 0.002, 0.02]))
@few(100)
def test_no_share_is_above_one(scenario, duration_s):
    run = kl.simulate(scenario.replace(duration_s=duration_s))
    vcpus, end = run.machine.vcpus, run.duration_ns
    lost, idle = until_end.lost_ns(vcpus, end), until_end.idle_ns(vcpus, end)
    assert (lost >= 0).all()
    assert (idle >= 0).all()
    assert (lost + idle <= end).all()
    assert run.disturbance["share_taken"].between(0, 1).all()
    assert run.housekeeping["share_of_time"].between(0, 1).all()
    summary = run.summary()
    assert 0 <= summary["share_taken"] <= 1
    assert 0 <= summary["housekeeping_share"] <= 1
    seconds = end / 1e9
    in_all = kl.by_guest(run)["lost us"] * [guest.vcpus for guest in scenario.guests] * seconds
    np.testing.assert_allclose(in_all.sum(), run.disturbance["lost_us"].sum())


@given(scenarios())
@few(60)
def test_a_run_that_ends_earlier_has_the_times_up_to_there(scenario):
    """What two runs of different length count differs by no more than the time between their ends."""
    whole = scenario.duration_s
    shorter, longer = kl.simulate(scenario.replace(duration_s=whole * 0.9)), kl.simulate(scenario)
    between = longer.duration_ns - shorter.duration_ns
    for count in (until_end.lost_ns, until_end.idle_ns):
        grown = count(longer.machine.vcpus, longer.duration_ns) - count(shorter.machine.vcpus, shorter.duration_ns)
        assert (grown >= 0).all()
        assert (grown <= between).all()


def test_a_guest_asleep_at_the_end_is_idle_until_then():
    """It halts when it has booted, and nothing wakes it: worked out by hand, with steps of 1 us."""
    asleep = kl.Guest(boot_us=10, workload=kl.Workload(tick_hz=0, idle_us=1e8))
    run = kl.simulate(kl.Scenario(kl.Host(), asleep, duration_s=0.01, costs=constant_costs(1000)))
    lost = run.disturbance["lost_us"].iloc[0]
    count = int(run.exits["Samples"].sum()) + 1
    assert 2 <= lost <= 4 * count
    assert until_end.idle_ns(run.machine.vcpus, run.duration_ns)[0] / 1e3 == pytest.approx(10_000 - lost, abs=3)
    assert run.disturbance["share_taken"].iloc[0] > 0.3, "of the few us in which it did not idle"
