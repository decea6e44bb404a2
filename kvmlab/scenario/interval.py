"""A number that is not known exactly."""

from __future__ import annotations

from typing import NamedTuple


class Interval(NamedTuple):
    """A value, and the bounds between which the true one lies: given rounding, spread or a confidence."""

    value: float
    low: float
    high: float
