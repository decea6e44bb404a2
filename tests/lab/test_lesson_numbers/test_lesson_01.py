"""What lesson 01 says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

from functools import cache

import pytest

import kvmlab as kl
from kvmlab import costs
from kvmlab.lab.exercises.course import lesson_01
from kvmlab.results.run import Run


@cache
def run() -> Run:
    return kl.simulate(kl.three_guests("v5.2"))


def test_p1_why() -> None:
    """A fifth of one percent: 2,000 holes of about a microsecond."""
    poller = kl.by_guest(run()).loc["poller"]
    assert round(poller["lost us"] / 1e6 * 100, 1) == 0.2
    assert round(poller["exits"], -1) == 2000
    assert poller["lost us"] / poller["exits"] == pytest.approx(1, abs=0.05)


def test_p2_why() -> None:
    assert run().exits_of(4).loc["HLT", "Time%"] == pytest.approx(99.6, abs=0.1)


def test_three_read() -> None:
    """Four ticks of ten find it asleep; two thirds of what it loses go to HLT, a quarter to its timer."""
    table = kl.by_guest(run())
    ordinary = table.loc["ordinary"]
    assert ordinary["not in guest"] / ordinary["arm exits"] == pytest.approx(0.4, abs=0.02)
    assert table["lost us"].idxmax() == "ordinary"
    way = 0.32
    assert ordinary["HLT exits"] * (1.5 + way) / ordinary["lost us"] == pytest.approx(2 / 3, abs=0.04)
    timer = ordinary["arm exits"] * (0.78 + way) + ordinary["deadline exits"] * (0.62 + way)
    assert timer / ordinary["lost us"] == pytest.approx(0.25, abs=0.03)


def test_p3_why() -> None:
    """34 times the average; 9.6 ms; packets of 67 ns: 15 in a microsecond, more than 300 in 21."""
    rows = {row.exit: row for row in costs.published_table(costs.SYSBENCH_2020)}
    expiry = rows["PREEMPTION_TIMER"]
    assert (expiry.samples, expiry.avg_us, round(expiry.max_us / expiry.avg_us)) == (5728, 0.62, 34)
    assert round(rows["MSR_WRITE"].max_us / 1000, 1) == 9.6
    packet_ns = (64 + 20) * 8 / 10
    assert (round(packet_ns), round(1000 / packet_ns)) == (67, 15)
    assert expiry.max_us * 1000 / packet_ns > 300


def test_e1_solution() -> None:
    price = kl.Costs.default()
    ways = price.exit_transition.mean_ns + price.entry_transition.mean_ns
    assert 2 * ways + price.msr_write.mean_ns + price.preemption_timer.mean_ns == 2040
    assert lesson_01.highest_tick_hz() == pytest.approx(1000 / 2.04, rel=0.01)


def test_e2() -> None:
    """Both rows HLT have more than 99 % of the time; A slept a quarter of its 4 s, B seventy percent."""
    halted = lesson_01.two_sleepers().xs("HLT", level=1)
    assert (halted["Time%"] > 99).all()
    asleep = halted["Samples"] * halted["Avg time"] / 4e6
    assert asleep.round(1).to_dict() == {"A": 0.2, "B": 0.7}
