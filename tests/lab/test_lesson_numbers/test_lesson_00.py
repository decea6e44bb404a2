"""What lesson 00 says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab import exercises, panels
from kvmlab.lab.exercises.course import lesson_00


def test_stage_caption() -> None:
    """v5.2: two holes. v5.3: one, and a post."""
    before, rev1 = panels.stage_panel(kernel="v5.2").story, panels.stage_panel(kernel="v5.3").story
    assert (before.arm_exit, before.expiry_exit) == ("MSR_WRITE", "PREEMPTION_TIMER")
    assert (rev1.arm_exit, rev1.expiry_exit, rev1.delivery) == ("MSR_WRITE", None, "posted")


def test_p1_why() -> None:
    """Two, and on the panel that follows one of the host's own timers makes a third."""
    story = kl.follow_timer("v5.3", pcpu="housekeeping")
    assert (story.fires_on, lesson_00.holes(story)) == ("own", "two")
    assert [lesson_00.holes(kl.follow_timer(kernel)) for kernel in ("v5.2", "v5.3")] == ["two", "one"]
    panel = panels.stage_panel(kernels=["v5.3"], pcpu="housekeeping", apicv_active=False)
    assert sum(step.function == "kvm_exit" for step in panel.story.timeline) == 3


@pytest.mark.parametrize(("kernel", "exits"), [("v5.2", 1998), ("v5.3", 999)])
def test_cast_and_sources(kernel: str, exits: int) -> None:
    assert round(kl.by_guest(kl.simulate(kl.three_guests(kernel))).loc["poller", "exits"]) == exits


@pytest.mark.parametrize(
    ("tick_hz", "exits"), [(250, {"before": 500, "rev1": 250}), (1000, {"before": 2000, "rev1": 1000})]
)
def test_e2_solution(tick_hz: int, exits: dict[str, int]) -> None:
    for name, run in panels.counts_panel(policies=["before", "rev1"], tick_hz=tick_hz).runs.items():
        a_second = run.summary()["exits"] / (run.duration_ns / 1e9) / 4
        assert a_second == pytest.approx(exits[name], rel=0.01)


def test_e1_opens_with_a_hole() -> None:
    panel = panels.stage_panel(kernels=["v5.3"], pcpu="housekeeping", apicv_active=False)
    assert exercises.check("L00-E1", panel).right is None
    for some in ({"pcpu": "isolated"}, {"apicv_active": True}):
        panel.settings = {"pcpu": "housekeeping", "apicv_active": False, **some}
        assert exercises.check("L00-E1", panel).right is False
    assert exercises.check("L00-E1", "isolated").text.startswith(
        "not yet: the panel above with its controls moved is asked for"
    )
