"""Numbers of a reader's own: a class gets as many variants of an exercise as it has names."""

from __future__ import annotations

import hashlib
import random

from kvmlab.lab.exercises.verdict import EXERCISE_ID, require_id


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
