"""The README's examples print what the README says."""

from __future__ import annotations

import doctest

from tests.places import README


def test_examples_print_what_the_readme_says():
    result = doctest.testfile(str(README), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted >= 10
    assert result.failed == 0
