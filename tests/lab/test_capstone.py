"""The capstone: scenarios that are what they are called, and a leaderboard that follows from its definition."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.lab import capstone
from kvmlab.policy import rev1, rev2, rev3
from tests.strategies import few

REVISIONS = ["before", "rev1", "rev2", "rev3"]


def isolated_only(v):
    return rev3(v) and not v.housekeeping_cpu


@pytest.fixture(scope="module")
def table():
    return capstone.verdicts([*REVISIONS, isolated_only], capstone.held_scenarios())


def test_given_scenarios_are_what_they_are_called():
    held = capstone.held_scenarios()
    assert len(held) == 6
    assert not held["no nohz_full, parameter forced"].host.nohz_full
    assert held["no nohz_full, parameter forced"].host.injects_timer
    assert held["AMD"].host.vendor == "amd"
    assert held["quiet housekeeping CPUs"].host.housekeeping == "idle"
    assert [guest.hlt_in_guest for guest in held["ordinary guest's HLT does not exit"].guests] == [1, 0, 1]
    barred = held["MWAIT does not exit, posting off"]
    assert all(guest.mwait_in_guest for guest in barred.guests)
    assert not barred.host.injects_timer


@given(st.integers(0, 2**32 - 1))
@few(60)
def test_drawn_scenarios_are_valid_and_follow_from_the_seed(seed):
    drawn = capstone.drawn_scenarios(seed, 4)
    assert drawn == capstone.drawn_scenarios(seed, 4)
    for scenario in drawn.values():
        pcpus = [cpu for cpus in scenario.placement for cpu in cpus]
        assert len(pcpus) == len(set(pcpus)) == 2 * len(scenario.guests)
        assert set(scenario.host.isolated) <= set(pcpus)
        assert not set(scenario.host.loaded_cpus) & set(pcpus)


def test_drawn_scenarios_differ_in_what_a_policy_asks():
    drawn = [s for seed in range(20) for s in capstone.drawn_scenarios(seed).values()]
    guests = [guest for s in drawn for guest in s.guests]
    assert {(guest.mwait_in_guest, guest.hlt_in_guest) for guest in guests} == {(0, 0), (0, 1), (1, 1)}
    assert {s.host.housekeeping for s in drawn} == {"idle", "ticking", "timers"}
    assert {len(s.guests) for s in drawn} == {2, 3, 4}


def test_guests_are_described_as_they_are():
    table = capstone.described(capstone.held_scenarios())
    assert len(table) == 18
    assert table.xs("ordinary", level="guest")["on"].unique().tolist() == ["housekeeping"]
    assert table.loc[("ordinary guest's HLT does not exit", "ordinary"), "does not exit"] == "HLT"
    assert table.loc[("MWAIT does not exit, posting off", "poller"), "does not exit"] == "HLT, MWAIT"
    assert table.loc[("quiet housekeeping CPUs", "database"), "housekeeping CPUs"] == "idle"
    assert table["waits by"].groupby("guest").unique().map(list).to_dict() == {
        "database": ["HLT"],
        "poller": ["never waits"],
        "ordinary": ["HLT"],
    }


def test_regret_is_what_is_lost_above_the_best(table):
    lost = table["lost us"].unstack("kernel")
    regret = table["regret"].unstack("kernel")
    assert (regret.min(axis=1) == 0).all()
    assert (regret - lost.sub(lost.min(axis=1), axis=0)).abs().max().max() == 0


def test_leaderboard_follows_from_the_verdicts(table):
    board = capstone.leaderboard([*REVISIONS, isolated_only])
    assert list(board["mean regret"]) == sorted(board["mean regret"])
    assert set(board.index) == {*REVISIONS, "isolated_only"}
    for name, row in board.iterrows():
        mine = table.xs(name, level="kernel")
        assert row["mean regret"] == pytest.approx(mine["regret"].mean())
        assert row["worst regret"] == mine["regret"].max()
        scenario, guest = mine["regret"].idxmax()
        assert row["hurt most"] == f"{guest} ({scenario})"


def test_one_policy_alone_has_no_regret():
    board = capstone.leaderboard([rev2], {"one": kl.three_guests(duration_s=0.05)})
    assert board.loc["rev2", "worst regret"] == 0
    assert board.loc["rev2", "hurt most"] == "nobody"


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="seed: -1"):
        capstone.drawn_scenarios(-1)
    with pytest.raises(ValueError, match="count: 0"):
        capstone.drawn_scenarios(1, 0)
    with pytest.raises(ValueError, match=r"scenarios: \{\}"):
        capstone.verdicts([rev1], {})
    with pytest.raises(ValueError, match="policy broken failed on VcpuFacts"):
        capstone.leaderboard([broken], {"one": kl.three_guests(duration_s=0.01)})


def broken(v):
    return v.no_such_fact
