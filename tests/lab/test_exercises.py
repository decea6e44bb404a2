"""Predictions say how far off they were, and a name always gets the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from kvmlab.lab.exercises import Prediction, Verdict, numbers_for
from kvmlab.lab.exercises.values import how_far, is_number, shown


@pytest.mark.parametrize(
    ("guess", "actual", "words"),
    [
        (100, 100, "right, within 2 %"),
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
