"""Panels: pictures that the reader moves, one line in a notebook. They live in the browser, with a kernel and without.

A panel has `settings`, which can be read and set, and, where a simulation stands behind it, `run` or `story`: the same
by Python. What is drawn, and how, is in `lab/web/`; the rules that run there are the very module that Python runs.
"""

from kvmlab.lab.panels.anatomy import Anatomy, anatomy_panel
from kvmlab.lab.panels.counts import Counts, counts_panel
from kvmlab.lab.panels.decision import Decision, decision_panel
from kvmlab.lab.panels.door import Door, door_panel
from kvmlab.lab.panels.game import Game, game_panel
from kvmlab.lab.panels.history import History, history_panel
from kvmlab.lab.panels.lab import PRESETS, Lab, lab_panel
from kvmlab.lab.panels.move import Move, move_panel
from kvmlab.lab.panels.panel import Panel
from kvmlab.lab.panels.porter import Porter, porter_panel
from kvmlab.lab.panels.predict import Predict, predict_panel
from kvmlab.lab.panels.simulation import affordable, defaults, scenario_of
from kvmlab.lab.panels.stage import Stage, stage_panel
from kvmlab.lab.panels.state import read_state, state_text

__all__ = [
    "PRESETS",
    "Anatomy",
    "Counts",
    "Decision",
    "Door",
    "Game",
    "History",
    "Lab",
    "Move",
    "Panel",
    "Porter",
    "Predict",
    "Stage",
    "affordable",
    "anatomy_panel",
    "counts_panel",
    "decision_panel",
    "defaults",
    "door_panel",
    "game_panel",
    "history_panel",
    "lab_panel",
    "move_panel",
    "porter_panel",
    "predict_panel",
    "read_state",
    "scenario_of",
    "stage_panel",
    "state_text",
]
