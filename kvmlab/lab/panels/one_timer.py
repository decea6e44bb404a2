"""The world of the stage: one timer of one vCPU, on a host with an isolated pCPU and a housekeeping CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.controls import Control, Settings, choice, slider, switch
from kvmlab.lab.panels.world import World
from kvmlab.lab.words import duration
from kvmlab.model.names import TIMER_MODES
from kvmlab.results.follow import PCPUS, VCPU_STATES, one_timer
from kvmlab.scenario.scenario import Scenario

TIMES_NS = (0, 500, *(step * 10**power for power in range(3, 11) for step in (1, 2, 5)), 10**11)
FOUND = {"guest": "in the guest", "blocked": "blocked (it sleeps)", "host": "in the host", "preempted": "preempted"}
MODES = {"tsc_deadline": "TSC-deadline", "oneshot": "one-shot", "periodic": "periodic"}
assert set(FOUND) == set(VCPU_STATES)
assert set(MODES) == set(TIMER_MODES)

KERNEL_TEXTS = {name: f"{name} ({kernel.policy.__name__})" for name, kernel in KERNELS.items()}
PCPU_TEXTS = {"isolated": "isolated", "housekeeping": "a housekeeping CPU"}

CONTROLS: Mapping[str, Control] = {
    "kernel": choice("kernel", KERNEL_TEXTS, "v5.13"),
    "pi_inject_timer": switch("pi_inject_timer", True),
    "apicv_active": switch("apicv_active", True),
    "hlt_in_guest": switch("hlt_in_guest", False),
    "mwait_in_guest": switch("mwait_in_guest", False),
    "hv_timer": switch("the preemption timer exists", True),
    "pcpu": choice("the vCPU's pCPU is", PCPU_TEXTS, "isolated", "buttons"),
    "vcpu_at_expiry": choice("at expiry the vCPU is", FOUND, "guest"),
    "deadline_ns": slider("deadline, from the guest's write", TIMES_NS, 2_000_000, duration),
    "housekeeping_next_event_ns": slider("housekeeping CPU's next timer", TIMES_NS, 1_000_000, duration),
    "timer_mode": choice("timer mode", MODES, "tsc_deadline"),
    "timer_migration": switch("timer_migration", True),
    "nohz_full": switch("nohz_full", True),
}  # fmt: skip
"""Options of `kvmlab.follow_timer`, times in ns."""
assert set(PCPUS) == set(CONTROLS["pcpu"].values)
ARGUMENTS = ("vcpu_at_expiry", "deadline_ns", "housekeeping_next_event_ns")


def scenario_of(settings: Settings) -> Scenario:
    """Return the story's scenario, as `kvmlab.follow_timer` has it."""
    options: dict[str, Any] = {name: value for name, value in settings.items() if name not in ARGUMENTS}
    return one_timer(**options, tsc_ghz=2.5, preemption_timer_shift=5)


TIMER = World(
    CONTROLS, scenario_of, arguments=ARGUMENTS, constant={"costs": "mean_costs", "exponential": "exponential"}
)
