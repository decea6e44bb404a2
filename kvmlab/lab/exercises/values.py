"""Numbers and other values that are compared with what they should be, and told in words."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from kvmlab.scenario import checks

RIGHT_WITHIN = 0.1
"""A predicted number this close is right: a share of what it is."""
SPOT_ON_WITHIN = 0.02
RIGHT_OF_SCALE = 0.05
"""And so is one this close on the scale on which it was guessed: a share of its length."""


def comparable(field: str, value: Any) -> Any:
    """Return a value that can be compared: numpy's scalars as Python's, a mapping as a dict of such values.

    ValueError names the field if it is a number that is not finite, or too large for a float, if it is an array, a
    table or something else that does not simply equal itself, or if a mapping is empty.

    >>> comparable("guess", {"before": 90, "rev1": 30.5})
    {'before': 90, 'rev1': 30.5}
    >>> comparable("guess", float("nan"))
    Traceback (most recent call last):
    ...
    ValueError: guess: nan is not allowed; it must be a finite number, a text, or a number for each of several names
    """
    must = "a finite number, a text, or a number for each of several names"
    if isinstance(value, Mapping) and value:
        return {name: comparable(f"{field}: {name}", each) for name, each in value.items()}
    if getattr(value, "shape", None) == ():  # numpy's scalars
        value = value.item()
    if (
        isinstance(value, Mapping)
        or not equals_itself(value)
        or (is_number(value) and math.isnan(checks.finite(value)))
    ):
        raise checks.refusal(field, value, must)
    return value


def equals_itself(value: Any) -> bool:
    """Return True if ``value == value`` is plainly true: not so for NaN and NA, an array or a table."""
    try:
        return (value == value) is True
    except Exception:  # the value is the reader's: whatever its comparison raises
        return False


def is_number(value: Any) -> bool:
    """Return True for an int or a float, including numpy's, but not for a truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def close(value: Any, target: Any, tolerance: float) -> bool:
    """Return True if `value` is within a share of the target; within the share itself where the target is 0."""
    return abs(float(value) - float(target)) <= tolerance * (abs(float(target)) or 1.0) + 1e-12


def compared(guess: Any, actual: Any, slack: float = 0.0, factor: float = 1.0) -> tuple[bool, str]:
    """Return whether a guess is right, and in words how far off it is; of several numbers each by its name.

    `slack`, `factor`: how far off a number may be in any case, as a difference and as a ratio; with `slack` the words
    are of differences.

    >>> compared({"before": 90, "rev1": 30}, {"before": 91, "rev1": 10})
    (False, 'before right, within 2 %, rev1 a factor of 3 too high')
    """
    if isinstance(guess, Mapping) and isinstance(actual, Mapping) and {*guess} == {*actual}:
        each = {name: compared(guess[name], value, slack, factor) for name, value in actual.items()}
        return all(right for right, _ in each.values()), ", ".join(f"{name} {said}" for name, (_, said) in each.items())
    if not (is_number(actual) and is_number(guess)):
        right = bool(guess == actual)
        return right, "right" if right else "not the same"
    right = close(guess, actual, RIGHT_WITHIN) or near(guess, actual, slack, factor)
    return right, how_far(guess, actual, slack, factor)


def near(guess: Any, actual: Any, slack: float, factor: float) -> bool:
    """Return True if two numbers differ by no more than `slack`, or are both above 0 and no further than `factor`."""
    guess, actual = float(guess), float(actual)
    close_by = abs(guess - actual) <= slack
    return bool(close_by or (guess > 0 and actual > 0 and max(guess / actual, actual / guess) <= factor))


def how_far(guess: Any, actual: Any, slack: float = 0.0, factor: float = 1.0) -> str:
    """Return in words how far a guess is from a number; how far it may be off: see `compared`.

    >>> how_far(10, 100), how_far(150, 100), how_far(101, 100), how_far(2, 1, slack=5)
    ('a factor of 10 too low', '50 % too high', 'right, within 2 %', 'right, 1 too high on this scale')
    """
    guess, actual = float(guess), float(actual)
    if guess == actual:
        return "right"
    for tolerance in (SPOT_ON_WITHIN, RIGHT_WITHIN):
        if close(guess, actual, tolerance):
            return f"right, within {100 * tolerance:.0f} %"
    side = "high" if guess > actual else "low"
    if slack > 0 or not (guess > 0 and actual > 0):
        amount = digits(abs(guess - actual), 3)
    else:
        ratio = max(guess / actual, actual / guess)
        amount = f"{100 * abs(guess - actual) / actual:.0f} %" if ratio < 2 else f"a factor of {digits(ratio, 3)}"
    said = f"{amount} too {side}"
    return f"right, {said} on this scale" if near(guess, actual, slack, factor) else said


def shown(value: Any, unit: str) -> str:
    """Return a value and its unit as text, numbers with four digits at most.

    >>> shown(0.12345, "us"), shown("up", "")
    ('0.1235 us', "'up'")
    """
    if is_number(value):
        text = digits(float(value), 4)
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name} {shown(each, '')}" for name, each in value.items())
    else:
        text = repr(value) if isinstance(value, str) else str(value)
    return f"{text} {unit}".rstrip()


def digits(value: float, n: int) -> str:
    """Return a number with `n` digits, or all before the point if they are more.

    >>> digits(0.012345, 3), digits(1234567.8, 3), digits(40.0, 3)
    ('0.0123', '1,234,568', '40')
    """
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10 ** (n - 1) else f"{value:.{n}g}"
