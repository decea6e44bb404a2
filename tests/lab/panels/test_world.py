"""What Python hands the browser of a world: patches that, put together, are the tables of any settings."""

from __future__ import annotations

import copy
import json
import random

import numpy as np
import pytest

from kvmlab.engine.layout import TABLES
from kvmlab.lab.panels.controls import switch
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.simulation import HOST
from kvmlab.lab.panels.world import World, changed, rows_of
from kvmlab.scenario.guest import Guest
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

WORLDS = {"host": HOST, "timer": TIMER}


def patched(handed, settings):
    """The tables of some settings, as the browser puts them together."""
    tables = copy.deepcopy(handed["base"])
    patches = [
        each[handed["controls"][name]["values"].index(settings[name])] for name, each in handed["patches"].items()
    ]
    if handed["joint"]:
        patches.append(handed["joint_patches"]["|".join(str(settings[name]) for name in handed["joint"])])
    for patch in patches:
        for name, rows in patch.items():
            if isinstance(rows, dict):
                tables[name].update(rows)
            elif name == "guests" and len(rows) == len(tables[name]):
                for row, fields in zip(tables[name], rows, strict=True):
                    row.update(fields)
            else:
                tables[name] = rows
    return tables


def clean(row):
    return {name: value for name, value in row.items() if value} if isinstance(row, dict) else row


def without_zeros(tables):
    return {
        name: clean(rows) if isinstance(rows, dict) else [clean(row) for row in rows] for name, rows in tables.items()
    }


@pytest.mark.parametrize("name", WORLDS)
def test_patches_put_together_are_the_tables_of_random_settings(name):
    world = WORLDS[name]
    handed = json.loads(json.dumps(world.to_dict()))
    draws = random.Random(3)
    for _ in range(60):
        settings = {each: draws.choice(control.values) for each, control in world.controls.items()}
        assert without_zeros(patched(handed, settings)) == without_zeros(world.given(settings)), settings


@pytest.mark.parametrize("name", WORLDS)
def test_every_setting_but_an_argument_changes_a_table(name):
    handed = WORLDS[name].to_dict()
    for each, patches in handed["patches"].items():
        values = handed["controls"][each]["values"]
        differ = [patch for value, patch in zip(values, patches, strict=True) if value != WORLDS[name].defaults[each]]
        assert all(differ), each


def test_settings_are_completed_and_checked():
    assert HOST.complete({"vcpus": 2}) == {**HOST.defaults, "vcpus": 2}
    with pytest.raises(ValueError, match=r"control: 'colour' is not allowed; it must be one of vcpus, tick_hz"):
        HOST.complete({"colour": 1})
    with pytest.raises(ValueError, match=r"vcpus: 17 is not allowed; it must be one of 1, 2, 3"):
        HOST.complete({"vcpus": 17})
    with pytest.raises(ValueError, match="apicv: 1 is not allowed; it must be one of False, True"):
        HOST.complete({"apicv": 1})


def test_what_differs_is_said_field_by_field():
    base = {"host": {"hz": 250, "load": 1}, "guests": [{"vcpus": 1}], "pools": [0]}
    other = {"host": {"hz": 250}, "guests": [{"vcpus": 1}], "pools": [0, 1]}
    assert changed(base, other) == {"host": {"load": 0}, "pools": [0, 1]}
    assert changed(base, base) == {}


def test_a_world_of_several_guests_changes_each():
    def scenario_of(settings):
        guests = (Guest(pcpus=(2,), hlt_in_guest=settings["hlt"]), Guest(pcpus=(3,)))
        return Scenario(Host(), guests, kernel="v5.18", trace_steps=0)

    patches = World({"hlt": switch("HLT", False)}, scenario_of).to_dict()["patches"]
    assert patches == {"hlt": [{}, {"guests": [{"hlt_in_guest": 1}, {}]}]}


def test_rows_leave_zeros_out():
    table = np.zeros(1, TABLES["host"].dtype)
    table["hz"] = 250
    assert rows_of("host", table) == {"hz": 250}
    assert rows_of("pools", np.array([3, -1])) == [3, -1]
