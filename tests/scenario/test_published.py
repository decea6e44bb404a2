"""Published rows: what is fitted to them, what the fit predicts, and the totals behind a row."""

import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kvmlab.scenario.distribution import ShiftedLognormal
from kvmlab.scenario.published import SYSBENCH_2020, PublishedRow, fit, implied_totals, predicted_max, published_table
from tests.scenario.rows import AFTER, BEFORE, SHAPES, sysbench
from tests.strategies import few


def test_the_published_rows_are_read_as_printed() -> None:
    assert [row.side for row in (BEFORE, AFTER)] == ["before", "after"]
    assert (BEFORE.samples, BEFORE.max_us, AFTER.samples, AFTER.rsem_pct) == (42916, 106.09, 6871, 4.02)
    assert all("0c5f81dad46c" in row.source for row in (BEFORE, AFTER))
    assert len(published_table(SYSBENCH_2020)) == 9


def test_fit_uses_minimum_average_and_standard_error() -> None:
    dist = fit(BEFORE)
    assert (dist.shift_ns, dist.mean_ns) == (470, 710)
    assert dist.sd_ns == pytest.approx(0.0109 * 710 * math.sqrt(42916))
    assert replace(BEFORE, max_us=1) != BEFORE
    assert fit(replace(BEFORE, max_us=1)) == dist


@pytest.mark.parametrize(
    ("row", "median_us", "percentile"), [(BEFORE, 120, 40), (AFTER, 73, 34)], ids=["before", "after"]
)
def test_the_fit_predicts_the_published_maximum(row: PublishedRow, median_us: int, percentile: int) -> None:
    """P(max <= x) = F(x)^n, with F the fitted lognormal and n the row's Samples; exact, no simulation."""
    longest = predicted_max(fit(row), row.samples)
    assert round(longest.median / 1000) == median_us
    assert round(longest.percentile_of(row.max_us * 1000)) == percentile
    assert longest.quantile(0.05) < row.max_us * 1000 < longest.quantile(0.95)
    assert longest.percentile_of(longest.median) == pytest.approx(50)


@pytest.mark.parametrize(("row", "low", "high"), [(BEFORE, 118.8, 122.0), (AFTER, 72.2, 74.3)], ids=["before", "after"])
def test_the_prediction_hardly_depends_on_how_the_row_was_rounded(row: PublishedRow, low: float, high: float) -> None:
    medians = [
        predicted_max(
            fit(replace(row, min_us=row.min_us + a, avg_us=row.avg_us + b, rsem_pct=row.rsem_pct + c)),
            row.samples,
        ).median
        for a, b, c in itertools.product((-0.005, 0.005), repeat=3)
    ]
    assert low < min(medians) / 1000 < max(medians) / 1000 < high


def test_simulated_maxima_agree_with_the_formula() -> None:
    dist = fit(AFTER)
    rng = np.random.default_rng(2019)
    maxima = np.array([dist.shift_ns + rng.lognormal(dist.mu, dist.sigma, AFTER.samples).max() for _ in range(2000)])
    longest = predicted_max(dist, AFTER.samples)
    assert np.median(maxima) == pytest.approx(longest.median, rel=0.05)
    assert (maxima <= AFTER.max_us * 1000).mean() == pytest.approx(
        longest.percentile_of(AFTER.max_us * 1000) / 100, abs=0.04
    )


@given(SHAPES, st.integers(1, 10**7), st.floats(0.01, 0.99))
@few(100)
def test_quantile_of_the_maximum_undoes_its_percentile(dist: ShiftedLognormal, n: int, p: float) -> None:
    longest = predicted_max(dist, n)
    x = longest.quantile(p)
    if x - dist.shift_ns > 1e-4 * x:
        assert longest.percentile_of(x) == pytest.approx(100 * p, abs=0.2)


def test_the_maximum_of_one_draw_is_the_draw() -> None:
    dist = fit(AFTER)
    assert predicted_max(dist, 1).median == pytest.approx(dist.quantile(0.5))


def test_maximum_refuses_what_is_no_share_and_no_count() -> None:
    with pytest.raises(ValueError, match=r"n: 0 .*must be an integer from 1"):
        predicted_max(fit(AFTER), 0)
    with pytest.raises(ValueError, match=r"p: 1 .*must be"):
        predicted_max(fit(AFTER), 10).quantile(1)


def test_the_fit_fails_where_a_time_is_bounded() -> None:
    """HLT times end at the next tick of a guest that sleeps at most a second: no lognormal tail."""
    row = sysbench("HLT")
    assert predicted_max(fit(row), row.samples).percentile_of(row.max_us * 1000) < 1


@pytest.mark.parametrize(
    ("row", "exits", "time_ms", "others", "mean_us"),
    [(BEFORE, 86_800, 77.5, 43_900, 1.07), (AFTER, 74_000, 167.1, 67_100, 2.42)],
    ids=["before", "after"],
)
def test_implied_totals(row: PublishedRow, exits: int, time_ms: float, others: int, mean_us: float) -> None:
    totals = implied_totals(row)
    assert round(totals.exits.value, -2) == exits
    assert round(totals.time_ms.value, 1) == time_ms
    assert round(totals.other_exits.value, -2) == others
    assert round(totals.other_mean_us.value, 2) == mean_us
    for field in fields(totals):
        estimate = getattr(totals, field.name)
        assert estimate.low < estimate.value < estimate.high < 1.03 * estimate.low


@given(*[st.floats(-0.005, 0.005)] * 3)
@few(100)
def test_totals_stay_within_their_range_however_the_row_was_rounded(a: float, b: float, c: float) -> None:
    unrounded = replace(AFTER, samples_pct=AFTER.samples_pct + a, time_pct=AFTER.time_pct + b, avg_us=AFTER.avg_us + c)
    ranges, values = implied_totals(AFTER), implied_totals(unrounded, rounding=0)
    for field in fields(ranges):
        estimate, value = getattr(ranges, field.name), getattr(values, field.name).value
        assert estimate.low * (1 - 1e-12) <= value <= estimate.high * (1 + 1e-12)


def test_a_share_printed_as_zero_tells_no_totals() -> None:
    with pytest.raises(ValueError, match=r"time_pct: 0\.0 .*must be a number above 0\.005"):
        implied_totals(sysbench("CPUID"))
