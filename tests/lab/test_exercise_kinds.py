"""A check asks for the right form, says which way a number is off, and gives no answer away."""

from __future__ import annotations

import numpy as np
import pytest

from kvmlab.lab import exercises
from kvmlab.lab.exercises import Choice, Exercise, Judged, Number, Numbers, Several

SEAL = exercises.seal_of("L00-E1", "b")
NAMES = ("CPU 0", "CPU 1", "CPU 2")
SEVERAL = exercises.seal_of("L00-E1", ["CPU 0", "CPU 2"])


def said(kind, answer):
    verdict = exercises.check("L00-E1", answer, Exercise(kind, "the count", "the reason"))
    first, checked, not_checked = verdict.text.splitlines()
    assert (checked, not_checked) == ("  Checked: the count.", "  Not checked: the reason.")
    assert first.startswith("right: " if verdict.right else "not yet: ")
    return verdict.right, first.partition(": ")[2]


@pytest.mark.parametrize(
    ("answer", "right", "words"),
    [
        (1000, True, "1,000 exits (yours)."),
        (951, True, "951 exits (yours)."),
        (900, False, "900 exits (yours) is too low."),
        (2000.0, False, "2,000 exits (yours) is too high."),
        (float("nan"), False, "nan exits (yours) is no number at all."),
        ("1000", False, "a number is asked for, and '1000' is text."),
        (True, False, "a number is asked for, and True is bool."),
        ([1000], False, "a number is asked for, and [1000] is list."),
        (float("-inf"), False, "-inf exits (yours) is too low."),
        (np.int64(951), True, "951 exits (yours)."),
        (np.array([951]), False, "a number is asked for, and array([951]) is ndarray."),
        (10**400, False, "a number up to 1.8e+308 is asked for."),
    ],
)
def test_a_number(answer, right, words):
    assert said(Number(lambda: 1000, "exits", within=0.05), answer) == (right, words)


def test_nothing_is_computed_before_there_is_an_answer():
    def fail():
        raise AssertionError

    verdict = exercises.check("L00-E1", ..., Exercise(Number(fail), "the count", "the reason"))
    assert verdict.right is None
    assert verdict.text.startswith("not answered yet. Replace ... with your answer.")


@pytest.mark.parametrize(
    ("answer", "right", "words"),
    [
        ({"before": 2, "rev1": 1}, True, "all of them."),
        ({"before": 3, "rev1": 1}, False, "before: 3 (yours) is too high."),
        ({"before": 2}, False, "a dictionary with a number for each of before and rev1 is asked for."),
        ({"before": 2, "rev1": "1"}, False, "a number for rev1 is asked for, and '1' is text."),
        (2, False, "a dictionary with a number for each of before and rev1 is asked for."),
    ],
)
def test_several_numbers(answer, right, words):
    assert said(Numbers(lambda: {"before": 2, "rev1": 1}), answer) == (right, words)


@pytest.mark.parametrize(
    ("answer", "right", "words"),
    [
        ("b", True, "'b' (yours)."),
        (" B ", True, "' B ' (yours)."),
        ("a", False, "'a' (yours)."),
        ("d", False, "one of 'a', 'b' and 'c' is asked for."),
        (1, False, "one of 'a', 'b' and 'c' is asked for."),
    ],
)
def test_a_choice(answer, right, words):
    assert said(Choice(("a", "b", "c"), SEAL), answer) == (right, words)


def test_a_word():
    assert said(Choice((), SEAL), "b") == (True, "'b' (yours).")
    assert said(Choice((), SEAL), 5) == (False, "a text is asked for.")


@pytest.mark.parametrize(
    ("answer", "right", "words"),
    [
        (["CPU 0", "CPU 2"], True, "CPU 0, CPU 2 (yours)."),
        (("cpu 2", "CPU 0"), True, "cpu 2, CPU 0 (yours)."),
        (["CPU 0"], False, "CPU 0 (yours): 1 of 1 belongs in the list; 1 is missing."),
        (["CPU 1"], False, "CPU 1 (yours): 0 of 1 belong in the list; 2 are missing."),
        (["cpu 0 ", "CPU 1"], False, "cpu 0 , CPU 1 (yours): 1 of 2 belongs in the list; 1 is missing."),
        (["CPU 0", "CPU 0"], False, "CPU 0, CPU 0 (yours): 1 of 1 belongs in the list; 1 is missing."),
        (NAMES, False, "CPU 0, CPU 1, CPU 2 (yours): 2 of 3 belong in the list; none is missing."),
        ([], False, "none of them (yours): 2 are missing."),
        ("CPU 0", False, "a list of some of 'CPU 0', 'CPU 1' and 'CPU 2' is asked for."),
        (["CPU 7"], False, "a list of some of 'CPU 0', 'CPU 1' and 'CPU 2' is asked for."),
    ],
)
def test_several_names(answer, right, words):
    assert said(Several(NAMES, SEVERAL), answer) == (right, words)


@pytest.mark.parametrize(
    ("right", "answer", "counts"),
    [
        ([], ["CPU 1", "CPU 2"], "0 of 2 belong in the list; none is missing."),
        (NAMES, [], "3 are missing."),
        (NAMES, ["CPU 0", "CPU 1"], "2 of 2 belong in the list; 1 is missing."),
    ],
)
def test_several_names_of_which_all_are_right_or_none(right, answer, counts):
    kind = Several(NAMES, exercises.seal_of("L00-E1", right))
    assert said(kind, right)[0]
    assert said(kind, answer) == (False, f"{', '.join(answer) or 'none of them'} (yours): {counts}")


def test_a_seal_that_no_list_has_counts_nothing():
    assert said(Several(NAMES, "00000000"), ["CPU 1"]) == (False, "CPU 1 (yours).")


def test_something_that_is_tried_out():
    kind = Judged("a function of one number", lambda f: f(2) == 4 or f"f(2) is {f(2)}.")
    assert said(kind, lambda n: n * n) == (True, "a function of one number.")
    assert said(kind, lambda n: n) == (False, "f(2) is 2.")
    assert said(Judged("a function", lambda f: False), print) == (False, "a function.")
    right, words = said(kind, 7)
    assert right is False
    assert words.startswith("your answer could not be checked (TypeError: ")


def test_an_exercise_that_the_course_does_not_have_is_refused():
    with pytest.raises(ValueError, match="'L77-E1' is not allowed: the course has no such lesson"):
        exercises.check("L77-E1", 1)
    with pytest.raises(ValueError, match="it must be like L03-E1"):
        exercises.check("E1", 1)


def test_a_seal_is_another_one_in_another_exercise():
    assert exercises.seal_of("L00-E2", "b") != SEAL


class Panel:
    """What `check` asks of a panel."""

    def __init__(self, vcpus: int, moved: bool) -> None:
        self.settings = {"vcpus": vcpus}
        self.moved = moved


def four(panel: Panel) -> bool | str:
    vcpus = panel.settings["vcpus"]
    return vcpus == 4 or f"vcpus is {vcpus}, {'more' if vcpus < 4 else 'less'} is needed."


def test_what_is_set_on_a_panel_is_an_answer():
    kind = Judged("four vCPUs", four)
    assert said(kind, Panel(4, moved=True)) == (True, "four vCPUs.")
    assert said(kind, Panel(2, moved=True)) == (False, "vcpus is 2, more is needed.")
    untouched = exercises.check("L00-E1", Panel(4, moved=False), Exercise(kind, "the count", "the reason"))
    assert untouched.right is None
    assert "Move the controls of the panel first." in untouched.text
