"""Replications say how sure a mean is, and common random numbers sharpen a difference."""

import numpy as np
import pytest

import kvmlab as kl

SCENARIO = kl.Scenario(
    kl.Host(housekeeping="timers"),
    kl.Guest(2, workload=kl.Workload(device_irq_hz=300, other_exit_hz=300)),
    duration_s=0.2,
)


def test_replications_say_how_sure_a_mean_is():
    table = kl.replicate(SCENARIO, 6, progress=False)
    runs = [kl.simulate(SCENARIO.replace(seed=i)).summary()["EPT_MISCONFIG"] for i in range(6)]
    row = table.loc["EPT_MISCONFIG"]
    assert row["mean"] == pytest.approx(np.mean(runs))
    assert row["sd"] == pytest.approx(np.std(runs, ddof=1))
    assert row["high"] - row["mean"] == pytest.approx(2.5706 * row["sd"] / 6**0.5, rel=1e-4)
    with pytest.raises(ValueError, match="replications"):
        kl.replicate(SCENARIO, 1)


@pytest.mark.parametrize("use", [lambda bad: kl.replicate(bad, 3), lambda bad: kl.difference(bad, "rev1", "rev3")])
def test_only_a_scenario_is_replicated(use):
    with pytest.raises(ValueError, match=r"^scenario: 5 is not allowed; it must be a Scenario"):
        use(5)


def test_common_random_numbers_sharpen_a_difference():
    table = kl.difference(SCENARIO, "rev1", "rev3", 8, progress=False)
    assert table.loc["PREEMPTION_TIMER", "low"] > 0
    # What the guests themselves do is the same under both to the last exit, and differs from seed to seed.
    row = table.loc["EPT_MISCONFIG"]
    assert abs(row["mean"]) <= 1
    assert row["sd"] < row["sd_independent"] / 3


def test_what_one_of_the_runs_does_not_have_is_not_known():
    """In 1 ms some runs deliver no timer interrupt: no latency, and no mean of latencies."""
    short = SCENARIO.replace(duration_s=0.0005)
    for table in (kl.replicate(short, 3, progress=False), kl.difference(short, "rev1", "rev3", 3, progress=False)):
        assert table.loc["latency_p50_ns"].isna().all()
        assert table.loc["exits"].notna().all()
