"""Reading the columns of a recorded run: text as csv gives it, or values as pandas does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kvmlab.scenario import checks

Row = Mapping[str, Any]
"""A row of a table in data/recorded: column -> text as csv gives it, or value as pandas does."""


def column(row: Row, name: str) -> Any:
    """Return a column's value; raise ValueError that names a missing one."""
    if not hasattr(row, "keys"):
        raise checks.refusal("row", row, "a mapping of columns to values")
    try:
        return row[name]
    except KeyError:
        raise ValueError(f"{name}: the row has no such column; there are: {', '.join(map(str, row))}") from None


def bit(row: Row, name: str) -> bool:
    """Return a column that holds 0 or 1, as a bool."""
    return bool(checks.whole(name, whole_text(column(row, name)), 0, 1))


def whole_text(value: Any) -> Any:
    """Return a number as csv gives it (text) or as pandas does; anything else as it is, for the check to name."""
    if isinstance(value, str) and re.fullmatch(r"\d+(\.0*)?", value.strip()):
        return int(float(value))
    return int(value) if isinstance(value, bool) else value
