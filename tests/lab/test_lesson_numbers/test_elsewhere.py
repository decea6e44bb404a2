"""What the deeper notebook on other designs says in numbers: one test for each, named after the cell."""

from __future__ import annotations

import pytest

import kvmlab as kl


def test_passthrough_at_7_5_other_exits():
    cost = kl.Costs.default()
    spared = cost.msr_write_fastpath.mean_ns + cost.exit_transition.mean_ns + cost.entry_transition.mean_ns
    assert spared / 120 == pytest.approx(7.5)


def test_passthrough_the_ordinary_guest_has_3_3_other_exits():
    row = kl.by_guest(kl.simulate(kl.three_guests())).loc["ordinary"]
    assert (row["exits"] - row["arm exits"]) / row["arm exits"] == pytest.approx(3.3, abs=0.05)


def test_question_512_under_way_twice():
    assert round(411767 * 1.243e-3) == round(514870 * 0.995e-3) == 512
