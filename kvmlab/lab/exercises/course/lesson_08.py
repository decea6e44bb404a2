"""Exercises of lesson 08."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kvmlab.lab.exercises.kinds import Exercise, Judged, WrongForm
from kvmlab.lab.panels.lab import Lab
from kvmlab.policy import POLICIES, REVISIONS, table_bits, truth_table
from kvmlab.results.per_guest import by_guest

SENTENCES = 3
LEAST_WORDS = 20
VICTIM = ("hurt", "lose", "lost", "pay", "paid", "victim", "cost", "worse", "harm", "suffer", "expense")


def better_not_to_try(panel: Any) -> bool | str:
    """Judge a lab: under "before" and rev 3 the guest loses less than under rev 1 and rev 2."""
    if not isinstance(panel, Lab):
        raise WrongForm("Panel 08-1 is asked for: panel")
    lost = {name: float(by_guest(run)["lost us"].mean()) for name, run in panel.runs.items() if name in REVISIONS}
    worst = max(("before", "rev3"), key=lambda name: lost[name])
    best = min(("rev1", "rev2"), key=lambda name: lost[name])
    told = f"{worst} loses {lost[worst]:,.0f} µs per vCPU per second, {best} {lost[best]:,.0f} µs."
    return bool(lost[worst] < lost[best]) or told


def hurt_most(table: pd.DataFrame, policy: str) -> str:
    """Return the guest on which a policy has its largest regret, of a table by `capstone.verdicts`; "none" if none."""
    regret = table["regret"].xs(policy, level="kernel")
    worst: Any = regret.idxmax()
    return str(worst[1]) if regret[worst] > 0 else "none"


def defended(answer: Any) -> bool | str:
    """Judge a policy by its answers, which must be no revision's, and its defence by its form."""
    if not isinstance(answer, dict) or {*answer} != {"policy", "defence"} or not callable(answer["policy"]):
        raise WrongForm('a dictionary with your function "policy" and a text "defence" is asked for')
    answers = truth_table(answer["policy"])
    if answers.query("not (pi_inject_timer and apicv_active)")["can_post_timer_interrupt"].any():
        return "it posts where the host's switch or APICv is off."
    same = [name for name, policy in POLICIES.items() if table_bits(policy) == table_bits(answer["policy"])]
    if same:
        return f"it answers as {same[0]} does."
    text = answer["defence"]
    if not isinstance(text, str) or sum(map(text.count, ".!?")) < SENTENCES or len(text.split()) < LEAST_WORDS:
        return f"three sentences with at least {LEAST_WORDS} words are asked for."
    return any(word in text.lower() for word in VICTIM) or "it does not say who is hurt."


EXERCISES = {
    "L08-E1": Exercise(
        Judged("before and rev 3 lose less than rev 1 and rev 2", better_not_to_try),
        checked="the settings of the panel, by simulation",
        not_checked="whether such a host is common",
    ),
    "L08-E2": Exercise(
        Judged("a line that no revision has, three sentences, and somebody pays", defended),
        checked="the answers to all 32 inputs; the number of sentences and words, and that it speaks of who is hurt",
        not_checked="whether it is good: read it to somebody",
    ),
}
