"""Exercises of lesson 09."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlab import data
from kvmlab.host.explain import explain
from kvmlab.lab.exercises.kinds import Exercise, Judged, WrongForm
from kvmlab.lab.words import names_of

FACTS = ("hv_timer", "apicv_active", "mwait_in_guest", "hlt_in_guest")
"""What a reader may ask the owner of the host for."""
TIMERS = 1000
"""So many were armed while the tables of the lesson were recorded."""
WAYS = (
    "the preemption timer, with an exit each",
    "an hrtimer, with an exit each",
    "an hrtimer, and the interrupt was posted",
)


def who_fired(samples: Mapping[str, int]) -> str:
    """Return which of WAYS fired most of the timers of a whole exit table: what made no exit was posted."""
    hv, interrupts = (samples.get(reason, 0) for reason in ("PREEMPTION_TIMER", "EXTERNAL_INTERRUPT"))
    fired = dict(zip(WAYS, (hv, interrupts, TIMERS - hv - interrupts), strict=True))
    return max(fired, key=lambda way: fired[way])


def listing() -> str:
    """Return the listing of the lesson, without its file's name."""
    return sorted(data.path("recorded").glob("vmx-*.txt"))[2].read_text()


def decides(answer: Any) -> bool | str:
    """Return True if this fact, with the parameter on, leaves exactly rev 2; else what it leaves."""
    if not isinstance(answer, dict) or len(answer) != 1 or not {*answer} <= {*FACTS}:
        raise WrongForm(f"a dictionary with one of {names_of(list(FACTS))} is asked for")
    if not isinstance(next(iter(answer.values())), bool):
        raise WrongForm("True or False is asked for behind the name")
    try:
        left = explain(listing(), pi_inject_timer=True, **answer).policy.consistent
    except ValueError as error:
        return f"The recording contradicts this fact: {error}"
    if not left:
        return "No revision could have done this then: the recording speaks against it."
    return left == ("rev2",) or f"This leaves {names_of(list(left))}."


def leaves_the_trace(panel: Any) -> bool | str:
    """Return True if the stage's timer is an hrtimer of the housekeeping CPU that costs an exit; else what it is."""
    story = panel.story
    if story.backend != "hrtimer":
        return "No hrtimer was armed."
    if story.fires_on != "housekeeping":
        return "The hrtimer did not fire on the housekeeping CPU."
    return story.expiry_exit == "EXTERNAL_INTERRUPT" or "No exit came at the deadline."


EXERCISES = {
    "L09-E1": Exercise(
        Judged("one fact, and rev 2 is all that is left", decides),
        checked="which revisions the listing allows with your fact, by kvmlab.explain",
        not_checked="where on the host you would look it up",
    ),
    "L09-E2": Exercise(
        Judged("the stage's timer leaves this trace", leaves_the_trace),
        checked="what armed the timer, which CPU fired it, and the exit at the deadline",
        not_checked="whether that host was set as your stage is",
    ),
}
