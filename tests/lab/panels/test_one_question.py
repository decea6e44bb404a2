"""What single panels say is what the policies, the stories and the simulator say."""

from __future__ import annotations

import kvmlab as kl
from kvmlab import policy
from kvmlab.lab import panels
from kvmlab.results.run import simulate
from kvmlab.scenario.variants import variant


def test_the_policy_panel_agrees_with_the_policies():
    panel = panels.policy_panel()
    for facts in policy.every_input():
        panel.settings = facts._asdict()
        posting = panel.screen.shown["sentence"].split(" may post")[0].lower()
        for name, rule in policy.POLICIES.items():
            assert (name in posting) == rule(facts), (facts, posting)


def test_the_picture_of_a_timer_shows_its_end():
    html = panels.timer_panel()._repr_mimebundle_()["text/html"]
    steps = len(kl.follow_timer("v5.13").timeline)
    assert f"Step {steps} of {steps}" in html


def test_the_exits_sentence_says_what_the_simulator_counts():
    panel = panels.exits_panel()
    scenario, _ = panels.affordable(panels.scenario_of(panel.settings), len(policy.REVISIONS))
    run = simulate(scenario.replace(kernel=variant(scenario.kernel, "rev1")))
    rate = run.exits["Samples"].sum() / scenario.duration_s / len(run.latency)
    assert f"rev1 {rate:,.4g}" in panel.screen.shown["sentence"]
