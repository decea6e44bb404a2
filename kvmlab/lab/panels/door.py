"""The door: which timers a housekeeping CPU takes."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.door_host import DOOR
from kvmlab.lab.panels.panel import Panel, some_controls
from kvmlab.results.run import Run, simulate


class Door(Panel):
    """The panel that `door_panel` makes."""

    @property
    def run(self) -> Run:
        """The run of these settings by Python; its trace begins with the timers that the panel shows."""
        return simulate(DOOR.scenario(self.settings))


def door_panel(*, controls: Sequence[str] | None = None, **settings: Value) -> Door:
    """Return the door: each timer is offered to the housekeeping CPU, which takes it or not; played timer by timer.

    - `controls`: the controls to offer; all unless told.
    - settings: deadline_us (D), period_us (T), vcpus and seed, as in `kvmlab.lab.panels.door_host.DoorSettings`.

    ValueError names a setting or a value that is not allowed.

    >>> from kvmlab import panels
    >>> panel = panels.door_panel(deadline_us=1000, period_us=4000)
    >>> f"{panel.run.placement['share']['housekeeping posted']:.0%}"
    '25%'
    """
    return Door("door", DOOR, settings, some_controls(DOOR, controls))
