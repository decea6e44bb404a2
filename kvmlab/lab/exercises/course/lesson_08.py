"""Exercises of lesson 08."""

from __future__ import annotations

from typing import Any

from kvmlab.lab.exercises.kinds import Exercise, Judged, WrongForm
from kvmlab.lab.panels.lab import Lab
from kvmlab.policy import REVISIONS, truth_table
from kvmlab.results.per_guest import by_guest, compare_guests
from kvmlab.scenario.example import three_guests

NONE_AT_DEADLINES = 5
"""Fewer exits than so many a second are those of the first timers, not of the policy."""
NO_MORE = 1.01
LEAST_WORDS = 20
VICTIM = ("hurt", "lose", "lost", "pay", "paid", "victim", "cost", "worse", "harm", "suffer", "expense")


def doing_nothing_wins(panel: Any) -> bool | str:
    """Judge a lab: under "before" the guest loses less than under every revision."""
    if not isinstance(panel, Lab):
        raise WrongForm("Panel 08-1 is asked for: panel")
    lost = {name: float(by_guest(run)["lost us"].mean()) for name, run in panel.runs.items() if name in REVISIONS}
    before = lost.pop("before")
    best = min(lost, key=lambda name: lost[name])
    return (
        bool(before < lost[best]) or f"{best} loses {lost[best]:,.0f} us per vCPU per second, before {before:,.0f} us."
    )


def spares_all_three(policy: Any) -> bool | str:
    """Judge a policy on the host with the three guests."""
    if not callable(policy):
        raise WrongForm("a function of the facts is asked for: my_policy")
    answers = truth_table(policy)
    if answers.query("not (pi_inject_timer and apicv_active)")["can_post_timer_interrupt"].any():
        return "it posts where the host's switch or APICv is off."
    host = three_guests(duration_s=1)
    table = compare_guests(host, ["before", host.kernel.with_policy("this", policy)])
    exits, lost = table["deadline exits"].to_dict(), table["lost us"].to_dict()
    for guest in ("database", "poller"):
        if exits[guest, "this"] >= NONE_AT_DEADLINES:
            return f"the {guest} still has {exits[guest, 'this']:,.0f} exits a second at its deadlines."
    now, before = lost["ordinary", "this"], lost["ordinary", "before"]
    return bool(now <= NO_MORE * before) or f"the ordinary guest loses {now:,.0f} us a second; before, {before:,.0f}."


def defended(text: Any) -> bool | str:
    """Judge a defence by its form: three sentences, and somebody who pays."""
    if not isinstance(text, str):
        raise WrongForm("a text is asked for, in quotes")
    if sum(text.count(mark) for mark in ".!?") < 3 or len(text.split()) < LEAST_WORDS:
        return f"three sentences with at least {LEAST_WORDS} words are asked for."
    return any(word in text.lower() for word in VICTIM) or "it does not say who is hurt."


EXERCISES = {
    "L08-E1": Exercise(
        Judged("before loses the least guest time", doing_nothing_wins),
        checked="the settings of the panel, by simulation",
        not_checked="whether such a host is common",
    ),
    "L08-E2": Exercise(
        Judged("all three guests are spared", spares_all_three),
        checked="all inputs with the switch or APICv off; the three guests on our host, by simulation",
        not_checked="any other host: those come next",
    ),
    "L08-E3": Exercise(
        Judged("three sentences, and somebody pays", defended),
        checked="the number of sentences and words, and that it speaks of who is hurt",
        not_checked="whether it is good: read it to somebody",
    ),
}
