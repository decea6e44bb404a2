"""All panels, and what the tests ask of each."""

from __future__ import annotations

from collections.abc import Callable

from kvmlab.lab import panels
from kvmlab.lab.panels import Panel
from kvmlab.lab.panels.shell import AnyControl
from kvmlab.lab.widgets import Control, Value

NAMES = ("policy", "timer", "exits", "jitter", "housekeeping", "compare")
PANELS: dict[str, Callable[[], Panel]] = {name: getattr(panels, f"{name}_panel") for name in NAMES}
PANELS["lab"] = lambda: panels.lab_panel().panel


def positions(control: AnyControl) -> list[Value]:
    """Every value that a control can take."""
    return list(control.values) if isinstance(control, Control) else [False, True]


def shown(panel: Panel) -> str:
    """What the screen shows, the sentence aside."""
    picture: str = panel.screen.shown["source"] or panel.screen.shown["html"]
    return picture
