"""Checks on what a reader passes in: each raises ValueError that names the field, the value and what is allowed."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
MIN_RATE = 0.01
LONGEST_SHOWN = 200


def shown(value: object) -> str:
    """Return a value as an error shows it: shortened, whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        text = "a number of very many digits"
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def refusal(field: str, value: object, must: str) -> ValueError:
    """Return the error for a value: `must` says what is allowed, after "it must be".

    >>> str(refusal("Host.pcpus", 0, "an integer from 1 to 8192"))
    'Host.pcpus: 0 is not allowed; it must be an integer from 1 to 8192'
    """
    return ValueError(f"{field}: {shown(value)} is not allowed; it must be {must}")


def several(field: str, value: object, kind: str) -> tuple[Any, ...]:
    """Return `value` as a tuple if it can be iterated and is no text; `kind` says what it should hold."""
    if not isinstance(value, str | bytes) and isinstance(value, Iterable):
        return tuple(value)
    raise refusal(field, value, kind)


def finite(value: Any) -> float:
    """Return `value` as a float, NaN for what is no finite number: a truth value is none."""
    if isinstance(value, str | bytes) or is_bool(value):
        return math.nan
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return result if math.isfinite(result) else math.nan


def number(field: str, value: Any, low: float, high: float, unit: str = "") -> float:
    """Return `value` as a float if it is a finite number from `low` to `high`."""
    result = finite(value)
    if not low <= result <= high:
        raise refusal(field, value, f"a number from {low:g} to {high:g}{' ' + unit if unit else ''}")
    return result


def whole(field: str, value: Any, low: int, high: int) -> int:
    """Return `value` as an int if it is a whole number from `low` to `high`."""
    result = finite(value)
    if not low <= result <= high or result != int(result):
        raise refusal(field, value, f"an integer from {low} to {high}")
    return int(value)


def is_bool(value: object) -> bool:
    """Return True for True and False, numpy's too."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool"


def rate(field: str, value: Any, high: float) -> float:
    """Return `value` as a float if it is 0 or a rate from 0.01 to `high` per second."""
    result = finite(value)
    if result != 0 and not MIN_RATE <= result <= high:
        raise refusal(field, value, f"0, or a number from {MIN_RATE:g} to {high:g} Hz")
    return result


def choice(field: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise refusal(field, value, f"one of {', '.join(names)}")
    return value


def flag(field: str, value: object) -> bool:
    """Return `value` as a bool if it is True, False, 1 or 0."""
    try:
        known = value in (True, False)
    except (TypeError, ValueError):
        known = False
    if not known:
        raise refusal(field, value, "True or False")
    return bool(value)


def instance(field: str, value: Any, kind: type) -> Any:
    """Return `value` if it is a `kind`."""
    if not isinstance(value, kind):
        name = kind.__name__
        raise refusal(field, value, f"{'an' if name[0] in 'AEIOU' else 'a'} {name}")
    return value


def cpus(field: str, value: Any, count: int) -> tuple[int, ...]:
    """Return `value` as a tuple of distinct CPU numbers below `count`."""
    must = f"distinct CPU numbers from 0 to {count - 1}, such as (2, 3) or range(4)"
    try:
        items = list(itertools.islice(value, count + 1))  # no more, if it never ends
    except TypeError:
        raise refusal(field, value, must) from None
    numbers = [finite(cpu) for cpu in items]
    good = all(0 <= cpu < count and cpu == int(cpu) for cpu in numbers)
    if not good or len(set(numbers)) != len(numbers):
        raise refusal(field, value, must)
    return tuple(map(int, numbers))


def file_path(field: str, value: Any) -> Path:
    """Return `value` as the path of a file: one that is there, or may be made; no folder, and no device or pipe."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value) or "\0" in os.fsdecode(value):
        raise refusal(field, value, "a path: a text, or a pathlib.Path")
    path = Path(os.fsdecode(value))
    if path.exists() and not path.is_file():  # a device or a pipe might never end
        what = "folder" if path.is_dir() else "device or a pipe"
        raise refusal(field, str(path), f"a file, and that is a {what}")
    return path


# --- limits beside the fields of a dataclass --------------------------------------------------------------------------


def limited(default: T, check: Callable[..., T], *limits: Any) -> T:
    """Return a dataclass field whose value `check_fields` passes through ``check(name, value, *limits)``.

    None is taken where it is the default.
    """
    return field(default=default, metadata={"check": check, "limits": limits})


def check_fields(built: Any) -> None:
    """Check the `limited` fields of a frozen dataclass that is being built, and store what the checks return."""
    for each in fields(built):
        value = getattr(built, each.name)
        if "check" in each.metadata and not (value is None and each.default is None):
            name = f"{type(built).__name__}.{each.name}"
            store(built, **{each.name: each.metadata["check"](name, value, *each.metadata["limits"])})


def store(built: object, **values: object) -> None:
    """Set fields of a frozen dataclass that is being built."""
    for name, value in values.items():
        object.__setattr__(built, name, value)
