"""What lesson 01 says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

from functools import cache

import pytest

import kvmlab as kl
from kvmlab import costs, exercises, panels
from kvmlab.lab.exercises.course import lesson_01
from kvmlab.results.run import Run


@cache
def run() -> Run:
    return kl.simulate(kl.three_guests("v5.2"))


def test_second() -> None:
    """A fifth of one percent: 2,000 holes of about a microsecond."""
    poller = kl.by_guest(run()).loc["poller"]
    assert round(poller["lost us"] / 1e6 * 100, 1) == 0.2
    assert round(poller["exits"], -1) == 2000
    assert poller["lost us"] / poller["exits"] == pytest.approx(1, abs=0.05)


def test_p1_why() -> None:
    assert run().exits_of(4).loc["HLT", "Time%"] == pytest.approx(99.6, abs=0.1)


def test_anatomy_caption() -> None:
    """Both ends take 160 ns, whatever the reason."""
    for reason in ("MSR_WRITE", "HLT"):
        figures = panels.anatomy_panel(reason=reason).figures
        assert (figures["out"], figures["in"]) == (160, 160)


def test_p2_why_the_panel_has_a_shorter_longest_exit() -> None:
    """11 us for 4,000: the model's spread is that of the published row, without its worst case."""
    figures = panels.anatomy_panel(reason="PREEMPTION_TIMER", exits_per_s=4000).figures
    assert round(figures["longest_us"]) == 11
    few = panels.anatomy_panel(reason="PREEMPTION_TIMER", exits_per_s=10).figures
    assert few["longest_us"] < figures["longest_us"]


def test_three_read() -> None:
    """Four ticks of ten find it asleep; most of what it loses goes to HLT, more than half of its exits."""
    table = kl.by_guest(run())
    ordinary = table.loc["ordinary"]
    assert ordinary["not in guest"] / ordinary["arm exits"] == pytest.approx(0.4, abs=0.02)
    assert table["lost us"].idxmax() == "ordinary"
    assert ordinary["HLT exits"] > max(2000, ordinary["exits"] / 2)
    lost_us = {name: panels.anatomy_panel(reason=name).figures["lost_ns"] / 1e3 for name in ("HLT", "PREEMPTION_TIMER")}
    assert lost_us["HLT"] > 1.5 * lost_us["PREEMPTION_TIMER"]
    assert ordinary["HLT exits"] * lost_us["HLT"] / ordinary["lost us"] == pytest.approx(0.7, abs=0.05)


def test_p2_why() -> None:
    """34 times the average; 9.6 ms; packets of 67 ns: 15 in a microsecond, more than 300 in 21."""
    rows = {row.exit: row for row in costs.published_table(costs.SYSBENCH_2020)}
    expiry = rows["PREEMPTION_TIMER"]
    assert (expiry.samples, expiry.avg_us, round(expiry.max_us / expiry.avg_us)) == (5728, 0.62, 34)
    assert round(rows["MSR_WRITE"].max_us / 1000, 1) == 9.6
    packet_ns = (64 + 20) * 8 / 10
    assert (round(packet_ns), round(1000 / packet_ns)) == (67, 15)
    assert expiry.max_us * 1000 / packet_ns > 300


def test_e1_solution() -> None:
    """What the panel has, and what the simulation says; the price of the other host's ticks is not right."""
    lost_ns = sum(panels.anatomy_panel(reason=name).figures["lost_ns"] for name in ("MSR_WRITE", "EXTERNAL_INTERRUPT"))
    assert lost_ns == 2130
    assert lesson_01.highest_tick_hz() == pytest.approx(1000 / 2.13, rel=0.02)
    assert exercises.check("L01-E1", 1000 / 2.13).right
    assert not exercises.check("L01-E1", 1000 / 2.04).right
    assert not exercises.check("L01-E1", 500).right


def test_e2() -> None:
    """Both rows HLT have more than 99 % of the time; A slept a quarter of its 4 s, B seventy percent."""
    halted = lesson_01.two_sleepers().xs("HLT", level=1)
    assert (halted["Time%"] > 99).all()
    asleep = halted["Samples"] * halted["Avg time"] / 4e6
    assert asleep.round(1).to_dict() == {"A": 0.2, "B": 0.7}
