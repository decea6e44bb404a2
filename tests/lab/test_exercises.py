"""Checks say what they checked, predictions say how far off they were, and an open answer fails nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvmlab.lab.exercises import check, numbers_for, predict, seal_of, sealed
from kvmlab.lab.exercises.values import how_far, is_number, shown
from kvmlab.lab.exercises.verdict import Verdict

SCOPE: Any = {"checked": "the count", "not_checked": "the reason"}


@pytest.mark.parametrize(
    ("answer", "expected", "tolerance", "right"),
    [
        (2, 2, 0, True),
        (2.0, 2, 0, True),
        (np.int64(2), 2, 0, True),
        (2.1, 2, 0.02, False),
        (2.03, 2, 0.02, True),
        (0.01, 0, 0.02, True),
        ("HLT", "HLT", 0, True),
        ("hlt", "HLT", 0, False),
        ("2", 2, 0, False),
        (True, 1, 0, False),
        (None, 2, 0, False),
        (float("nan"), 2, 0.5, False),
        (7, lambda n: n % 2 == 1, 0, True),
    ],
)
def test_check(answer, expected, tolerance, right):
    verdict = check("L00-E1", answer, expected=expected, tolerance=tolerance, **SCOPE)
    assert verdict.right is right
    assert "Checked: the count." in repr(verdict)
    assert "Not checked: the reason." in repr(verdict)
    assert ("right" in verdict.text) == right


def test_an_open_answer_is_neither_right_nor_wrong():
    verdict = check("L00-E1", ..., expected=2, **SCOPE)
    assert verdict.right is None
    assert repr(verdict).startswith("L00-E1: not answered yet.")


def test_a_check_that_stumbles_over_an_answer_says_so():
    verdict = check("L00-E1", "two", expected=lambda n: n / 2 == 1, **SCOPE)
    assert verdict.right is False
    assert "TypeError" in verdict.text


@pytest.mark.parametrize("bad", ["E1", "L3-E1", "L03-P1", "L03-E", ""])
def test_ids_have_a_stable_form(bad):
    with pytest.raises(ValueError, match="id: "):
        check(bad, 1, expected=1, **SCOPE)


def test_a_sealed_answer_forgives_case_and_blanks():
    seal = seal_of("L00-E2", "b")
    assert seal != seal_of("L00-E3", "b")
    assert [sealed("L00-E2", seal)(answer) for answer in ("b", " B ", "a")] == [True, True, False]


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
    verdict = predict("L03-P3", 50, unit="us").reveal(106.09, origin="published")
    assert repr(verdict) == (
        "L03-P3: it is 106.1 us (published); you predicted 50 us (yours): a factor of 2.12 too low."
    )
    assert predict("L03-P5", "up").reveal("up") == Verdict(
        "L03-P5", True, "it is 'up' (simulated); you predicted 'up' (yours): right."
    )


def test_no_prediction_fails_nothing():
    open_one = predict("L03-P3", ..., unit="us")
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


class Panel:
    """What `check` asks of a panel."""

    def __init__(self, vcpus: int, moved: bool) -> None:
        self.settings = {"vcpus": vcpus}
        self.moved = moved

    def __repr__(self) -> str:
        return f"Panel: {self.settings}"


def four(panel: Panel) -> bool | str:
    vcpus = panel.settings["vcpus"]
    return vcpus == 4 or f"vcpus is {vcpus}, {'more' if vcpus < 4 else 'less'} is needed."


def test_what_is_set_on_a_panel_is_an_answer():
    verdict = check("L00-E1", Panel(4, moved=True), expected=four, **SCOPE)
    assert verdict.right is True
    assert repr(verdict).startswith("L00-E1: right: Panel: {'vcpus': 4} (yours).\n")


def test_a_check_says_what_is_missing():
    verdict = check("L00-E1", Panel(2, moved=True), expected=four, **SCOPE)
    assert verdict.right is False
    assert "not yet: Panel: {'vcpus': 2} (yours). vcpus is 2, more is needed.\n" in verdict.text


def test_a_panel_that_nobody_has_moved_is_no_answer():
    verdict = check("L00-E1", Panel(4, moved=False), expected=four, **SCOPE)
    assert verdict.right is None
    assert "Move the controls of the panel first." in verdict.text
