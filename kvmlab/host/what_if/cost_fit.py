"""Costs of exits, fitted to a recorded table of perf kvm stat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kvmlab.host.names import HLT_EXITS
from kvmlab.host.what_if.findings import Findings
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.distribution import ShiftedLognormal
from kvmlab.scenario.published import PublishedRow, fit

if TYPE_CHECKING:
    import pandas as pd

FEW_SAMPLES = 10
"""A row with fewer is too little to fit a cost to."""
FITTED_COLUMNS = ("Samples", "Avg time", "Min Time", "Max Time", "+-%")
ONE_STEP = {"EXTERNAL_INTERRUPT": "external_interrupt", "interrupt": "external_interrupt", "PAUSE_INSTRUCTION": "pause"}
"""Rows that are one step of the model's."""


def fitted_costs(table: pd.DataFrame, findings: Findings, *, fast: bool) -> Costs:
    """Return the default costs, with those that the table has rows for fitted to it.

    `fast`: the host's writes and preemption timer exits took the fast path. The other path is shifted by the published
    difference.
    """
    costs, fitted = Costs.default(), []
    columns = (table[name] for name in FITTED_COLUMNS)
    for name, samples, *times in zip(map(str, table.index), *columns, strict=True):
        dist = row_cost(name, int(samples), *map(float, times))
        steps = steps_of(name, fast)
        if dist is not None and steps:
            fitted.append(name)
            costs = with_cost(costs, steps, dist)
    if fitted:
        findings.known.append(f"What an exit costs the host: fitted to the rows {', '.join(fitted)}.")
    findings.assumed.append("Every other cost is the course's own (data/costs.toml): another machine's.")
    return costs


def steps_of(row: str, fast: bool) -> tuple[str, ...]:
    """Return the model's steps that a row of the table is about: the path taken, then the other one."""
    if row in ("MSR_WRITE", "msr"):
        return ("msr_write_fastpath", "msr_write") if fast else ("msr_write", "msr_write_fastpath")
    if row == "PREEMPTION_TIMER":
        both = ("preemption_timer_fastpath", "preemption_timer")
        return both if fast else both[::-1]
    return (ONE_STEP[row],) if row in ONE_STEP else ()


def row_cost(
    name: str, samples: int, average: float, least: float, most: float, spread: float
) -> ShiftedLognormal | None:
    """Return the cost that fits a row (times in us, `spread` in percent); None if it is too small or has no times."""
    if samples < FEW_SAMPLES or not 0 < average < 1e6 or name in HLT_EXITS:
        return None
    # Perf before 3.13 prints no minimum, and its browser no spread.
    least = min(average, 0.6 * average if math.isnan(least) else least)
    spread = 100 / math.sqrt(samples) if math.isnan(spread) else spread
    return fit(PublishedRow("", name, samples, 0.0, 0.0, least, most, average, spread, "yours"))


def with_cost(costs: Costs, steps: Sequence[str], dist: ShiftedLognormal) -> Costs:
    """Return `costs` with the first step as fitted, and the second as far from it as by default."""
    changes = {steps[0]: dist}
    for other in steps[1:]:
        by = getattr(costs, other).mean_ns - getattr(costs, steps[0]).mean_ns
        shift = max(0.0, dist.shift_ns + by)
        changes[other] = ShiftedLognormal(shift, max(shift, dist.mean_ns + by), dist.sd_ns)
    return replace(costs, **changes)
