"""Predictions say how far off they were, and a name always gets the same numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kvmlab.lab.exercises import Prediction, Verdict, check, numbers_for
from kvmlab.lab.exercises.values import how_far, is_number, shown


@pytest.mark.parametrize(
    ("guess", "actual", "words"),
    [
        (100, 100, "right"),
        (101, 100, "right, within 2 %"),
        (150, 100, "50 % too high"),
        (10, 100, "a factor of 10 too low"),
        (500, 0, "500 too high"),
        (0, 5, "5 too low"),
    ],
)
def test_how_far(guess, actual, words):
    assert how_far(guess, actual) == words


def test_prediction_is_revealed_with_its_origin():
    verdict = Prediction("L03-P3", 50, unit="us").reveal(106.09, origin="published")
    assert repr(verdict) == (
        "L03-P3: it is 106.1 us (published); you predicted 50 us (yours): a factor of 2.12 too low."
    )
    assert Prediction("L03-P5", "up").reveal("up") == Verdict(
        "L03-P5", True, "it is 'up' (simulated); you predicted 'up' (yours): right."
    )


@pytest.mark.parametrize("bad", ["P1", "L3-P1", "L03-E1", "L03-P", ""])
def test_ids_have_a_stable_form(bad):
    with pytest.raises(ValueError, match="id: "):
        Prediction(bad, 1)


def test_no_prediction_fails_nothing():
    open_one = Prediction("L03-P3", ..., unit="us")
    assert not open_one.given
    assert "no prediction yet" in repr(open_one)
    assert open_one.reveal(1).right is None


def test_numbers_and_their_text():
    assert [is_number(value) for value in (1, 1.5, np.float64(2), True, np.True_, "1", None)] == [True] * 3 + [
        False
    ] * 4
    assert [shown(value, "us") for value in (1.0, 12345.6, 0.12345, "a")] == [
        "1 us",
        "12,346 us",
        "0.1235 us",
        "'a' us",
    ]


def test_numbers_are_the_readers_own_and_stay():
    def draw(exercise, student):
        return numbers_for(exercise, student).randrange(1 << 30)

    assert draw("L04-E2", "Ada Lovelace") == draw("L04-E2", "  ada   LOVELACE ")
    assert draw("L04-E2", "Ada Lovelace") != draw("L04-E2", "Charles Babbage")
    assert draw("L04-E2", "Ada Lovelace") != draw("L04-E3", "Ada Lovelace")
    assert draw("L04-E2", "Ada Lovelace") == 428644572  # on every machine and Python


@pytest.mark.parametrize("student", ["", "   ", None, 7])
def test_numbers_need_a_name(student):
    with pytest.raises(ValueError, match="student: "):
        numbers_for("L04-E2", student)


def test_numbers_need_an_exercise():
    with pytest.raises(ValueError, match="id: 'E2' is not allowed"):
        numbers_for("E2", "Ada Lovelace")


@pytest.mark.parametrize(
    "make", [lambda bad: Prediction(bad, 1), lambda bad: numbers_for(bad, "Ada"), lambda bad: check(bad, 1)]
)
@pytest.mark.parametrize("bad", [None, 5, pytest.param(10**5000, id="huge"), b"L03-P1", ["L03-P1"], np.array([1, 2])])
def test_an_id_is_text(make, bad):
    with pytest.raises(ValueError, match=r"^id: .* is not allowed; it must be like L03-[EP]1$"):
        make(bad)


NOT_COMPARABLE = [
    float("nan"),
    float("-inf"),
    10**400,
    pytest.param(-(10**5000), id="huge"),
    np.array([1, 2]),
    np.array([1]),
    np.float64("nan"),
    pd.NA,
    pd.Series([1]),
    {},
]


@pytest.mark.parametrize("bad", NOT_COMPARABLE, ids=lambda bad: type(bad).__name__)
def test_what_cannot_be_compared_is_neither_guess_nor_truth(bad):
    must = "is not allowed; it must be a finite number, a text, or a number for each of several names"
    with pytest.raises(ValueError, match=rf"(?s)^guess: .* {must}$"):
        Prediction("L03-P1", bad)
    with pytest.raises(ValueError, match=rf"(?s)^actual: .* {must}$"):
        Prediction("L03-P1", 5).reveal(bad)
    with pytest.raises(ValueError, match=rf"(?s)^guess: rev1: .* {must}$"):
        Prediction("L03-P1", {"before": 1, "rev1": bad})


@pytest.mark.parametrize("number", [np.float64(97), np.int64(97), np.array(97), np.uint8(97)])
def test_numpys_scalars_are_numbers(number):
    assert Prediction("L03-P1", number).reveal(100).text.endswith("(yours): right, within 10 %.")
    assert Prediction("L03-P1", 100).reveal(number).right
    assert Prediction("L03-P1", np.True_).reveal(True).right
