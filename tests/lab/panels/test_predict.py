"""Predictions by drawing: what the browser answers, what Python hands over, and when."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kvmlab.lab import exercises, panels
from kvmlab.lab.exercises.values import RIGHT_WITHIN, SPOT_ON_WITHIN, compared, digits, is_number
from kvmlab.lab.panels import predict
from kvmlab.lab.panels.predict import Predict, veil

NODE = shutil.which("node")
WEB = Path(panels.__file__).parents[1] / "web"
NUMBER: Any = {"unit": "us", "low": 0, "high": 200}


@pytest.fixture(autouse=True)
def no_record(monkeypatch):
    monkeypatch.setattr(exercises.predictions, "REVEALED", {})
    monkeypatch.setattr(predict, "ANSWERS", {})


def shown(panel: Predict) -> Any:
    """Show a panel; return its bridge, whose `answer` the browser sets and whose `told` it reads."""
    panel._repr_mimebundle_()
    assert panel._bridge is not None
    return panel._bridge


def ask(**options: Any) -> Predict:
    return panels.predict_panel("L03-P1", "How late?", **(options or NUMBER))


def test_nothing_counts_as_a_guess_until_it_was_made():
    panel = ask()
    assert panel.guess is None
    bridge = shown(panel)
    assert panel.guess is None
    verdict = panel.reveal(75)
    assert verdict.right is None
    assert "75" not in repr(verdict)
    assert bridge.told is None
    assert not exercises.record().verdicts


def test_a_cell_that_is_run_once_more_keeps_its_guess():
    shown(ask()).answer = {"guess": 60}
    again = ask()
    assert shown(again).answer == {"guess": 60}
    assert again.reveal(75).right is False
    assert shown(panels.predict_panel("L03-P1", "Something else?", **NUMBER)).answer is None
    shown(again).answer = None
    assert shown(ask()).answer is None


def test_a_guess_is_right_within_a_twentieth_of_its_scale():
    for guess, right, words in ((10, True, "right, 9 too high on this scale"), (12, False, "11 too high")):
        panel = ask()
        shown(panel).answer = {"guess": guess}
        verdict = panel.reveal(1)
        assert verdict.right is right
        assert words in repr(verdict)
    for guess, right, words in ((15, True, "right, 50 % too high on this scale"), (16, False, "60 % too high")):
        panel = ask(unit="us", low=0.1, high=1000, scale="log")
        shown(panel).answer = {"guess": guess}
        verdict = panel.reveal(10)
        assert verdict.right is right
        assert words in repr(verdict)


def test_the_truth_is_in_nothing_that_is_shown_before_the_guess():
    panel = ask()
    bundle = panel.reveal(7531, origin="published")._repr_mimebundle_()
    assert "7531" not in panel.place() + bundle["text/plain"] + bundle["text/html"]
    assert "published" not in bundle["text/html"]


def test_a_guess_that_was_made_is_read_and_revealed():
    panel = ask()
    bridge = shown(panel)
    bridge.answer = {"guess": 50}
    assert panel.guess == 50
    assert repr(panel) == "L03-P1: you predict 50 us."
    verdict = panel.reveal(75, origin="recorded")
    assert repr(verdict) == "L03-P1: it is 75 us (recorded); you predicted 50 us (yours): 25 too low."
    assert verdict.right is False
    assert bridge.told == {"actual": 75, "origin": "recorded"}


def test_a_truth_that_waits_is_handed_over_when_the_guess_arrives():
    panel = ask()
    panel.reveal(75)
    bridge = shown(panel)
    assert bridge.told is None
    bridge.answer = {"guess": 74}
    assert bridge.told == {"actual": 75, "origin": "simulated"}
    assert exercises.record().right == 1


def test_who_wants_to_see_it_without_a_guess_sees_it_and_is_not_judged():
    panel = ask()
    bridge = shown(panel)
    bridge.answer = {"skipped": True}
    assert panel.guess is None
    assert repr(panel.reveal(75)) == "L03-P1: it is 75 us (simulated); you made no prediction."
    assert bridge.told is not None
    assert not exercises.record().verdicts


def test_the_first_guess_counts_in_the_record():
    panel = ask()
    bridge = shown(panel)
    bridge.answer = {"guess": 10}
    panel.reveal(75)
    bridge.answer = {"guess": 75}
    panel.reveal(75)
    exercises.Prediction("L03-P2", "up").reveal("up")
    assert exercises.record().right == 1
    assert repr(exercises.record()) == (
        "1 of 2 predictions right (a number counts within 10 %, or a twentieth of its scale):\n"
        "  L03-P1: it is 75 us (simulated); you predicted 10 us (yours): 65 too low.\n"
        "  L03-P2: it is 'up' (simulated); you predicted 'up' (yours): right."
    )


def test_several_bars_are_judged_one_by_one():
    panel = ask(bars=("before", "rev1"), low=0, high=2500)
    shown(panel).answer = {"guess": {"before": 2000, "rev1": 500}}
    verdict = panel.reveal({"before": 1994, "rev1": 1000})
    assert verdict.right is False
    assert "before right, within 2 %, rev1 500 too low" in verdict.text


def test_a_choice_is_right_or_not():
    panel = ask(choices=("poller", "database"))
    shown(panel).answer = {"guess": "poller"}
    assert panel.reveal("poller").right is True
    assert panel.reveal("database").right is False


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "low: None is not allowed; it must be a number, unless there are choices"),
        ({"low": 0}, "high: None is not allowed"),
        ({"low": 5, "high": 5}, "high: 5 is not allowed; it must be more than low"),
        ({"low": "0", "high": 5}, "low: '0' is not allowed; it must be a finite number"),
        ({"low": 0, "high": 10**400}, "high: 1000"),
        ({"low": 0, "high": math.inf}, "high: inf is not allowed"),
        ({"low": 0, "high": 5, "scale": "log"}, "low: 0 is not allowed; it must be more than 0 on a log scale"),
        ({"low": 1, "high": 5, "scale": "cubic"}, "scale: 'cubic'"),
        ({"low": 1, "high": 5, "step": 9}, "step: 9 is not allowed"),
        ({"choices": ("a",)}, r"choices: \['a'\] is not allowed; it must be two or more"),
        ({"choices": ("a", "b"), "low": 1}, r"choices: \["),
        ({"bars": ("a", "a"), "low": 1, "high": 2}, "bars: "),
    ],
)
def test_what_does_not_fit_is_named(options, error):
    with pytest.raises(ValueError, match=error):
        panels.predict_panel("L03-P1", "How late?", **options)


@pytest.mark.parametrize(
    ("options", "actual"),
    [(NUMBER, "75"), (NUMBER, math.nan), ({"bars": ("a", "b"), **NUMBER}, {"a": 1}), ({"choices": ("a", "b")}, "c")],
)
def test_a_truth_that_answers_another_question_is_refused(options, actual):
    with pytest.raises(ValueError, match="actual: "):
        ask(**options).reveal(actual)


def test_ids_and_questions_are_needed():
    with pytest.raises(ValueError, match="id: 'E1'"):
        panels.predict_panel("E1", "How late?", low=0, high=1)
    with pytest.raises(ValueError, match="question: ' ' is not allowed"):
        panels.predict_panel("L03-P1", " ", low=0, high=1)


# --- the same in the browser ------------------------------------------------------------------------------------------


def node(main: str, handed: object) -> Any:
    """Run some JavaScript on what it is handed; return what it answers."""
    script = (
        'const handed = JSON.parse((await import("node:fs")).readFileSync(0, "utf8"));\n'
        f"const answer = await (async () => {{ {main} }})();\nprocess.stdout.write(JSON.stringify(answer));"
    )
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, input=json.dumps(handed), capture_output=True, text=True, check=True, cwd=WEB)
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="there is no Node here")
@pytest.mark.parametrize(("slack", "factor"), [(0, 1), (5, 1), (0, 1.5)])
def test_the_browser_judges_in_the_same_words(slack, factor):
    draws = random.Random(5)

    def number() -> float:
        value = 10 ** draws.uniform(-2, 7)
        return draws.choice((value, float(round(value)), -value, 0.0))

    pairs: list[tuple[Any, Any]] = [(number(), number()) for _ in range(300)]
    pairs += [(actual * draws.uniform(0.85, 1.15), actual) for _, actual in pairs]
    pairs += [("a", "a"), ("a", "b"), ({"x": 1, "y": 4}, {"x": 1.01, "y": 40})]
    main = """
      const { compared, digits } = await import("./verdict.js");
      const each = handed.pairs.map(([guess, actual]) => compared(guess, actual, handed.tolerances));
      return { each, digits: handed.numbers.map((value) => [3, 4].map((n) => digits(value, n))) };
    """.replace('"./', f'"{WEB}/')
    numbers = [value for pair in pairs for value in pair if is_number(value)]
    tolerances = {"right_within": RIGHT_WITHIN, "spot_on_within": SPOT_ON_WITHIN, "slack": slack, "factor": factor}
    answer = node(main, {"pairs": pairs, "numbers": numbers, "tolerances": tolerances})
    for pair, got in zip(pairs, answer["each"], strict=True):
        assert (got["right"], got["text"]) == compared(*pair, slack, factor), pair
    for value, texts in zip(numbers, answer["digits"], strict=True):
        assert texts == [digits(value, n) for n in (3, 4)], value
    assert sum(got["right"] for got in answer["each"]) > 100


@pytest.mark.skipif(NODE is None, reason="there is no Node here")
def test_the_browser_undoes_the_veil():
    panel = ask()
    html = panel.reveal(75.5, origin="published")._repr_mimebundle_()["text/html"]
    veiled = re.search(r'data-veiled="([^"]+)"', html)
    assert veiled
    assert veiled[1] == veil("L03-P1", {"actual": 75.5, "origin": "published"})
    main = f'const {{ unveil }} = await import("{WEB}/veil.js"); return unveil("L03-P1", handed);'
    assert node(main, veiled[1]) == {"actual": 75.5, "origin": "published"}
