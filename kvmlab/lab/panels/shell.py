"""What every panel is: controls, a screen, and a function that makes of what the controls say what the screen shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import ipywidgets as widgets

from kvmlab.lab.panels.still import still
from kvmlab.lab.widgets import Control, Screen, Value

GRID = {"grid_template_columns": "repeat(auto-fit, minmax(330px, 1fr))", "grid_gap": "2px 24px"}
AnyControl: TypeAlias = Control | widgets.Checkbox
"""What a panel can hold: all have a `value`."""


@dataclass(frozen=True)
class Frame:
    """What a panel shows: an image (`source`, a data URL, with its size and `alt`) or `html`, and a sentence."""

    sentence: str
    html: str = ""
    source: str = ""
    width: int = 0
    """Of the image, in pixels."""
    height: int = 0
    alt: str = ""


class Panel(widgets.VBox):
    """Controls by name, and a screen. `settings` is what the controls say; setting it moves them.

    `controls`: name -> a `Control` or a checkbox. `draw`: called with the value of each control under its name. What it
    raises is shown to the reader, and is kept in `error`, which is None otherwise.

    >>> from kvmlab import panels
    >>> panel = panels.policy_panel()
    >>> panel.settings = {"mwait_in_guest": True}
    >>> panel
    Panel: Rev1, rev2 and rev3 may post; none may use the preemption timer.
    """

    def __init__(
        self,
        controls: Mapping[str, AnyControl],
        draw: Callable[..., Frame],
        height: int = 0,
        still_settings: Mapping[str, Value] | None = None,
    ) -> None:
        """Build the panel and show what its controls say.

        `height`: pixels kept free for the picture. `still_settings`: what a picture of the panel, on a page without a
        kernel, shows in place of what the controls say.
        """
        self.controls = dict(controls)
        self.draw = draw
        self.still_settings = still_settings or {}
        self.screen = Screen(height=height, shown={})
        self.serial = 0
        self.error: Exception | None = None
        self.busy = False
        super().__init__([widgets.GridBox(list(self.controls.values()), layout=GRID), self.screen])
        for control in self.controls.values():
            control.observe(self._moved, "index" if isinstance(control, Control) else "value")
        self.refresh()

    def __repr__(self) -> str:
        return f"Panel: {self.screen.shown['sentence']}"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Return the widget, and a picture of it for a page without a kernel."""
        bundle = super()._repr_mimebundle_(**kwargs)
        shown = self.screen.shown
        if self.still_settings:
            shown = asdict(self.draw(**{**self.settings, **self.still_settings}))
        said = {name: control for name, control in self.controls.items() if name not in self.still_settings}
        return {**bundle, "text/html": still(shown, said)}

    @property
    def settings(self) -> dict[str, Value]:
        """What each control says, by its name.

        Setting some of them moves these controls and draws once; ValueError names what no control has.
        """
        return {name: control.value for name, control in self.controls.items()}

    @settings.setter
    def settings(self, values: Mapping[str, Value]) -> None:
        unknown = set(values) - set(self.controls)
        if unknown:
            raise ValueError(f"settings: {sorted(unknown)} are no controls; allowed: {', '.join(self.controls)}")
        self.busy = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self.busy = False
            self.refresh()

    def _moved(self, change: object) -> None:
        """Follow a control, unless several are being set."""
        if not self.busy:
            self.refresh()

    def refresh(self) -> None:
        """Show what the controls say, by one message to the browser."""
        self.serial += 1
        self.error = None
        try:
            shown = asdict(self.draw(**self.settings))
        except Exception as error:  # a reader must see it; a test must fail on it (`Panel.error`)
            self.error = error
            shown = {**self.screen.shown, "error": f"{type(error).__name__}: {error}"}
        else:
            shown["error"] = ""
        self.screen.shown = {**shown, "serial": self.serial}


def checkbox(label: str, value: bool) -> widgets.Checkbox:
    """Return a switch; its label is its accessible name."""
    return widgets.Checkbox(value, description=label, indent=False, style={"description_width": "initial"})
