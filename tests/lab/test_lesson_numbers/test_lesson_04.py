"""What lesson 04 says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import exercises, panels
from kvmlab.lab.exercises.course.lesson_04 import time_lost_before
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.rounds import CHOICES
from kvmlab.lab.panels.simulation import MACHINERY
from kvmlab.results.follow import follow

RUN = "vmx-6.1.176-nohzfull-rev1_"


@functools.cache
def before_and_rev1(release: str) -> pd.DataFrame:
    """Return what two policies cost a vCPU that works all the time on a housekeeping CPU."""
    guest = kl.Guest(pcpus=(1,), workload=kl.Workload(tick_hz=1000))
    world = kl.Scenario(kl.Host(pcpus=4, isolated=(2, 3)), guest, kernel=release, duration_s=4)
    return kl.compare_guests(world, ["before", "rev1"])


def rise(release: str, column: str) -> float:
    """Return by how many percent rev 1 raises something."""
    old, new = before_and_rev1(release)[column]
    return 100 * (new / old - 1)


def recorded(run: str) -> dict[str, str]:
    [row] = [row for row in kl.recorded_rows() if row["run"] == RUN + run]
    return row


def test_game_caption():
    """In round 3 rev 1 makes the ordinary guest pay, and nobody gains: the housekeeping CPU cannot take the timer."""
    third = panels.game_panel(rounds=5, seed=15).cases[2]
    assert (third["guest"], third["settings"]["pcpu"]) == ("the ordinary guest", "housekeeping")


def lost_ns(case: dict[str, Any], choice: str) -> int:
    """Return what a round of the game costs its guest."""
    settings = {**case["settings"], **CHOICES[choice]["settings"]}
    scenario = TIMER.scenario({**settings, "kernel": MACHINERY})
    named = CHOICES[choice]["policy"]
    kernel = scenario.kernel.with_policy(named, kl.policy.POLICIES[named])
    arguments = [settings[name] for name in ("vcpu_at_expiry", "deadline_ns", "housekeeping_next_event_ns")]
    return int(follow(scenario.replace(kernel=kernel), *arguments)[0].vcpus[0].lost_ns)


def test_game_caption_lost():
    """Round 2: all the same, and a timer of the host in it. Round 3: what P1's text compares with."""
    _, second, third, *_ = panels.game_panel(rounds=5, seed=15).cases
    assert second["guest"] == "the cpu-pm guest"
    assert {lost_ns(second, choice) for choice in CHOICES} == {4790}
    later = {**second, "settings": {**second["settings"], "housekeeping_next_event_ns": 5_000_000}}
    assert 4790 - lost_ns(later, "own hrtimer") == 2530
    assert [lost_ns(third, choice) for choice in CHOICES] == [2061, 2260, 2260]


def test_game_caption_switches_on_for_all():
    assert kl.Host(pcpus=48, isolated=(47,)).injects_timer


def test_stage_caption():
    panel = panels.stage_panel(kernels=["v5.13"], pcpu="housekeeping", pi_inject_timer=False)
    assert (panel.story.expiry_exit, panel.story.expiry_fastpath) == ("PREEMPTION_TIMER", True)
    panel.settings = {"pi_inject_timer": True}
    story = panel.story
    assert (story.backend, story.fires_on, story.delivery) == ("hrtimer", "own", "vm_entry")
    assert (story.arm_fastpath, story.expiry_exit) == (False, "EXTERNAL_INTERRUPT")


def test_stage_caption_not_one_exit_more():
    assert rise("v5.13", "exits") == 0


def test_p1_why():
    assert 20 < rise("v5.13", "lost us") < 27


def test_p1_why_recorded():
    off, on = (recorded(f"idle0_pi{switch}_hlt_hlt_cpu0") for switch in (0, 1))
    assert [(row["exits"], row["irq_exits"]) for row in (off, on)] == [("226", "25"), ("226", "125")]


def test_p1_why_times():
    guest = kl.Guest(pcpus=(1,), workload=kl.Workload(tick_hz=1000))
    world = kl.Scenario(kl.Host(pcpus=4, isolated=(2, 3)), guest, kernel="v5.13", duration_s=4)
    fast, slow = runs(world)
    assert [round(each.loc["MSR_WRITE", "Avg time"], 2) for each in (fast, slow)] == [0.57, 0.79]
    assert round(fast.loc["PREEMPTION_TIMER", "Avg time"], 2) == 0.42
    spent = [each.loc["EXTERNAL_INTERRUPT", ["Samples", "Avg time"]].prod() for each in (fast, slow)]
    assert round((spent[1] - spent[0]) / fast.loc["PREEMPTION_TIMER", "Samples"], 2) == 0.70


def test_p1_why_a_third_of_the_ticks_a_quarter_of_all():
    """The host's ticks take 630 us a second under both; the guest's 1.7 us each, then 2.2."""
    guest = kl.Guest(pcpus=(1,), workload=kl.Workload(tick_hz=1000))
    old, _ = runs(kl.Scenario(kl.Host(pcpus=4, isolated=(2, 3)), guest, kernel="v5.13", duration_s=4))
    ways_us = 0.32
    samples, avg_us = old.loc["EXTERNAL_INTERRUPT", ["Samples", "Avg time"]]
    host_us = samples / 4 * (avg_us + ways_us)
    assert host_us == pytest.approx(630, abs=5)
    fast, slow = ((lost - host_us) / 999 for lost in before_and_rev1("v5.13")["lost us"])
    assert (round(fast, 1), round(slow, 1)) == (1.7, 2.2)
    assert slow / fast == pytest.approx(4 / 3, abs=0.02)


def runs(world: kl.Scenario) -> tuple[pd.DataFrame, pd.DataFrame]:
    rules = {"before": kl.policy.before, "rev1": kl.policy.rev1}
    kernels = [world.kernel.with_policy(name, rule) for name, rule in rules.items()]
    old, new = (kl.simulate(world.replace(kernel=kernel)).exits for kernel in kernels)
    return old, new


def test_p2_why():
    assert 0 < rise("v5.3", "lost us") < 2


def test_balance_read():
    old, new = time_lost_before()
    assert (100 * new / old).round().to_dict() == {"database": 66, "poller": 64, "ordinary": 106}
    assert all(abs(old - new)[guest] == pytest.approx(600, rel=0.05) for guest in ("database", "poller"))
    assert (new - old)["ordinary"] == pytest.approx(400, rel=0.02)


def test_e1_solution():
    assert exercises.check("L04-E1", 12).right


def test_off():
    """A guest on an isolated pCPU whose MWAIT does not exit, with the switch off."""
    row = recorded("tick0_pi0_mwait_spin_cpu1")
    assert (row["timers"], row["irq_exits"], row["traced_hv_armed"], row["traced_expiry_on"]) == (
        "100",
        "101",
        "0",
        "cpu0:10",
    )
    story = kl.follow_timer("v5.13", pi_inject_timer=False, mwait_in_guest=True)
    assert (story.fires_on, story.expiry_exit) == ("housekeeping", "EXTERNAL_INTERRUPT")


def test_e2():
    said = exercises.check("L04-E2", lambda v: v.pi_inject_timer and v.apicv_active and v.hlt_in_guest)
    assert not said.right
    assert "poller" in said.text
    assert exercises.check("L04-E2", kl.policy.rev1).right is False
    assert exercises.check("L04-E2", "my_policy").right is False
