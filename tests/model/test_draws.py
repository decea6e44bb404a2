"""Random numbers, the times drawn with them, and the bins of latencies."""

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.model.draws import (
    BODY,
    HIST_BINS,
    HIST_SHIFT,
    TABLE,
    UNIFORM_BITS,
    cost,
    exponential,
    hash32,
    histogram_bin,
    histogram_edges,
    quantile,
    start_offset,
    uniform,
)
from kvmlab.model.names import STREAMS, Cost, Stream
from tests.model.machines import machine
from tests.strategies import constant_costs, few


def draws(m, owner, stream, n=5):
    return [uniform(m, owner, stream) for _ in range(n)]


def test_a_draw_depends_on_seed_owner_stream_and_its_number_alone():
    alone = draws(machine(seed=3), 1, Stream.BUSY)
    m = machine(seed=3)
    mixed = []
    for _ in range(5):
        draws(m, 0, Stream.BUSY, 2)
        draws(m, 1, Stream.IDLE, 3)
        mixed += draws(m, 1, Stream.BUSY, 1)
    assert mixed == alone
    assert len({tuple(draws(machine(seed=s), o, t)) for s in (3, 4) for o in (0, 1) for t in Stream}) == 4 * len(Stream)


@given(st.integers(0, 2**32 - 1))
@few(200)
def test_a_hash_has_32_bits(x):
    assert 0 <= hash32(x) < 1 << 32


def test_the_upper_half_of_a_draw_chooses_from_the_body_and_the_last_entry_opens_the_tail():
    table = [-1, *range(TABLE)]
    assert quantile(table, 1, 0) == 0
    assert quantile(table, 1, (7 << 12) + 0xFFF) == 7
    assert quantile(table, 1, (BODY - 2) << 12) == BODY - 2
    assert quantile(table, 1, (BODY - 1) << 12) == BODY
    assert quantile(table, 1, (1 << UNIFORM_BITS) - 1) == TABLE - 1


def test_a_step_takes_its_cost():
    m = machine(costs=constant_costs(123))
    assert {cost(m, 0, step) for step in Cost} == {123}


@pytest.mark.parametrize("mean", [0, 1, 1000, 10**9])
def test_exponential_times_have_their_mean(mean):
    m = machine()
    times = [exponential(m, 0, Stream.IDLE, mean) for _ in range(20_000)]
    assert min(times) >= 1
    assert sum(times) / len(times) == pytest.approx(1 + mean, rel=0.03, abs=1)


@given(st.integers(0, 2**32 - 1), st.integers(0, 5000), st.integers(1, 1 << 40))
@few(200)
def test_an_offset_is_within_its_period(seed, number, period):
    assert 0 <= start_offset(seed, number, period) < period


# --- bins -------------------------------------------------------------------------------------------------------------


def test_edges_are_the_inverse_of_bins():
    edges = [histogram_edges(i) for i in range(HIST_BINS)]
    assert edges[0] == (0, 1)
    assert all(end == start for (_, end), (start, _) in pairwise(edges))
    for i, (low, high) in enumerate(edges):
        assert histogram_bin(low) == histogram_bin(high - 1) == i


def test_what_is_too_long_falls_into_the_last_bin():
    _, end = histogram_edges(HIST_BINS - 1)
    assert histogram_bin(end) == histogram_bin(1 << 62) == HIST_BINS - 1
    assert end > kl.Host().hz * 10**9  # minutes: beyond any latency


def test_a_bin_is_narrow():
    for i in range(2 << HIST_SHIFT, HIST_BINS):
        low, high = histogram_edges(i)
        assert (high - low) << HIST_SHIFT <= low


def test_no_two_streams_of_an_owner_are_one():
    """A stream beside those of the costs may share its number with a step that only pCPUs take."""
    assert len({*Stream}) == len(Stream.__members__) == max(Stream) - min(Stream) + 1
    assert {*Stream} & {*Cost} == {Cost.SEARCHED_CPU}
    assert max(Stream) + 1 == STREAMS
