"""The file of a sweep: one line of JSON that says which sweep it is, then one line per finished point.

A point is written down as soon as it is finished, so whatever ends a sweep loses only what was under way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kvmlab import policy

Result = dict[str, Any]
"""The outcome of a point: `Run.summary`; also a line of the file."""
FORMAT = 1
DIFFERENCES = (("scenario", "another scenario"), ("grid", "another grid"), ("model", "another kvmlab version"))
"""Fields of a header that have to agree, and what a sweep is that differs in one."""


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


def finished_points(path: Path, wanted: Result) -> dict[int, Result]:
    """Return what a file holds already, by point; a last line that was cut off while it was written is taken away.

    `wanted`: the header of the sweep at hand; ValueError if the file holds another.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    if not whole:
        return {}
    try:
        first, *rows = [json.loads(line) for line in whole.splitlines()]
    except json.JSONDecodeError as error:
        raise ValueError(
            f"path: {str(path)!r} is no file of a sweep: {error}; allowed: one that a sweep wrote"
        ) from None
    check_header(path, first, wanted)
    return {row["point"]: row["result"] for row in rows}


def check_header(path: Path, found: object, wanted: Result) -> None:
    """Raise ValueError that says in what a file's header differs from this sweep's, if it does."""
    if not isinstance(found, dict) or found.get("kvmlab sweep") != FORMAT:
        raise ValueError(f"path: {str(path)!r} is no file of a sweep; allowed: one that a sweep wrote, or a new name")
    for name, what in DIFFERENCES:
        if found.get(name) != wanted[name]:
            theirs = f"fields {found.get('fields')}, {found.get('points')} points"
            ours = f"fields {wanted['fields']}, {wanted['points']} points"
            raise ValueError(
                f"path: {str(path)!r} holds a sweep of {what} ({theirs}; here: {ours}); "
                "allowed: the file of this sweep, or a new name"
            )


@contextlib.contextmanager
def writing(path: Path | None, header: Result) -> Iterator[Callable[[int, Result], None]]:
    """Open a file, with its header if it is new; yield what writes a finished point. Without a path nothing is written.

    Each line is on its way to the disk when the call returns.
    """
    if path is None:
        yield lambda point, result: None
        return
    with path.open("a", encoding="utf-8") as file:

        def write(line: Result) -> None:
            """Write one line and see it on its way to the disk."""
            file.write(json.dumps(line) + "\n")
            file.flush()

        if file.tell() == 0:
            write(header)
        yield lambda point, result: write({"point": point, "result": result})
