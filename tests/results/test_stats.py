"""Intervals against known values, and against how often they hold what they should."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, strategies as st

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
    for confidence in (1.5, 1.0, -0.5):
        with pytest.raises(ValueError, match=r"^confidence: .* it must be a number from 0 to 0\.999999$"):
            stats.mean_interval([1.0, 2.0], confidence)
    assert stats.mean_interval([1.0, 3.0], 0) == stats.Interval(2, 2, 2)


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_a_value_that_is_not_known_leaves_the_mean_unknown(unknown):
    found = stats.mean_interval([1.0, unknown, 3.0])
    assert not math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
