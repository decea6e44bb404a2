"""The world of the panels that simulate many timers: one guest on a host that can be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict, cast

from kvmlab.engine import execute
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.lab.panels.controls import Control, Settings, Value, choice, slider, switch
from kvmlab.lab.panels.world import World
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import HOUSEKEEPING_LOADS, Host
from kvmlab.scenario.scenario import Scenario

MACHINERY = "v5.18"
"""These panels change the policy only; everything else is this kernel's."""
EVENTS = 1_500
"""About as many events may be simulated under each policy each time a control moves."""
LONGEST_NS = 2_000_000_000
PLACES_OF_VCPUS = {"isolated pCPUs": "isolated", "housekeeping pCPUs": "housekeeping"}
GUESTS: dict[str, dict[str, Any]] = {
    "works all the time": {"idle_us": 0.0},
    "polls between bursts": {"idle_us": 200.0, "busy_us": 100.0, "waits_by": "spin"},
    "halts between bursts": {"idle_us": 200.0, "busy_us": 100.0, "waits_by": "hlt"},
}
"""What a guest does between its ticks, as options of `Workload`."""


class HostSettings(TypedDict):
    """What all controls together say."""

    vcpus: int
    tick_hz: int
    """Of the guest."""
    housekeeping_cpus: int
    housekeeping: str
    """One of HOUSEKEEPING_LOADS."""
    housekeeping_timer_us: int
    hz: int
    """The host's tick."""
    guest: str
    """A key of GUESTS."""
    vcpus_on: str
    """A key of PLACES_OF_VCPUS."""
    hlt_in_guest: bool
    mwait_in_guest: bool
    pi_inject_timer: bool
    apicv: bool
    preemption_timer: bool
    timer_migration: bool
    device_irq_hz: int
    """Per vCPU."""
    other_exit_hz: int
    """Per vCPU."""
    seed: int


CONTROLS: Mapping[str, Control] = {
    "vcpus": slider("vCPUs", range(1, 17), 4),
    "tick_hz": slider("guest's tick", (100, 250, 500, 1000, 2000, 4000), 1000, "{} Hz".format),
    "housekeeping_cpus": slider("housekeeping CPUs", range(1, 9), 1),
    "housekeeping": choice("housekeeping CPUs are", HOUSEKEEPING_LOADS, "ticking"),
    "housekeeping_timer_us": slider(
        "period of their own timers", (20, 50, 100, 200, 500, 1000), 100, "{} us".format,
        ("housekeeping", ("timers",), 'only if the housekeeping CPUs run "timers"'),
    ),
    "hz": slider("host's tick", (100, 250, 300, 1000), 250, "{} Hz".format),
    "guest": choice("the guest", list(GUESTS), "works all the time"),
    "vcpus_on": choice("vCPUs run on", list(PLACES_OF_VCPUS), "isolated pCPUs"),
    "hlt_in_guest": switch("HLT does not exit (hlt_in_guest)", False),
    "mwait_in_guest": switch("MWAIT does not exit (mwait_in_guest)", False),
    "pi_inject_timer": switch("pi_inject_timer", True),
    "apicv": switch("APICv", True),
    "preemption_timer": switch("preemption timer", True),
    "timer_migration": switch("timer_migration", True),
    "device_irq_hz": slider("device interrupts", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "other_exit_hz": slider("other exits", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "seed": slider("seed", range(20), 0),
}  # fmt: skip
"""Every control, by the name of its setting."""


def scenario_of_all(settings: Settings) -> Scenario:
    """Return the scenario of all settings.

    Housekeeping CPUs come first, then the isolated pCPUs, then, if the vCPUs run on housekeeping pCPUs, those.
    """
    v = cast(HostSettings, settings)
    vcpus, spare = v["vcpus"], v["housekeeping_cpus"]
    on_housekeeping = PLACES_OF_VCPUS[v["vcpus_on"]] == "housekeeping"
    first = spare + vcpus if on_housekeeping else spare
    host = Host(
        pcpus=first + vcpus,
        isolated=tuple(range(spare, spare + vcpus)),
        housekeeping=v["housekeeping"],
        housekeeping_timer_us=v["housekeeping_timer_us"],
        loaded=tuple(range(spare)),
        hz=v["hz"],
        apicv=v["apicv"],
        preemption_timer=v["preemption_timer"],
        pi_inject_timer=v["pi_inject_timer"],
        timer_migration=v["timer_migration"],
    )
    workload = Workload(
        tick_hz=v["tick_hz"],
        nohz_idle=False,
        device_irq_hz=v["device_irq_hz"],
        other_exit_hz=v["other_exit_hz"],
        **GUESTS[v["guest"]],
    )
    guest = Guest(
        vcpus=vcpus,
        pcpus=tuple(range(first, first + vcpus)),
        hlt_in_guest=v["hlt_in_guest"],
        mwait_in_guest=v["mwait_in_guest"],
        workload=workload,
    )
    return Scenario(host, (guest,), kernel=KERNELS[MACHINERY], seed=v["seed"], trace_steps=0)


HOST = World(CONTROLS, scenario_of_all, joint=("vcpus", "housekeeping_cpus", "vcpus_on"))


def defaults() -> dict[str, Value]:
    """Return what every control of the panels that simulate says at first: all of `HostSettings`, by name.

    >>> from kvmlab import panels
    >>> panels.defaults()["tick_hz"]
    1000
    """
    return HOST.defaults


def scenario_of(settings: Settings) -> Scenario:
    """Return the scenario that some settings stand for; what is not set has the control's default.

    ValueError names a setting that does not exist, or a value that it cannot have.

    >>> from kvmlab import panels
    >>> panels.scenario_of({"vcpus": 2, "housekeeping_cpus": 3}).host.isolated
    (3, 4)
    """
    return HOST.scenario(settings)


def affordable(scenario: Scenario) -> Scenario:
    """Return the scenario for as long as can be simulated while a control moves (`kvmlab.model.horizon`).

    >>> from kvmlab import panels
    >>> panels.affordable(panels.scenario_of({"tick_hz": 4000})).duration_s
    0.09375
    """
    ns = execute.machine(scenario).affordable_ns(EVENTS, LONGEST_NS)
    return replace(scenario, duration_s=ns / 1e9)


def run_each(scenario: Scenario, kernels: Mapping[str, Kernel]) -> dict[str, Run]:
    """Run the same world under each kernel, for as long as is affordable; return the runs by the kernels' names."""
    short = affordable(scenario)
    return {name: simulate(replace(short, kernel=kernel)) for name, kernel in kernels.items()}
