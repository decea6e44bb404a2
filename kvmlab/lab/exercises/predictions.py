"""Predict, then reveal: how far off a guess was, and a record of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvmlab.lab.exercises.values import RIGHT_WITHIN, comparable, compared, shown
from kvmlab.lab.exercises.verdict import PREDICTION_ID, Verdict, require_id
from kvmlab.scenario import checks


@dataclass(frozen=True)
class Prediction:
    """A reader's guess, to be revealed later; `kvmlab.panels.predict_panel` asks for it.

    `guess`: a finite number, a text, a number for each of several names, or anything else that simply equals itself;
    ``...`` is none yet. `unit`: of a number. `slack`, `factor`: how far off a number may be and still be right, as a
    difference and as a ratio, where that is more than 10 %. ValueError if the id is not like L03-P1, or the guess is
    none of those.

    >>> from kvmlab import exercises
    >>> guess = exercises.Prediction("L03-P1", 50, unit="us")
    >>> guess
    L03-P1: you predict 50 us.
    >>> guess.reveal(75)
    L03-P1: it is 75 us (simulated); you predicted 50 us (yours): 33 % too low.
    """

    prediction_id: str
    guess: Any
    unit: str = ""
    slack: float = 0.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        require_id(self.prediction_id, PREDICTION_ID, "L03-P1")
        if self.given:
            checks.store(self, guess=comparable("guess", self.guess))

    @property
    def given(self) -> bool:
        """True if the reader has guessed."""
        return self.guess is not ...

    def __repr__(self) -> str:
        if not self.given:
            return f"{self.prediction_id}: no prediction yet. Make it in the panel."
        return f"{self.prediction_id}: you predict {shown(self.guess, self.unit)}."

    def reveal(self, actual: Any, *, origin: str = "simulated") -> Verdict:
        """Return what it is, and how far off the guess was; a number within 10 % is right. `record` remembers it.

        `actual`: in the unit of the guess; of several numbers a mapping with the names of the guess. `origin`:
        published, recorded or simulated. ValueError if `actual` cannot be compared.
        """
        actual = comparable("actual", actual)
        came = f"{shown(actual, self.unit)} ({origin})"
        if not self.given:
            return Verdict(self.prediction_id, None, f"it is {came}; you made no prediction.")
        right, distance = compared(self.guess, actual, self.slack, self.factor)
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
        rule = f"a number counts within {RIGHT_WITHIN:.0%}, or a twentieth of its scale".replace("%", " %")
        head = f"{self.right} of {len(self.verdicts)} predictions right ({rule}):"
        return "\n  ".join([head, *map(repr, self.verdicts)])


def record() -> Record:
    """Return how the reader's predictions of this session came out, in the order in which they were revealed.

    Of a prediction that was made again after it was revealed, the first counts.

    >>> from kvmlab import exercises
    >>> exercises.REVEALED.clear()
    >>> _ = exercises.Prediction("L03-P1", 50, unit="us").reveal(75)
    >>> exercises.record()
    0 of 1 predictions right (a number counts within 10 %, or a twentieth of its scale):
      L03-P1: it is 75 us (simulated); you predicted 50 us (yours): 33 % too low.
    """
    return Record(tuple(REVEALED.values()))
