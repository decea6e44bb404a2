"""What the panels that simulate can be set to, and the scenario that this stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypedDict, cast

from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.shell import AnyControl, checkbox
from kvmlab.lab.widgets import Choice, Slider, Value
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import HOUSEKEEPING_LOADS, Host
from kvmlab.scenario.scenario import Scenario

MACHINERY = "v5.18"
"""The panels change the policy only; everything else is this kernel's."""
PLACES_OF_VCPUS = {"isolated pCPUs": "isolated", "housekeeping pCPUs": "housekeeping"}
GUESTS: dict[str, dict[str, Any]] = {
    "works all the time": {"idle_us": 0.0},
    "polls between bursts": {"idle_us": 200.0, "busy_us": 100.0, "waits_by": "spin"},
    "halts between bursts": {"idle_us": 200.0, "busy_us": 100.0, "waits_by": "hlt"},
}
"""What a guest does between its ticks, as options of `Workload`."""


class Settings(TypedDict):
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


CONTROLS: dict[str, Callable[[], AnyControl]] = {
    "vcpus": lambda: Slider("vCPUs", range(1, 17), 4),
    "tick_hz": lambda: Slider("guest's tick", (100, 250, 500, 1000, 2000, 4000), 1000, "{} Hz".format),
    "housekeeping_cpus": lambda: Slider("housekeeping CPUs", range(1, 9), 1),
    "housekeeping": lambda: Choice("housekeeping CPUs are", HOUSEKEEPING_LOADS, "ticking"),
    "housekeeping_timer_us": lambda: Slider(
        "their own timers' period", (20, 50, 100, 200, 500, 1000), 100, "{} us".format
    ),
    "hz": lambda: Slider("host's tick", (100, 250, 300, 1000), 250, "{} Hz".format),
    "guest": lambda: Choice("the guest", list(GUESTS), "works all the time"),
    "vcpus_on": lambda: Choice("vCPUs run on", list(PLACES_OF_VCPUS), "isolated pCPUs"),
    "hlt_in_guest": lambda: checkbox("HLT does not exit (hlt_in_guest)", False),
    "mwait_in_guest": lambda: checkbox("MWAIT does not exit (mwait_in_guest)", False),
    "pi_inject_timer": lambda: checkbox("pi_inject_timer", True),
    "apicv": lambda: checkbox("APICv", True),
    "preemption_timer": lambda: checkbox("preemption timer", True),
    "timer_migration": lambda: checkbox("timer_migration", True),
    "device_irq_hz": lambda: Slider("device interrupts", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "other_exit_hz": lambda: Slider("other exits", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "seed": lambda: Slider("seed", range(20), 0),
}
"""Makes of every control, by the name of the setting."""


@cache
def defaults() -> dict[str, Value]:
    """Return what every control says at first: all of `Settings`, by name.

    >>> from kvmlab import panels
    >>> panels.defaults()["tick_hz"]
    1000
    """
    return {name: make().value for name, make in CONTROLS.items()}


def complete(some: Mapping[str, Value]) -> dict[str, Value]:
    """Return all settings: these, and the defaults of the others."""
    return {**defaults(), **some}


def scenario_of(settings: Mapping[str, Value]) -> Scenario:
    """Return the scenario that some settings stand for; what is not set has the control's default.

    Housekeeping CPUs come first, then the isolated pCPUs, then, if the vCPUs run on housekeeping pCPUs, those.

    >>> from kvmlab import panels
    >>> panels.scenario_of({"vcpus": 2, "housekeeping_cpus": 3}).host.isolated
    (3, 4)
    """
    v = cast(Settings, complete(settings))
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
