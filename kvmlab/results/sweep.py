"""Many runs: every point of a grid, on any executor, stopped and resumed; and the same run under many seeds.

A finished point is written down at once (one line of JSON), so whatever ends a sweep loses only what was under way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from kvmlab import policy
from kvmlab.engine import execute, setup
from kvmlab.kernels import Kernel
from kvmlab.policy import Policy
from kvmlab.results import run, stats
from kvmlab.results.run import simulate
from kvmlab.scenario import checks, costs
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import variant

if TYPE_CHECKING:
    import pandas as pd

Result = dict[str, Any]
FORMAT = 1


class Point(NamedTuple):
    """One point of a grid: what it is called in the table, and what is run."""

    fields: dict[str, Any]
    scenario: Scenario


def sweep_point(scenario: Scenario) -> Result:
    """One point of a sweep (a plain function, so that any executor can carry it)."""
    return simulate(scenario).summary()


def portable(scenario: Scenario) -> Scenario:
    """The scenario with its policy as a table, which any executor can send: a function typed in a notebook can't be."""
    kernel = scenario.kernel
    return scenario.replace(kernel=kernel.with_policy(kernel.name, policy.Table(policy.table_bits(kernel.policy))))


def grid_points(scenario: Scenario, grid: Mapping[str, Iterable[Any]]) -> list[Point]:
    """Every combination, the last field changing fastest. A kernel is named, not given, in its column."""
    names = list(grid)
    columns = [checks.several(f"grid[{name!r}]", grid[name], "a list of values") for name in names]
    points = []
    for values in itertools.product(*columns):
        fields = dict(zip(names, values, strict=True))
        changed = scenario.replace(**fields)
        points.append(Point({**fields, **({"kernel": changed.kernel.name} if "kernel" in fields else {})}, changed))
    return points


# --- what a file holds ------------------------------------------------------------------------------------------------


def described(value: Any) -> Any:
    """For JSON: a dataclass by its fields, a policy by its truth table, a numpy number as a number."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type | policy.Table):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        return policy.table_bits(value)
    return list(value)


def digest(value: Any) -> str:
    """A short name for what `value` says, the same in every process."""
    return hashlib.sha256(json.dumps(value, default=described).encode()).hexdigest()[:16]


def header(scenario: Scenario, points: list[Point]) -> Result:
    """The first line of a file: which sweep it holds, and of which version of the model."""
    return {
        "kvmlab sweep": FORMAT,
        "scenario": digest(scenario),
        "grid": digest([point.scenario for point in points]),
        "fields": list(points[0].fields) if points else [],
        "points": len(points),
        "model": execute.source_digest(setup, costs, run),
    }


def same_sweep(path: Path, found: Any, wanted: Result) -> None:
    """ValueError that says in what a file's header differs from this sweep's."""
    if not isinstance(found, dict) or found.get("kvmlab sweep") != FORMAT:
        raise ValueError(f"path: {str(path)!r} is no file of a sweep; allowed: one that a sweep wrote, or a new name")
    for name, what in (("scenario", "another scenario"), ("grid", "another grid"), ("model", "another kvmlab version")):
        if found.get(name) != wanted[name]:
            theirs = f"fields {found.get('fields')}, {found.get('points')} points"
            ours = f"fields {wanted['fields']}, {wanted['points']} points"
            raise ValueError(
                f"path: {str(path)!r} holds a sweep of {what} ({theirs}; here: {ours}); "
                "allowed: the file of this sweep, or a new name"
            )


def finished_points(path: Path, wanted: Result) -> dict[int, Result]:
    """What a file holds already, by point. A last line that was cut off while it was written is taken away."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    lines = whole.splitlines()
    if not lines:
        return {}
    try:
        first, *rows = [json.loads(line) for line in lines]
    except json.JSONDecodeError as error:
        raise ValueError(
            f"path: {str(path)!r} is no file of a sweep: {error}; allowed: one that a sweep wrote"
        ) from None
    same_sweep(path, first, wanted)
    return {row["point"]: row["result"] for row in rows}


def append(file: TextIO | None, line: Result) -> None:
    """Write one line and see it on its way to the disk."""
    if file:
        file.write(json.dumps(line) + "\n")
        file.flush()


# --- running them -----------------------------------------------------------------------------------------------------

