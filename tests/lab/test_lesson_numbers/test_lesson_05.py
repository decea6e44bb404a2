"""The numbers that lesson 05 quotes."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab import exercises, panels, policy
from kvmlab.lab.exercises.course import lesson_05

RUN = "vmx-6.1.176-nohzfull-{}_idle0_pi1_hlt_hlt_cpu0"


@pytest.fixture(scope="module")
def rows():
    return {row["run"]: row for row in kl.recorded_rows()}


def lost(policies, **host):
    changes = {f"host.{name}": value for name, value in host.items()}
    return kl.compare_guests(kl.three_guests("v5.15+rev2", **changes), policies)["lost us"].unstack()


@pytest.mark.parametrize(
    ("kernel", "exit_reason"),
    [("v5.15+rev2", "PREEMPTION_TIMER"), ("v5.13", "EXTERNAL_INTERRUPT"), ("v5.2", "PREEMPTION_TIMER")],
)
def test_l05_stage(kernel, exit_reason):
    assert panels.stage_panel(kernel=kernel, pcpu="housekeeping").story.expiry_exit == exit_reason


def test_l05_view():
    changed = policy.differences(policy.rev1, policy.rev2)
    assert len(changed) == 4
    assert changed["housekeeping_cpu"].all()
    assert changed["can_use_hv_timer_b"].sum() == 2


def test_l05_works_everybody_has_the_best_of_both_worlds():
    found = lost(["before", "rev1", "rev2"])
    assert (found["rev2"] == found[["before", "rev1"]].min(axis=1)).all()
    assert (found.loc[["database", "poller"], "rev2"] < found.loc[["database", "poller"], "before"]).all()


@pytest.mark.parametrize(("rule", "exits"), [("rev1", 125), ("rev2", 25)])
def test_l05_works_recorded(rows, rule, exits):
    row = rows[RUN.format(rule)]
    assert int(row["irq_exits"]) == exits
    assert abs(kl.simulate(kl.recorded_scenario(row)).kvm_stat["irq_exits"] - exits) <= 5


@pytest.mark.parametrize(
    ("letter", "pi_inject_timer", "housekeeping", "mwait", "hlt"),
    [
        ("a", False, True, False, False),
        ("b", True, False, False, False),
        ("c", True, True, False, True),
        ("d", True, True, True, False),
        ("e", True, True, False, False),
    ],
)
def test_l05_e1(letter, pi_inject_timer, housekeeping, mwait, hlt):
    facts = policy.VcpuFacts(pi_inject_timer, True, housekeeping, mwait, hlt)
    has = {rule: policy.can_use_hv_timer(facts, rule(facts)) for rule in (policy.rev1, policy.rev2)}
    assert (has[policy.rev2] and not has[policy.rev1]) == (letter in "ce")
    assert exercises.check("L05-E1", ["c", "e"]).right


def test_l05_e2():
    assert lesson_05.fired_on_own_pcpu() == pytest.approx(250, abs=2)


def test_l05_stale_the_opposite_move():
    """The preemption timer goes along to the isolated pCPU."""
    moved = panels.move_panel(["rev2"], from_cpu="housekeeping", to_cpu="isolated")
    assert moved.outcome["exit"] == "PREEMPTION_TIMER"


def test_l05_forced_read():
    by_hand = lost(["rev1", "rev2"], nohz_full=False, pi_inject_timer=True)
    less = by_hand["rev1"] - by_hand["rev2"]
    assert less["database"] == pytest.approx(500, abs=50)
    assert less["poller"] == pytest.approx(500, abs=50)
    assert less["ordinary"] == pytest.approx(400, abs=5)


def test_l05_forced_read_rev1_posts_nothing():
    forced = kl.three_guests("v5.15+rev2", **{"host.nohz_full": False, "host.pi_inject_timer": True})
    assert (kl.compare_guests(forced, ["rev1", "rev2"])["posted"] == 0).all()
