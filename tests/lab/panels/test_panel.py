"""A panel in Python: its settings, its bridge, a reader's policy, and what stands behind its picture."""

from __future__ import annotations

import re

import pytest

import kvmlab as kl
from kvmlab.lab import panels
from kvmlab.policy import rev1, table_bits


def test_settings_can_be_read_and_set():
    panel = panels.stage_panel(kernel="v5.2")
    assert panel.settings["kernel"] == "v5.2"
    panel.settings = {"hlt_in_guest": True}
    assert panel.settings["kernel"] == "v5.2"
    assert panel.settings["hlt_in_guest"] is True
    assert repr(panel) == "Panel stage: kernel='v5.2', hlt_in_guest=True"
    with pytest.raises(ValueError, match="control: 'colour' is not allowed"):
        panel.settings = {"colour": 1}
    with pytest.raises(ValueError, match=r"kernel: 'v9' is not allowed; it must be one of v5.2"):
        panels.stage_panel(kernel="v9")


@pytest.mark.parametrize("make", [panels.stage_panel, panels.porter_panel, panels.decision_panel])
def test_a_panel_is_moved_once_a_control_differs_from_how_it_opened(make):
    panel = make(hlt_in_guest=make is not panels.porter_panel)
    assert not panel.moved
    panel.settings = {"hlt_in_guest": not panel.settings["hlt_in_guest"]}
    assert panel.moved


def test_the_bridge_carries_settings_both_ways():
    panel = panels.counts_panel()
    assert "<script" in panel._repr_mimebundle_()["text/html"]
    panel.settings = {"vcpus": 2}
    assert panel._bridge.settings["vcpus"] == 2
    panel._bridge.settings = {**panel._bridge.settings, "vcpus": 3}  # what a moved control does
    assert panel.settings["vcpus"] == 3
    assert len(panel.run.latency) == 3


def test_two_panels_do_not_share_a_bridge():
    shown = [panels.stage_panel()._repr_mimebundle_()["text/html"] for _ in range(2)]
    keys = [re.findall(r"&quot;key&quot;:&quot;(\w+)", html) for html in shown]
    assert keys[0] != keys[1]
    assert len(keys[0]) == 1


def mine(v):
    return v.apicv_active and not v.housekeeping_cpu


def test_a_readers_policy_is_asked_once_and_shown():
    asked = []

    def counting(v):
        asked.append(v)
        return mine(v)

    panel = panels.stage_panel(counting, kernel="counting")
    spec = panel.place()
    assert f"&quot;bits&quot;:{table_bits(mine)}" in spec
    before = len(asked)
    assert before == 32, "a policy is 32 bits"
    assert panel.story.delivery == "posted"
    panel.settings = {"hlt_in_guest": True}
    panel.place()
    assert len(asked) == before


def test_a_new_policy_takes_effect_at_once():
    panel = panels.stage_panel(mine, kernel="mine")
    panel._repr_mimebundle_()
    assert panel.story.delivery == "posted"

    def never(v):
        return False

    panel.policy = never
    assert panel._bridge.policy["bits"] == 0
    assert panel.settings["kernel"] == "never"
    assert panel.story.expiry_exit == "PREEMPTION_TIMER"


def test_a_policy_that_has_a_revisions_name_is_refused():
    def rev3(v):
        return True

    with pytest.raises(ValueError, match="'rev3' is the name of a revision; give your function another name"):
        panels.counts_panel(policy=rev3)
    panels.counts_panel(policy=rev1)


def test_a_policy_that_fails_is_refused_with_the_input():
    def broken(v):
        raise RuntimeError("broken on purpose")

    with pytest.raises(ValueError, match=r"policy broken failed on VcpuFacts\(pi_inject_timer=False"):
        panels.counts_panel(policy=broken)


def test_a_policy_that_does_not_answer_is_refused_and_the_last_one_stays(monkeypatch):
    def stuck(v):
        while True:
            pass

    panel = panels.lab_panel(mine)
    monkeypatch.setattr("kvmlab.policy.PATIENCE_S", 0.1)
    with pytest.raises(ValueError, match=r"policy stuck has not answered on VcpuFacts\(pi_inject_timer=False"):
        panel.policy = stuck
    assert panel.policy is mine
    assert list(panel.runs)[-1] == "mine"


def test_the_stage_has_the_story_of_its_settings():
    panel = panels.stage_panel(kernel="v5.13", vcpu_at_expiry="blocked")
    assert panel.story.timeline == kl.follow_timer("v5.13", vcpu_at_expiry="blocked").timeline


def test_the_counts_have_the_runs_of_their_settings():
    panel = panels.counts_panel(policy=mine, tick_hz=500, policies=["before", "rev3"])
    assert list(panel.runs) == ["before", "rev3", "mine"]
    assert panel.run.scenario.kernel.name == "mine"
    assert panel.run.scenario.guests[0].workload.tick_hz == 500


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("colour",), {}, "column: 'colour'"),
        ((), {"policies": ["rev9"]}, "policies: 'rev9'"),
        ((), {"controls": ["colour"]}, "control: 'colour'"),
        ((), {"first": ["colour"]}, "control: 'colour'"),
    ],
)
def test_what_a_counts_panel_does_not_have_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        panels.counts_panel(*arguments, **options)


def test_a_panel_shows_no_revision_that_is_to_come():
    panel = panels.decision_panel(policies=["before", "rev1"])
    assert panel.settings["revision"] == "rev1"
    with pytest.raises(ValueError, match="revision: 'rev3' is not allowed; it must be one of before, rev1"):
        panel.settings = {"revision": "rev3"}
    for make in (panels.decision_panel, panels.game_panel, panels.counts_panel):
        with pytest.raises(ValueError, match="policies: 'rev9' is not allowed"):
            make(policies=["rev9"])


def test_a_readers_policy_is_shown_beside_some_revisions():
    panel = panels.counts_panel("exits", policy=mine, policies=["before"])
    assert list(panel.runs) == ["before", "mine"]
    assert panels.game_panel(policies=["before"]).options["policies"] == ["before"]
