"""What a panel can be set to, and what that means for the machine: the one source of Python and of the browser.

Python builds the scenario of some settings. The browser is handed what each setting changes in the tables that the
rules are given, worked out here by building the scenario of each: nothing about a scenario is written a second time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np

from kvmlab.engine import setup
from kvmlab.engine.layout import CONSTANT, GIVEN, TABLES
from kvmlab.lab.panels.controls import Control, Settings, Value
from kvmlab.scenario.checks import refusal
from kvmlab.scenario.scenario import Scenario

Records: TypeAlias = list[dict[str, Any]]
Rows: TypeAlias = dict[str, Any] | Records | list[int]
"""A table: the fields of its one record that are not 0, those of its records, or its numbers."""


@dataclass(frozen=True)
class World:
    """Some controls, and the scenario that their settings stand for."""

    controls: Mapping[str, Control]
    scenario_of: Callable[[Settings], Scenario]
    """Of all settings."""
    joint: tuple[str, ...] = ()
    """The settings that only together say which pCPUs there are. All others change fields of their own."""
    arguments: tuple[str, ...] = ()
    """The settings that are no part of the scenario: they are handed to the rules that follow one timer."""
    constant: Mapping[str, str] = field(default_factory=lambda: {name: name for name in CONSTANT})
    """Under which name the browser has each constant table."""

    @property
    def defaults(self) -> dict[str, Value]:
        """What every control says at first."""
        return {name: control.default for name, control in self.controls.items()}

    def complete(self, some: Settings) -> dict[str, Value]:
        """Return all settings: these, and the defaults of the others. ValueError names what is not allowed."""
        for name, value in some.items():
            if name not in self.controls:
                raise refusal("control", name, f"one of {', '.join(self.controls)}")
            self.controls[name].check(name, value)
        return {**self.defaults, **some}

    def scenario(self, some: Settings) -> Scenario:
        """Return the scenario that some settings stand for; what is not set has the control's default."""
        return self.scenario_of(self.complete(some))

    def given(self, some: Settings) -> dict[str, Rows]:
        """Return the tables that the rules are given for some settings, the constant ones aside."""
        tables = setup.given(self.scenario(some))
        return {name: rows_of(name, tables[name]) for name in GIVEN if name not in CONSTANT}

    def to_dict(self) -> dict[str, Any]:
        """Return the world as the browser gets it.

        Keys: controls; base, the tables of the defaults; patches, for each value of each setting what it changes in
        these; joint, the names of joint settings, and joint_patches, what each combination of them changes; arguments.
        """
        base = self.given({})
        alone = [name for name in self.controls if name not in (*self.joint, *self.arguments)]
        combinations = itertools.product(*(self.controls[name].values for name in self.joint))
        return {
            "controls": {name: control.to_dict() for name, control in self.controls.items()},
            "base": base,
            "patches": {
                name: [changed(base, self.given({name: value})) for value in self.controls[name].values]
                for name in alone
            },
            "joint": list(self.joint),
            "joint_patches": {
                "|".join(map(str, values)): changed(base, self.given(dict(zip(self.joint, values, strict=True))))
                for values in combinations
            },
            "arguments": list(self.arguments),
            "constant": dict(self.constant),
        }


def rows_of(name: str, array: np.ndarray) -> Rows:
    """Return a table as plain numbers, the fields that are 0 left out."""
    table = TABLES[name]
    if table.record is None:
        numbers: list[int] = array.tolist()
        return numbers
    names = array.dtype.names or ()
    records = [{field: value for field, value in zip(names, row, strict=True) if value} for row in array.tolist()]
    return records[0] if table.single else records


def changed(base: Mapping[str, Rows], other: Mapping[str, Rows]) -> dict[str, Rows]:
    """Return what differs: of a table as long as before the fields, else the whole table."""
    different: dict[str, Rows] = {}
    for name, rows in other.items():
        was = base[name]
        if rows == was:
            continue
        if isinstance(rows, dict) and isinstance(was, dict):
            different[name] = changed_fields(was, rows)
        elif name == "guests" and len(rows) == len(was):
            records = zip(cast(Records, was), cast(Records, rows), strict=True)
            different[name] = [changed_fields(*pair) for pair in records]
        else:
            different[name] = rows
    return different


def changed_fields(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of one record that differ; those that are 0 now have to be said."""
    return {name: now.get(name, 0) for name in {**was, **now} if now.get(name, 0) != was.get(name, 0)}
