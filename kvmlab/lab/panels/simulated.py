"""Many timers: a panel per question that a simulation answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlab.lab.charts import Chart, DisturbanceBars, ExitBars, Latencies, Ledger, LoadBars, PlaceBars
from kvmlab.lab.measures import p99_us, thousandths_taken, total_rate
from kvmlab.lab.panels.settings import CONTROLS, scenario_of
from kvmlab.lab.panels.shell import Frame, Panel
from kvmlab.lab.panels.simulation import frame, run_all, simulation_panel
from kvmlab.lab.widgets import Choice
from kvmlab.lab.words import with_values
from kvmlab.policy import REVISIONS
from kvmlab.results.run import Run


def say_exits(runs: Mapping[str, Run]) -> str:
    """Return the exits of each run in words, without an end."""
    return f"Exits a second and vCPU: {with_values({name: total_rate(run) for name, run in runs.items()})}"


def say_latency(runs: Mapping[str, Run]) -> str:
    """Return the 99th percentile of each run in words, as the middle of a sentence."""
    late = {name: p99_us(run) for name, run in runs.items()}
    return f"99 of 100 timer interrupts come within, in us: {with_values(late)}"


def say_disturbance(runs: Mapping[str, Run]) -> str:
    """Return what share of the guests' time exits take, in words, as the middle of a sentence."""
    taken = {name: thousandths_taken(run) for name, run in runs.items()}
    return f"exits take, in thousandths of the guests' time: {with_values(taken)}"


def say_posting(runs: Mapping[str, Run]) -> str:
    """Return how much rev 1 posts, and what that costs the busiest housekeeping CPU, as a sentence."""
    run = runs["rev1"]
    posted = 100 * float(run.placement["share"]["housekeeping posted"])
    load = run.housekeeping["share_of_time"]
    return (
        f"Under rev1 {posted:.1f} % of the timers are posted; the busiest housekeeping CPU, CPU {load.idxmax()}, "
        f"spends {100 * load.max():.2f} % of its time on them."
    )


def exits_panel() -> Panel:
    """Return a panel that shows how many VM exits each revision costs, by reason.

    Settings: some of `Settings`, by their names.

    >>> from kvmlab import panels
    >>> panel = panels.exits_panel()
    >>> panel.settings = {"tick_hz": 250, "hlt_in_guest": True}
    """
    chart = Chart(10, 5.2)
    chart.name_revisions(chart.add(ExitBars(chart.axes(0.24, 0.12, 0.73, 0.74), REVISIONS)))
    names = ["vcpus", "tick_hz", "housekeeping", "hz", "guest", "vcpus_on", "hlt_in_guest", "pi_inject_timer"]
    return simulation_panel(names, chart, lambda runs: f"{say_exits(runs)}.", "VM exits by reason and revision")


def jitter_panel() -> Panel:
    """Return a panel that shows how late timer interrupts come, and how much of the guests' time exits take.

    Settings: some of `Settings`, by their names.

    >>> from kvmlab import panels
    >>> panel = panels.jitter_panel()
    >>> panel.settings = {"other_exit_hz": 5000}
    """
    chart = Chart(11, 5.2)
    chart.add(Latencies(chart.axes(0.08, 0.13, 0.44, 0.78), REVISIONS))
    chart.add(DisturbanceBars(chart.axes(0.69, 0.13, 0.29, 0.78), REVISIONS))
    names = ["vcpus", "tick_hz", "housekeeping_cpus", "housekeeping", "guest", "hlt_in_guest", "other_exit_hz"]

    def say(runs: Mapping[str, Run]) -> str:
        return f"{say_latency(runs)}; {say_disturbance(runs)}."

    return simulation_panel(names, chart, say, "Latency of timer interrupts by revision")


def housekeeping_panel() -> Panel:
    """Return a panel on how many housekeeping CPUs there are, and what they do.

    It shows how the offload refuses, then reinforces itself. Settings: some of `Settings`, by their names.

    >>> from kvmlab import panels
    >>> panel = panels.housekeeping_panel()
    >>> panel.settings = {"housekeeping": "timers", "housekeeping_cpus": 3}
    """
    revisions = ("rev1", "rev3")
    chart = Chart(11, 5.2)
    chart.name_revisions(chart.add(PlaceBars(chart.axes(0.21, 0.13, 0.31, 0.74), revisions)))
    chart.add(LoadBars(chart.axes(0.61, 0.13, 0.36, 0.74), revisions, cpus=8))
    names = ["vcpus", "tick_hz", "housekeeping_cpus", "housekeeping", "housekeeping_timer_us", "hz", "hlt_in_guest"]
    subject = "Where timers fired, and the housekeeping CPUs' load"
    return simulation_panel(names, chart, say_posting, subject, revisions)


def compare_panel() -> Panel:
    """Return a panel with two revisions on the same draws: which exits the second saves, which it adds.

    Settings: first and second (names of revisions), and some of `Settings`, by their names.

    >>> from kvmlab import panels
    >>> panel = panels.compare_panel()
    >>> panel.settings = {"first": "rev1", "second": "rev2"}
    """
    chart = Chart(10, 5.2)
    chart.add(Ledger(chart.axes(0.24, 0.13, 0.73, 0.78)))
    names = ["vcpus", "tick_hz", "housekeeping", "guest", "vcpus_on", "hlt_in_guest", "mwait_in_guest"]
    controls = {
        "first": Choice("first", REVISIONS, "rev1"),
        "second": Choice("second", REVISIONS, "rev3"),
        **{name: CONTROLS[name]() for name in names},
    }

    def draw(first: str, second: str, **settings: Any) -> Frame:
        runs, remark = run_all(scenario_of(settings), (first, second))
        old, new = runs[first], runs[second]
        sentence = (
            f"Going from {first} to {second} changes the exits by {total_rate(new) - total_rate(old):+,.0f} a second "
            f"and vCPU, and the 99th percentile of latency from {p99_us(old):.2f} to {p99_us(new):.2f} us.{remark}"
        )
        return frame(chart, {"first": old, "second": new}, sentence, "Exit ledger")

    return Panel(controls, draw, height=chart.size[1])
