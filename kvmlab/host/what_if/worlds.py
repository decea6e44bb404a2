"""Worlds: the ways the unknown may be, and the recorded host rebuilt as a scenario in each of them."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.host.what_if.assumptions import MOST_VCPUS, Assumptions
from kvmlab.host.what_if.measure import FEWEST_BURSTS, Measured
from kvmlab.kernels import Kernel
from kvmlab.scenario import checks
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

TIMERS_PER_RUN, OTHERS_PER_RUN = 2000, 100_000
"""As many events of a kind are enough for one run: timers; other exits and bursts of work."""
LONGEST_S, SHORTEST_S = 1000.0, 0.02
"""Bounds on how long a run may simulate."""
LONGEST_BUSY_S = 20.0
"""The same upper bound where a housekeeping CPU has timers of its own, which are many more events."""
SHORT_US = 1.0
"""A burst of work that no timer was seen to find."""
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
    host_irqs: float | None = None
    """Interrupt exits that are the host's own; None: as measured."""


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
    if measured.unsure_irqs:
        own = measured.host_irqs + measured.unsure_irqs
        worlds.append(World("interrupts are the host's", load, central, 1.0, own))
    worlds += [World(f"{by:g} times the rate", load, central, by) for by in measured.duration.factors]
    return worlds


def other_wakeups(measured: Measured, world: World) -> float:
    """Return how many halts of the recording were ended by something other than a timer, and so ended no timer's work.

    A timer that finds the guest idle wakes it, and it halts again. The others each end a burst of work.
    """
    if not measured.halts:
        return 0.0
    found = min(world.timers, measured.expiries_at_work or 0.0)
    least = FEWEST_BURSTS * measured.halts if found else 0.0
    return max(least, measured.halts - (world.timers - found))


def bursts_of(measured: Measured, world: World) -> tuple[float, float, float]:
    """Return of a guest that halts: mean length in us of a burst of work and of the idleness after it; share of work.

    How often a timer found it at work was recorded, so that it works for this share of the time. Where none did, its
    bursts are short.
    """
    per_second = measured.per_second
    bursts_hz = per_second(other_wakeups(measured, world)) * world.factor
    if bursts_hz < checks.MIN_RATE:
        return 0.0, 1.0, 0.0  # it only waits
    found = min(world.timers, measured.expiries_at_work or 0.0)
    if not found:
        return SHORT_US, max(SHORT_US, 1e6 / bursts_hz - SHORT_US - wake_up_us(measured)), 0.0
    at_work = found / world.timers
    # Exits prolong a burst, as the guest makes no progress meanwhile.
    progress = max(0.1 * at_work, at_work - per_second(measured.handled_s))
    idle_us = 1e6 * (1 - at_work) / bursts_hz - wake_up_us(measured)
    return 1e6 * progress / bursts_hz, max(SHORT_US, idle_us), at_work


def wake_up_us(measured: Measured) -> float:
    """Return how long it takes to halt and to be woken again, in us on average: no time of the guest's."""
    costs = measured.costs
    return sum(each.mean_ns for each in (costs.hlt, costs.wake_up, costs.cstate_exit)) / 1e3


def workload_of(measured: Measured, world: World, waits_by: str) -> Workload:
    """Return what each vCPU does in a world. Writes that do not arm the timer are other exits."""

    def rate(count: float, share: float = 1.0) -> float:
        """Return a count as a rate per vCPU per second that a workload may have, in a `share` of the time."""
        per_second = measured.per_second(count) * world.factor / share if share else 0.0
        return min(MOST_HZ, per_second) if per_second >= checks.MIN_RATE else 0.0

    busy_us, idle_us, at_work = bursts_of(measured, world) if measured.halts else (0.0, 0.0, 1.0)
    if not idle_us and waits_by != "spin":
        idle_us = 1.0
    return Workload(
        tick_hz=0,
        timer_mode=measured.timer_mode,
        timer_us=1e6 / max(checks.MIN_RATE, rate(world.timers)),
        busy_us=busy_us,
        idle_us=idle_us,
        waits_by=waits_by,
        nohz_idle=False,
        other_exit_hz=rate(measured.other_exits + max(0.0, measured.writes - world.timers), at_work),
        host_irq_hz=rate(measured.host_irqs if world.host_irqs is None else world.host_irqs, at_work),
    )


def scenario_of(measured: Measured, world: World, said: Assumptions, base: Kernel) -> Scenario:
    """Return the recorded host in one world: its vCPUs, and one housekeeping CPU for all of them."""
    vcpus = min(measured.vcpus, MOST_VCPUS)
    cpus = tuple(range(1, vcpus + 1))
    workload = workload_of(measured, world, said.waits_by)
    burst_us = workload.busy_us + workload.idle_us
    bursts_hz = 1e6 / burst_us if workload.busy_us else 0.0
    others_hz = vcpus * (workload.other_exit_hz + workload.host_irq_hz + bursts_hz)
    assert workload.timer_us is not None
    duration = min(TIMERS_PER_RUN * workload.timer_us / 1e6 / vcpus, OTHERS_PER_RUN / max(1.0, others_hz))
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
        duration_s=min(LONGEST_BUSY_S if world.housekeeping == "timers" else LONGEST_S, max(SHORTEST_S, duration)),
        costs=measured.costs,
        trace_steps=0,
    ).replace(**{f"host.{name}": value for name, value in said.settings})
