"""The costs: their distributions, what they were fitted to, and what the fit predicts."""

import itertools
import math
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kvmlab.model.machine import BODY, STEPS, TABLE
from kvmlab.scenario import costs
from kvmlab.scenario.costs import MAX_NS, Costs, PublishedRow, ShiftedLognormal

BEFORE, AFTER = costs.published_table()
CYCLES_PER_NS = 2.5

shapes = st.builds(
    lambda shift, excess, spread: ShiftedLognormal(shift, shift + excess, excess * spread),
    st.floats(0, 1e6),
    st.floats(1, 1e6),
    st.floats(0.05, 20),
)


def sysbench(name: str) -> PublishedRow:
    return next(row for row in costs.published_table(costs.SYSBENCH_2020) if row.exit == name)


def draw(table: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """What the engine does with 24 random bits."""
    high = bits >> 12
    return table[np.where(high == BODY - 1, BODY + (bits & 0xFFF), high)]


# --- the distribution -------------------------------------------------------------------------------------------------


@given(shapes, st.floats(1e-6, 1 - 1e-6))
def test_cdf_undoes_quantile(dist: ShiftedLognormal, u: float) -> None:
    x = dist.quantile(u)
    assert x > dist.shift_ns or math.isclose(x, dist.shift_ns)
    if x - dist.shift_ns > 1e-6 * x:
        assert dist.cdf(x) == pytest.approx(u, abs=1e-5)


@given(shapes, st.floats(1e-6, 0.5))
def test_upper_quantile_is_the_quantile_from_the_other_end(dist: ShiftedLognormal, tail: float) -> None:
    assert dist.upper_quantile(tail) == pytest.approx(dist.quantile(1 - tail), rel=1e-6)


def test_ends_of_the_distribution() -> None:
    dist = costs.fit(BEFORE)
    assert dist.quantile(0) == dist.upper_quantile(1) == 470
    assert dist.cdf(470) == dist.cdf(0) == 0
    assert dist.quantile(0.5) < dist.mean_ns


@given(shapes)
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
    ],
)
def test_errors_name_field_value_and_limit(values: tuple[float, float, float], field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: {value}.*allowed: 0 to "):
        ShiftedLognormal(*values)


@pytest.mark.parametrize("u", [-0.1, 1, math.nan])
def test_quantile_refuses_what_is_no_share(u: float) -> None:
    with pytest.raises(ValueError, match=r"u: .*allowed"):
        costs.fit(BEFORE).quantile(u)


@pytest.mark.parametrize("tail", [0, 1.1, math.nan])
def test_upper_quantile_refuses_what_is_no_share(tail: float) -> None:
    with pytest.raises(ValueError, match=r"tail: .*allowed"):
        costs.fit(BEFORE).upper_quantile(tail)


@given(shapes, st.floats(0, 100))
def test_scaling_keeps_the_shape(dist: ShiftedLognormal, factor: float) -> None:
    scaled = dist.scaled(factor)
    assert scaled.mean_ns == dist.mean_ns * factor
    assert scaled.quantile(0.9) == pytest.approx(dist.quantile(0.9) * factor, rel=1e-6)


@pytest.mark.parametrize("factor", [-1, math.inf, math.nan])
def test_scaling_refuses_a_factor_that_is_none(factor: float) -> None:
    with pytest.raises(ValueError, match=r"factor: .*allowed"):
        costs.fit(BEFORE).scaled(factor)


# --- the table the engine draws from ----------------------------------------------------------------------------------


@given(shapes)
@settings(max_examples=30)
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
@settings(max_examples=50)
def test_a_table_of_any_allowed_shape_holds_times(a: float, b: float, sd: float) -> None:
    table = ShiftedLognormal(min(a, b), max(a, b), sd).table()
    assert np.all(table >= math.floor(min(a, b)))
    assert np.all(table[:-1][np.diff(table) < 0] == table[BODY - 1])


def test_the_tail_begins_where_the_body_ends() -> None:
    table = costs.fit(BEFORE).table()
    assert table[BODY - 2] < table[BODY] < table[BODY - 1] < table[-1]


@pytest.mark.parametrize("row", [BEFORE, AFTER, sysbench("PREEMPTION_TIMER")], ids=lambda row: f"{row.side}{row.exit}")
def test_every_draw_of_a_table_taken_once_has_mean_and_spread_of_the_row(row: PublishedRow) -> None:
    table = costs.fit(row).table().astype(float)
    weights = np.full(TABLE, 1 / BODY)
    weights[BODY - 1] = 0
    weights[BODY:] = 1 / BODY**2
    mean = np.average(table, weights=weights)
    assert mean == pytest.approx(row.avg_us * 1000, rel=0.005)
    # A lognormal this skewed has some of its variance beyond 1 draw in 16.7 million.
    assert math.sqrt(np.average((table - mean) ** 2, weights=weights)) == pytest.approx(row.sd_us * 1000, rel=0.06)


def test_drawn_rows_look_like_the_published_row() -> None:
    bits = np.random.default_rng(1).integers(0, 1 << 24, BEFORE.samples * 50)
    drawn = draw(costs.fit(BEFORE).table(), bits)
    assert drawn.min() == pytest.approx(BEFORE.min_us * 1000, abs=1)
    assert drawn.mean() == pytest.approx(BEFORE.avg_us * 1000, rel=0.01)


# --- the fit, and what it says about the column it did not use --------------------------------------------------------


def test_the_published_rows_are_read_as_printed() -> None:
    assert [row.side for row in (BEFORE, AFTER)] == ["before", "after"]
    assert (BEFORE.samples, BEFORE.max_us, AFTER.samples, AFTER.rsem_pct) == (42916, 106.09, 6871, 4.02)
    assert all("0c5f81dad46c" in row.source for row in (BEFORE, AFTER))
    assert len(costs.published_table(costs.SYSBENCH_2020)) == 9


def test_fit_uses_minimum_average_and_standard_error() -> None:
    dist = costs.fit(BEFORE)
    assert (dist.shift_ns, dist.mean_ns) == (470, 710)
    assert dist.sd_ns == pytest.approx(0.0109 * 710 * math.sqrt(42916))
    assert replace(BEFORE, max_us=1) != BEFORE
    assert costs.fit(replace(BEFORE, max_us=1)) == dist


@pytest.mark.parametrize(
    ("row", "median_us", "percentile"), [(BEFORE, 120, 40), (AFTER, 73, 34)], ids=["before", "after"]
)
def test_the_fit_predicts_the_published_maximum(row: PublishedRow, median_us: int, percentile: int) -> None:
    """P(max <= x) = F(x)^n, with F the fitted lognormal and n the row's Samples; exact, no simulation."""
    longest = costs.predicted_max(costs.fit(row), row.samples)
    assert round(longest.median / 1000) == median_us
    assert round(longest.percentile_of(row.max_us * 1000)) == percentile
    assert longest.quantile(0.05) < row.max_us * 1000 < longest.quantile(0.95)
    assert longest.percentile_of(longest.median) == pytest.approx(50)


@pytest.mark.parametrize(("row", "low", "high"), [(BEFORE, 118.8, 122.0), (AFTER, 72.2, 74.3)], ids=["before", "after"])
def test_the_prediction_hardly_depends_on_how_the_row_was_rounded(row: PublishedRow, low: float, high: float) -> None:
    medians = [
        costs.predicted_max(
            costs.fit(replace(row, min_us=row.min_us + a, avg_us=row.avg_us + b, rsem_pct=row.rsem_pct + c)),
            row.samples,
        ).median
        for a, b, c in itertools.product((-0.005, 0.005), repeat=3)
    ]
    assert low < min(medians) / 1000 < max(medians) / 1000 < high


def test_simulated_maxima_agree_with_the_formula() -> None:
    dist = costs.fit(AFTER)
    rng = np.random.default_rng(2019)
    maxima = np.array([dist.shift_ns + rng.lognormal(dist.mu, dist.sigma, AFTER.samples).max() for _ in range(2000)])
    longest = costs.predicted_max(dist, AFTER.samples)
    assert np.median(maxima) == pytest.approx(longest.median, rel=0.05)
    assert (maxima <= AFTER.max_us * 1000).mean() == pytest.approx(
        longest.percentile_of(AFTER.max_us * 1000) / 100, abs=0.04
    )


@given(shapes, st.integers(1, 10**7), st.floats(0.01, 0.99))
def test_quantile_of_the_maximum_undoes_its_percentile(dist: ShiftedLognormal, n: int, p: float) -> None:
    longest = costs.predicted_max(dist, n)
    x = longest.quantile(p)
    if x - dist.shift_ns > 1e-4 * x:
        assert longest.percentile_of(x) == pytest.approx(100 * p, abs=0.2)


def test_the_maximum_of_one_draw_is_the_draw() -> None:
    dist = costs.fit(AFTER)
    assert costs.predicted_max(dist, 1).median == pytest.approx(dist.quantile(0.5))


def test_maximum_refuses_what_is_no_share_and_no_count() -> None:
    with pytest.raises(ValueError, match=r"n: 0 .*allowed: 1"):
        costs.predicted_max(costs.fit(AFTER), 0)
    with pytest.raises(ValueError, match=r"p: 1 .*allowed"):
        costs.predicted_max(costs.fit(AFTER), 10).quantile(1)


def test_the_maximum_made_little_of_the_spread_in_2019_and_much_in_2020() -> None:
    assert [round(row.max_share_of_variance, 2) for row in (BEFORE, AFTER)] == [0.10, 0.08]
    assert sysbench("MSR_WRITE").max_share_of_variance == pytest.approx(0.69, abs=0.005)
    assert replace(BEFORE, rsem_pct=0).max_share_of_variance == 1


def test_the_fit_fails_where_a_time_is_bounded() -> None:
    """HLT times end at the next tick of a guest that sleeps at most a second: no lognormal tail."""
    row = sysbench("HLT")
    assert costs.predicted_max(costs.fit(row), row.samples).percentile_of(row.max_us * 1000) < 1


# --- the totals behind a row ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "exits", "time_ms", "others", "mean_us"),
    [(BEFORE, 86_800, 77.5, 43_900, 1.07), (AFTER, 74_000, 167.1, 67_100, 2.42)],
    ids=["before", "after"],
)
def test_implied_totals(row: PublishedRow, exits: int, time_ms: float, others: int, mean_us: float) -> None:
    totals = costs.implied_totals(row)
    assert round(totals.exits.value, -2) == exits
    assert round(totals.time_ms.value, 1) == time_ms
    assert round(totals.other_exits.value, -2) == others
    assert round(totals.other_mean_us.value, 2) == mean_us
    for field in fields(totals):
        estimate = getattr(totals, field.name)
        assert estimate.low < estimate.value < estimate.high < 1.03 * estimate.low


