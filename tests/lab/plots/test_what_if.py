"""Ranges say their ends in words."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab.lab import plots
from tests.lab.plots.worlds import RECORDED


def test_ranges_say_their_ends(pictures):
    assert "before 100 (100 to 100)" in pictures["ranges"].alt
    with pytest.raises(ValueError, match="quantity: 'exit'"):
        plots.ranges(kl.what_if(RECORDED, timer_hz=1000, replications=1), "exit", title="")
