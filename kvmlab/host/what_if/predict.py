"""Run a revision in every world, and say for each quantity between which bounds it lies."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvmlab.kernels import Kernel
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.scenario import Scenario

QUANTITIES = {
    "exits": "1/s a vCPU",
    "MSR_WRITE": "1/s a vCPU",
    "PREEMPTION_TIMER": "1/s a vCPU",
    "EXTERNAL_INTERRUPT": "1/s a vCPU",
    "HLT": "1/s a vCPU",
    "expiry exits": "% of timers",
    "posted": "% of timers",
    "time taken from the guest": "%",
    "latency p50": "us",
    "latency p99": "us",
    "busiest housekeeping CPU": "%",
}
"""What is predicted of each revision, and its unit."""


class Row(NamedTuple):
    """One quantity of one revision; columns of `WhatIf.table`."""

    revision: str
    quantity: str
    low: float
    central: float
    high: float
    unit: str


def quantities(run: Run, spare_writes_hz: float) -> dict[str, float]:
    """Return the `QUANTITIES` of one run.

    `spare_writes_hz`: writes per vCPU and second beyond those that arm its timers; they were run as other exits.
    """
    s, places = run.summary(), run.placement
    vcpu_seconds = max(1e-9, run.duration_ns / 1e9 * len(run.vcpu_names))
    timers = max(1, int(places["expiries"].sum()))
    costly = places["expiries"][["hv", "own pCPU", "housekeeping kicked"]].sum()
    return {
        "exits": s["exits"] / vcpu_seconds,
        "MSR_WRITE": s["MSR_WRITE"] / vcpu_seconds + spare_writes_hz,
        **{name: s[name] / vcpu_seconds for name in ("PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT")},
        "expiry exits": 100 * costly / timers,
        "posted": 100 * places["expiries"]["housekeeping posted"] / timers,
        "time taken from the guest": 100 * s["share_taken"],
        "latency p50": s["latency_p50_ns"] / 1e3,
        "latency p99": s["latency_p99_ns"] / 1e3,
        "busiest housekeeping CPU": 100 * s["housekeeping_share"],
    }


def revision_rows(kernel: Kernel, worlds: Sequence[tuple[Scenario, float]], seeds: Sequence[int]) -> Iterator[Row]:
    """Yield a revision's row per quantity: the central world's median over the seeds, and the extremes of all runs.

    `worlds`: scenarios, the central one first, each with the rate of writes that do not arm its timers.
    """
    runs = [
        [quantities(simulate(scenario.replace(kernel=kernel, seed=seed)), spare_hz) for seed in seeds]
        for scenario, spare_hz in worlds
    ]
    for quantity, unit in QUANTITIES.items():
        central = statistics.median(run[quantity] for run in runs[0])
        values = [run[quantity] for world in runs for run in world if not math.isnan(run[quantity])]
        low, high = (min(values), max(values)) if values else (math.nan, math.nan)
        yield Row(kernel.name, quantity, low, central, high, unit)
