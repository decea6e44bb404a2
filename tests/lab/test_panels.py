"""Every panel in plain Python: each control at its ends and at random, the picture, the sentence, the errors."""

from __future__ import annotations

import base64
import io
import random
from html import escape

import pytest
from PIL import Image

import kvmlab as kl
from kvmlab import policy
from kvmlab.lab import panels
from kvmlab.lab.widgets import Control, Slider
from kvmlab.results.run import simulate

PANELS = {
    name: getattr(panels, f"{name}_panel") for name in ("policy", "timer", "exits", "jitter", "housekeeping", "compare")
}
PANELS["lab"] = lambda: panels.lab_panel().panel


@pytest.fixture(scope="module", params=PANELS)
def panel(request):
    return PANELS[request.param]()


def positions(control):
    """Every value a control can take."""
    return list(control.values) if isinstance(control, Control) else [False, True]


def shown(panel):
    """What the screen shows, the sentence aside."""
    return panel.screen.shown["source"] or panel.screen.shown["html"]


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


def test_the_exits_sentence_says_what_the_simulator_counts():
    panel = panels.exits_panel()
    scenario, _ = panels.affordable(panels.scenario_of(panel.settings), len(policy.REVISIONS))
    run = simulate(scenario.replace(kernel=panels.variant(scenario.kernel, "rev1")))
    rate = run.exits["Samples"].sum() / scenario.duration_s / len(run.latency)
    assert f"rev1 {rate:,.4g}" in panel.screen.shown["sentence"]


def test_the_policy_panel_agrees_with_the_policies():
    panel = panels.policy_panel()
    for facts in policy.every_input():
        panel.settings = facts._asdict()
        posting = panel.screen.shown["sentence"].split(" may post")[0].lower()
        for name, rule in policy.POLICIES.items():
            assert (name in posting) == rule(facts), (facts, posting)


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


def test_presets_and_shared_states():
    lab, other = panels.lab_panel(), panels.lab_panel()
    for preset in panels.PRESETS:
        lab.preset.value = preset
        assert lab.panel.error is None
        other.shared.value = lab.shared.value
        assert other.panel.settings == lab.panel.settings


@pytest.mark.parametrize(
    "text", ["", "%%%", "e30", "WzFd", "bm8=", "eyJ2Y3B1cyI6IDk5OX0=", "eyJub25lIjogMX0=", "é", "x" * 100_000]
)
def test_a_string_that_is_no_state_says_so_and_changes_nothing(text):
    lab = panels.lab_panel()
    settings = lab.panel.settings
    lab.shared.value = text or " "
    assert lab.panel.screen.shown["error"].startswith("state: ")
    assert lab.panel.settings == settings


def test_a_readers_policy_runs_beside_the_revisions():
    def mine(v):
        return v.apicv_active and not v.housekeeping_cpu

    assert "mine" in panels.lab_panel(mine).panel.screen.shown["sentence"]


def test_a_readers_policy_that_fails_is_refused_at_once():
    with pytest.raises(ValueError, match="policy sour failed on VcpuFacts"):
        panels.lab_panel(lambda_named("sour"))


def lambda_named(name):
    def rule(v):
        return 1 / 0

    rule.__name__ = name
    return rule


def test_a_slow_setting_is_shortened_and_says_so():
    panel = panels.lab_panel().panel
    panel.settings = {"vcpus": 16, "tick_hz": 4000, "device_irq_hz": 20000}
    assert "Simulated for" in panel.screen.shown["sentence"]


def test_settings_that_no_control_has_are_refused():
    with pytest.raises(ValueError, match="'colour'"):
        panels.policy_panel().settings = {"colour": 1}


def test_a_slider_holds_its_values():
    slider = Slider("speed", (1, 2, 5), 2, "{} m/s".format)
    assert (slider.index, slider.value, slider.texts) == (1, 2, ["1 m/s", "2 m/s", "5 m/s"])
    slider.value = 5
    assert slider.index == 2
    with pytest.raises(ValueError, match="speed: 3 does not fit; allowed: 1 m/s, 2 m/s, 5 m/s"):
        slider.value = 3


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


def test_the_picture_of_a_timer_shows_its_end():
    html = panels.timer_panel()._repr_mimebundle_()["text/html"]
    steps = len(kl.follow_timer("v5.13").timeline)
    assert f"Step {steps} of {steps}" in html
