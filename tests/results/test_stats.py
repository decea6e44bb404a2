"""Intervals against known values, and against how often they hold what they should."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.results import stats
from tests.strategies import few


@pytest.mark.parametrize(
    ("p", "df", "expected"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.95, 3, 2.353),
        (0.975, 9, 2.262),
        (0.995, 10, 3.169),
        (0.975, 30, 2.042),
    ],
)
def test_students_quantiles_are_those_of_the_tables(p, df, expected):
    assert stats.student_t(p, df) == pytest.approx(expected, abs=5e-4)


def test_student_becomes_normal():
    assert stats.student_t(0.975, 3001) == pytest.approx(NormalDist().inv_cdf(0.975), abs=2e-3)


@given(st.integers(1, 60), st.floats(-20, 20))
@few(100)
def test_students_distribution_is_symmetric(df, t):
    assert stats.student_t_cdf(t, df) + stats.student_t_cdf(-t, df) == pytest.approx(1)


def test_an_interval_of_the_mean_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = [
        interval.low <= 3 <= interval.high
        for interval in (stats.mean_interval(rng.normal(3, 2, 5).tolist(), 0.9) for _ in range(2000))
    ]
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


def test_too_few_values_say_nothing():
    assert math.isnan(stats.mean_interval([1.0]).low)
    with pytest.raises(ValueError, match="confidence"):
        stats.mean_interval([1.0, 2.0], 1.5)


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


def test_common_random_numbers_sharpen_a_difference():
    table = kl.difference(SCENARIO, "rev1", "rev3", 8, progress=False)
    assert table.loc["PREEMPTION_TIMER", "low"] > 0
    # What the guests themselves do is the same under both to the last exit, and differs from seed to seed.
    row = table.loc["EPT_MISCONFIG"]
    assert abs(row["mean"]) <= 1
    assert row["sd"] < row["sd_independent"] / 3
