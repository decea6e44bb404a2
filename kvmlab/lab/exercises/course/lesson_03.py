"""Exercises of lesson 03."""

from __future__ import annotations

from typing import Any

from kvmlab.lab.exercises.kinds import Exercise, Judged, Several, WrongForm
from kvmlab.lab.panels.door import Door

PERIOD_US = 10_000
"""Of a host's tick of 100 Hz."""


def half_moves(panel: Any) -> bool | str:
    """Return whether half of the timers move on a host with a tick of 100 Hz."""
    if not isinstance(panel, Door):
        raise WrongForm("the panel above, moved, is asked for")
    if panel.settings["period_us"] != PERIOD_US:
        return "T is not 10 ms yet."
    moved = panel.run.placement["share"]["housekeeping posted"]
    return bool(abs(moved - 0.5) < 0.05) or f"{moved:.0%} of the timers move."


EXERCISES = {
    "L03-E1": Exercise(
        Judged("the panel above, moved", half_moves),
        checked="that about half of its timers move, by Python's own run of these settings",
        not_checked="hosts whose housekeeping CPU has more than a tick",
    ),
    "L03-E2": Exercise(
        Several(("A", "B", "C", "D"), seal="1e1bb778"),
        checked="your list, against a simulation of each of the four",
        not_checked="what the timers that move cost the housekeeping CPU",
    ),
}
