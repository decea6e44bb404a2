"""A prediction made by drawing: drag a bar or a point, or choose; then the truth appears over it.

What is true is not in the panel. `Predict.reveal` hands it over once the reader has guessed: by the bridge where there
is a kernel, else veiled in the output of the cell that reveals it, where the panel looks for it (`web/predict.js`). So
a lesson can be run from top to bottom, kept and exported, and still asks.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any, TypeAlias

from kvmlab.lab.exercises.predictions import Prediction
from kvmlab.lab.exercises.values import RIGHT_OF_SCALE, RIGHT_WITHIN, SPOT_ON_WITHIN, is_number
from kvmlab.lab.exercises.verdict import PREDICTION_ID, Verdict, require_id
from kvmlab.lab.panels.controls import Settings
from kvmlab.lab.panels.panel import Bridge, Panel
from kvmlab.lab.panels.world import World
from kvmlab.scenario import checks
from kvmlab.scenario.scenario import Scenario

Guess: TypeAlias = float | str | dict[str, float]
"""A number, one of the choices, or a number for each bar."""
SCALES = ("linear", "log")


def nothing(settings: Settings) -> Scenario:
    """Refuse: behind a prediction stands no simulation."""
    raise ValueError("panel: a prediction simulates nothing; it has panel.guess and panel.reveal(actual)")


NO_WORLD = World({}, nothing)


ANSWERS: dict[str, dict[str, Any] | None] = {}
"""What has been answered in this session, by what was asked: a cell that is run once more asks nobody a second time."""


@dataclass(frozen=True, repr=False)
class Reveal(Verdict):
    """Outcome of a prediction, and the truth, veiled, for a page without a kernel."""

    veiled: str = ""

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return the text, and the place where the panel finds the truth."""
        mark = f'<span class="kvmlab-truth" hidden data-of="{self.exercise_id}" data-veiled="{self.veiled}"></span>'
        return {"text/plain": repr(self), "text/html": f"<p>{escape(repr(self))}</p>{mark}"}


class Predict(Panel):
    """The panel that `predict_panel` makes."""

    def __init__(self, prediction_id: str, options: Mapping[str, Any]) -> None:
        """Make a prediction; `options` as `predict_panel` has checked them."""
        super().__init__("predict", NO_WORLD, options=options)
        self.prediction_id = prediction_id

    def __repr__(self) -> str:
        return repr(self.prediction)

    def still(self) -> str:
        """Return the question, and what there is to choose from."""
        choices = self.options.get("choices", self.options.get("bars", ()))
        return f"<p>{escape(self.options['question'])}{escape(': ' + ', '.join(choices)) if choices else ''}</p>"

    @property
    def guess(self) -> Guess | None:
        """The reader's guess: a number, a choice, or numbers by the names of the bars; None until it is made."""
        guess: Guess | None = (self.answer or {}).get("guess")
        return guess

    @property
    def skipped(self) -> bool:
        """True if the reader wanted to see the truth without a guess."""
        return bool((self.answer or {}).get("skipped"))

    @property
    def prediction(self) -> Prediction:
        """The guess as it is compared with what is true: see `kvmlab.exercises.Prediction`."""
        guess = self.guess
        given = ... if guess is None else guess
        asked = self.options
        return Prediction(self.prediction_id, given, asked["unit"], asked["slack"], asked["factor"])

    def reveal(self, actual: Guess, *, origin: str = "simulated") -> Reveal:
        """Return what it is, and how far off the guess was; show it over the guess.

        Before there is a guess nothing is shown: the panel shows it as soon as the guess is made.

        `actual`: in the unit of the guess; for bars a mapping with their names. `origin`: published, recorded or
        simulated. ValueError if it is no possible answer to the question.
        """
        message = {"actual": self.possible(actual), "origin": origin}
        veiled = veil(self.prediction_id, message)
        self.truth = message
        if self.guess is None and not self.skipped:
            text = "no prediction yet. Make it in the panel: the answer appears there."
            return Reveal(self.prediction_id, None, text, veiled)
        verdict = self.prediction.reveal(message["actual"], origin=origin)
        self.tell(message)
        return Reveal(self.prediction_id, verdict.right, verdict.text, veiled)

    truth: Mapping[str, Any] | None = None
    """What is handed over once there is a guess."""

    def bridge(self) -> Bridge:
        """Return a bridge that hands the truth over when a guess arrives; a guess made before is kept."""
        bridge = super().bridge()
        if bridge.answer is None:
            bridge.answer = ANSWERS.get(json.dumps(self.options))
        bridge.observe(lambda change: self.answered(), "answer")
        return bridge

    def answered(self) -> None:
        """Keep what the reader has answered; hand the truth over if it is known already."""
        ANSWERS[json.dumps(self.options)] = self.answer
        if self.truth is not None and (self.guess is not None or self.skipped):
            self.prediction.reveal(self.truth["actual"], origin=self.truth["origin"])
            self.tell(dict(self.truth))

    def possible(self, actual: Guess) -> Guess:
        """Return what is true as plain numbers and text. ValueError if it is no answer to the question."""
        bars, choices = self.options.get("bars"), self.options.get("choices")
        if choices:
            return str(checks.choice("actual", actual, choices))
        if not bars:
            return number("actual", actual)
        if not isinstance(actual, Mapping) or {*actual} != {*bars}:
            raise checks.refusal("actual", actual, f"a number for each of {', '.join(bars)}")
        return {name: number(f"actual: {name}", actual[name]) for name in bars}


