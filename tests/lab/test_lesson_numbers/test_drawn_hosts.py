"""The numbers that the notebook about drawn hosts quotes."""

from __future__ import annotations

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.lab import capstone


def test_drawn_hosts_difference_read():
    ours = kl.three_guests(duration_s=0.5)
    ordinary = ours.replace(guests=ours.guests[2:])
    change = kl.difference(ordinary, "rev3", "rev1", 10, progress=False).loc["share_taken"]
    assert change["sd_independent"] / change["sd"] == pytest.approx(2.5, abs=0.1)
    assert (change["sd_independent"] / change["sd"]) ** 2 == pytest.approx(6, abs=0.5)


def test_drawn_hosts_again_read():
    sets = [capstone.leaderboard(["rev2", "rev3"], capstone.drawn_scenarios(number, 4)) for number in range(8)]
    ahead = pd.Series([board.loc["rev3", "mean regret"] - board.loc["rev2", "mean regret"] for board in sets])
    assert ahead.min() > 0
    assert ahead.mean() == pytest.approx(85, abs=1)
    assert ahead.std() / 8**0.5 == pytest.approx(20, abs=1)
    worst = pd.DataFrame([board["worst regret"] for board in sets]).max()
    assert worst.round().to_dict() == {"rev2": 1366, "rev3": 606}


def test_drawn_hosts_prices_read():
    alone = kl.Scenario(
        kl.Host(pcpus=2, isolated=(1,)),
        kl.Guest(hlt_in_guest=True, workload=kl.Workload(tick_hz=1000)),
        duration_s=5,
    )
    lost = {
        load: kl.compare_guests(alone.replace(**{"host.housekeeping": load}), ["before", "rev3"])["lost us"].droplevel(
            0
        )
        for load in ("timers", "ticking")
    }
    hv, posted = lost["timers"]["before"] / 1000, lost["timers"]["rev3"] / 1000
    refused = (lost["ticking"]["rev3"] / 1000 - 0.25 * posted) / 0.75
    assert (hv, posted, refused) == pytest.approx((1.69, 1.10, 2.38), abs=0.006)
    assert (refused - hv) / (refused - posted) == pytest.approx(0.54, abs=0.005)
    assert lost["ticking"]["rev3"] / lost["ticking"]["before"] == pytest.approx(1.2, abs=0.03)
