"""Exercises of lesson 00."""

from __future__ import annotations

from typing import Any

from kvmlab.lab.exercises.kinds import Choice, Exercise, Judged, WrongForm
from kvmlab.lab.panels.stage import Stage


def without_a_hole(panel: Any) -> bool | str:
    """Return whether the timer on this stage fires without an exit."""
    if not isinstance(panel, Stage):
        raise WrongForm("the panel above, moved, is asked for")
    exit_at_deadline = panel.story.expiry_exit
    return exit_at_deadline is None or f"There is still a hole at the deadline: {exit_at_deadline}."


EXERCISES = {
    "L00-E1": Exercise(
        Judged("the panel above, moved", without_a_hole),
        checked="that the deadline makes no hole",
        not_checked="whether you know what each switch is for",
    ),
    "L00-E2": Exercise(Choice(("A", "B", "equal"), seal="738b2739"), checked="the choice", not_checked="your reason"),
}
