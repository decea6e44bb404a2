"""Predict, then reveal; answer, then check. Ids are stable: L03-E1 is an exercise, L03-P1 a prediction.

An answer of ``...`` means "not answered yet" and never fails, so that a lesson runs from top to bottom before anybody
has answered anything.
"""

from __future__ import annotations

import hashlib
import math
import numbers
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EXERCISE_ID = re.compile(r"L\d\d-E\d+")
PREDICTION_ID = re.compile(r"L\d\d-P\d+")
RIGHT_WITHIN = 0.1
"""A predicted number this close is right: a share of what it is."""
SPOT_ON_WITHIN = 0.02


@dataclass(frozen=True)
class Verdict:
    """Outcome of an answer; shown as text."""

    exercise_id: str
    right: bool | None
    """None: not answered yet."""
    text: str

    def __repr__(self) -> str:
        return f"{self.exercise_id}: {self.text}"


@dataclass(frozen=True)
class Prediction:
    """A reader's guess, to be revealed later."""

    prediction_id: str
    guess: Any
    unit: str = ""

    @property
    def given(self) -> bool:
        """True if the reader has guessed."""
        return self.guess is not ...

    def __repr__(self) -> str:
        if not self.given:
            return f"{self.prediction_id}: no prediction yet. Put yours in the place of ... and run the cell again."
        return f"{self.prediction_id}: you predict {shown(self.guess, self.unit)}."

    def reveal(self, actual: Any, *, origin: str = "simulated") -> Verdict:
        """Return what it is, and how far off the guess was; a number within 10 % is right. `record` remembers it.

        `actual`: in the unit of the guess; of several numbers a mapping with the names of the guess. `origin`:
        published, recorded or simulated.
        """
        came = f"{shown(actual, self.unit)} ({origin})"
        if not self.given:
            return Verdict(self.prediction_id, None, f"it is {came}; you made no prediction.")
        right, distance = compared(self.guess, actual)
        yours = f"it is {came}; you predicted {shown(self.guess, self.unit)} (yours)"
        verdict = Verdict(self.prediction_id, right, f"{yours}: {distance}.")
        REVEALED.setdefault(self.prediction_id, verdict)
        return verdict


REVEALED: dict[str, Verdict] = {}
"""The predictions that were made and revealed in this session, by their ids; of each the first."""


@dataclass(frozen=True)
class Record:
    """A reader's predictions of one session; shown as text."""

    verdicts: tuple[Verdict, ...]

    @property
    def right(self) -> int:
        """How many were right."""
        return sum(verdict.right is True for verdict in self.verdicts)

    def __repr__(self) -> str:
        if not self.verdicts:
            return "No prediction has been made and revealed yet."
        head = f"{self.right} of {len(self.verdicts)} predictions right (a number counts within {RIGHT_WITHIN:.0%}):"
        return "\n  ".join([head.replace("%", " %"), *map(repr, self.verdicts)])


def record() -> Record:
    """Return how the reader's predictions of this session came out, in the order in which they were revealed.

    Of a prediction that was made again after it was revealed, the first counts.

    >>> from kvmlab import exercises
    >>> exercises.REVEALED.clear()
    >>> _ = exercises.predict("L03-P1", 50, unit="us").reveal(75)
    >>> exercises.record()
    0 of 1 predictions right (a number counts within 10 %):
      L03-P1: it is 75 us (simulated); you predicted 50 us (yours): 33 % too low.
    """
    return Record(tuple(REVEALED.values()))


def predict(prediction_id: str, guess: Any, *, unit: str = "") -> Prediction:
    """Note a guess, to be revealed later.

    `prediction_id`: such as L03-P1, or ValueError. `guess`: a number or anything else that can be compared; ``...`` is
    none yet. `unit`: of a number, to be shown with it.

    >>> from kvmlab import exercises
    >>> guess = exercises.predict("L03-P1", 50, unit="us")
    >>> guess
    L03-P1: you predict 50 us.
    >>> guess.reveal(75)
    L03-P1: it is 75 us (simulated); you predicted 50 us (yours): 33 % too low.
    """
    require_id(prediction_id, PREDICTION_ID, "L03-P1")
    return Prediction(prediction_id, guess, unit)


def check(
    exercise_id: str,
    answer: Any,
    *,
    expected: Any,
    checked: str,
    not_checked: str,
    tolerance: float = 0.0,
    unit: str = "",
) -> Verdict:
    """Compare an answer with what is expected, and say what was checked and what was not.

    `exercise_id`: such as L03-E1, or ValueError. `answer`: the reader's; ``...`` is none yet, nor is a panel none of
    whose controls was moved, and what cannot be checked is not right. `expected`: a number (within `tolerance`, a share
    of it: 0.05 is 5 %), any other value (equal), or a function that returns True for an answer that will do, and for
    another one False, or a sentence that says what is missing. `checked`, `not_checked`: what this says of the answer
    and what it leaves open, in words. `unit`: of a number, to be shown with it.

    >>> from kvmlab import exercises
    >>> exercises.check("L03-E1", 21, expected=20, tolerance=0.1, unit="exits",
    ...                 checked="the count within 10 %", not_checked="your reason")
    L03-E1: right: 21 exits (yours).
      Checked: the count within 10 %.
      Not checked: your reason.

    What the reader has set on a panel is an answer too:

    >>> from kvmlab import panels
    >>> def no_timer_exits(panel):
    ...     exits = panel.runs["rev1"].summary()["PREEMPTION_TIMER"]
    ...     return exits == 0 or f"Under rev1 the timer costs {exits} exits."
    >>> panel = panels.counts_panel(apicv=False)
    >>> panel.settings = {"apicv": True}
    >>> exercises.check("L03-E2", panel, expected=no_timer_exits, checked="the settings", not_checked="your reason")
    L03-E2: right: Panel counts: all controls at their defaults (yours).
      Checked: the settings.
      Not checked: your reason.
    """
    require_id(exercise_id, EXERCISE_ID, "L03-E1")
    scope = f"\n  Checked: {checked}.\n  Not checked: {not_checked}."
    if answer is ...:
        return Verdict(exercise_id, None, f"not answered yet. Put your answer in the place of ... first.{scope}")
    if getattr(answer, "moved", None) is False:
        return Verdict(exercise_id, None, f"not answered yet. Move the controls of the panel first.{scope}")
    try:
        right, missing = verdict_on(answer, expected, tolerance)
    except Exception as error:  # the answer is the reader's: tell, do not fail
        reason = f"your answer could not be checked ({type(error).__name__}: {error})"
        return Verdict(exercise_id, False, f"not yet: {reason}.{scope}")
    said = "" if callable(answer) else f" {shown(answer, unit)}"
    return Verdict(exercise_id, right, f"{'right' if right else 'not yet'}:{said} (yours).{missing}{scope}")


