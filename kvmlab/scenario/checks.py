"""Checks on what a reader passes in: each raises ValueError that names the field, the value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import field, fields
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


def several(field: str, value: object, kind: str) -> tuple[Any, ...]:
    """Return `value` as a tuple if it can be iterated and is no text; `kind` says what it should hold."""
    if not isinstance(value, str | bytes) and isinstance(value, Iterable):
        return tuple(value)
    raise ValueError(f"{field}: {shown(value)} does not fit; allowed: {kind}")


def number(field: str, value: Any, low: float, high: float, unit: str = "") -> float:
    """Return `value` as a float if it is a finite number from `low` to `high`."""
    allowed = f"allowed: a number from {low:g} to {high:g}{' ' + unit if unit else ''}"
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{field}: {shown(value)} is not a number that fits; {allowed}") from None
    if isinstance(value, str | bytes) or not math.isfinite(result) or not low <= result <= high:
        raise ValueError(f"{field}: {shown(value)} does not fit; {allowed}")
    return result


def whole(field: str, value: Any, low: int, high: int) -> int:
    """Return `value` as an int if it is a whole number from `low` to `high`."""
    result = number(field, value, low, high)
    if result != int(result) or isinstance(value, bool):
        raise ValueError(f"{field}: {value!r} does not fit; allowed: a whole number from {low} to {high}")
    return int(value)


def rate(field: str, value: Any, high: float) -> float:
    """Return `value` as a float if it is 0 or a rate from 0.01 to `high` per second."""
    result = number(field, value, 0, high, "Hz")
    if 0 < result < MIN_RATE:
        raise ValueError(f"{field}: {value!r} does not fit; allowed: 0, or from {MIN_RATE} to {high:g} Hz")
    return result


def choice(field: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{field}: {value!r} is not known; allowed: {', '.join(names)}")
    return value


def flag(field: str, value: object) -> bool:
    """Return `value` as a bool if it is True, False, 1 or 0."""
    try:
        known = value in (True, False)
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(f"{field}: {value!r} does not fit; allowed: True or False")
    return bool(value)


def instance(field: str, value: Any, kind: type) -> Any:
    """Return `value` if it is a `kind`."""
    if not isinstance(value, kind):
        raise ValueError(f"{field}: {value!r} does not fit; allowed: a {kind.__name__}")
    return value


def cpus(field: str, value: Any, count: int) -> tuple[int, ...]:
    """Return `value` as a tuple of distinct CPU numbers below `count`."""
    try:
        numbers = tuple(whole(field, cpu, 0, count - 1) for cpu in value)
    except TypeError:
        raise ValueError(f"{field}: {value!r} does not fit; allowed: CPU numbers, such as (2, 3) or range(4)") from None
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"{field}: {value!r} names a CPU twice; allowed: distinct CPU numbers from 0 to {count - 1}")
    return numbers


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
            store(built, **{each.name: each.metadata["check"](each.name, value, *each.metadata["limits"])})


def store(built: object, **values: object) -> None:
    """Set fields of a frozen dataclass that is being built."""
    for name, value in values.items():
        object.__setattr__(built, name, value)
