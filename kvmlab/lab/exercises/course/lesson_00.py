"""Exercises of lesson 00."""

from __future__ import annotations

from typing import Any

from kvmlab.lab.exercises.kinds import Choice, Exercise, Judged, WrongForm
from kvmlab.lab.panels.stage import Stage
from kvmlab.results.story import Story


def holes(story: Story) -> str:
    """Return how many exits a timer has made, as a choice of L00-P1.

    >>> import kvmlab as kl
    >>> holes(kl.follow_timer("v5.3"))
    'one'
    """
    return ("none", "one", "two")[sum(exit is not None for exit in (story.arm_exit, story.expiry_exit))]


def without_a_hole(panel: Any) -> bool | str:
    """Return whether the timer on this stage fires without an exit."""
    if not isinstance(panel, Stage):
        raise WrongForm("the panel above with its controls moved is asked for")
    return panel.story.expiry_exit is None or "There is still a hole at the deadline."


EXERCISES = {
    "L00-E1": Exercise(
        Judged("the panel above with its controls moved", without_a_hole),
        checked="that the deadline makes no hole",
        not_checked="whether you know what each switch is for",
    ),
    "L00-E2": Exercise(Choice(("A", "B", "equal"), seal="738b2739"), checked="the choice", not_checked="your reason"),
}
