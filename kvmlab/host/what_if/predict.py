"""Run a revision in every world, and say for each quantity between which bounds it lies."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvmlab.host.what_if.assumptions import Assumptions
from kvmlab.host.what_if.measure import Measured
from kvmlab.host.what_if.worlds import World, other_wakeups, scenario_of, worlds_of
from kvmlab.kernels import Kernel
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import variant

QUANTITIES = {
    "exits": "1/s a vCPU",
    "MSR_WRITE": "1/s a vCPU",
    "PREEMPTION_TIMER": "1/s a vCPU",
    "EXTERNAL_INTERRUPT": "1/s a vCPU",
    "HLT": "1/s a vCPU",
    "other": "1/s a vCPU",
    "expiry exits": "% of timers",
    "posted": "% of timers",
    "time taken from the guest": "%",
    "latency p50": "us",
    "latency p99": "us",
    "busiest housekeeping CPU": "%",
}
"""What is predicted of each revision, and its unit."""


REASONS = ("MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT", "other")
"""The quantities that add up to the exits."""
OF_TIMERS = ("PREEMPTION_TIMER", "EXTERNAL_INTERRUPT")
"""The exits by which timers expire."""
ROUGH = 0.02
"""A rate is not known better than by this share, nor than by one exit in the whole recording."""


class Row(NamedTuple):
    """One quantity of one revision; columns of `WhatIf.table`."""

    revision: str
    quantity: str
    low: float
    central: float
    high: float
    unit: str


class Background(NamedTuple):
    """What happens per vCPU per second beside the timers, as recorded: no revision changes it."""

    writes_hz: float
    """Writes that arm no timer which expires."""
    irqs_hz: float
    """Interrupt exits that are not the timers'."""
    others_hz: float
    """Exits of any other kind."""
    all_writes: bool
    """The writes are all that the guest makes: a periodic timer's start and end are no matter of how long a run is."""


def background_of(measured: Measured, world: World, *, eoi_exits: bool) -> Background:
    """Return what happens beside the timers in a world; `eoi_exits`: each interrupt costs a write of its EOI, too."""
    periodic = measured.timer_mode == "periodic"
    arming = 0.0 if periodic else world.timers
    eois = world.timers + other_wakeups(measured, world) if eoi_exits and not periodic else 0.0
    irqs = measured.host_irqs if world.host_irqs is None else world.host_irqs
    counts = (measured.writes - arming - eois, irqs, measured.other_exits)
    writes_hz, irqs_hz, others_hz = (measured.per_second(max(0.0, count)) * world.factor for count in counts)
    return Background(writes_hz, irqs_hz, others_hz, periodic)


def quantities(run: Run, beside: Background) -> dict[str, float]:
    """Return the `QUANTITIES` of one run, with what happened beside its timers."""
    s, places = run.summary(), run.placement
    vcpu_seconds = max(1e-9, run.duration_ns / 1e9 * len(run.vcpu_names))
    timers = max(1, int(places["expiries"].sum()))
    irqs = places["expiries"][["own pCPU", "housekeeping kicked"]].sum()
    exits = {
        "MSR_WRITE": beside.writes_hz + (0.0 if beside.all_writes else s["MSR_WRITE"] / vcpu_seconds),
        "PREEMPTION_TIMER": s["PREEMPTION_TIMER"] / vcpu_seconds,
        "EXTERNAL_INTERRUPT": irqs / vcpu_seconds + beside.irqs_hz,
        "HLT": s["HLT"] / vcpu_seconds,
        "other": s["PAUSE_INSTRUCTION"] / vcpu_seconds + beside.others_hz,
    }
    return {
        "exits": sum(exits.values()),
        **exits,
        "expiry exits": 100 * (irqs + places["expiries"]["hv"]) / timers,
        "posted": 100 * places["expiries"]["housekeeping posted"] / timers,
        "time taken from the guest": 100 * s["share_taken"],
        "latency p50": s["latency_p50_ns"] / 1e3,
        "latency p99": s["latency_p99_ns"] / 1e3,
        "busiest housekeeping CPU": 100 * s["housekeeping_share"],
    }


WorldRun = tuple[Scenario, Background]
"""A world to be run: the scenario, and what happens beside its timers."""


def revision_rows(
    kernel: Kernel, worlds: Sequence[WorldRun], seeds: Sequence[int], exit_hz: float, timer_hz: float
) -> Iterator[Row]:
    """Yield a revision's row per quantity: the central world's median over the seeds, and the extremes of all runs.

    - `worlds`: the central one first.
    - `exit_hz`: what one exit in the whole recording is as a rate; a rate's range has at least that width to both
      sides, or `ROUGH`. 0 leaves every range as it is.
    - `timer_hz`: how many timers there are, per vCPU per second.
    """
    runs = [
        [quantities(simulate(scenario.replace(kernel=kernel, seed=seed)), beside) for seed in seeds]
        for scenario, beside in worlds
    ]
    for quantity, unit in QUANTITIES.items():
        central = statistics.median(run[quantity] for run in runs[0])
        values = [run[quantity] for world in runs for run in world if not math.isnan(run[quantity])]
        low, high = (min(values), max(values)) if values else (math.nan, math.nan)
        if exit_hz and high > 0 and quantity in ("exits", *REASONS):
            # What happens to a timer is not known better than for a share of the timers.
            of_timers = ROUGH * timer_hz if quantity in OF_TIMERS else 0.0
            low = max(0.0, low - max(exit_hz, of_timers, ROUGH * low))
            high += max(exit_hz, of_timers, ROUGH * high)
        yield Row(kernel.name, quantity, low, central, high, unit)


class Predictor:
    """Runs revisions on one host, each once."""

    def __init__(self, measured: Measured, said: Assumptions, base: Kernel, seeds: Sequence[int]) -> None:
        worlds = worlds_of(measured, said.housekeeping)
        self.base = base
        self.worlds = [
            (scenario_of(measured, world, said, base), background_of(measured, world, eoi_exits=not said.apicv))
            for world in worlds
        ]
        self.seeds = seeds
        self.exit_hz = 0.0 if measured.duration.rate_hz else measured.per_second(1.0)
        self.timer_hz = measured.per_second(measured.timers.value)
        self._rows: dict[str, list[Row]] = {}

    @property
    def runs(self) -> int:
        """How many runs it has made."""
        return len(self._rows) * len(self.worlds) * len(self.seeds)

    def rows(self, revision: str | Kernel) -> list[Row]:
        """Return the rows of a revision: a name of a policy, or a kernel."""
        kernel = variant(self.base, revision) if isinstance(revision, str) else revision
        if kernel.name not in self._rows:
            self._rows[kernel.name] = list(revision_rows(kernel, self.worlds, self.seeds, self.exit_hz, self.timer_hz))
        return self._rows[kernel.name]
