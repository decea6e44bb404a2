"""Controls and the screen of a panel: native HTML elements, so that a screen reader can name them and keys move them.

ipywidgets' own sliders have no accessible name, JupyterLab takes the arrow keys from its lists, and a picture in an
output area loses its alt text; hence these. Their scripts and styles are the files in `web/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, TypeVar

import anywidget
import traitlets

Value = bool | int | float | str
"""What a control can be set to."""
V = TypeVar("V", bound=Value)


def web(name: str) -> str:
    """Read a file of `web/`, which is part of the package."""
    return (resources.files("kvmlab.lab") / "web" / name).read_text(encoding="utf-8")


class Control(anywidget.AnyWidget):
    """One of a list of values. `index` is its position, `value` what is chosen, `texts` what the reader sees."""

    label = traitlets.Unicode().tag(sync=True)
    texts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)

    def __init__(self, label: str, values: Sequence[V], value: V, text: Callable[[V], str] = str) -> None:
        """Make a control called `label` that stands at `value`; `text` makes of a value what the reader sees."""
        self.values: tuple[Value, ...] = tuple(values)
        super().__init__(label=label, texts=[text(each) for each in values], index=self.values.index(value))

    @traitlets.validate("index")
    def _within(self, proposal: dict[str, Any]) -> int:
        """Refuse a position that has no value."""
        index: int = proposal["value"]
        if not 0 <= index < len(self.values):
            raise traitlets.TraitError(
                f"index: {index} is not allowed; it must be an integer from 0 to {len(self.values) - 1}"
            )
        return index

    @property
    def value(self) -> Value:
        """The chosen value. Setting another than those of the list raises ValueError, which lists them."""
        return self.values[self.index]

    @value.setter
    def value(self, chosen: Value) -> None:
        if chosen not in self.values:
            raise ValueError(f"{self.label}: {chosen!r} is not allowed; it must be one of {', '.join(self.texts)}")
        self.index = self.values.index(chosen)


class Slider(Control):
    """A slider over the values."""

    _esm = web("slider.js")
    _css = web("control.css")


class Choice(Control):
    """A drop-down list of the values."""

    _esm = web("choice.js")
    _css = web("control.css")


class Screen(anywidget.AnyWidget):
    """Picture, live sentence and error of a panel, updated in place by one message.

    `height`: pixels kept free for the picture before it comes. `shown`: source (an image's data URL), width, height
    (pixels), alt; or html; sentence; error; serial (counts the updates).
    """

    _esm = web("screen.js")
    _css = web("screen.css")
    height = traitlets.Int(0).tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)
