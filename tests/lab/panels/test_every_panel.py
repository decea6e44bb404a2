"""Every panel in plain Python: each control at its ends and at random, the picture, the sentence, the errors."""

from __future__ import annotations

import base64
import io
import random
from html import escape

import pytest
from PIL import Image

from kvmlab.lab import panels
from tests.lab.panels.gallery import PANELS, positions, shown


@pytest.fixture(scope="module", params=PANELS)
def panel(request):
    return PANELS[request.param]()


def test_a_panel_opens_without_error_and_describes_itself(panel):
    assert panel.error is None
    assert panel.screen.shown["sentence"].endswith(".")
    assert panel.screen.shown["alt"] or "<table" in shown(panel) or "aria-label" in shown(panel)


def test_every_control_at_both_ends(panel):
    home = panel.settings
    for name, control in panel.controls.items():
        for value in (positions(control)[0], positions(control)[-1]):
            control.value = value
            assert panel.error is None, f"{name} = {value}"
        control.value = home[name]


def test_random_settings_and_back(panel):
    home, picture, draws = panel.settings, shown(panel), random.Random(4)
    for _ in range(8):
        panel.settings = {name: draws.choice(positions(control)) for name, control in panel.controls.items()}
        assert panel.error is None, panel.settings
    panel.settings = home
    assert shown(panel) == picture


@pytest.mark.parametrize(
    ("name", "control", "value"),
    [
        ("policy", "mwait_in_guest", True),
        ("timer", "kernel", "v5.2"),
        ("timer", "step", 3),
        ("exits", "hlt_in_guest", True),
        ("exits", "tick_hz", 4000),
        ("jitter", "other_exit_hz", 20000),
        ("housekeeping", "housekeeping", "timers"),
        ("compare", "second", "rev2"),
        ("lab", "timer_migration", False),
    ],
)
def test_moving_a_control_that_matters_changes_the_picture(name, control, value):
    panel = PANELS[name]()
    before, said, serial = shown(panel), panel.screen.shown["sentence"], panel.screen.shown["serial"]
    panel.controls[control].value = value
    assert shown(panel) != before
    assert panel.screen.shown["sentence"] != said
    assert panel.screen.shown["serial"] == serial + 1, "one move, one message"


def test_pictures_are_whole_and_of_the_size_that_is_announced():
    panel = panels.lab_panel().panel
    shown = panel.screen.shown
    image = Image.open(io.BytesIO(base64.b64decode(shown["source"].partition(",")[2])))
    image.load()
    assert image.size == (shown["width"], shown["height"])
    assert len(image.getcolors(1 << 20)) > 20


def test_a_callback_that_raises_shows_its_error_and_keeps_the_picture(monkeypatch):
    panel = panels.policy_panel()
    picture = shown(panel)

    def broken(**settings):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(panel, "draw", broken)
    panel.controls["mwait_in_guest"].value = True
    assert isinstance(panel.error, RuntimeError)
    assert panel.screen.shown["error"] == "RuntimeError: broken on purpose"
    assert shown(panel) == picture


def test_settings_that_no_control_has_are_refused():
    with pytest.raises(ValueError, match="'colour'"):
        panels.policy_panel().settings = {"colour": 1}


@pytest.mark.parametrize("make", [*list(PANELS.values())[:-1], panels.lab_panel], ids=list(PANELS))
def test_a_page_without_a_kernel_gets_a_picture_of_the_panel(make):
    panel = make()
    html = panel._repr_mimebundle_()["text/html"]
    inner = getattr(panel, "panel", panel)
    assert "A picture of the panel" in html
    assert "<img alt=" in html or "<table" in html or 'role="img" aria-label=' in html
    for control in inner.controls.values():
        label = getattr(control, "label", "") or control.description
        assert label == "step" or f"{escape(label)}: " in html
    assert len(html) < 30_000
