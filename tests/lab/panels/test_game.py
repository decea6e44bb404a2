"""You are KVM: the cases are worth deciding, a seed draws the same for everybody, and the model answers."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kvmlab.kernels import KERNELS
from kvmlab.lab import panels
from kvmlab.lab.panels import front_end
from kvmlab.lab.panels.one_timer import ARGUMENTS, TIMER
from kvmlab.lab.panels.rounds import CASES, CAST, CHOICES, ROUNDS, SEEDS, drawn
from kvmlab.lab.panels.simulation import MACHINERY
from kvmlab.model.one_timer import HOUSEKEEPING_CPU
from kvmlab.policy import POLICIES, Policy
from kvmlab.results.follow import follow, one_timer

NODE = shutil.which("node")
WEB = Path(panels.__file__).parents[1] / "web"
MAIN = """
const { Engine } = await import(`${process.argv[1]}/engine.js`);
const { playRound } = await import(`${process.argv[1]}/rounds.js`);
const { data, choices, cases, policies } = JSON.parse((await import("node:fs")).readFileSync(0, "utf8"));
const tools = { engine: await Engine.load(data), data };
process.stdout.write(JSON.stringify(cases.map((each) => playRound(tools, each, choices, policies))));
"""


def outcome(settings: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """Return what the model says of a case, by Python."""
    kernel = KERNELS[MACHINERY].with_policy("tried", policy)
    options = {name: value for name, value in settings.items() if name not in (*ARGUMENTS, "kernel")}
    scenario = one_timer(kernel, **options, tsc_ghz=2.5, preemption_timer_shift=5)
    machine, story = follow(scenario, *(settings[name] for name in ARGUMENTS))
    busy = machine.pcpus[HOUSEKEEPING_CPU].timer_busy_ns if settings["pcpu"] == "isolated" else 0
    return {
        "exit": story.expiry_exit,
        "delivery": story.delivery,
        "late": story.latency_ns,
        "lost": machine.vcpus[0].lost_ns,
        "housekeeping": busy,
        "summary": story.summary(),
    }


@functools.cache
def by_choice(case: int) -> list[dict[str, Any]]:
    """Return the outcome of each choice in a case."""
    settings = CASES[case]["settings"]
    return [outcome({**settings, **choice["settings"]}, POLICIES[choice["policy"]]) for choice in CHOICES.values()]


@functools.cache
def by_policy(case: int) -> list[dict[str, Any]]:
    """Return the outcome under each policy in a case."""
    return [outcome(CASES[case]["settings"], policy) for policy in POLICIES.values()]


def least(case: int) -> int:
    """Return what the best choice costs the guest, ns."""
    return min(each["lost"] for each in by_choice(case))


def test_every_choice_is_best_somewhere_and_wrong_somewhere():
    best: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for case in range(len(CASES)):
        for name, each in zip(CHOICES, by_choice(case), strict=True):
            (best if each["lost"] == least(case) else wrong)[name] += 1
    assert all(best[name] >= 3 and wrong[name] >= 3 for name in CHOICES), (best, wrong)


def test_no_answer_fits_all_and_no_revision_is_always_best():
    for i, name in enumerate(POLICIES):
        assert any(by_policy(case)[i]["lost"] > least(case) for case in range(len(CASES))), name


def test_a_seed_draws_the_same_for_everybody():
    assert [drawn(seed) for seed in SEEDS] == panels.game_panel().options["draws"]
    assert drawn(3) == [18, 10, 17, 7, 20, 11, 15, 4]  # on every machine and Python
    assert all(len(set(drawn(seed))) == ROUNDS for seed in SEEDS)
    assert len({tuple(drawn(seed)) for seed in SEEDS}) == len(SEEDS)
    assert all({CASES[i]["guest"] for i in drawn(seed)} == {*CAST} for seed in SEEDS)


def test_the_rounds_of_a_seed_are_readable():
    game = panels.game_panel(seed=3)
    assert game.cases == [CASES[i] for i in drawn(3)]
    game.settings = {"seed": 4}
    assert game.cases == [CASES[i] for i in drawn(4)]
    assert len(panels.game_panel(rounds=2).cases) == 2


def test_a_score_is_that_of_the_seed_that_was_played():
    game = panels.game_panel(seed=1)
    assert game.score is None
    game._repr_mimebundle_()
    assert game._bridge is not None
    game._bridge.answer = {"seed": 1, "score": {"you": {"exits": 2}}}
    assert game.score == {"you": {"exits": 2}}
    game.settings = {"seed": 2}
    assert game.score is None


@pytest.mark.parametrize("bad", [{"rounds": 0}, {"rounds": len(CASES) + 1}, {"seed": len(SEEDS)}, {"seed": True}])
def test_what_is_not_possible_is_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        panels.game_panel(**bad)


@pytest.mark.skipif(NODE is None, reason="there is no Node here")
def test_the_browser_plays_by_the_same_rules():
    handed = {
        "data": json.loads(front_end.data()),
        "choices": [{"name": name, **choice} for name, choice in CHOICES.items()],
        "cases": CASES,
        "policies": {name: front_end.policy_data(policy) for name, policy in POLICIES.items()},
    }
    command = [str(NODE), "--input-type=module", "-e", MAIN, str(WEB)]
    done = subprocess.run(command, input=json.dumps(handed), capture_output=True, text=True, check=True)
    for case, got in enumerate(json.loads(done.stdout)):
        expected = [*by_choice(case), *by_policy(case)]
        for one, other in zip(expected, [*got["choices"], *got["policies"]], strict=True):
            assert one == {key: other[key] for key in one}, (CASES[case], other["who"])
        assert [each["who"] for each in got["choices"] + got["policies"]] == [*CHOICES, *POLICIES]


def test_every_case_is_a_setting_of_the_world_of_one_timer():
    handed = panels.game_panel().options["cases"]
    for case, short in zip(CASES, handed, strict=True):
        assert TIMER.complete(case["settings"]) == case["settings"]
        assert TIMER.complete(short["settings"]) == case["settings"]