@given(*[st.floats(-0.005, 0.005)] * 3)
def test_totals_stay_within_their_range_however_the_row_was_rounded(a: float, b: float, c: float) -> None:
    unrounded = replace(AFTER, samples_pct=AFTER.samples_pct + a, time_pct=AFTER.time_pct + b, avg_us=AFTER.avg_us + c)
    ranges, values = costs.implied_totals(AFTER), costs.implied_totals(unrounded, rounding=0)
    for field in fields(ranges):
        estimate, value = getattr(ranges, field.name), getattr(values, field.name).value
        assert estimate.low * (1 - 1e-12) <= value <= estimate.high * (1 + 1e-12)


def test_a_share_printed_as_zero_tells_no_totals() -> None:
    with pytest.raises(ValueError, match=r"time_pct: 0\.0 .*allowed: above 0\.005"):
        costs.implied_totals(sysbench("CPUID"))


# --- the costs the simulator uses -------------------------------------------------------------------------------------


def test_steps_are_the_names_of_the_costs_in_order() -> None:
    assert STEPS[0] == "external_interrupt"
    assert len(STEPS) == len(set(STEPS)) == 19
    assert [field.name for field in fields(Costs)] == list(STEPS)


def test_fitted_costs_are_the_fit_of_their_row() -> None:
    default = Costs.default()
    assert default is Costs.default()
    for step, row in ((default.external_interrupt, BEFORE), (default.preemption_timer, sysbench("PREEMPTION_TIMER"))):
        assert (step.shift_ns, step.mean_ns) == pytest.approx((row.min_us * 1000, row.avg_us * 1000))
        assert step.sd_ns == pytest.approx(costs.fit(row).sd_ns, abs=0.01)