_interrupted: dict[str, dict[int, Result]] = {}
"""What sweeps without a file had finished when they were stopped: the same call goes on from there."""


def run_points(
    points: list[Point], todo: list[int], executor: Executor | None
) -> Generator[tuple[int, Result], None, None]:
    """The results as they come. What is still waiting is cancelled when the caller stops."""
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
    """The results of all points, in order; with what a file or an interrupted call before has of them."""
    from tqdm.auto import tqdm

    name = digest(head)
    done = finished_points(path, head) if path else _interrupted.setdefault(name, {})
    todo = [i for i in range(len(points)) if i not in done]
    file = path.open("a", encoding="utf-8") if path else None
    try:
        if file and file.tell() == 0:
            append(file, head)
        bar = tqdm(total=len(points), initial=len(done), unit="run", disable=not progress)
        with bar, closing(run_points(points, todo, executor)) as results:
            for i, result in results:
                append(file, {"point": i, "result": result})
                done[i] = result
                bar.update()
    except KeyboardInterrupt as stop:
        stop.add_note(
            f"sweep: {len(done)} of {len(points)} points are done and kept; the same call goes on from there."
        )
        raise
    finally:
        if file:
            file.close()
    _interrupted.pop(name, None)
    return [done[i] for i in range(len(points))]


def sweep(
    scenario: Scenario,
    grid: Mapping[str, Iterable[Any]],
    executor: Executor | None = None,
    *,
    path: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run every combination of `grid`: field (as in `Scenario.replace`) -> values.

    `executor`: any concurrent.futures.Executor, a Dask cluster's too (``Client(...).get_executor()``); None runs one
    after another. `path`: a file that keeps each finished point; if it holds some of this very sweep, only the others
    are run. ValueError if it holds another. Interrupted, a sweep keeps what is done (without `path`, while this Python
    lives): the same call goes on from there. `progress`: show a bar.

    One row a point in the grid's order, the same on any executor: the grid's fields, then the columns of `Run.summary`.
    """
    import pandas as pd

    checks.instance("scenario", scenario, Scenario)
    checks.instance("grid", grid, Mapping)
    points = grid_points(scenario, grid)
    results = run_all(points, header(scenario, points), executor, Path(path) if path else None, progress)
    return pd.DataFrame([{**point.fields, **result} for point, result in zip(points, results, strict=True)])


# --- how sure ---------------------------------------------------------------------------------------------------------


def seeds(scenario: Scenario, replications: int) -> list[int]:
    """As many seeds in a row, from the scenario's own on."""
    count = checks.whole("replications", replications, 2, 1_000_000)
    return [(scenario.seed + i) % (1 << 32) for i in range(count)]


def intervals(columns: Mapping[str, pd.Series], confidence: float) -> pd.DataFrame:
    """One row a quantity: mean, low, high (Student's interval) and sd of its values."""
    import pandas as pd

    rows = {name: stats.mean_interval(values.tolist(), confidence) for name, values in columns.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])
    return table.assign(sd=[values.std() for values in columns.values()])


def replicate(
    scenario: Scenario,
    replications: int = 10,
    executor: Executor | None = None,
    *,
    confidence: float = 0.95,
    path: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """The same scenario under several seeds: how far each quantity of `Run.summary` may be trusted.

    One row a quantity; columns: mean, low, high (between which the true mean lies with this confidence), sd (of one
    run). `executor`, `path`, `progress`: as in `sweep`.
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
    """What changes from kernel (or policy) `a` to `b`: the mean of b - a over several seeds, with its interval.

    Both meet the same random numbers under each seed, so what both suffer alike cancels. Columns: mean, low, high, sd
    (of the differences), sd_independent (what sd would be if each had its own seeds: the larger beside sd, the more
    the common numbers helped). `executor`, `path`, `progress`: as in `sweep`.
    """
    base = checks.instance("scenario", scenario, Scenario).kernel
    grid: dict[str, list[Any]] = {
        "kernel": [variant(base, choice) for choice in (a, b)],
        "seed": seeds(scenario, replications),
    }
    table = sweep(scenario, grid, executor, path=path, progress=progress).drop(columns=[*grid])
    first, second = table[:replications], table[replications:].reset_index(drop=True)
    change = second - first
    result = intervals({str(name): change[name] for name in change.columns}, confidence)
    return result.assign(sd_independent=(first.var() + second.var()) ** 0.5)
