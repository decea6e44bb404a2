"""The file of a sweep: one line of JSON that says which sweep it is, then one line per finished point.

A point is written down as soon as it is finished, so whatever ends a sweep loses only what was under way. A file is
looked at before it is opened to be written: one that no sweep wrote is left as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kvmlab import policy
from kvmlab.results.file_lock import locked

Result = dict[str, Any]
"""The outcome of a point: `Run.summary`; also a line of the file."""
FORMAT = 1
DIFFERENCES = (("scenario", "another scenario"), ("grid", "another grid"), ("model", "another kvmlab version"))
"""Fields of a header that have to agree, and what a sweep is that differs in one."""
LONGEST_HEADER = 1 << 20
"""No header has more bytes: a longer first line is something else, and is not read to its end."""


def digest(value: object) -> str:
    """Return a short name for what `value` says, the same in every process."""
    return hashlib.sha256(json.dumps(value, default=described).encode()).hexdigest()[:16]


def described(value: Any) -> Any:
    """Describe for JSON: a dataclass by its fields, a policy by its truth table, a numpy number as a number."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type | policy.Table):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        return policy.table_bits(value)
    return list(value)


def line_of(row: Result) -> bytes:
    """Return one line of the file."""
    return json.dumps(row).encode() + b"\n"


# --- what a file holds ------------------------------------------------------------------------------------------------


def finished_points(path: Path, wanted: Result) -> dict[int, Result]:
    """Return what a file holds already, by point. Nothing is written, and a last line that was cut off is passed over.

    `wanted`: the header of the sweep at hand. Raises ValueError if the file holds another, or no sweep at all.
    """
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return points_in(file, path, wanted)[0]


def points_in(file: BinaryIO, path: Path, wanted: Result) -> tuple[dict[int, Result], int]:
    """Return the finished points of an open file, and where its last whole line ends (bytes)."""
    first = file.readline(LONGEST_HEADER)
    if line_of(wanted).startswith(first) and not first.endswith(b"\n"):
        return {}, 0  # empty, or stopped while this very header was written
    header = parsed(first)
    check_header(path, header, wanted)
    done: dict[int, Result] = {}
    end = len(first)
    for number, line in enumerate(file, 2):
        if not line.endswith(b"\n"):
            break
        end += len(line)
        row = parsed(line)
        if row == header:
            continue  # two that began the file at once: kvmlab 0.1.0 did not prevent that
        point, result = checked_row(path, number, row, wanted)
        done[point] = result
    return done, end


def parsed(line: bytes) -> object:
    """Return what a line says, or None if it is no JSON."""
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def checked_row(path: Path, number: int, row: object, wanted: Result) -> tuple[int, Result]:
    """Return the point and the result of a line; ValueError names the line if it is none of this sweep."""
    point: Any
    result: Any
    point, result = (row.get("point"), row.get("result")) if isinstance(row, dict) else (None, None)
    if type(point) is int and 0 <= point < wanted["points"] and is_result(result, wanted["columns"]):
        return point, result
    raise ValueError(
        f"path: line {number} of {str(path)!r} is not a result of this sweep; remove that line, or give a new name"
    )


def is_result(value: Any, columns: list[str]) -> bool:
    """Return True for a mapping of these columns to numbers."""
    return isinstance(value, dict) and list(value) == columns and all(map(is_number, value.values()))


def is_number(value: object) -> bool:
    """Return True for a number of a result: an int, or a float, NaN too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isinf(value)


def check_header(path: Path, found: object, wanted: Result) -> None:
    """Raise ValueError that says in what a file's header differs from this sweep's, if it does."""
    if not isinstance(found, dict) or found.get("kvmlab sweep") != FORMAT:
        raise ValueError(f"path: {str(path)!r} is not a sweep's file; it must be one that a sweep wrote, or a new name")
    for name, what in DIFFERENCES:
        if found.get(name) != wanted[name]:
            theirs = f"fields {found.get('fields')}, {found.get('points')} points"
            ours = f"fields {wanted['fields']}, {wanted['points']} points"
            raise ValueError(
                f"path: {str(path)!r} holds a sweep of {what} ({theirs}; here: {ours}); "
                "it must be the file of this sweep, or a new name"
            )


# --- writing one ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(path: Path | None, header: Result) -> Iterator[tuple[dict[int, Result], Callable[[int, Result], None]]]:
    """Open a file for this sweep alone; yield what it holds already, and what writes a finished point.

    Without a path nothing is held and nothing is written. Each line is on its way to the disk when the call returns.
    Raises ValueError as `finished_points`, and if another sweep is writing the file.
    """
    if path is None:
        yield {}, lambda point, result: None
        return
    with path.open("ab+") as file, locked(file, path):
        file.seek(0)
        done, end = points_in(file, path, header)  # again: it may have changed before it was locked
        file.truncate(end)
        file.seek(0, 2)

        def write(line: Result) -> None:
            """Write one line and see it on its way to the disk."""
            file.write(line_of(line))
            file.flush()

        if end == 0:
            write(header)
        yield done, lambda point, result: write({"point": point, "result": result})
