"""The kinds of answers that an exercise may ask for, and what is said about each.

A kind refuses an answer of another form ("a number is asked for"), says in which direction a number is off, and does
not hold the answer in plain sight: a number is computed when it is asked for, a choice is sealed.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kvmlab.lab.exercises.seals import plain, seal_of
from kvmlab.lab.exercises.values import close, is_number, shown
from kvmlab.lab.words import names_of
from kvmlab.scenario import checks


class WrongForm(ValueError):
    """An answer is not of the form that is asked for; the message says which is."""


class Kind(Protocol):
    """A kind of answer."""

    def judge(self, exercise_id: str, answer: Any) -> tuple[bool, str]:
        """Return whether an answer will do, and what is said of it. WrongForm if it has another form."""
        ...


@dataclass(frozen=True)
class Exercise:
    """What is asked, and what a check says of an answer and leaves open, in words."""

    kind: Kind
    checked: str
    not_checked: str


@dataclass(frozen=True)
class Number:
    """A number; `actual` computes it when an answer is checked."""

    actual: Callable[[], float]
    unit: str = ""
    within: float = 0.0
    """The share of it by which an answer may differ: 0.05 is 5 %."""

    def judge(self, exercise_id: str, answer: Any) -> tuple[bool, str]:
        """Return whether the number is close enough, and in which direction it is off."""
        yours = number("a number", answer)
        off = direction(yours, self.actual(), self.within)
        return not off, f"{shown(yours, self.unit)} (yours){f' is {off}' if off else ''}."


@dataclass(frozen=True)
class Numbers:
    """A number for each of several names; `actual` computes them."""

    actual: Callable[[], Mapping[str, float]]
    unit: str = ""
    within: float = 0.0
    """The share of each by which an answer may differ."""

    def judge(self, exercise_id: str, answer: Any) -> tuple[bool, str]:
        """Return whether each number is close enough, and which are off, and in which direction."""
        actual = self.actual()
        if not isinstance(answer, Mapping) or {*answer} != {*actual}:
            raise WrongForm(f"a dictionary with a number for each of {names_of(list(actual))} is asked for")
        yours = {name: number(f"a number for {name}", answer[name]) for name in actual}
        off = {name: direction(yours[name], actual[name], self.within) for name in actual}
        wrong = [f"{name}: {shown(yours[name], self.unit)} (yours) is {said}" for name, said in off.items() if said]
        return not wrong, f"{'; '.join(wrong) or 'all of them'}."


@dataclass(frozen=True)
class Choice:
    """One of some choices, or, if there are none, a word; sealed."""

    choices: Sequence[str]
    seal: str
    """What `kvmlab.exercises.seal_of` returns for the right one."""

    def judge(self, exercise_id: str, answer: Any) -> tuple[bool, str]:
        """Return whether the choice has the seal."""
        if not isinstance(answer, str) or (self.choices and plain(answer) not in map(plain, self.choices)):
            raise WrongForm(f"one of {quoted(self.choices)} is asked for" if self.choices else "a text is asked for")
        return seal_of(exercise_id, answer) == self.seal, f"{answer!r} (yours)."


@dataclass(frozen=True)
class Several:
    """Some of several names, in any order; sealed."""

    names: Sequence[str]
    """Few: what a wrong list is told is found by trying all lists."""
    seal: str

    def judge(self, exercise_id: str, answer: Any) -> tuple[bool, str]:
        """Return whether these names together have the seal, and if not, how many of them belong, and are missing."""
        given = None if isinstance(answer, str) or not isinstance(answer, Iterable) else [*answer]
        if given is None or not {plain(each) for each in given} <= {*map(plain, self.names)}:
            raise WrongForm(f"a list of some of {quoted(self.names)} is asked for")
        listed = f"{', '.join(map(str, given)) or 'none of them'} (yours)"
        if seal_of(exercise_id, given) == self.seal:
            return True, f"{listed}."
        right = self.sealed(exercise_id)
        return False, f"{listed}." if right is None else f"{listed}: {counts({*map(plain, given)}, right)}."

    def sealed(self, exercise_id: str) -> set[str] | None:
        """Return the names that together have the seal; None if no list of them has it."""
        lists = (some for size in range(len(self.names) + 1) for some in itertools.combinations(self.names, size))
        return next(({*map(plain, some)} for some in lists if seal_of(exercise_id, some) == self.seal), None)


@dataclass(frozen=True)
class Judged:
    """Something that is tried out: a panel that was moved, a function, a scenario."""

    asks: str
    """What is asked for, in words: "the panel above with its controls moved"."""
    judge_it: Callable[[Any], bool | str]
    """Return True, or a sentence that says what is missing."""

    def judge(self, exercise_id: str, answer: Any) -> tuple[bool, str]:
        """Return what the judge says."""
        said = self.judge_it(answer)
        return said is True, said if isinstance(said, str) else f"{self.asks}."


def number(what: str, answer: Any) -> float:
    """Return an answer that is a number. WrongForm if it is text, a truth value or something else, or far too large."""
    if not is_number(answer):
        told = "text" if isinstance(answer, str) else type(answer).__name__
        raise WrongForm(f"{what} is asked for, and {checks.shown(answer)} is {told}")
    try:
        return float(answer)
    except OverflowError:
        raise WrongForm(f"{what} up to {sys.float_info.max:.2g} is asked for") from None


def direction(value: float, actual: float, within: float) -> str:
    """Return "too low" or "too high", "no number at all" for NaN, or nothing for a number that is close enough.

    >>> direction(4, 5, 0.1), direction(5.2, 5, 0.1)
    ('too low', '')
    """
    if value != value:
        return "no number at all"
    return "" if close(value, actual, within) else "too low" if value < actual else "too high"


def counts(given: set[str], right: set[str]) -> str:
    """Return how many names of a list belong in it, and how many are missing, but not which.

    >>> counts({"a", "b", "c"}, {"a", "d", "e"})
    '1 of 3 belongs in the list; 2 are missing'
    """
    belong, missing = len(given & right), len(right - given)
    absent = f"{missing or 'none'} {'is' if missing < 2 else 'are'} missing"
    kept = f"{belong} of {len(given)} {'belongs' if belong == 1 else 'belong'} in the list; "
    return f"{kept if given else ''}{absent}"


def quoted(names: Sequence[str]) -> str:
    """Return names in quotes, as a list in words."""
    return names_of([repr(name) for name in names])
