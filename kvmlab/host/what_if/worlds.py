"""Worlds: the ways the unknown may be, and the recorded host rebuilt as a scenario in each of them."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.host.what_if.assumptions import MOST_VCPUS, Assumptions
from kvmlab.host.what_if.measure import RATE_HZ, Measured
from kvmlab.kernels import Kernel
from kvmlab.scenario import checks
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

TIMERS_PER_RUN = 2000
LONGEST_S, SHORTEST_S = 20.0, 0.02
"""Bounds on how long a run may simulate."""
MOST_HZ = 1e5
"""The highest rate that is simulated."""


@dataclass(frozen=True)
class World:
    """One way the unknown may be."""

    name: str
    """What is at an end of its range."""
    housekeeping: str
    """What the housekeeping CPUs do: "idle", "ticking" or "timers"."""
    timers: float
    """Timers that expired in the recording."""
    factor: float
    """On the measured rate of everything."""


def worlds_of(measured: Measured, housekeeping: str | None) -> list[World]:
    """Return the central world first, then each unknown at the ends of its range.

    `housekeeping`: what the reader says of the housekeeping CPUs; None: as recorded, or else unknown.
    """
    seen = "timers" if measured.housekeeping_us else None
    load = housekeeping or seen or "ticking"
    central = measured.timers.value
    worlds = [World("central", load, central, 1.0)]
    if housekeeping is None and seen is None:
        worlds += [World(f"housekeeping {each}", each, central, 1.0) for each in ("idle", "timers")]
    if measured.timers.low < central:
        worlds.append(World("fewer timers", load, max(1.0, measured.timers.low), 1.0))
    if measured.rate_is_assumed:
        ends = (RATE_HZ.low, RATE_HZ.high)
        worlds += [World(f"{hz:g} timers per second", load, central, hz / RATE_HZ.value) for hz in ends]
    return worlds


def bursts_of(halts_hz: float, halt_us: float, timers_hz: float) -> tuple[float, float]:
    """Return the mean length in us of a burst of work, and of the idleness after it.

    `halts_hz`: halts per second, each of `halt_us` on average; `timers_hz`: timers per second. A timer that finds the
    guest idle wakes it, and it halts again: those halts end no burst.
    """
    if not halts_hz:
        return 0.0, 0.0
    idle_share = min(0.99, halts_hz * halt_us / 1e6) if halt_us else 0.5
    bursts_hz = halts_hz - idle_share * timers_hz
    if bursts_hz < 0.01 * halts_hz:
        return 0.0, 1.0  # it only waits for its timers
    return 1e6 * (1 - idle_share) / bursts_hz, 1e6 * idle_share / bursts_hz


def workload_of(measured: Measured, world: World, waits_by: str) -> Workload:
    """Return what each vCPU does in a world. Writes that do not arm the timer are other exits."""

    def rate(count: float) -> float:
        """Return a count as a rate per vCPU and second that a workload may have."""
        per_second = measured.per_second(count) * world.factor
        return min(MOST_HZ, per_second) if per_second >= checks.MIN_RATE else 0.0

    period_us = 1e6 / max(1e-2, rate(world.timers))
    busy_us, idle_us = bursts_of(rate(measured.halts), measured.halt_us, rate(world.timers))
    if not idle_us and waits_by != "spin":
        idle_us = 1.0
    spare = measured.timers.value - world.timers
    return Workload(
        tick_hz=0,
        timer_mode=measured.timer_mode,
        timer_us=min(1e8, max(10.0, period_us)),
        busy_us=busy_us,
        idle_us=idle_us,
        waits_by=waits_by,
        nohz_idle=False,
        other_exit_hz=rate(measured.other_exits + spare),
        host_irq_hz=rate(measured.host_irqs),
    )


def scenario_of(measured: Measured, world: World, said: Assumptions, base: Kernel) -> Scenario:
    """Return the recorded host in one world: its vCPUs, and one housekeeping CPU for all of them."""
    vcpus = min(measured.vcpus, MOST_VCPUS)
    cpus = tuple(range(1, vcpus + 1))
    workload = workload_of(measured, world, said.waits_by)
    duration = TIMERS_PER_RUN * (workload.timer_us or 1e3) / 1e6 / vcpus
    return Scenario(
        Host(
            pcpus=vcpus + 1,
            isolated=cpus if said.isolated else (),
            housekeeping=world.housekeeping,
            housekeeping_timer_us=measured.housekeeping_us or 100.0,
            apicv=said.apicv,
            preemption_timer=said.preemption_timer,
            pi_inject_timer=said.pi_inject_timer,
            vendor=said.vendor,
            tsc_ghz=said.tsc_ghz,
        ),
        (
            Guest(
                vcpus=vcpus,
                pcpus=cpus,
                hlt_in_guest=said.hlt_in_guest,
                mwait_in_guest=said.mwait_in_guest,
                workload=workload,
            ),
        ),
        kernel=base,
        duration_s=min(LONGEST_S, max(SHORTEST_S, duration)),
        costs=measured.costs,
        trace_steps=0,
    )
