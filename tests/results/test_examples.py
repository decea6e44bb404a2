"""The examples in docstrings say what they do."""

import doctest
import importlib
import pkgutil

import pytest

import kvmlab.results
import kvmlab.scenario

ROOMS = (kvmlab.scenario, kvmlab.results)
MODULES = [
    "kvmlab.data",
    *(f"{room.__name__}.{each.name}" for room in ROOMS for each in pkgutil.iter_modules(room.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_right(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_public_functions_and_classes_have_one():
    """Those of `kl.__all__` that stand in these rooms."""
    import kvmlab as kl

    public = [getattr(kl, name) for name in kl.__all__]
    here = [each for each in public if getattr(each, "__module__", "") in MODULES]
    assert len(here) > 15
    without = {each.__name__ for each in here if ">>> " not in (each.__doc__ or "")}
    assert without == set()
