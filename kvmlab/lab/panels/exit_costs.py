"""The world of the anatomy: what one VM exit takes, and what many of them add up to; all of it from the costs.

Nothing is simulated. The browser is handed what Python works out for every setting.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from kvmlab.lab.panels.controls import Control, Need, Settings, Value, choice, slider
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.world import World
from kvmlab.lab.words import duration
from kvmlab.model.lapic import ADVANCE_NS_MAX
from kvmlab.model.names import STEPS, Exit
from kvmlab.model.vmexit import handling_step
from kvmlab.scenario.costs import Costs, predicted_max
from kvmlab.scenario.scenario import Scenario

REASONS: Mapping[str, tuple[Exit, bool]] = {
    "MSR_WRITE": (Exit.MSR_WRITE, False),
    "MSR_WRITE, fast path": (Exit.MSR_WRITE, True),
    "EXTERNAL_INTERRUPT": (Exit.EXTERNAL_INTERRUPT, False),
    "PREEMPTION_TIMER": (Exit.PREEMPTION_TIMER, False),
    "PREEMPTION_TIMER, fast path": (Exit.PREEMPTION_TIMER, True),
    "HLT": (Exit.HLT, False),
    "PAUSE_INSTRUCTION": (Exit.PAUSE_INSTRUCTION, False),
    "EPT_MISCONFIG": (Exit.EPT_MISCONFIG, False),
}
"""What the reader chooses from: the exit, and whether it takes the fast path."""
EXPIRIES = tuple(
    name for name, (reason, _) in REASONS.items() if reason in (Exit.EXTERNAL_INTERRUPT, Exit.PREEMPTION_TIMER)
)
"""The exits at whose end KVM may have a deadline to wait for."""
RATES = (10, 100, 250, 500, 1000, 2000, 4000)
WAITS_NS = (0, 50, 100, 200, 500, 1000, 2000, ADVANCE_NS_MAX)
ASLEEP_US = (0, 10, 50, 100, 200)

CONTROLS: Mapping[str, Control] = {
    "reason": choice("reason", list(REASONS), "MSR_WRITE"),
    "exits_per_s": slider("exits per second", RATES, 1000, "{:,}".format),
    "wait_ns": slider(
        "wait for the deadline", WAITS_NS, 0, lambda ns: duration(ns) if ns else "none",
        (Need((("reason", EXPIRIES),), "no effect: only at the end of an expiry KVM waits for the deadline"),),
    ),
    "asleep_us": slider(
        "asleep in between", ASLEEP_US, 0, "{} µs".format,
        (Need((("reason", ("HLT",)),), "no effect: only a guest that halts sleeps"),),
    ),
}  # fmt: skip


def scenario_of(settings: Settings) -> Scenario:
    """Return some host: the anatomy simulates nothing."""
    return TIMER.scenario({})


EXITS_WORLD = World(CONTROLS, scenario_of, arguments=tuple(CONTROLS))


def effective(settings: Settings) -> dict[str, Value]:
    """Return the settings with those that have no effect at their defaults."""
    return {
        name: settings[name] if all(need.met(settings) for need in control.needs) else control.default
        for name, control in CONTROLS.items()
    }


def figures(settings: Settings) -> dict[str, Any]:
    """Return what exits of one kind cost a vCPU.

    Keys, means of one exit in ns: out and in (the hardware's way), handling (by KVM), asleep, wait (for the deadline,
    after kvm_entry); perf_ns, what perf's clock shows, from kvm_exit to kvm_entry; lost_ns, what the guest loses.
    Of a second: perf_us, lost_us, share (of the guest's time), longest_us (the gap that half of all seconds exceed).
    """
    v = effective(settings)
    costs = Costs.default()
    handling = getattr(costs, STEPS[handling_step(*REASONS[str(v["reason"])])])
    way = costs.exit_transition.mean_ns + costs.entry_transition.mean_ns
    rate, wait, asleep = int(v["exits_per_s"]), float(v["wait_ns"]), 1e3 * float(v["asleep_us"])
    perf_ns = handling.mean_ns + asleep
    lost_ns = way + handling.mean_ns + wait
    return {
        "out": costs.exit_transition.mean_ns,
        "handling": handling.mean_ns,
        "asleep": asleep,
        "wait": wait,
        "in": costs.entry_transition.mean_ns,
        "perf_ns": perf_ns,
        "lost_ns": lost_ns,
        "perf_us": rate * perf_ns / 1e3,
        "lost_us": rate * lost_ns / 1e3,
        "share": rate * lost_ns / 1e9,
        "longest_us": round((predicted_max(handling, rate).median + way + wait) / 1e3, 3),
    }


def anatomy_data() -> dict[str, Any]:
    """Return the figures of all settings that differ in effect, by their values joined by ``|``, and what they rest on.

    Keys: figures; status, of the costs of each step; steps, which step handles a reason.
    """
    each = (dict(zip(CONTROLS, values, strict=True)) for values in itertools.product(*map(values_of, CONTROLS)))
    seen = {"|".join(map(str, effective(settings).values())): settings for settings in each}
    return {
        "figures": {key: figures(settings) for key, settings in seen.items()},
        "status": {row["name"]: row["status"] for row in Costs.default().provenance()},
        "steps": {name: STEPS[handling_step(*exit)] for name, exit in REASONS.items()},
    }


def values_of(name: str) -> tuple[Value, ...]:
    """Return all values of a control."""
    return CONTROLS[name].values
