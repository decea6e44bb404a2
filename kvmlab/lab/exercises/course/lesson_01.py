"""Exercises of lesson 01."""

from __future__ import annotations

import pandas as pd

from kvmlab.kernels import KERNELS
from kvmlab.lab.exercises.kinds import Choice, Exercise, Number
from kvmlab.results.per_guest import by_guest
from kvmlab.results.run import simulate
from kvmlab.scenario.example import three_guests
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

SLEEPERS = {"A": (250.0, 80.0), "B": (600.0, 1400.0)}
"""For how long each of them works and then sleeps, in us, on average."""


def highest_tick_hz() -> float:
    """Return the tick rate at which the poller loses 0.1 % of its time, from what it loses at 1000 Hz.

    On v5.2, on a host without a preemption timer.
    """
    scenario = three_guests("v5.2").replace(**{"host.preemption_timer": False})
    lost_us = by_guest(simulate(scenario))["lost us"].to_dict()
    return 1000 * 1000 / float(lost_us["poller"])


def two_sleepers() -> pd.DataFrame:
    """Return what perf kvm stat would show of two guests that halt, watched for 4 s each."""
    tables = {}
    for name, (busy_us, idle_us) in SLEEPERS.items():
        workload = Workload(tick_hz=1000, busy_us=busy_us, idle_us=idle_us, nohz_idle=False)
        host = Host(pcpus=4, isolated=(2, 3))
        scenario = Scenario(host, (Guest(workload=workload),), kernel=KERNELS["v5.2"], duration_s=4)
        tables[name] = simulate(scenario).exits[["Samples", "Time%", "Avg time"]].round(2)
    return pd.concat(tables, names=["guest"])


EXERCISES = {
    "L01-E1": Exercise(
        Number(highest_tick_hz, "Hz", within=0.05), checked="the rate within 5 %", not_checked="your way"
    ),
    "L01-E2": Exercise(Choice(("A", "B"), seal="79da0b5d"), checked="the guest", not_checked="for how long it slept"),
}
