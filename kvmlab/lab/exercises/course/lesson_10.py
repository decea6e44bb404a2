"""Exercises of lesson 10."""

from __future__ import annotations

from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.exercises.kinds import Exercise, Judged, Numbers, WrongForm
from kvmlab.lab.words import names_of
from kvmlab.results.follow import follow_timer
from kvmlab.results.per_guest import compare_guests
from kvmlab.scenario.example import three_guests
from kvmlab.scenario.variants import variant

WRITES = 5
"""Deadlines that the vCPU of L10-E1 writes for each one that expires."""
NOTICED_US = 20.0
"""Guest time per vCPU per second that counts as help or harm."""
KERNEL = "v6.18"


def exits_saved() -> dict[str, float]:
    """Follow one timer by each way on x86, and return the share of a vCPU's exits that each design saves, in percent.

    On arm64, before GICv5, no write exits and each expiry does.
    """
    by_hv = follow_timer("v5.18")
    posted = follow_timer("v5.18", hlt_in_guest=True)
    exits = {story: WRITES + (story.expiry_exit is not None) for story in (by_hv, posted)}
    return {
        "posting": 100 * (1 - exits[posted] / exits[by_hv]),
        "arm64": 100 * (1 - 1 / exits[by_hv]),
    }


def names_whom_it_helps_and_hurts(answer: Any) -> bool | str:
    """Return True if a line helps a guest, and helps and hurts those who are named; else what the simulation says."""
    if not isinstance(answer, dict) or {*answer} != {"line", "helps", "hurts"} or not callable(answer["line"]):
        raise WrongForm(
            'a dictionary with a function "line" and two lists of guests, "helps" and "hurts", is asked for'
        )
    cast = three_guests(KERNEL)
    guests = [guest.name for guest in cast.guests]
    named = {key: {*answer[key]} for key in ("helps", "hurts")}
    if not (named["helps"] | named["hurts"]) <= {*guests}:
        raise WrongForm(f"only {names_of(guests)} can be named")
    lost = compare_guests(cast, [KERNEL, variant(KERNELS[KERNEL], answer["line"])])["lost us"]
    more = {guest: lost[guest].iloc[1] - lost[guest].iloc[0] for guest in guests}
    found = {
        "helps": {guest for guest in guests if more[guest] < -NOTICED_US},
        "hurts": {guest for guest in guests if more[guest] > NOTICED_US},
    }
    if not found["helps"]:
        return "It helps none of the three."
    wrong = [key for key in ("helps", "hurts") if found[key] != named[key]]
    return not wrong or f"Whom it {' and whom it '.join(wrong)} is not as you say."


EXERCISES = {
    "L10-E1": Exercise(
        Numbers(exits_saved, "%", within=0.02),
        checked="both shares within 2 %",
        not_checked="what one exit costs on each machine: they are different machines",
    ),
    "L10-E2": Exercise(
        Judged("the line helps somebody, and you named all who gain or pay", names_whom_it_helps_and_hurts),
        checked="the three guests under your line and under rev 3, in v6.18, by simulation; 20 us per second count",
        not_checked="all other guests, and your commit message: read it to somebody",
    ),
}