def predict_panel(
    prediction_id: str,
    question: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    scale: str = "linear",
    step: float | None = None,
    bars: Sequence[str] = (),
    choices: Sequence[str] = (),
) -> Predict:
    """Return a panel on which the reader guesses by drawing; `reveal` shows what is true over it.

    - `prediction_id`: such as L03-P1. `question`: as the reader is asked.
    - `unit`: of the numbers.
    - `low`, `high`: the ends of the scale on which a number is guessed; the axis grows if the truth is beyond.
    - `scale`: "linear", where a bar is dragged, or "log", where a point is.
    - `step`: a dragged number is a multiple of it; what the scale suggests unless told. For "linear" only.
    - `bars`: names of several numbers that are guessed at once.
    - `choices`: what the reader chooses from, in the place of a scale.

    ValueError names what does not fit.

    >>> from kvmlab import panels
    >>> panel = panels.predict_panel("L03-P1", "How late is the handler?", unit="us", low=0.1, high=1000, scale="log")
    >>> panel.guess is None
    True
    >>> panel.reveal(75)
    L03-P1: no prediction yet. Make it in the panel: the answer appears there.
    """
    require_id(prediction_id, PREDICTION_ID, "L03-P1")
    asked: dict[str, Any] = {"id": prediction_id, "question": text("question", question), "unit": unit}
    if choices:
        if low is not None or high is not None or bars:
            raise checks.refusal("choices", list(choices), "left out where there are low, high or bars")
        asked["choices"] = names("choices", choices)
    else:
        asked |= scale_of(low, high, scale, step)
        asked |= {"bars": names("bars", bars)} if bars else {}
    scale_is = asked.get("scale")
    slack = RIGHT_OF_SCALE * (asked["high"] - asked["low"]) if scale_is == "linear" else 0.0
    factor = (asked["high"] / asked["low"]) ** RIGHT_OF_SCALE if scale_is == "log" else 1.0
    tolerances = {"right_within": RIGHT_WITHIN, "spot_on_within": SPOT_ON_WITHIN, "slack": slack, "factor": factor}
    return Predict(prediction_id, asked | tolerances)


def scale_of(low: float | None, high: float | None, scale: str, step: float | None) -> dict[str, Any]:
    """Return the scale on which a number is guessed. ValueError names what does not fit."""
    checks.choice("scale", scale, SCALES)
    if low is None or high is None:
        raise checks.refusal("low" if low is None else "high", None, "a number, unless there are choices")
    least, most = number("low", low), number("high", high)
    if not least < most:
        raise checks.refusal("high", high, f"more than low, which is {low!r}")
    if scale == "log" and least <= 0:
        raise checks.refusal("low", low, "more than 0 on a log scale")
    if step is not None and (scale == "log" or not 0 < number("step", step) <= most - least):
        raise checks.refusal("step", step, "up to high - low, on a linear scale")
    return {"low": least, "high": most, "scale": scale} | ({"step": number("step", step)} if step is not None else {})


def number(name: str, value: Any) -> float:
    """Return a number without a fraction as int, others as float. ValueError if it is none, or not finite."""
    if not is_number(value) or math.isnan(checks.finite(value)):
        raise checks.refusal(name, value, "a finite number")
    return int(value) if float(value).is_integer() else float(value)


def text(name: str, value: Any) -> str:
    """Return some text. ValueError if it is none."""
    if not isinstance(value, str) or not value.strip():
        raise checks.refusal(name, value, "text")
    return value


def names(name: str, values: Sequence[str]) -> list[str]:
    """Return distinct names. ValueError if they are not, or if they are only one."""
    each = [text(name, value) for value in values]
    if len(each) < 2 or len(set(each)) < len(each):
        raise checks.refusal(name, each, "two or more different names")
    return each


def veil(key: str, message: Mapping[str, Any]) -> str:
    """Return a message in a form that is not read by accident; `web/veil.js` undoes it. It is no secret.

    >>> veil("L03-P1", {"actual": 75})
    'NxJSTiRELVwRF2cEMQ=='
    """
    plain = json.dumps(message, separators=(",", ":")).encode()
    return base64.b64encode(bytes(a ^ b for a, b in zip(plain, cycle(key.encode()), strict=False))).decode()
