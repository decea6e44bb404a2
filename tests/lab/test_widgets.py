"""Controls hold the values they were given, and their scripts and styles are files of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlab.lab import widgets
from kvmlab.lab.widgets import Choice, Screen, Slider

WEB = Path(widgets.__file__).parent / "web"


def test_a_slider_holds_its_values():
    slider = Slider("speed", (1, 2, 5), 2, "{} m/s".format)
    assert (slider.index, slider.value, slider.texts) == (1, 2, ["1 m/s", "2 m/s", "5 m/s"])
    slider.value = 5
    assert slider.index == 2
    with pytest.raises(ValueError, match="speed: 3 is not allowed; it must be one of 1 m/s, 2 m/s, 5 m/s"):
        slider.value = 3


def test_every_file_of_the_front_end_is_used():
    sources = {text for widget in (Slider, Choice, Screen) for text in (widget._esm, widget._css)}
    assert sources == {path.read_text(encoding="utf-8") for path in WEB.iterdir()}


@pytest.mark.parametrize("script", sorted(path.name for path in WEB.glob("*.js")))
def test_a_script_is_a_front_end_module(script):
    text = widgets.web(script)
    assert text.startswith("function render({ model, el }) {\n")
    assert text.endswith("export default { render };\n")