def test_derived_costs_follow_from_published_rows() -> None:
    default = Costs.default()
    assert default.other_exit.mean_ns == pytest.approx(costs.implied_totals(BEFORE).other_mean_us.value * 1000, abs=5)
    pause = sysbench("PAUSE_INSTRUCTION")
    total = pause.samples * pause.avg_us
    squares = (pause.samples - 1) * pause.sd_us**2 + pause.samples * pause.avg_us**2
    second = math.sqrt(squares - pause.max_us**2)
    rest = (total - pause.max_us - second) / (pause.samples - 2)
    assert default.pause.mean_ns == pytest.approx(rest * 1000, abs=5)


def test_a_fast_path_is_faster_than_the_slow_way_throughout() -> None:
    default = Costs.default()
    assert np.all(default.msr_write_fastpath.table() < default.msr_write.table())
    assert np.all(default.preemption_timer_fastpath.table() < default.preemption_timer.table())


@pytest.mark.parametrize(
    ("step", "published_cycles"),
    [
        ("msr_write", 3028.5),
        ("msr_write_fastpath", 2494.75),
        ("preemption_timer", 5765.7 - 3000),
        ("preemption_timer_fastpath", 5285 - 3000),
    ],
)
def test_a_round_trip_fits_kvm_unit_tests(step: str, published_cycles: float) -> None:
    """tscdeadline_immed and tscdeadline (the latter less its 3000 cycles ahead) also run the guest's handler."""
    default = Costs.default()
    trip = default.exit_transition.mean_ns + getattr(default, step).mean_ns + default.entry_transition.mean_ns
    assert 0.8 < trip * CYCLES_PER_NS / published_cycles < 1


