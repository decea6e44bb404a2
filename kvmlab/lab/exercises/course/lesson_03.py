"""Exercises of lesson 03."""

from __future__ import annotations

from typing import Any

from kvmlab.host.recordings import recorded_rows
from kvmlab.lab.exercises.kinds import Exercise, Judged, Several, WrongForm
from kvmlab.lab.panels.door import Door

PERIOD_US = 10_000
"""Of a host's tick of 100 Hz."""
RECORDED = "rev1_idle0_pi1_hlt_spin_cpu1"
"""A guest that is always busy and arms its timers 1 ms ahead, beside a tick of 4 ms; rev 1 says yes."""


def recorded_exits() -> int:
    """Return how many of the hundred deadlines of that run cost an exit."""
    [run] = [row for row in recorded_rows() if row["run"].endswith(RECORDED)]
    return int(run["irq_exits"])


def half_moves(panel: Any) -> bool | str:
    """Return whether half of the timers move on a host with a tick of 100 Hz."""
    if not isinstance(panel, Door):
        raise WrongForm("the panel above with its controls moved is asked for")
    if panel.settings["period_us"] != PERIOD_US:
        return "T is not 10 ms yet."
    moved = panel.run.placement["share"]["housekeeping posted"]
    return bool(abs(moved - 0.5) < 0.05) or f"{moved:.0%} of the timers move."


EXERCISES = {
    "L03-E1": Exercise(
        Judged("the panel above with its controls moved", half_moves),
        checked="that about half of its timers move in a simulation of these settings",
        not_checked="hosts whose housekeeping CPU has more than a tick",
    ),
    "L03-E2": Exercise(
        Several(("A", "B", "C", "D"), seal="1e1bb778"),
        checked="your list, against a simulation of each of the four",
        not_checked="what the timers that move cost the housekeeping CPU",
    ),
}
