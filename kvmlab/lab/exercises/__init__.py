"""Predict, then reveal; answer, then check. Ids are stable: L03-E1 is an exercise, L03-P1 a prediction.

An answer of ``...`` means "not answered yet" and never fails, so that a lesson runs from top to bottom before anybody
has answered anything. What is right is not in the notebooks: `course/` has it by the exercise's id, computed or sealed.
"""

from kvmlab.lab.exercises.checking import check
from kvmlab.lab.exercises.kinds import Choice, Exercise, Judged, Number, Numbers, Several
from kvmlab.lab.exercises.predictions import REVEALED, Prediction, Record, record
from kvmlab.lab.exercises.reader import numbers_for
from kvmlab.lab.exercises.seals import seal_of
from kvmlab.lab.exercises.verdict import Verdict

__all__ = [
    "REVEALED",
    "Choice",
    "Exercise",
    "Judged",
    "Number",
    "Numbers",
    "Prediction",
    "Record",
    "Several",
    "Verdict",
    "check",
    "numbers_for",
    "record",
    "seal_of",
]
