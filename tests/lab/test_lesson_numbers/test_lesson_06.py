"""The numbers that lesson 06 quotes."""

from __future__ import annotations

from dataclasses import replace

import pytest

import kvmlab as kl
from kvmlab import exercises, panels, policy
from kvmlab.lab.exercises.course import lesson_06

MOVED = {"hlt_in_guest": True, "vcpus_on": "housekeeping pCPUs"}


@pytest.fixture(scope="module")
def world():
    return kl.three_guests("v5.18")


def lost(scenario, policies=policy.POLICIES):
    return kl.compare_guests(scenario, policies)["lost us"].unstack()


def only(world, **changes):
    """Return the world with nobody but the ordinary guest, changed."""
    return world.replace(guests=(replace(world.guests[2], **changes),))


@pytest.mark.parametrize(
    ("kernel", "pcpu", "exit_reason"),
    [
        ("v5.18", "isolated", "PREEMPTION_TIMER"),
        ("v5.13", "isolated", None),
        ("v5.15+rev2", "isolated", None),
        ("v5.18", "housekeeping", "PREEMPTION_TIMER"),
    ],
)
def test_l06_stage(kernel, pcpu, exit_reason):
    assert panels.stage_panel(kernel=kernel, pcpu=pcpu).story.expiry_exit == exit_reason


def test_l06_view():
    changed = policy.differences(policy.rev1, policy.rev3)
    assert len(changed) == 2
    assert not changed[["mwait_in_guest", "hlt_in_guest"]].any().any()


def test_l06_view_read_recorded():
    [poller] = [row for row in kl.recorded_rows() if row["run"].endswith("rev3src_tick0_pi1_none_spin_cpu1")]
    assert poller["traced_timers"] == "10"
    assert poller["traced_hv_armed"] == "10"
    assert "PREEMPTION_TIMER:10" in poller["traced_exits"].replace(" ", ":")


@pytest.mark.parametrize(
    ("settings", "right"),
    [({"hlt_in_guest": True}, True), ({"mwait_in_guest": True}, False), ({"pi_inject_timer": False}, False)],
)
def test_l06_e1(settings, right):
    stage = panels.stage_panel(kernels=["v5.18"])
    stage.settings = settings
    assert exercises.check("L06-E1", stage).right is right


@pytest.mark.parametrize(
    ("settings", "right"), [(MOVED, True), ({**MOVED, "mwait_in_guest": True}, False), ({"hlt_in_guest": True}, False)]
)
def test_l06_e2(settings, right):
    panel = panels.counts_panel()
    panel.settings = settings
    assert exercises.check("L06-E2", panel).right is right


def test_l06_checks_say_what_is_asked_for():
    assert "stage above" in exercises.check("L06-E1", "hlt").text
    assert "panel above" in exercises.check("L06-E2", "hlt").text


def test_l06_history_the_condition_came_in_june_2019():
    history = kl.history()
    asks = history[history["predicate"].fillna("").str.contains("in_guest")]
    assert asks["date"].min() == "2019-06-06"
    assert "mwait" in asks["predicate"].iloc[0]


def test_l06_p1_and_p1_why_a_month_before_rev1_was_merged():
    history = kl.history()
    assert lesson_06.months_before_rev3(history) == 32
    dates = history.set_index("id")["date"]
    assert dates["rev1"] == "2019-07-06"
    assert dates["rev3"] == "2022-01-25"
    later = history[(history["date"] > "2021-11-22") | history["id"].isin(["rev1", "rev2"])]
    assert lesson_06.months_before_rev3(later) == 2


def test_l06_hurt(world):
    with_hlt = lost(only(world, hlt_in_guest=True), ["before", "rev3"]).loc["ordinary"]
    assert with_hlt["rev3"] - with_hlt["before"] == pytest.approx(541, abs=0.5)
    with_both = lost(only(world, hlt_in_guest=True, mwait_in_guest=True), ["before", "rev3"]).loc["ordinary"]
    assert with_both["rev3"] == with_both["before"]


def test_l06_hurt_the_guest_of_the_panel():
    panel = panels.counts_panel(policies=["before", "rev3"])
    panel.settings = MOVED
    us = {name: kl.by_guest(run)["lost us"].iloc[0] for name, run in panel.runs.items()}
    assert {name: round(lost_us) for name, lost_us in us.items()} == {"before": 2334, "rev3": 2917}
    assert us["rev3"] - us["before"] == pytest.approx(580, abs=10)


def test_l06_score(world):
    table = {}
    for guest, row in {**lost(world).T, "tuned": lost(only(world, hlt_in_guest=True)).loc["ordinary"]}.items():
        table[guest] = {name for name in policy.POLICIES if row[name] - row.min() > 100}
    assert table == {
        "database": {"before"},
        "poller": {"before", "rev3"},
        "ordinary": {"rev1"},
        "tuned": {"rev1", "rev3"},
    }


def test_l06_sources_the_poller_loses_1_7_ms_a_second(world):
    assert lost(world).loc["poller", "rev3"] == pytest.approx(1700, abs=50)


def test_l06_selftest_the_third_vcpu_pays(world):
    split = world.replace(guests=(replace(world.guests[0], vcpus=3, pcpus=(4, 5, 2)),))
    kernels = {name: world.kernel.with_policy(name, policy.POLICIES[name]) for name in ("before", "rev2", "rev3")}
    us = {name: kl.simulate(split.replace(kernel=kernel)).disturbance["lost_us"] for name, kernel in kernels.items()}
    assert (us["rev3"].iloc[:2] < us["before"].iloc[:2]).all()
    assert us["rev3"].iloc[2] > 1.2 * us["before"].iloc[2]
    assert us["rev2"].iloc[2] == us["before"].iloc[2]
