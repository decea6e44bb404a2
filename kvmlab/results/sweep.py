"""Every point of a grid, on any executor, stopped and resumed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kvmlab import policy
from kvmlab.engine.build import source_digest
from kvmlab.results.run import simulate
from kvmlab.results.sweep_file import FORMAT, Result, digest, finished_points, writing
from kvmlab.scenario import checks
from kvmlab.scenario.guest import Guest
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd


RESULT_SOURCES = (
    "engine/setup.py",
    "scenario/costs.py",
    "scenario/distribution.py",
    "results/latency.py",
    "results/run.py",
    "results/until_end.py",
)
"""What a result depends on, beside the rules."""


class Point(NamedTuple):
    """One point of a grid."""

    fields: dict[str, Any]
    """What it is called in the table: field -> value."""
    scenario: Scenario
    """What is run."""


def sweep(
    scenario: Scenario,
    grid: Mapping[str, Iterable[Any]],
    executor: Executor | None = None,
    *,
    path: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run every combination of `grid`.

    - `grid`: field (as in `Scenario.replace`) -> values.
    - `executor`: any concurrent.futures.Executor, a Dask cluster's too (``Client(...).get_executor()``); None runs one
      after another.
    - `path`: a file that keeps each finished point; if it holds some of this very sweep, only the others are run. It
      may be read-only if it holds all of them.
    - `progress`: show a bar.

    Interrupted, a sweep keeps what is done (without `path`, while this Python lives): the same call goes on from there.

    Returns one row per point in the grid's order, the same on any executor: the grid's fields, then the columns of
    `Run.summary`. Raises ValueError for a field or value that is not allowed; for a file that this sweep did not write,
    which is left as it is; and for one that another process is writing.

    >>> import kvmlab as kl
    >>> scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.1)
    >>> table = kl.sweep(scenario, {"kernel": ["v5.2", "v5.18"], "workload.tick_hz": [100, 250]}, progress=False)
    >>> table[["kernel", "workload.tick_hz"]].values.tolist()
    [['v5.2', 100], ['v5.2', 250], ['v5.18', 100], ['v5.18', 250]]
    """
    import pandas as pd

    checks.instance("scenario", scenario, Scenario)
    checks.instance("grid", grid, Mapping)
    if executor is not None:
        checks.instance("executor", executor, Executor)
    file = None if path is None else checks.file_path("path", path)
    points = grid_points(scenario, grid)
    results = run_all(points, header(scenario, points), executor, file, checks.flag("progress", progress))
    return pd.DataFrame([{**point.fields, **result} for point, result in zip(points, results, strict=True)])


def grid_points(scenario: Scenario, grid: Mapping[str, Iterable[Any]]) -> list[Point]:
    """Return every combination, the last field changing fastest. A kernel is named, not given, in its column."""
    names = list(grid)
    columns = [checks.several(f"grid[{name!r}]", grid[name], "a list of values") for name in names]
    points = []
    for values in itertools.product(*columns):
        fields = dict(zip(names, values, strict=True))
        changed = scenario.replace(**fields)
        points.append(Point({**fields, **({"kernel": changed.kernel.name} if "kernel" in fields else {})}, changed))
    return points


def header(scenario: Scenario, points: list[Point]) -> Result:
    """Return the first line of a sweep's file: which sweep it holds, and of which version of the model."""
    return {
        "kvmlab sweep": FORMAT,
        "scenario": digest(scenario),
        "grid": digest([point.scenario for point in points]),
        "fields": list(points[0].fields) if points else [],
        "points": len(points),
        "columns": list(columns()),
        "model": source_digest(*RESULT_SOURCES),
    }


@functools.cache
def columns() -> tuple[str, ...]:
    """Return the columns that every result has."""
    return tuple(simulate(Scenario(Host(pcpus=1, isolated=()), (Guest(),), duration_s=1e-6)).summary())


# --- running them -----------------------------------------------------------------------------------------------------

_interrupted: dict[str, dict[int, Result]] = {}
"""What sweeps without a file had finished when they were stopped: the same call goes on from there."""


def sweep_point(scenario: Scenario) -> Result:
    """Run one point of a sweep (a plain function, so that any executor can carry it)."""
    return simulate(scenario).summary()


def portable(scenario: Scenario) -> Scenario:
    """Return the scenario with its policy as a table: a function typed in a notebook can't be sent to a process."""
    kernel = scenario.kernel
    return scenario.replace(kernel=kernel.with_policy(kernel.name, policy.Table(policy.table_bits(kernel.policy))))


def run_points(
    points: list[Point], todo: list[int], executor: Executor | None
) -> Generator[tuple[int, Result], None, None]:
    """Yield the results as they come. What is still waiting is cancelled when the caller stops."""
    if executor is None:
        yield from ((i, sweep_point(points[i].scenario)) for i in todo)
        return
    numbers = {executor.submit(sweep_point, portable(points[i].scenario)): i for i in todo}
    try:
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    finally:
        for future in numbers:
            future.cancel()


def run_all(
    points: list[Point], head: Result, executor: Executor | None, path: Path | None, progress: bool
) -> list[Result]:
    """Return the results of all points, in order; with what a file or an interrupted call before has of them."""
    from tqdm.auto import tqdm

    name = digest(head)
    done = finished_points(path, head) if path else _interrupted.setdefault(name, {})
    if len(done) == len(points):
        path = None  # nothing is left to be written: the file may be read-only
    try:
        with writing(path, head) as (kept, write):
            done.update(kept)
            todo = [i for i in range(len(points)) if i not in done]
            bar = tqdm(total=len(points), initial=len(done), unit="run", disable=not progress)
            with bar, closing(run_points(points, todo, executor)) as results:
                for i, result in results:
                    write(i, result)
                    done[i] = result
                    bar.update()
    except KeyboardInterrupt as stop:
        stop.add_note(
            f"sweep: {len(done)} of {len(points)} points are done and kept; the same call goes on from there."
        )
        raise
    _interrupted.pop(name, None)
    return [done[i] for i in range(len(points))]
