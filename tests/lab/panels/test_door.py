"""The door: the share that moves is the model's, and the trace holds what the panel shows."""

from __future__ import annotations

import itertools

import pytest

from kvmlab import panels
from kvmlab.lab.panels.door_host import ARMS, CONTROLS, DOOR, SHOWN
from kvmlab.results.run import Run, simulate


def moved(run: Run) -> float:
    """The share of timers that fired on the housekeeping CPU."""
    share = run.placement["share"]
    return float(share["housekeeping posted"] + share["housekeeping kicked"])


@pytest.mark.parametrize(("deadline_us", "period_us"), [(1000, 4000), (1000, 2000), (3000, 4000), (2500, 10_000)])
def test_share_of_one_vcpu_is_deadline_by_period(deadline_us: int, period_us: int) -> None:
    run = panels.door_panel(deadline_us=deadline_us, period_us=period_us).run
    assert moved(run) == pytest.approx(deadline_us / period_us, abs=0.03)


def test_a_deadline_beyond_the_period_always_moves() -> None:
    assert moved(panels.door_panel(deadline_us=5000, period_us=2000).run) > 0.98


@pytest.mark.parametrize("vcpus", [2, 4])
def test_two_vcpus_hold_the_door_open_for_each_other(vcpus: int) -> None:
    assert moved(panels.door_panel(vcpus=vcpus).run) > 0.95


def test_trace_holds_the_timers_that_are_shown_for_every_setting() -> None:
    values = {name: CONTROLS[name].values for name in ("deadline_us", "period_us", "vcpus")}
    for chosen in itertools.product(*values.values()):
        settings = dict(zip(values, chosen, strict=True))
        run = simulate(DOOR.scenario(settings))
        steps = run.trace["step"]
        asked = steps.eq("get_nohz_timer_target")
        after = steps[steps.eq("hrtimer_interrupt") & run.trace["pcpu"].eq(0)].index
        assert asked.sum() > SHOWN, settings
        assert after[-1] > asked[asked].index[SHOWN], settings
        assert run.placement["expiries"].sum() == ARMS, settings


def test_deadline_is_that_far_ahead_and_the_tick_is_the_period() -> None:
    settings = {"deadline_us": 700, "period_us": 5000}
    with pytest.raises(ValueError, match="deadline_us: 700 is not allowed"):
        panels.door_panel(**settings)
    trace = panels.door_panel(deadline_us=500, period_us=5000).run.trace
    armed = trace[trace["step"] == "start_sw_timer"]
    assert set(armed["arg"] - armed["time_ns"]) <= set(range(499_000, 500_001))
    ticks = trace[(trace["step"] == "hrtimer_interrupt") & (trace["pcpu"] == 0)]["time_ns"]
    assert (ticks % 5_000_000 == 0).sum() >= 2


def test_only_the_controls_that_a_lesson_has_come_to():
    assert panels.door_panel(controls=["deadline_us"], vcpus=2).options == {"controls": ["deadline_us"]}
    assert panels.door_panel().options == {}
    with pytest.raises(ValueError, match="control: 'hz' is not allowed"):
        panels.door_panel(controls=["hz"])
