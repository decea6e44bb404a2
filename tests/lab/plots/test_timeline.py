"""Timelines: their lanes, and what is beyond the trace."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab.lab import plots


def test_timeline_beyond_the_trace_is_refused(runs):
    with pytest.raises(ValueError, match="number: 99999"):
        plots.timelines(runs, number=99999)


def test_lanes_are_in_the_order_of_their_numbers():
    host = kl.Host(pcpus=16, isolated=range(4, 16), housekeeping="timers")
    scenario = kl.Scenario(host, (kl.Guest(vcpus=12, pcpus=range(4, 16)),), kernel="v5.3", duration_s=0.02)
    picture = plots.timelines({"many": kl.simulate(scenario)}, number=2, from_us=-300, to_us=500)
    from_the_top = sorted(picture.figure.axes[0].get_yticklabels(), key=lambda label: -label.get_position()[1])
    lanes = [label.get_text().split() for label in from_the_top]
    numbers = {kind: [int(number) for k, number in lanes if k == kind] for kind in ("vCPU", "pCPU")}
    assert numbers["vCPU"] == list(range(12))
    assert numbers["pCPU"] == sorted(numbers["pCPU"])
    assert [kind for kind, _ in lanes] == ["vCPU"] * 12 + ["pCPU"] * len(numbers["pCPU"])
