"""Check an answer by the id of its exercise; what is right stands with the exercise, not in the notebook."""

from __future__ import annotations

import importlib
from typing import Any

from kvmlab.lab.exercises.kinds import Exercise, WrongForm
from kvmlab.lab.exercises.verdict import EXERCISE_ID, Verdict, require_id

COURSE = "kvmlab.lab.exercises.course"


def check(exercise_id: str, answer: Any, exercise: Exercise | None = None) -> Verdict:
    """Check an answer; say what is wrong with its form or which way it is off, what was checked, and what was not.

    `exercise_id`: such as L03-E1. `answer`: the reader's; ``...`` is none yet, nor is a panel none of whose controls
    was moved. `exercise`: a teacher's own; else the course's exercise of that id is taken.

    ValueError if the id has another form, or if the course has no such exercise. What cannot be checked is not right.

    >>> from kvmlab import exercises
    >>> own = exercises.Exercise(exercises.Number(lambda: 20, "exits", within=0.1), "the count within 10 %", "why")
    >>> exercises.check("L03-E9", 21, own)
    L03-E9: right: 21 exits (yours).
      Checked: the count within 10 %.
      Not checked: why.
    >>> print(exercises.check("L03-E9", "21", own).text.splitlines()[0])
    not yet: a number is asked for, and '21' is text.
    >>> print(exercises.check("L03-E9", 12, own).text.splitlines()[0])
    not yet: 12 exits (yours) is too low.

    What the reader has set on a panel is an answer too:

    >>> from kvmlab import panels
    >>> def no_timer_exits(panel):
    ...     exits = panel.runs["rev1"].summary()["PREEMPTION_TIMER"]
    ...     return exits == 0 or f"Under rev1 the timer costs {exits} exits."
    >>> own = exercises.Exercise(exercises.Judged("the panel above", no_timer_exits), "the settings", "why")
    >>> panel = panels.counts_panel(apicv=False)
    >>> exercises.check("L03-E8", panel, own).right is None
    True
    >>> panel.settings = {"apicv": True}
    >>> exercises.check("L03-E8", panel, own).right
    True
    """
    exercise = exercise or course_exercise(exercise_id)
    scope = f"\n  Checked: {exercise.checked}.\n  Not checked: {exercise.not_checked}."
    if answer is ...:
        return Verdict(exercise_id, None, f"not answered yet. Replace ... with your answer.{scope}")
    if getattr(answer, "moved", None) is False:
        return Verdict(exercise_id, None, f"not answered yet. Move the controls of the panel first.{scope}")
    try:
        right, said = exercise.kind.judge(exercise_id, answer)
    except WrongForm as error:
        right, said = False, f"{error}."
    except Exception as error:  # the answer is the reader's: tell, do not fail
        right, said = False, f"your answer could not be checked ({type(error).__name__}: {error})."
    return Verdict(exercise_id, right, f"{'right' if right else 'not yet'}: {said}{scope}")


def course_exercise(exercise_id: str) -> Exercise:
    """Return an exercise of the course. ValueError if there is none of that id."""
    require_id(exercise_id, EXERCISE_ID, "L03-E1")
    of_lesson = exercises_of(exercise_id[1:3])
    if exercise_id not in of_lesson:
        allowed = f"; it must be one of {', '.join(of_lesson)}" if of_lesson else ": the course has no such lesson"
        raise ValueError(f"id: {exercise_id!r} is not allowed{allowed}")
    return of_lesson[exercise_id]


def exercises_of(lesson: str) -> dict[str, Exercise]:
    """Return a lesson's exercises by their ids; none if there is no such lesson. `lesson`: two digits, such as "03"."""
    try:
        module = importlib.import_module(f"{COURSE}.lesson_{lesson}")
    except ModuleNotFoundError:
        return {}
    found: dict[str, Exercise] = module.EXERCISES
    return found
