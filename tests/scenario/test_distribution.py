"""The shifted lognormal: quantiles, moments, and the table that the engine draws from."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kvmlab.model.draws import BODY, TABLE
from kvmlab.scenario.distribution import MAX_NS, ShiftedLognormal
from kvmlab.scenario.published import PublishedRow, fit
from tests.scenario.rows import AFTER, BEFORE, SHAPES, sysbench
from tests.strategies import few


def draw(table: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Draw as the engine does with 24 random bits."""
    high = bits >> 12
    return table[np.where(high == BODY - 1, BODY + (bits & 0xFFF), high)]


@pytest.mark.parametrize("bad", ["x", None, math.nan, -1, 2e10, 10**400, True, np.True_, np.array([1, 2])])
@pytest.mark.parametrize("field", ["shift_ns", "mean_ns", "sd_ns"])
def test_what_is_no_time_is_refused(field: str, bad: object) -> None:
    with pytest.raises(
        ValueError, match=rf"^ShiftedLognormal\.{field}: .* is not allowed; it must be a number from 0 to"
    ):
        ShiftedLognormal(**{"shift_ns": 0, "mean_ns": 5, "sd_ns": 1, field: bad})


@given(SHAPES, st.floats(1e-6, 1 - 1e-6))
@few(100)
def test_cdf_undoes_quantile(dist: ShiftedLognormal, u: float) -> None:
    x = dist.quantile(u)
    assert x > dist.shift_ns or math.isclose(x, dist.shift_ns)
    if x - dist.shift_ns > 1e-6 * x:
        assert dist.cdf(x) == pytest.approx(u, abs=1e-5)


@given(SHAPES, st.floats(1e-6, 0.5))
@few(100)
def test_upper_quantile_is_the_quantile_from_the_other_end(dist: ShiftedLognormal, tail: float) -> None:
    assert dist.upper_quantile(tail) == pytest.approx(dist.quantile(1 - tail), rel=1e-6)


def test_ends_of_the_distribution() -> None:
    dist = fit(BEFORE)
    assert dist.quantile(0) == dist.upper_quantile(1) == 470
    assert dist.cdf(470) == dist.cdf(0) == 0
    assert dist.quantile(0.5) < dist.mean_ns


@given(SHAPES)
@few(100)
def test_sigma_and_mu_give_the_mean_and_the_spread_back(dist: ShiftedLognormal) -> None:
    excess = math.exp(dist.mu + dist.sigma**2 / 2)
    assert dist.shift_ns + excess == pytest.approx(dist.mean_ns)
    assert excess * math.sqrt(math.expm1(dist.sigma**2)) == pytest.approx(dist.sd_ns)


@pytest.mark.parametrize("dist", [ShiftedLognormal(5, 5, 3), ShiftedLognormal(2, 5, 0), ShiftedLognormal(0, 0, 0)])
def test_no_spread_or_no_excess_is_a_constant(dist: ShiftedLognormal) -> None:
    assert dist.constant
    assert dist.quantile(0) == dist.quantile(0.99) == dist.upper_quantile(0.01) == dist.mean_ns
    assert dist.cdf(dist.mean_ns) == 1
    assert dist.cdf(dist.mean_ns - 1) == 0
    assert set(dist.table().tolist()) == {dist.mean_ns}


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ((-1, 5, 1), "shift_ns", "-1"),
        ((0, math.nan, 1), "mean_ns", "nan"),
        ((0, 5, math.inf), "sd_ns", "inf"),
        ((0, 2 * MAX_NS, 1), "mean_ns", "20000000000"),
        ((6, 5, 1), "shift_ns", "6"),
        (("x", 5, 1), "shift_ns", "'x'"),
    ],
)
def test_errors_name_field_value_and_limit(values: tuple[float, float, float], field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: {value}.*must be a"):
        ShiftedLognormal(*values)


@pytest.mark.parametrize("u", [-0.1, 1, math.nan, "x", None])
def test_quantile_refuses_what_is_no_share(u: object) -> None:
    with pytest.raises(ValueError, match=r"u: .*must be"):
        fit(BEFORE).quantile(u)


@pytest.mark.parametrize("tail", [0, 1.1, math.nan])
def test_upper_quantile_refuses_what_is_no_share(tail: float) -> None:
    with pytest.raises(ValueError, match=r"tail: .*must be"):
        fit(BEFORE).upper_quantile(tail)


@given(SHAPES, st.floats(0, 100))
@few(100)
def test_scaling_keeps_the_shape(dist: ShiftedLognormal, factor: float) -> None:
    scaled = dist.scaled(factor)
    assert scaled.mean_ns == dist.mean_ns * factor
    assert scaled.quantile(0.9) == pytest.approx(dist.quantile(0.9) * factor, rel=1e-6)


@pytest.mark.parametrize("factor", [-1, math.inf, math.nan])
def test_scaling_refuses_a_factor_that_is_none(factor: float) -> None:
    with pytest.raises(ValueError, match=r"factor: .*must be"):
        fit(BEFORE).scaled(factor)


@given(SHAPES)
@few(30)
def test_a_table_holds_the_quantiles_of_body_and_tail(dist: ShiftedLognormal) -> None:
    table = dist.table()
    assert table.shape == (TABLE,)
    assert table.dtype == np.int64
    assert not table.flags.writeable
    assert np.all(np.diff(table[:BODY]) >= 0)
    assert np.all(np.diff(table[BODY:]) >= 0)
    for i in (0, 1, 2047, 4095):
        assert table[i] == pytest.approx(dist.quantile((i + 0.5) / BODY), rel=1e-9, abs=0.6)
        assert table[BODY + i] == pytest.approx(dist.quantile(1 - (1 - (i + 0.5) / BODY) / BODY), rel=1e-6, abs=0.6)


@given(st.floats(0, MAX_NS), st.floats(0, MAX_NS), st.floats(0, MAX_NS))
@few(50)
def test_a_table_of_any_allowed_shape_holds_times(a: float, b: float, sd: float) -> None:
    table = ShiftedLognormal(min(a, b), max(a, b), sd).table()
    assert np.all(table >= math.floor(min(a, b)))
    assert np.all(table[:-1][np.diff(table) < 0] == table[BODY - 1])


def test_the_tail_begins_where_the_body_ends() -> None:
    table = fit(BEFORE).table()
    assert table[BODY - 2] < table[BODY] < table[BODY - 1] < table[-1]


@pytest.mark.parametrize("row", [BEFORE, AFTER, sysbench("PREEMPTION_TIMER")], ids=lambda row: f"{row.side}{row.exit}")
def test_every_draw_of_a_table_taken_once_has_mean_and_spread_of_the_row(row: PublishedRow) -> None:
    table = fit(row).table().astype(float)
    weights = np.full(TABLE, 1 / BODY)
    weights[BODY - 1] = 0
    weights[BODY:] = 1 / BODY**2
    mean = np.average(table, weights=weights)
    assert mean == pytest.approx(row.avg_us * 1000, rel=0.005)
    # A lognormal this skewed has some of its variance beyond 1 draw in 16.7 million.
    assert math.sqrt(np.average((table - mean) ** 2, weights=weights)) == pytest.approx(row.sd_us * 1000, rel=0.06)


def test_drawn_rows_look_like_the_published_row() -> None:
    bits = np.random.default_rng(1).integers(0, 1 << 24, BEFORE.samples * 50)
    drawn = draw(fit(BEFORE).table(), bits)
    assert drawn.min() == pytest.approx(BEFORE.min_us * 1000, abs=1)
    assert drawn.mean() == pytest.approx(BEFORE.avg_us * 1000, rel=0.01)
