"""The world of the panels that simulate many timers: one guest on a host that can be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict, cast

from kvmlab.engine import execute
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.lab.panels.controls import Control, Need, Settings, Value, choice, slider, switch
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


# Conditions under which other controls have an effect; a control and the values of it.
HALTS = ("guest", ("halts between bursts",))
ISOLATED = ("vcpus_on", ("isolated pCPUs",))
MIGRATES = ("timer_migration", (True,))
HV_TIMER = ("preemption_timer", (True,))
HLT_EXITS = ("hlt_in_guest", (False,))
MWAIT_EXITS = ("mwait_in_guest", (False,))
INJECTS = ("pi_inject_timer", (True,))
APICV = ("apicv", (True,))
STAYS = "every timer stays on its pCPU"
NO_HV_TIMER = "no effect: there is no preemption timer to lose, and"
NEVER_HALTS = "no effect: the guest never halts, and"


def posting_matters(why: str, *other: tuple[str, tuple[Value, ...]]) -> tuple[Need, ...]:
    """Return what is needed for the answer of a policy to change anything, unless one of the `other` conditions is met.

    A timer has to be able to leave its pCPU, or the vCPU has to be able to lose the preemption timer.
    """
    return tuple(Need((*other, away, lost), why) for away in (ISOLATED, MIGRATES) for lost in (HV_TIMER, MWAIT_EXITS))


CONTROLS: Mapping[str, Control] = {
    "vcpus": slider("vCPUs", range(1, 17), 4),
    "tick_hz": slider("guest's tick", (100, 250, 500, 1000, 2000, 4000), 1000, "{} Hz".format),
    "housekeeping_cpus": slider(
        "housekeeping CPUs", range(1, 9), 1,
        needs=(Need((), "no effect on what is shown"),),
    ),
    "housekeeping": choice("housekeeping CPUs are", HOUSEKEEPING_LOADS, "ticking"),
    "housekeeping_timer_us": slider(
        "period of their own timers", (20, 50, 100, 200, 500, 1000), 100, "{} µs".format,
        (Need((("housekeeping", ("timers",)),), 'no effect: they have some only where they run "timers"'),),
    ),
    "hz": slider("host's tick", (100, 250, 300, 1000), 250, "{} Hz".format),
    "guest": choice("the guest", list(GUESTS), "works all the time"),
    "vcpus_on": choice("vCPUs run on", list(PLACES_OF_VCPUS), "isolated pCPUs"),
    "hlt_in_guest": switch("HLT does not exit (hlt_in_guest)", False, (
        Need((HALTS, MWAIT_EXITS), f"{NEVER_HALTS} rev3 is content with mwait_in_guest", True),
        *(Need((HALTS, fact), f"{NEVER_HALTS} nothing is posted", True) for fact in (INJECTS, APICV)),
        *posting_matters(f"{NEVER_HALTS} {STAYS} without a preemption timer", HALTS),
    )),
    "mwait_in_guest": switch("MWAIT does not exit (mwait_in_guest)", False, (
        Need((HV_TIMER, HLT_EXITS), f"{NO_HV_TIMER} rev3 is content with hlt_in_guest", True),
        *(Need((HV_TIMER, fact), f"{NO_HV_TIMER} nothing is posted", True) for fact in (INJECTS, APICV)),
        *(Need((HV_TIMER, away), f"{NO_HV_TIMER} {STAYS}") for away in (ISOLATED, MIGRATES)),
    )),
    "pi_inject_timer": switch("pi_inject_timer", True, (
        Need((APICV,), "no effect: without APICv nothing is posted", True),
        *posting_matters(f"no effect: {STAYS}, without a preemption timer"),
    )),
    "apicv": switch("APICv", True),
    "preemption_timer": switch("preemption timer", True, (
        Need((MWAIT_EXITS,), "no effect: KVM does without it where MWAIT does not exit"),
    )),
    "timer_migration": switch("timer_migration", True, (
        Need((ISOLATED,), "no effect: a busy housekeeping CPU keeps its timers anyway"),
    )),
    "device_irq_hz": slider("device interrupts", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "other_exit_hz": slider("other exits", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "seed": slider("seed", range(20), 0),
}  # fmt: skip
"""Every control, by the name of its setting."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "guest": ("vcpus", "tick_hz", "guest", "vcpus_on", "hlt_in_guest", "mwait_in_guest"),
    "host": ("hz", "pi_inject_timer", "apicv", "preemption_timer", "timer_migration"),
    "housekeeping": ("housekeeping_cpus", "housekeeping", "housekeeping_timer_us"),
    "other load": ("device_irq_hz", "other_exit_hz", "seed"),
}
"""The controls by what they set."""
assert {name for names in GROUPS.values() for name in names} == set(CONTROLS)


def scenario_of_all(settings: Settings) -> Scenario:
    """Return the scenario of all settings.

    Number 0 is a housekeeping CPU, then come the isolated pCPUs, then, if the vCPUs run on housekeeping pCPUs, those.
    The other housekeeping CPUs are last: one more of them changes no other CPU's number, and so none of its draws.
    """
    v = cast(HostSettings, settings)
    vcpus, spare = v["vcpus"], v["housekeeping_cpus"] - 1
    first = 1 + vcpus if PLACES_OF_VCPUS[v["vcpus_on"]] == "housekeeping" else 1
    last = first + vcpus
    host = Host(
        pcpus=last + spare,
        isolated=tuple(range(1, 1 + vcpus)),
        housekeeping=v["housekeeping"],
        housekeeping_timer_us=v["housekeeping_timer_us"],
        loaded=(0, *range(last, last + spare)),
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
    (1, 2)
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
