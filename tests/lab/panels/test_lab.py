"""The lab: presets, states that can be shared, a reader's own policy."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from kvmlab.lab import panels
from kvmlab.lab.panels.settings import CONTROLS, Settings


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


def test_every_control_is_a_documented_setting_of_its_type():
    assert list(CONTROLS) == list(Settings.__annotations__)
    assert {name: type(value) for name, value in panels.defaults().items()} == get_type_hints(Settings)