def sealed(exercise_id: str, seal: str) -> Callable[[Any], bool]:
    """Return an expected text for `check` that the cell does not give away: it is right if it has this `seal`.

    `seal`: as `seal_of` returns it for the right answer to this exercise.

    >>> from kvmlab import exercises
    >>> seal = exercises.seal_of("L00-E2", "b")
    >>> exercises.sealed("L00-E2", seal)(" B ")
    True
    """
    return lambda answer: seal_of(exercise_id, answer) == seal


def seal_of(exercise_id: str, answer: Any) -> str:
    """Return what `sealed` compares: eight hex digits, the same for "b", "B" and " b "."""
    return hashlib.sha256(f"{exercise_id} {str(answer).strip().lower()}".encode()).hexdigest()[:8]


def numbers_for(exercise_id: str, student: str) -> random.Random:
    """Return a source of numbers for one exercise and one reader: the same name gets the same numbers, everywhere.

    `exercise_id`: such as L04-E2. `student`: a name; case and extra blanks do not matter. ValueError if the id has
    another form, or if the name is empty or not text.

    >>> from kvmlab import exercises
    >>> exercises.numbers_for("L04-E2", "Ada Lovelace").randrange(1 << 30)
    428644572
    """
    require_id(exercise_id, EXERCISE_ID, "L03-E1")
    if not isinstance(student, str) or not student.strip():
        raise ValueError(f"student: {student!r} is not allowed; it must be a name as text")
    name = " ".join(student.split()).casefold()
    return random.Random(int.from_bytes(hashlib.sha256(f"{exercise_id} {name}".encode()).digest()[:8]))


def verdict_on(answer: Any, expected: Any, tolerance: float) -> tuple[bool, str]:
    """Return whether an answer will do (see `check`), and what is missing, in words that follow others."""
    if isinstance(expected, Callable):  # type: ignore[arg-type]
        said = expected(answer)
        return (False, f" {said}") if isinstance(said, str) else (bool(said), "")
    if is_number(expected):
        return is_number(answer) and close(answer, expected, tolerance), ""
    return bool(answer == expected), ""


def is_number(value: Any) -> bool:
    """Return True for an int or a float, including numpy's, but not for a truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def close(value: Any, target: Any, tolerance: float) -> bool:
    """Return True if `value` is within a share of the target; within the share itself where the target is 0."""
    return abs(float(value) - float(target)) <= tolerance * (abs(float(target)) or 1.0) + 1e-12


def compared(guess: Any, actual: Any) -> tuple[bool, str]:
    """Return whether a guess is right, and in words how far off it is; of several numbers each by its name.

    >>> compared({"before": 90, "rev1": 30}, {"before": 91, "rev1": 10})
    (False, 'before right, within 2 %, rev1 a factor of 3 too high')
    """
    if isinstance(guess, Mapping) and isinstance(actual, Mapping) and {*guess} == {*actual}:
        each = {name: compared(guess[name], value) for name, value in actual.items()}
        return all(right for right, _ in each.values()), ", ".join(f"{name} {said}" for name, (_, said) in each.items())
    if not (is_number(actual) and is_number(guess)):
        right = bool(guess == actual)
        return right, "right" if right else "not the same"
    return close(guess, actual, RIGHT_WITHIN), how_far(guess, actual)


def how_far(guess: Any, actual: Any) -> str:
    """Return in words how far a guess is from a number.

    >>> how_far(10, 100), how_far(150, 100), how_far(101, 100)
    ('a factor of 10 too low', '50 % too high', 'right, within 2 %')
    """
    guess, actual = float(guess), float(actual)
    if close(guess, actual, SPOT_ON_WITHIN):
        return f"right, within {100 * SPOT_ON_WITHIN:.0f} %"
    if not (guess > 0 and actual > 0):
        return f"{digits(abs(guess - actual), 3)} too {'high' if guess > actual else 'low'}"
    factor = max(guess / actual, actual / guess)
    amount = f"{100 * abs(guess - actual) / actual:.0f} %" if factor < 2 else f"a factor of {digits(factor, 3)}"
    return f"{amount} too {'high' if guess > actual else 'low'}"


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


def require_id(text: str, pattern: re.Pattern[str], example: str) -> None:
    """Raise ValueError if an id does not have the stable form."""
    if not pattern.fullmatch(text):
        raise ValueError(f"id: {text!r} is not allowed; it must be like {example}")
