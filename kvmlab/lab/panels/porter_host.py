"""The world of the porter: a crowd of vCPUs whose timers all go to the same housekeeping CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, cast

from kvmlab.lab.panels.controls import Control, Settings, choice, slider, switch
from kvmlab.lab.panels.one_timer import KERNEL_TEXTS
from kvmlab.lab.panels.world import World
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

TICKS = {"together": 0.0, "spread": None}
"""When the vCPUs first enter the guest, which is when they tick from then on: `Guest.boot_us`."""
TRACE_STEPS = 7_000
"""Enough for two ticks of each vCPU after the last one has booted."""


class PorterSettings(TypedDict):
    """What all controls together say."""

    vcpus: int
    ticks: str
    """A key of TICKS."""
    tick_hz: int
    """Of the guest."""
    housekeeping_cpus: int
    kernel: str
    hlt_in_guest: bool
    seed: int


CONTROLS: Mapping[str, Control] = {
    "vcpus": slider("vCPUs", (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32), 16),
    "ticks": choice("their ticks come", list(TICKS), "together", "buttons"),
    "tick_hz": slider("guest's tick", (100, 250, 500, 1000, 2000, 4000), 1000, "{} Hz".format),
    "housekeeping_cpus": slider("housekeeping CPUs", range(1, 5), 2),
    "kernel": choice("kernel", KERNEL_TEXTS, "v5.18"),
    "hlt_in_guest": switch("HLT does not exit (hlt_in_guest)", True),
    "seed": slider("seed", range(10), 0),
}


def scenario_of(settings: Settings) -> Scenario:
    """Return the scenario: housekeeping CPUs, all alike, come first; each vCPU works on an isolated pCPU of its own.

    The housekeeping CPUs have timers of their own every 100 us, so that the guests' timers are seldom the first there.
    """
    v = cast(PorterSettings, settings)
    first = v["housekeeping_cpus"]
    isolated = tuple(range(first, first + v["vcpus"]))
    host = Host(pcpus=first + len(isolated), isolated=isolated, housekeeping="timers", housekeeping_timer_us=100)
    guest = Guest(
        vcpus=v["vcpus"],
        pcpus=isolated,
        hlt_in_guest=v["hlt_in_guest"],
        boot_us=TICKS[v["ticks"]],
        workload=Workload(tick_hz=v["tick_hz"], nohz_idle=False),
    )
    return Scenario(host, (guest,), kernel=v["kernel"], seed=v["seed"], trace_steps=TRACE_STEPS)  # type: ignore[arg-type]


PORTER = World(CONTROLS, scenario_of, joint=("vcpus", "housekeeping_cpus"))
