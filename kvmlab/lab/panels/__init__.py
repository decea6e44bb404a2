"""Panels: controls, a picture that follows them, and a sentence that says what is to be seen. One line in a notebook.

Each panel is built once; a control that moves sends one new value to the screen. A callback reads only its arguments,
and what goes wrong in it is shown to the reader.
"""

from kvmlab.lab.panels.lab import PRESETS, Lab, lab_panel
from kvmlab.lab.panels.policy import policy_panel
from kvmlab.lab.panels.settings import Settings, defaults, scenario_of
from kvmlab.lab.panels.shell import Frame, Panel
from kvmlab.lab.panels.simulated import compare_panel, exits_panel, housekeeping_panel, jitter_panel
from kvmlab.lab.panels.simulation import affordable
from kvmlab.lab.panels.state import read_state, state_text
from kvmlab.lab.panels.timer import timer_panel

__all__ = [
    "PRESETS",
    "Frame",
    "Lab",
    "Panel",
    "Settings",
    "affordable",
    "compare_panel",
    "defaults",
    "exits_panel",
    "housekeeping_panel",
    "jitter_panel",
    "lab_panel",
    "policy_panel",
    "read_state",
    "scenario_of",
    "state_text",
    "timer_panel",
]
