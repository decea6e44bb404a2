"""Numbers, times and lists as the texts of figures and panels say them."""

from __future__ import annotations

from collections.abc import Sequence


def names_of(items: Sequence[str]) -> str:
    """Return a list in words.

    >>> names_of(["a"]), names_of(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def microseconds(ns: float) -> str:
    """Return a time in ns as text in µs, with about three digits.

    >>> microseconds(1234), microseconds(123_456)
    ('1.23 µs', '123 µs')
    """
    us = ns / 1e3
    return f"{us:.0f} µs" if us >= 100 else f"{us:.1f} µs" if us >= 10 else f"{us:.2f} µs"


def duration(ns: int) -> str:
    """Return a time in ns as text in the largest of µs, ms and s that it reaches.

    >>> duration(500), duration(2_000_000)
    ('0.5 µs', '2 ms')
    """
    unit, name = next((unit, name) for unit, name in ((1e9, "s"), (1e6, "ms"), (0, "µs")) if ns >= unit)
    return f"{ns / (unit or 1e3):g} {name}"


def number(value: float) -> str:
    """Return a bar's label: whole from 10 on, with two digits below, "none" for NaN.

    >>> number(1234.5), number(3), number(0.123), number(float("nan"))
    ('1,234', '3', '0.12', 'none')
    """
    if value != value:
        return "none"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
