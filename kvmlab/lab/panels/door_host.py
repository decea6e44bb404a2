"""The world of the door: vCPUs that arm one timer after another, beside a housekeeping CPU with a timer of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from kvmlab.lab.panels.controls import Control, Settings, slider
from kvmlab.lab.panels.world import World
from kvmlab.lab.words import duration
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

KERNEL = "v5.13"
"""Rev 1: hrtimers are not pinned, and may be posted."""
ARMS = 400
"""How many timers are armed in a run, by all vCPUs together."""
SHOWN = 100
"""How many of them are shown one by one."""
LONGEST_S = 100.0
"""Longer than any run: it ends when all timers have been armed."""
TRACE_STEPS = 4_500
"""Enough for the timers that are shown, and for the interrupts of the housekeeping CPU between them."""


class DoorSettings(TypedDict):
    """What all controls together say."""

    deadline_us: int
    """D: how far ahead each deadline is when its timer is armed."""
    period_us: int
    """T: the period of the housekeeping CPU's own timer, which is its tick."""
    vcpus: int
    seed: int


def in_time(us: int) -> str:
    """Return a time in us as text."""
    return duration(1000 * us)


CONTROLS: Mapping[str, Control] = {
    "deadline_us": slider(
        "D: deadline, from now", (100, 200, 500, 1000, 1500, 2000, 2500, 3000, 4000, 5000, 7000, 10_000), 1000, in_time
    ),
    "period_us": slider("T: its own timer, every", (500, 1000, 2000, 4000, 5000, 8000, 10_000), 4000, in_time),
    "vcpus": Control("vCPUs", "buttons", (1, 2, 4), 1, ("1", "2", "4")),
    "seed": slider("seed", range(10), 0),
}  # fmt: skip


def scenario_of(settings: Settings) -> Scenario:
    """Return the scenario: CPU 0 does the housekeeping, each vCPU works all the time on an isolated pCPU of its own."""
    v = cast(DoorSettings, settings)
    isolated = tuple(range(1, 1 + v["vcpus"]))
    host = Host(
        pcpus=1 + len(isolated),
        isolated=isolated,
        housekeeping="ticking",
        hz=round(1e6 / v["period_us"]),
    )
    workload = Workload(tick_hz=0, timer_us=v["deadline_us"], rearm="relative", timers=ARMS // v["vcpus"])
    guest = Guest(vcpus=v["vcpus"], pcpus=isolated, hlt_in_guest=True, workload=workload)
    return Scenario(
        host, (guest,), kernel=KERNEL, duration_s=LONGEST_S, seed=v["seed"], trace_steps=TRACE_STEPS  # type: ignore[arg-type]
    )  # fmt: skip


DOOR = World(CONTROLS, scenario_of, joint=("vcpus",))


def door_data() -> dict[str, Any]:
    """Return what the browser is told besides the world: until_ns, shown and arms."""
    return {"until_ns": round(LONGEST_S * 1e9), "shown": SHOWN, "arms": ARMS}
