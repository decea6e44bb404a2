"""The rounds of "you are KVM": who may fire a timer, whose timers come, and in which order."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from kvmlab.lab.panels.controls import Settings, Value, slider
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.world import World
from kvmlab.scenario.scenario import Scenario

CHOICES: Mapping[str, dict[str, Any]] = {
    "preemption timer": {"phrase": "the preemption timer", "policy": "before", "settings": {}},
    "own hrtimer": {
        "phrase": "an hrtimer of its own pCPU",
        "policy": "before",
        "settings": {"hv_timer": False, "timer_migration": False},
    },
    "housekeeping CPU": {"phrase": "the housekeeping CPU", "policy": "rev1", "settings": {"hv_timer": False}},
}
"""Who may fire the timer: the policy, and what else of the settings makes KVM try just that. It may be refused."""

CAST: Mapping[str, dict[str, Value]] = {
    "the database": {"hlt_in_guest": True},
    "the poller": {},
    "the ordinary guest": {"pcpu": "housekeeping"},
    "the cpu-pm guest": {"pcpu": "housekeeping", "hlt_in_guest": True, "mwait_in_guest": True},
}
"""The guests: what of the settings they bring with them."""
OPEN, CLOSED = {"housekeeping_next_event_ns": 1_000_000}, {"housekeeping_next_event_ns": 5_000_000}
"""The housekeeping CPU's next timer comes before the deadline, or after it."""
ASLEEP, AWAY = {"vcpu_at_expiry": "blocked"}, {"vcpu_at_expiry": "preempted"}
OLD_CPU, AMD, NOT_SET = {"apicv_active": False}, {"hv_timer": False}, {"pi_inject_timer": False}


def case(guest: str, *changes: Mapping[str, Value], deadline_ns: int = 2_000_000) -> dict[str, Any]:
    """Return a case: whose timer it is, and all settings of the world of one timer."""
    settings: dict[str, Value] = {**CAST[guest], "deadline_ns": deadline_ns}
    for change in changes:
        settings |= change
    return {"guest": guest, "settings": TIMER.complete(settings)}


CASES = (
    case("the database", OPEN),
    case("the database", OPEN, deadline_ns=20_000_000),
    case("the database", CLOSED),
    case("the database", OPEN, AMD),
    case("the database", CLOSED, deadline_ns=200_000),
    case("the database", OPEN, OLD_CPU),
    case("the poller", OPEN),
    case("the poller", OPEN, deadline_ns=5_000_000),
    case("the poller", CLOSED),
    case("the poller", OPEN, OLD_CPU),
    case("the poller", OPEN, OLD_CPU, AMD),
    case("the poller", OPEN, NOT_SET),
    case("the poller", CLOSED, deadline_ns=500_000),
    case("the ordinary guest", OPEN),
    case("the ordinary guest", OPEN, ASLEEP),
    case("the ordinary guest", CLOSED, ASLEEP),
    case("the ordinary guest", CLOSED),
    case("the ordinary guest", OPEN, AWAY),
    case("the ordinary guest", CLOSED, AMD),
    case("the cpu-pm guest", OPEN),
    case("the cpu-pm guest", CLOSED, deadline_ns=200_000),
)
SEEDS = range(20)
ROUNDS = 8


def drawn(seed: int, rounds: int = ROUNDS) -> list[int]:
    """Return the cases of a game, as positions in `CASES`: none twice, and each guest if there is room."""
    draws = random.Random(seed)
    order = draws.sample(range(len(CASES)), len(CASES))
    one_each = [next(i for i in order if CASES[i]["guest"] == guest) for guest in draws.sample(list(CAST), len(CAST))]
    chosen = [*one_each, *(i for i in order if i not in one_each)][:rounds]
    return draws.sample(chosen, rounds)


def scenario_of(settings: Settings) -> Scenario:
    """Return the host on which the game starts; what happens in a round is a case's affair."""
    return TIMER.scenario({})


GAME = World({"seed": slider("seed", SEEDS, 0)}, scenario_of, arguments=("seed",))