def test_zero_costs_take_no_time() -> None:
    assert not Costs.zero().stacked().any()


def test_stacked_has_one_row_a_step() -> None:
    default = Costs.default()
    stacked = default.stacked()
    assert stacked.shape == (len(STEPS), TABLE)
    assert stacked.dtype == np.int64
    assert stacked.flags.c_contiguous
    for i, name in enumerate(STEPS):
        assert np.array_equal(stacked[i], getattr(default, name).table())
    stacked[:] = 0
    assert default.stacked().any()


def test_costs_can_be_replaced_one_by_one_and_say_so() -> None:
    mine = replace(Costs.default(), kick=Costs.default().kick.scaled(2))
    status = {row["name"]: row["status"] for row in mine.provenance()}
    assert status.pop("kick") == "yours"
    assert "yours" not in status.values()
    assert mine != Costs.default()


def test_costs_refuse_what_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="tick: 5 is no cost; allowed: a ShiftedLognormal"):
        replace(Costs.default(), tick=5)


def test_provenance_shows_every_step_with_its_numbers_and_source() -> None:
    rows = Costs.default().provenance()
    assert [row["name"] for row in rows] == list(STEPS)
    for row in rows:
        assert {"shift_ns", "mean_ns", "sd_ns", "status", "sd_status", "source"} <= row.keys()
        assert row["source"]
    assert rows[0]["status"] == "fitted"


def test_importing_costs_is_light() -> None:
    script = (
        "import sys, kvmlab.scenario.costs; sys.exit(any(m in sys.modules for m in ('pandas', 'scipy', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
