"""A picture of a panel, for a page that has no kernel."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import Any

from kvmlab.lab.plots.picture import image_html, small_png
from kvmlab.lab.widgets import Control

COLOURS = 48
"""Of the image, to keep notebooks small."""


def still(shown: Mapping[str, Any], controls: Mapping[str, Any]) -> str:
    """Return a panel as it stands, as HTML: picture, sentence, and what the controls say.

    `shown`: as `Screen.shown` holds it. `controls`: by name; each is a `Control` or a checkbox of ipywidgets.
    """
    picture = shown["html"] or still_image(shown)
    said = "; ".join(
        f"{getattr(control, 'label', '') or control.description}: {setting_text(control)}"
        for control in controls.values()
    )
    return (
        f"{picture}<p>{escape(shown['sentence'])}</p>"
        f"<p><em>A picture of the panel; it moves in JupyterLab. It is set to: {escape(said)}.</em></p>"
    )


def still_image(shown: Mapping[str, Any]) -> str:
    """Return the image of a panel with few colours, as HTML."""
    drawn = io.BytesIO(base64.b64decode(shown["source"].partition(",")[2]))
    return image_html(small_png(drawn, COLOURS), shown["alt"], shown["width"])


def setting_text(control: Any) -> str:
    """Return what a control says, as the reader sees it."""
    if isinstance(control, Control):
        return control.texts[control.index]
    return {True: "yes", False: "no"}.get(control.value, str(control.value))
