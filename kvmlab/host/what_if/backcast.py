"""Back-cast: before anything is predicted, the recording itself is reproduced, and the two are put side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from kvmlab.host.explain import Explanation
from kvmlab.host.explain.answer import joined
from kvmlab.host.inference import fits_with
from kvmlab.host.what_if.assumptions import FIELDS, Assumptions, facts_of, in_words, known_facts
from kvmlab.host.what_if.measure import Measured
from kvmlab.host.what_if.predict import QUANTITIES, Row
from kvmlab.policy import POLICIES

MOST_CHANGED = 2
"""As many facts may be other than assumed, where no revision gives what was recorded with those assumed."""
PLAUSIBLE = ("rev3", "rev1", "before", "rev2")
"""The revisions, those first that more hosts run: rev 2 was never merged."""
RESTS_ON = {
    "expiry exits": ("PREEMPTION_TIMER", "EXTERNAL_INTERRUPT"),
    "posted": ("PREEMPTION_TIMER", "EXTERNAL_INTERRUPT"),
    "time taken from the guest": ("exits",),
}
"""Quantities that a table does not have, and what has to be reproduced for them to be right."""


class BackcastRow(NamedTuple):
    """One quantity, recorded and reproduced; columns of `WhatIf.backcast`."""

    quantity: str
    recorded: float
    reproduced: float
    low: float
    high: float
    unit: str
    within: bool
    """The recorded value lies within the reproduced range, give or take the counting error of the recording."""


class Backcast(NamedTuple):
    """What the recorded host does in the simulation, under the revision that gives the recording best."""

    revision: str
    """The revision under which it was reproduced."""
    rows: tuple[BackcastRow, ...]
    unsure: bool
    """The recording leaves out too much for any prediction."""

    @property
    def missed(self) -> tuple[str, ...]:
        """The quantities that are not reproduced."""
        return tuple(row.quantity for row in self.rows if not row.within)

    @property
    def doubtful(self) -> tuple[str, ...]:
        """The quantities whose predictions cannot be relied on: those missed, and those that rest on them."""
        if self.unsure:
            return tuple(QUANTITIES)
        return tuple(
            name for name in QUANTITIES if name in self.missed or set(RESTS_ON.get(name, ())) & set(self.missed)
        )


def recorded_host(e: Explanation, said: Assumptions) -> tuple[Assumptions, tuple[str, ...], tuple[str, ...]]:
    """Return the host that was recorded, which revisions give what was seen there, and which facts were changed.

    It is the host that the reader describes, with what is known of the recorded one. Where no revision gives what was
    seen, the fewest facts that are not known are taken to be otherwise.
    """
    known = known_facts(e)
    host = replace(said, **{field: known[name] for name, field in FIELDS.items() if name in known})
    free = [name for name in FIELDS if name not in known]
    for size in range(MOST_CHANGED + 1):
        for names in itertools.combinations(free, size):
            changed = replace(host, **{FIELDS[name]: not getattr(host, FIELDS[name]) for name in names})
            if fitting := revisions_that_fit(e, changed):
                return changed, fitting, names
    return host, (), ()


def revisions_that_fit(e: Explanation, host: Assumptions) -> tuple[str, ...]:
    """Return the revisions that give everything that was seen, on this host."""
    facts = facts_of(host, e)
    return tuple(name for name in e.policy.consistent if fits_with(e.policy, POLICIES[name], facts))


def backcast_of(measured: Measured, revisions: Sequence[str], run: Callable[[str], Sequence[Row]]) -> Backcast:
    """Return how the recording is reproduced, under the revision that does it best; of equals, the likeliest.

    `run`: gives the rows of a revision on the recorded host.
    """
    order = [name for name in PLAUSIBLE if name in revisions]
    tried = [Backcast(name, tuple(compared(measured, run(name))), measured.unsure) for name in order]
    return min(tried, key=lambda each: len(each.missed))


def compared(measured: Measured, rows: Sequence[Row]) -> list[BackcastRow]:
    """Return what was recorded beside what the runs of a revision give."""
    found = []
    for row in rows:
        if row.quantity in measured.recorded:
            value = measured.recorded[row.quantity]
            error = math.sqrt(max(1.0, value))
            if row.unit.startswith("1/s"):
                value, error = measured.per_second(value), measured.per_second(error)
            else:
                error = 100 / math.sqrt(max(1.0, measured.timers.value))
            within = row.low - error <= value <= row.high + error
            found.append(BackcastRow(row.quantity, value, row.central, row.low, row.high, row.unit, within))
    return found


def say_first(
    e: Explanation, changed: Sequence[str], fitting: Sequence[str], chosen: Sequence[str], host: Assumptions
) -> Iterator[str]:
    """Yield what has to be read first: where what is assumed and what was recorded do not go together."""
    seen = " ".join(observation.sentence for observation in e.policy.observations)
    if not fitting:
        yield f"Recorded: {seen} No revision does that on the host as assumed: rely on none of these numbers."
        return
    if changed:
        otherwise = in_words(host, changed)
        yield f"Recorded: {seen} No revision does that on the host as assumed, so it is taken that {otherwise}."
    others = [name for name in chosen if name in POLICIES and name not in fitting]
    if others and seen:
        yield (
            f"Recorded: {seen} On the host as assumed {joined(fitting, last='or')} would do that, and {joined(others)} "
            f"would not: what stands under {joined(others)} is not the recorded host. If the host is not as assumed, "
            "say so: hv_timer, pi_inject_timer, apicv_active, mwait_in_guest, hlt_in_guest."
        )
