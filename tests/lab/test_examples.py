"""Every function that a reader calls shows an example, and every example is right."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pkgutil import walk_packages

import pytest

from kvmlab import lab
from kvmlab.lab import capstone, exercises, panels, plots

MODULES = [found.name for found in walk_packages(lab.__path__, "kvmlab.lab.")]
CALLED = [
    *(getattr(room, name) for room in (panels, plots) for name in room.__all__ if name.islower()),
    *(exercises.check, exercises.record, exercises.numbers_for, exercises.seal_of),
    *(capstone.held_scenarios, capstone.drawn_scenarios, capstone.verdicts, capstone.leaderboard),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_right(name):
    assert doctest.testmod(import_module(name)).failed == 0


@pytest.mark.parametrize("function", CALLED, ids=lambda function: function.__name__)
def test_what_readers_call_has_an_example(function):
    assert ">>> " in inspect.getdoc(function)
