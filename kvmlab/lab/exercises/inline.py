"""Exercises whose answer stands in the cell that checks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvmlab.lab.exercises.seals import seal_of
from kvmlab.lab.exercises.values import close, is_number, shown
from kvmlab.lab.exercises.verdict import EXERCISE_ID, Verdict, require_id


def check_inline(
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

    >>> from kvmlab.lab.exercises.inline import check_inline
    >>> check_inline("L03-E1", 21, expected=20, tolerance=0.1, unit="exits",
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
    >>> check_inline("L03-E2", panel, expected=no_timer_exits, checked="the settings", not_checked="your reason")
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


def verdict_on(answer: Any, expected: Any, tolerance: float) -> tuple[bool, str]:
    """Return whether an answer will do (see `check`), and what is missing, in words that follow others."""
    if isinstance(expected, Callable):  # type: ignore[arg-type]
        said = expected(answer)
        return (False, f" {said}") if isinstance(said, str) else (bool(said), "")
    if is_number(expected):
        return is_number(answer) and close(answer, expected, tolerance), ""
    return bool(answer == expected), ""
