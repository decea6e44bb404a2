"""The move: a vCPU moves between the question who may post and the expiry; which pCPU is each question about?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.move_world import END_OF, MOVE
from kvmlab.lab.panels.panel import Panel, some_policies
from kvmlab.model.names import Place
from kvmlab.results.follow import EXPIRY_EXITS
from kvmlab.results.run import Run, simulate
from kvmlab.scenario import checks


class Move(Panel):
    """The panel that `move_panel` makes."""

    @property
    def run(self) -> Run:
        """The run of these settings by Python; its trace is what the panel plays."""
        return simulate(MOVE.scenario(self.settings))

    @property
    def outcome(self) -> dict[str, Any]:
        """What became of the timer: fires ("hv", "local", "kicked" or "posted"), exit (None without one), late_ns."""
        run = self.run
        place = list(Place)[int(np.flatnonzero(run.machine.places)[0])]
        reason = EXPIRY_EXITS.get(place)
        late = int(run.machine.vcpus["lat_max"][0])
        return {"fires": END_OF[place], "exit": None if reason is None else reason.name, "late_ns": late}


def move_panel(policies: Sequence[str] | None = None, **settings: Value) -> Move:
    """Return the move: step by step, which pCPU each question is about while ``vcpu->cpu`` lags behind the vCPU.

    - `policies`: names of the revisions to offer, the last of which is shown unless told; all unless told.
    - settings: revision, from_cpu and to_cpu ("isolated" or "housekeeping"), mwait_in_guest, hlt_in_guest.

    ValueError names a setting or a value that is not allowed.

    >>> from kvmlab import panels
    >>> panels.move_panel(from_cpu="housekeeping", to_cpu="isolated").outcome["exit"]
    'PREEMPTION_TIMER'
    """
    chosen = {**({"revision": policies[-1]} if policies else {}), **settings}
    if policies and "revision" in settings:
        checks.choice("revision", settings["revision"], tuple(policies))
    return Move("move", MOVE, chosen, some_policies(policies))
