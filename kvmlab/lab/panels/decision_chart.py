"""The world of the decision: five facts and a revision; and the flow chart of who fires the timer.

The chart is data: questions that lead from one to the next, and four ends. The browser walks it, and so does Python
(`walk`); a test holds it to `kvmlab.policy.can_use_hv_timer` and to what the model does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.controls import Control, Settings, choice, switch
from kvmlab.lab.panels.simulation import HOST, MACHINERY
from kvmlab.lab.panels.world import World
from kvmlab.model.names import Exit, Place
from kvmlab.policy import POLICIES, REVISIONS
from kvmlab.results.follow import EXPIRY_EXITS
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import variant

CONTROLS: Mapping[str, Control] = {
    "pi_inject_timer": switch("pi_inject_timer", True),
    "apicv_active": switch("apicv_active", True),
    "housekeeping_cpu": switch("housekeeping_cpu", False),
    "mwait_in_guest": switch("mwait_in_guest", False),
    "hlt_in_guest": switch("hlt_in_guest", False),
    "hv_timer": switch("the preemption timer exists", True),
    "revision": choice("revision", REVISIONS, "rev1"),
}
"""The fields of `VcpuFacts`, whether there is a preemption timer, and whose way the flow chart shows."""


def scenario_of(settings: Settings) -> Scenario:
    """Return four vCPUs of which these facts hold, under this revision; the housekeeping CPU has timers of its own."""
    host: Settings = {
        "housekeeping": "timers",
        "vcpus_on": "housekeeping pCPUs" if settings["housekeeping_cpu"] else "isolated pCPUs",
        "apicv": settings["apicv_active"],
        "preemption_timer": settings["hv_timer"],
        **{name: settings[name] for name in ("pi_inject_timer", "mwait_in_guest", "hlt_in_guest")},
    }
    return HOST.scenario(host).replace(kernel=variant(KERNELS[MACHINERY], str(settings["revision"])))


FACTS = World(CONTROLS, scenario_of)


@dataclass(frozen=True)
class Question:
    """A question of the flow chart."""

    asks: tuple[str, ...]
    """What it is about, "yes" if any of these holds: facts; "hv_timer"; "can_post", the policy's answer; "pinned",
    whether the kernel pins its hrtimers; "door", which no fact decides."""
    text: tuple[str, ...]
    """In lines."""
    yes: str
    """The question or end that follows."""
    no: str
    at: tuple[int, int]
    """Column and row."""


@dataclass(frozen=True)
class End:
    """What fires the timer in the end."""

    text: tuple[str, ...]
    """In lines."""
    says: str
    """The same in the middle of a sentence."""
    exit: str | None
    """The exit that the expiry costs a vCPU that runs."""
    at: tuple[int, int]


QUESTIONS: Mapping[str, Question] = {
    "exists": Question(("hv_timer",), ("Is there a", "preemption", "timer?"), "mwait", "stays", (0, 0)),
    "mwait": Question(("mwait_in_guest",), ("Is MWAIT", "without exit?"), "stays", "may_post", (1, 0)),
    "may_post": Question(("can_post",), ("At the write:", "may it be", "posted?"), "stays", "hv", (2, 0)),
    "stays": Question(
        ("pinned", "housekeeping_cpu"), ("Pinned, or on", "a housekeep-", "ing CPU?"), "local", "door", (0, 1)
    ),
    "door": Question(("door",), ("Does another", "timer come", "first there?"), "posted_then", "local", (1, 1)),
    "posted_then": Question(("can_post",), ("At expiry:", "may it be", "posted?"), "posted", "kicked", (2, 1)),
}
FIRST = "exists"
ENDS: Mapping[str, End] = {
    "hv": End(("preemption", "timer: exit"), "the preemption timer fires", EXPIRY_EXITS[Place.HV].name, (3, 0)),
    "local": End(("local hrtimer:", "exit"), "a local hrtimer fires", EXPIRY_EXITS[Place.OWN].name, (0, 2)),
    "kicked": End(
        ("remote hrtimer,", "kick: exit"), "a remote hrtimer kicks the vCPU", EXPIRY_EXITS[Place.KICKED].name, (2, 2)
    ),
    "posted": End(("remote hrtimer,", "post: no exit"), "a remote hrtimer posts the interrupt", None, (3, 1)),
}
assert {end.exit for end in ENDS.values()} == {None, Exit.PREEMPTION_TIMER.name, Exit.EXTERNAL_INTERRUPT.name}

PINNED = {
    name: next(kernel for kernel in KERNELS.values() if kernel.policy is policy).hrtimer_pinned
    for name, policy in POLICIES.items()
}
"""Whether the first kernel of a revision pins its hrtimers; a reader's own policy is put into `MACHINERY`."""


def walk(answers: Mapping[str, bool]) -> str:
    """Return the end that the chart leads to; `answers`: to all that `Question.asks` can be."""
    at = FIRST
    while at in QUESTIONS:
        question = QUESTIONS[at]
        at = question.yes if any(answers[name] for name in question.asks) else question.no
    return at


def chart_data() -> dict[str, Any]:
    """Return the chart as the browser gets it: first, questions, ends, pinned (by revision), pinned_else."""
    return {
        "first": FIRST,
        "questions": {name: asdict(question) for name, question in QUESTIONS.items()},
        "ends": {name: asdict(end) for name, end in ENDS.items()},
        "pinned": PINNED,
        "pinned_else": KERNELS[MACHINERY].hrtimer_pinned,
    }
