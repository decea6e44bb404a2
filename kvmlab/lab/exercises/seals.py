"""Answers that a check recognises and does not give away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def seal_of(exercise_id: str, answer: object) -> str:
    """Return the seal of an answer: eight hex digits, the same for "b", "B" and " b ", and for names in any order.

    `exercise_id`: such as L03-E2; the same answer has another seal elsewhere. `answer`: a value, or several names as a
    list, a tuple or a set.

    >>> from kvmlab import exercises
    >>> exercises.seal_of("L00-E2", "b") == exercises.seal_of("L00-E2", " B ")
    True
    >>> exercises.seal_of("L00-E2", ["b", "a"]) == exercises.seal_of("L00-E2", {"a", "b"})
    True
    """
    several = isinstance(answer, Iterable) and not isinstance(answer, str)
    text = "|".join(sorted({plain(each) for each in answer})) if several else plain(answer)  # type: ignore[attr-defined]
    return hashlib.sha256(f"{exercise_id} {text}".encode()).hexdigest()[:8]


def plain(answer: object) -> str:
    """Return an answer's text in lower case, without blanks around it."""
    return str(answer).strip().lower()
