"""The numbers that lesson 08 quotes."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab import exercises
from kvmlab.lab import capstone, panels
from kvmlab.lab.exercises.course import lesson_08
from kvmlab.policy import rev1
from kvmlab.results.per_guest import by_guest

REVISIONS = ("before", "rev1", "rev2", "rev3")
QUIET = "quiet housekeeping CPUs"


@pytest.fixture(scope="module")
def table():
    return capstone.verdicts(REVISIONS, capstone.held_scenarios())


def test_l08_title():
    lost = {name: by_guest(run)["lost us"].mean() for name, run in panels.lab_panel().runs.items()}
    assert max(lost, key=lost.get) == "before"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"vcpus": 1, "hlt_in_guest": False}, "right"),
        ({"timer_migration": False, "hlt_in_guest": False}, "right"),
        ({"vcpus": 1}, "rev3 loses 2,062 µs per vCPU per second, rev1 2,062 µs"),
        ({"hlt_in_guest": False}, "rev1 1,121 µs"),
        ({"vcpus_on": "housekeeping pCPUs", "hlt_in_guest": False}, "rev2 2,334 µs"),
    ],
)
def test_l08_e1_two_things_have_to_be_decided(settings, said):
    panel = panels.lab_panel()
    panel.settings = settings
    verdict = exercises.check("L08-E1", panel)
    assert said in verdict.text
    assert verdict.right is (said == "right")


def test_l08_judge():
    regret = capstone.verdicts(REVISIONS, {"ours": kl.three_guests(duration_s=1)})["regret"]
    assert regret["ours", "poller", "rev3"] == pytest.approx(586, abs=1)
    assert regret["ours", "database", "rev3"] == 0
    lost = kl.compare_guests(kl.three_guests(duration_s=1), REVISIONS)["lost us"]
    assert lost.xs("ordinary").min() > 2000  # "thousands by its HLT exits"
    assert list(capstone.held_scenarios()) == [
        "three guests",
        QUIET,
        "no nohz_full, parameter forced",
        "ordinary guest's HLT does not exit",
        "MWAIT does not exit, posting off",
        "AMD",
    ]


def test_l08_leaderboard_read(table):
    assert len(table) == 18 * len(REVISIONS)
    mean = table["regret"].groupby("kernel").mean()
    assert {name: round(value) for name, value in mean.items()} == {
        "before": 323,
        "rev1": 276,
        "rev2": 106,
        "rev3": 279,
    }


def test_l08_p1_why(table):
    regret = table["regret"].xs("rev2", level="kernel").sort_values(ascending=False)
    assert regret.index[0] == (QUIET, "ordinary")
    assert lesson_08.hurt_most(table, "rev2") == "ordinary"
    assert regret.iloc[0] == pytest.approx(1336, abs=1)
    assert regret.iloc[1] < 300


def test_l08_neighbour_why(table):
    quiet = capstone.held_scenarios()[QUIET]
    fired = kl.simulate(quiet.replace(kernel=quiet.kernel.with_policy("one", rev1))).fired_on
    assert fired[2] > 0.5 * fired.sum()
    assert fired[2] + fired[3] > 0.9 * fired.sum()
    rows = table.xs(QUIET)
    assert rows.loc["ordinary", "lost us"].round().to_dict() == {
        "before": 6372,
        "rev1": 8729,
        "rev2": 7708,
        "rev3": 6998,
    }
    lost = rows.loc["database", "lost us"]
    assert (lost["before"] - lost["rev2"]) / (lost["before"] - lost["rev1"]) == pytest.approx(0.45, abs=0.05)
    assert 1 - rows.loc[("database", "rev2"), "posted"] / 1000 == pytest.approx(0.33, abs=0.03)  # "refuse a third"


DEFENCE = (
    "It asks the pCPU, or the VM. It helps whom rev 3 forgets: guests that poll. It hurts the lonely one, who waits."
)


def defend(policy, text=DEFENCE):
    return exercises.check("L08-E2", {"policy": policy, "defence": text})


def test_l08_e2_a_line_that_no_revision_has():
    assert defend(lambda v: v.pi_inject_timer and v.apicv_active and v.mwait_in_guest).right
    assert "as rev1 does" in defend(lambda v: v.apicv_active and v.pi_inject_timer).text
    assert "switch or APICv is off" in defend(lambda v: v.apicv_active).text


def test_l08_e2_a_defence_names_who_pays():
    def mine(v):
        return v.pi_inject_timer and v.apicv_active and v.mwait_in_guest

    assert "who is hurt" in defend(mine, "One sentence. And one. " + "And many words more. " * 5).text
    assert "three sentences" in defend(mine, "Short.").text
    assert "is asked for" in exercises.check("L08-E2", mine).text
