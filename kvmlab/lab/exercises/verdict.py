"""What becomes of an answer, and the ids of what is asked: L03-E1 is an exercise, L03-P1 a prediction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kvmlab.scenario import checks

EXERCISE_ID = re.compile(r"L\d\d-E\d+")
PREDICTION_ID = re.compile(r"L\d\d-P\d+")


@dataclass(frozen=True)
class Verdict:
    """Outcome of an answer; shown as text."""

    exercise_id: str
    right: bool | None
    """None: not answered yet."""
    text: str

    def __repr__(self) -> str:
        return f"{self.exercise_id}: {self.text}"


def require_id(text: Any, pattern: re.Pattern[str], example: str) -> None:
    """Raise ValueError if an id does not have the stable form."""
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise checks.refusal("id", text, f"like {example}")
