"""What lesson 03 says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

import functools

import pytest

import kvmlab as kl
from kvmlab import costs, exercises, panels
from kvmlab.lab.exercises.course import lesson_03
from kvmlab.policy import before, rev1


def test_stage_caption():
    old, new = (panels.stage_panel(kernel=kernel).story for kernel in ("v5.2", "v5.3"))
    assert (old.arm_exit, old.expiry_exit, old.fires_on) == ("MSR_WRITE", "PREEMPTION_TIMER", "own")
    assert (new.arm_exit, new.expiry_exit, new.fires_on) == ("MSR_WRITE", None, "housekeeping")
    assert new.delivery == "posted"


def test_title():
    """v5.3 opens with the hole, and one switch closes it."""
    panel = panels.stage_panel(kernels=["v5.3", "v5.2"], pi_inject_timer=False)
    assert panel.story.expiry_exit == "PREEMPTION_TIMER"
    panel.settings = {"pi_inject_timer": True}
    assert panel.story.expiry_exit is None
    panel.settings = {"kernel": "v5.2"}
    assert panel.story.expiry_exit == "PREEMPTION_TIMER"


def test_history_caption():
    """Neither patch alone; without a preemption timer the first alone kicks."""
    first, second = kl.KERNELS["v5.3"].with_policy("one", before), kl.KERNELS["v5.2"].with_policy("two", rev1)
    assert kl.follow_timer(first).expiry_exit == "PREEMPTION_TIMER"
    kicked = kl.follow_timer(first, mwait_in_guest=True)
    assert (kicked.fires_on, kicked.expiry_exit) == ("housekeeping", "EXTERNAL_INTERRUPT")
    pinned = kl.follow_timer(second)
    assert (pinned.backend, pinned.fires_on, pinned.expiry_exit) == ("hrtimer", "own", "EXTERNAL_INTERRUPT")


def test_saved_and_p1_why():
    without, patched = costs.published_table()
    assert (without.samples, patched.samples) == (42_916, 6_871)
    assert (without.avg_us, patched.avg_us) == (0.71, 0.72)
    assert round(100 * (1 - patched.samples / without.samples)) == 84


def test_refused_caption():
    panel = panels.stage_panel(kernels=["v5.3"], housekeeping_next_event_ns=5_000_000)
    assert panel.settings["deadline_ns"] == 2_000_000
    assert (panel.story.fires_on, panel.story.expiry_exit) == ("own", "EXTERNAL_INTERRUPT")
    panel.settings = {"housekeeping_next_event_ns": 1_000_000}
    assert (panel.story.fires_on, panel.story.expiry_exit) == ("housekeeping", None)


def test_p2():
    [row] = [row for row in kl.recorded_rows() if row["run"].endswith("rev1_idle0_pi1_hlt_spin_cpu1")]
    assert (row["timers"], row["irq_exits"], row["period_us"], row["policy"]) == ("100", "76", "1000", "rev1")
    assert lesson_03.recorded_exits() == 76


@pytest.mark.parametrize(("deadline_us", "share"), [(7000, 1.0), (1000, 0.25), (2000, 0.5)])
def test_door_caption(deadline_us: int, share: float):
    moved = panels.door_panel(deadline_us=deadline_us).run.placement["share"]["housekeeping posted"]
    assert moved == pytest.approx(share, abs=0.01)


def test_e1():
    door = panels.door_panel(deadline_us=1000)
    assert exercises.check("L03-E1", door).right is None
    for settings, right in (
        ({"period_us": 10_000}, False),
        ({"deadline_us": 5000}, True),
        ({"deadline_us": 2000, "period_us": 4000}, False),
    ):
        door.settings = settings
        assert exercises.check("L03-E1", door).right is right
    assert exercises.check("L03-E1", 5).right is False


@functools.cache
def exits_at_the_deadline(deadline_us: int, load: str, hlt: bool, waits: bool) -> tuple[float, float]:
    """Return the shares of expiries that cost no exit because they are posted, and because the vCPU sleeps."""
    waiting = {"idle_us": 1, "waits_by": "hlt"} if waits else {}
    timer = kl.Workload(tick_hz=0, timer_us=deadline_us, rearm="relative", **waiting)
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping=load, housekeeping_timer_us=100)
    run = kl.simulate(kl.Scenario(host, kl.Guest(hlt_in_guest=hlt, workload=timer), kernel="v5.3", duration_s=2))
    share = run.placement["share"]
    return float(share["housekeeping posted"]), float(share["not in guest"])


def test_e2():
    cases = {
        "A": (5000, "ticking", False, False),
        "B": (1000, "ticking", False, False),  # busy or not, it has its tick only: see the recording below
        "C": (1000, "timers", False, True),
        "D": (1000, "timers", True, True),
    }
    helped = [name for name, case in cases.items() if exits_at_the_deadline(*case)[0] > 0.9]
    assert exercises.check("L03-E2", helped).right
    assert exits_at_the_deadline(*cases["C"])[1] > 0.9
    assert exercises.check("L03-E2", ["A"]).right is False


def test_e2_solution_busy_is_not_enough():
    [row] = [row for row in kl.recorded_rows() if row["run"].endswith("busy0_pi1_dehlt_spin")]
    assert (row["cpu0_background"], row["period_us"], row["irq_exits"]) == ("spinning", "1000", "76")


def test_view_caption():
    """The door is open: the housekeeping CPUs have timers. The ordinary guest may be posted to, and is not."""
    host = kl.three_guests().host
    assert (host.housekeeping, host.housekeeping_timer_us) == ("timers", 200)
    exits = kl.compare_guests(kl.three_guests(), ["before", "rev1"])["deadline exits"].unstack()
    assert (exits.loc[["database", "poller"], "rev1"] == 0).all()
    assert kl.by_guest(kl.simulate(kl.three_guests("v5.13"))).loc["ordinary", "posted"] == 0
    assert exits.loc["ordinary", "rev1"] == pytest.approx(exits.loc["ordinary", "before"], rel=0.05)


def test_recap_self_test():
    """A tick of 500 Hz: half of the timers that are 1 ms ahead move."""
    moved = panels.door_panel(deadline_us=1000, period_us=2000).run.placement["share"]["housekeeping posted"]
    assert moved == pytest.approx(0.5, abs=0.01)
