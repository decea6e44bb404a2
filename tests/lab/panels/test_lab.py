"""The lab: presets, states that can be shared, a reader's own policy, controls that say when they have no effect."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import get_type_hints

import pytest

from kvmlab.kernels import KERNELS
from kvmlab.lab import panels
from kvmlab.lab.panels.simulation import CONTROLS, GROUPS, MACHINERY, HostSettings, scenario_of
from kvmlab.policy import POLICIES, Policy, Table
from kvmlab.results.run import simulate
from kvmlab.scenario.variants import variant


def test_it_opens_with_the_first_preset_and_hands_over_all_of_them():
    lab = panels.lab_panel()
    first = next(iter(panels.PRESETS.values()))
    assert lab.settings == {**panels.defaults(), **first}
    assert lab.options["presets"] == panels.PRESETS
    assert sorted(name for _, names in lab.options["groups"] for name in names) == sorted(CONTROLS)
    assert dict(lab.options["groups"]) == GROUPS


@pytest.mark.parametrize("preset", panels.PRESETS)
def test_every_preset_has_a_state_that_brings_it_back(preset):
    lab, other = panels.lab_panel(), panels.lab_panel(vcpus=2)
    lab.settings = {**panels.defaults(), **panels.PRESETS[preset]}
    other.state = lab.state
    assert other.settings == lab.settings
    assert panels.scenario_of(other.settings) == scenario_of(lab.settings)


def test_a_state_that_is_not_possible_changes_nothing():
    lab = panels.lab_panel()
    before = lab.settings
    with pytest.raises(ValueError, match='state: vcpus: "99" is not allowed; it must be one of 1, 2'):
        lab.state = "tick_hz=250 vcpus=99"
    assert lab.settings == before


def test_a_setting_that_no_control_has_is_refused():
    with pytest.raises(ValueError, match="control: 'colour' is not allowed"):
        panels.lab_panel(colour=1)
    with pytest.raises(ValueError, match="vcpus: 99 is not allowed"):
        panels.scenario_of({"vcpus": 99})


# --- the reader's policy ----------------------------------------------------------------------------------------------


def never(v):
    return False


def always(v):
    return True


def test_a_readers_policy_runs_beside_the_revisions():
    lab = panels.lab_panel(always)
    assert list(lab.runs) == [*POLICIES, "always"]
    assert lab.run.exits.equals(lab.runs["always"].exits)


def test_another_policy_takes_effect_at_once():
    lab = panels.lab_panel(never)
    lab.policy = always
    assert list(lab.runs) == [*POLICIES, "always"]
    assert '"bits":4294967295' in lab.place().replace("&quot;", '"')


def test_a_policy_that_has_the_name_of_a_revision_is_refused():
    def rev1(v):
        return True

    with pytest.raises(ValueError, match="'rev1' is the name of a revision; give your function another name"):
        panels.lab_panel(rev1)


def test_a_policy_that_fails_is_refused_at_once():
    def sour(v):
        return 1 / 0

    with pytest.raises(ValueError, match="policy sour failed on VcpuFacts"):
        panels.lab_panel(sour)


# --- controls without effect ------------------------------------------------------------------------------------------

REVISIONS = list(POLICIES.values())
ANY = [Table(random.Random(7).getrandbits(32)), Table(2**32 - 1)]
NEEDS = [(name, need) for name, control in CONTROLS.items() for need in control.needs]


def shown(settings: panels.controls.Settings, policies: list[Policy]) -> list[tuple[bytes, ...]]:
    """Return everything that a panel may draw of these settings."""
    world = replace(scenario_of(settings), duration_s=0.04)
    runs = [simulate(replace(world, kernel=variant(KERNELS[MACHINERY], policy))) for policy in policies]
    return [
        (
            run.exit_rows.tobytes(),
            run.histograms.tobytes(),
            run.place_rows.tobytes(),
            *(run.machine.vcpus[field].tobytes() for field in ("lost_ns", "idle_ns", "gap_max", "lat_max")),
            run.machine.pcpus["timer_busy_ns"][run.machine.housekeeping].max().tobytes(),
        )
        for run in runs
    ]


def drawn(draws: random.Random) -> dict[str, panels.controls.Value]:
    """Return settings at random, short of the largest guests."""
    return {
        **{name: draws.choice(control.values) for name, control in CONTROLS.items()},
        "vcpus": draws.choice((1, 2, 4)),
    }


@pytest.mark.parametrize(("name", "need"), NEEDS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(NEEDS)])
def test_a_control_that_says_that_it_has_no_effect_has_none(name, need):
    draws = random.Random(repr(need))
    policies = REVISIONS if need.revisions_only else [*REVISIONS, *ANY]
    for _ in range(3):
        settings = drawn(draws)
        for other, values in need.any_of:
            settings[other] = draws.choice([value for value in CONTROLS[other].values if value not in values])
        assert not need.met(settings)
        before = shown(settings, policies)
        others = [value for value in CONTROLS[name].values if value != settings[name]]
        for value in draws.sample(others, min(2, len(others))):
            assert shown({**settings, name: value}, policies) == before, (settings, value)


@pytest.mark.parametrize("name", [name for name, control in CONTROLS.items() if all(n.any_of for n in control.needs)])
def test_a_control_that_does_not_say_so_has_an_effect(name):
    draws = random.Random(name)
    for _ in range(40):
        settings = drawn(draws)
        other = draws.choice([value for value in CONTROLS[name].values if value != settings[name]])
        effect = all(need.met(settings) for need in CONTROLS[name].needs)
        if effect and shown(settings, REVISIONS) != shown({**settings, name: other}, REVISIONS):
            return
    pytest.fail(f"{name} never changed anything")


def test_every_control_is_a_documented_setting_of_its_type():
    assert list(CONTROLS) == list(HostSettings.__annotations__)
    assert {name: type(value) for name, value in panels.defaults().items()} == get_type_hints(HostSettings)
