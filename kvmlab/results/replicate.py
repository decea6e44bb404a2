"""How sure a figure is: the same run under many seeds, and the difference between two kernels under the same seeds."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from kvmlab.kernels import Kernel
from kvmlab.policy import Policy
from kvmlab.results import stats
from kvmlab.results.sweep import sweep
from kvmlab.scenario import checks
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import variant

if TYPE_CHECKING:
    import pandas as pd


def replicate(
    scenario: Scenario,
    replications: int = 10,
    executor: Executor | None = None,
    *,
    confidence: float = 0.95,
    path: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run the same scenario under several seeds: how far each quantity of `Run.summary` may be trusted.

    - `replications`: how many seeds, 2 or more; from the scenario's own on.
    - `confidence`: with which the true mean lies between low and high, for example 0.95.
    - `executor`, `path`, `progress`: as in `sweep`.

    Returns one row per quantity; columns: mean, low, high (Student's interval of the mean), sd (of one run), in the
    quantity's unit. Raises ValueError for numbers that are not allowed.

    >>> import kvmlab as kl
    >>> scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.1)
    >>> exits = kl.replicate(scenario, 3, progress=False).loc["exits"]
    >>> bool(exits["low"] <= exits["mean"] <= exits["high"])
    True
    """
    table = sweep(scenario, {"seed": seeds(scenario, replications)}, executor, path=path, progress=progress)
    return intervals({name: table[name] for name in table.columns if name != "seed"}, confidence)


def difference(
    scenario: Scenario,
    a: str | Kernel | Policy,
    b: str | Kernel | Policy,
    replications: int = 10,
    executor: Executor | None = None,
    *,
    confidence: float = 0.95,
    path: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Return what changes from kernel (or policy) `a` to `b`: the mean of b - a over several seeds, with its interval.

    Both meet the same random numbers under each seed, so what both suffer alike cancels.

    - `a`, `b`: as `compare` takes them.
    - `replications`, `confidence`: as in `replicate`; `executor`, `path`, `progress`: as in `sweep`.

    Returns one row per quantity; columns: mean, low, high, sd (of the differences), sd_independent (what sd would be if
    each had its own seeds: the larger beside sd, the more the common numbers helped). Raises ValueError as `replicate`.

    >>> import kvmlab as kl
    >>> scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.1)
    >>> change = kl.difference(scenario, "before", "rev1", 3, progress=False)
    >>> bool(change.loc["PREEMPTION_TIMER", "high"] < 0)
    True
    """
    base = checks.instance("scenario", scenario, Scenario).kernel
    grid: dict[str, list[Kernel] | list[int]] = {
        "kernel": [variant(base, choice) for choice in (a, b)],
        "seed": seeds(scenario, replications),
    }
    table = sweep(scenario, grid, executor, path=path, progress=progress).drop(columns=[*grid])
    first, second = table[:replications], table[replications:].reset_index(drop=True)
    change = second - first
    result = intervals({str(name): change[name] for name in change.columns}, confidence)
    return result.assign(sd_independent=(first.var(skipna=False) + second.var(skipna=False)) ** 0.5)


def seeds(scenario: Scenario, replications: int) -> list[int]:
    """Return this number of seeds in a row, from the scenario's own on."""
    checks.instance("scenario", scenario, Scenario)
    count = checks.whole("replications", replications, 2, 1_000_000)
    return [(scenario.seed + i) % (1 << 32) for i in range(count)]


def intervals(columns: Mapping[str, pd.Series], confidence: float) -> pd.DataFrame:
    """Return one row per quantity: mean, low, high (Student's interval) and sd of its values."""
    import pandas as pd

    rows = {name: stats.mean_interval(values.tolist(), confidence) for name, values in columns.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])
    return table.assign(sd=[values.std(skipna=False) for values in columns.values()])
