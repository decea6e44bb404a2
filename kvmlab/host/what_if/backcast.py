"""Back-cast: before anything is predicted, the recording itself is reproduced, and the two are put side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kvmlab.host.explain import Explanation
from kvmlab.host.explain.answer import joined
from kvmlab.host.inference import fits_with
from kvmlab.host.what_if.assumptions import FIELDS, Assumptions, facts_of, in_words, known_facts, with_facts
from kvmlab.host.what_if.measure import Measured
from kvmlab.host.what_if.predict import OF_TIMERS, QUANTITIES, ROUGH, Row
from kvmlab.policy import POLICIES, REVISIONS

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


class Reading(NamedTuple):
    """One way to read the recording: the host as it may have been, and what that gives."""

    host: Assumptions
    fitting: tuple[str, ...]
    """The revisions that give what was seen, on that host; () if none does on any."""
    changed: tuple[str, ...]
    """The facts that are otherwise than the reader says, or than is taken for granted."""


def readings(e: Explanation, said: Assumptions) -> Iterator[Reading]:
    """Yield the hosts on which some revision gives what was seen, the nearest to what is assumed first.

    They are the host that the reader describes, with what is known of the recorded one; and then those on which the
    fewest facts that are not known are otherwise.
    """
    known = known_facts(e)
    host = with_facts(said, known)
    free = [name for name in FIELDS if name not in known]
    found = False
    for size in range(MOST_CHANGED + 1):
        if found and size == MOST_CHANGED:
            return
        for names in itertools.combinations(free, size):
            changed = with_facts(host, {name: not getattr(host, FIELDS[name]) for name in names})
            if fitting := revisions_that_fit(e, changed):
                found = True
                yield Reading(changed, fitting, names)
    if not found:
        yield Reading(host, (), ())


def revisions_that_fit(e: Explanation, host: Assumptions) -> tuple[str, ...]:
    """Return the revisions that give everything that was seen, on this host."""
    facts = facts_of(host, e)
    return tuple(name for name in e.policy.consistent if fits_with(e.policy, POLICIES[name], facts))


def best_reading(
    e: Explanation, measured: Measured, said: Assumptions, run: Callable[[Assumptions, str], Sequence[Row]]
) -> tuple[Reading, Backcast]:
    """Return the first way to read the recording that reproduces it wholly, or else the one that misses least.

    `run`: gives the rows of a revision on a host.
    """
    best: tuple[Reading, Backcast] | None = None
    for reading in readings(e, said):
        fitting = reading.fitting or e.policy.consistent or REVISIONS
        for name in [name for name in PLAUSIBLE if name in fitting]:
            tried = Backcast(name, tuple(compared(measured, run(reading.host, name))), measured.unsure)
            if best is None or len(tried.missed) < len(best[1].missed):
                best = reading, tried
            if not tried.missed:
                return best
    assert best is not None, "there is always a reading"
    return best


def compared(measured: Measured, rows: Sequence[Row]) -> list[BackcastRow]:
    """Return what was recorded beside what the runs of a revision give."""
    found = []
    for row in rows:
        if row.quantity in measured.recorded:
            value = measured.recorded[row.quantity]
            error = math.sqrt(max(1.0, value))
            if row.unit.startswith("1/s"):
                if row.quantity in OF_TIMERS:
                    error = max(error, ROUGH * measured.timers.value)
                value, error = measured.per_second(value), measured.per_second(error)
            else:
                error = max(100 * ROUGH, 100 / math.sqrt(max(1.0, measured.timers.value)))
            within = row.low - error <= value <= row.high + error
            found.append(BackcastRow(row.quantity, value, row.central, row.low, row.high, row.unit, within))
    return found


def say_first(e: Explanation, reading: Reading, chosen: Sequence[str]) -> Iterator[str]:
    """Yield what has to be read first: where what is assumed and what was recorded do not go together."""
    seen = " ".join(observation.sentence for observation in e.policy.observations)
    if not reading.fitting:
        yield f"Recorded: {seen} No revision does that on the host as assumed: rely on none of these numbers."
        return
    if reading.changed:
        otherwise = in_words(reading.host, reading.changed)
        yield f"The host as assumed cannot have made this recording. The back-cast takes it that {otherwise}."
    others = [name for name in chosen if name in POLICIES and name not in reading.fitting]
    if others and seen:
        yield (
            f"Recorded: {seen} Of the revisions {joined(reading.fitting, last='or')} would do that, {joined(others)} "
            f"would not: what stands under {joined(others)} is not the recorded host. If the host is not as assumed, "
            "say so: hv_timer, pi_inject_timer, apicv_active, mwait_in_guest, hlt_in_guest."
        )
