"""From a scenario to the machine before it starts."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from kvmlab import policy
from kvmlab.model.machine import (
    APIC_TIMER,
    BACKGROUND,
    BODY,
    EXIT,
    EXITS,
    EXPONENTIAL_BITS,
    GLOBAL,
    GUEST_PROGRAM,
    HIST_BINS,
    HOST,
    LANE,
    LANE_BITS,
    NEVER,
    NONE,
    PCPU,
    PLACES,
    SCHED_TICK,
    STEP,
    STEPS,
    STREAM,
    STREAMS,
    TABLE,
    TIMER,
    TIMER_MODES,
    VCPU,
    WAITS,
    Machine,
    mix,
)
from kvmlab.policy import VcpuFacts
from kvmlab.scenario.scenario import Guest, Host, Scenario

ADVANCE_NS_INIT = 1000


def ns(seconds: float) -> int:
    """Seconds to whole ns."""
    return round(seconds * 1e9)


def us(microseconds: float | None) -> int:
    """Microseconds to whole ns; None is NEVER."""
    return NEVER if microseconds is None else round(microseconds * 1e3)


def gap(per_second: float) -> int:
    """Mean time in ns between things that come so often a second; NEVER for 0."""
    return round(1e9 / per_second) if per_second else NEVER


@functools.cache
def exponential_table() -> npt.NDArray[np.int64]:
    """Quantiles of the exponential distribution with mean 1 << EXPONENTIAL_BITS; body and tail as in a cost's table."""
    middle = (np.arange(BODY) + 0.5) / BODY
    survival = np.concatenate([1 - middle, (1 - middle) / BODY])
    table: npt.NDArray[np.int64] = np.rint(-np.log(survival) * (1 << EXPONENTIAL_BITS)).astype(np.int64)
    return table


def globals_of(s: Scenario, vcpus: int) -> np.ndarray:
    """The GLOBAL record: the kernel's machinery and the host's parameters."""
    g = np.zeros(1, GLOBAL)
    host, kernel = s.host, s.kernel
    khz = round(host.tsc_ghz * 1e6)
    values: dict[str, int] = {
        "handled": NONE,
        "n_vcpus": vcpus,
        "tsc_khz": khz,
        "preemption_timer_shift": host.preemption_timer_shift,
        "hv_range_ns": min(NEVER, math.ceil((1 << (32 + host.preemption_timer_shift)) * 1_000_000 / khz)),
        "timer_migration": host.timer_migration,
        "min_timer_period_ns": us(host.min_timer_period_us),
        "halt_poll_max_ns": us(host.halt_poll_us),
        "domains": host.isolated_domains,
        "hrtimer_pinned": kernel.hrtimer_pinned,
        "arm_fastpath": kernel.arm_fastpath,
        "expiry_fastpath": kernel.expiry_fastpath,
        "rearm_after_block": kernel.rearm_after_block,
        "advance_rule": kernel.advance_rule,
        "nearest_any_cpu": kernel.nearest_any_cpu,
    }
    for name, value in values.items():
        g[name] = value
    return g


def programs_of(s: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """One GUEST_PROGRAM record a guest, and the pCPU pools."""
    programs = np.zeros(len(s.guests), GUEST_PROGRAM)
    pools: list[int] = []
    for i, (guest, cpus) in enumerate(zip(s.guests, s.placement, strict=True)):
        w = guest.workload
        programs[i] = (
            gap(w.tick_hz),
            us(w.timer_us),
            w.rearm == "relative",
            us(w.busy_us),
            us(w.idle_us),
            WAITS.index(w.waits_by),
            w.nohz_idle,
            gap(w.device_irq_hz),
            gap(w.other_exit_hz),
            gap(w.host_irq_hz),
            gap(guest.preempt_hz),
            us(guest.preempt_us),
            NEVER if guest.moves_every_ms is None else us(guest.moves_every_ms * 1e3),
            len(pools),
            len(cpus),
        )
        pools.extend(cpus)
    return programs, np.array(pools, np.int64)


def facts_of(host: Host, guest: Guest) -> int:
    """The facts about a vCPU that do not change, as bits; the pCPU's is added when it is asked for."""
    return policy.index(
        VcpuFacts(
            pi_inject_timer=host.injects_timer,
            apicv_active=host.apicv,
            housekeeping_cpu=False,
            mwait_in_guest=guest.mwait_in_guest,
            hlt_in_guest=guest.hlt_in_guest,
        )
    )


def vcpu_fields(s: Scenario, index: int, number: int, cpu: int, table: int) -> dict[str, Any]:
    """A vCPU before it starts: loaded on its pCPU, about to enter the guest, which programs its timer first."""
    guest, host = s.guests[number], s.host
    w = guest.workload
    boot = 1 + (start_offset(s.seed, index, gap(host.hz)) if guest.boot_us is None else us(guest.boot_us))
    only_waits = w.idle_us > 0 and w.busy_us == 0
    dynamic = host.lapic_timer_advance_ns is None
    return {
        "index": index,
        "guest": number,
        "boot": boot,
        "pcpu": cpu,
        "cpu": cpu,
        "state": HOST,
        "policy": table,
        "facts": facts_of(host, guest),
        "apicv": host.apicv,
        "mwait": guest.mwait_in_guest,
        "hlt": guest.hlt_in_guest,
        "pause_in_guest": guest.pause_in_guest,
        "hv_op": host.has_hv_timer,
        "timer_mode": TIMER_MODES.index(w.timer_mode),
        "deadline": NEVER,
        "expired_deadline": NEVER,
        "advance_ns": ADVANCE_NS_INIT if dynamic else host.lapic_timer_advance_ns,
        "advance_dynamic": dynamic,
        "move_to": NONE,
        "exit_reason": -1,
        "in_handler": 2,
        "eoi_done": 1,
        "idle": only_waits,
        "work_left": NEVER,
        "halted_at": NEVER,
        "programmed": NEVER,
        "idle_ns": boot,
        "next_tick": boot + gap(w.tick_hz) if w.tick_hz else NEVER,
        "next_timer": boot + us(w.timer_us) if w.timer_us else NEVER,
        "timers_left": -1 if w.timers is None else w.timers,
        "ple_window": round(host.ple_window / host.tsc_ghz),
    }


def start_offset(seed: int, index: int, period: int) -> int:
    """Where in a period something starts that starts at any time."""
    return mix(mix(mix(seed) + 1) + index) % period


def vcpus_of(s: Scenario) -> np.ndarray:
    """One VCPU record a vCPU."""
    table = policy.table_bits(s.kernel.policy)
    where = [
        (number, cpu)
        for number, (guest, cpus) in enumerate(zip(s.guests, s.placement, strict=True))
        for cpu in cpus[: guest.vcpus]
    ]
    vcpus = np.zeros(len(where), VCPU)
    for i, (number, cpu) in enumerate(where):
        for name, value in vcpu_fields(s, i, number, cpu, table).items():
            vcpus[name][i] = value
    return vcpus


def hrtimers_at_most(s: Scenario) -> npt.NDArray[np.int64]:
    """How many hrtimers each pCPU may have queued: its own two, and those of the vCPUs that may run there.

    On a housekeeping CPU they may be anyone's.
    """
    vcpus = [(cpus, guest.vcpus) for guest, cpus in zip(s.guests, s.placement, strict=True)]
    most = np.full(s.host.pcpus, 2)
    for cpus, count in vcpus:
        most[list(cpus)] += count
    most[list(s.host.timer_housekeeping)] = 2 + sum(count for _, count in vcpus)
    return most


def pcpus_of(host: Host, vcpus: np.ndarray, hrtimers: npt.NDArray[np.int64]) -> np.ndarray:
    """One PCPU record a pCPU. `hrtimers`: how many each may have queued."""
    pcpus = np.zeros(host.pcpus, PCPU)
    pcpus["index"] = np.arange(host.pcpus)
    pcpus["base"][1:] = np.cumsum(hrtimers)[:-1]
    pcpus["vcpu"] = NONE
    pcpus["vcpu"][vcpus["pcpu"]] = np.arange(len(vcpus))
    pcpus["housekeeping"][list(host.timer_housekeeping)] = 1
    if host.housekeeping != "idle":
        pcpus["busy"][list(host.loaded_cpus)] = 1
    for number, domain in enumerate(host.domains):
        pcpus["domain"][list(domain)] = number
    return pcpus


def ticking(s: Scenario) -> set[int]:
    """The pCPUs on which the host's tick runs: not under nohz_full=, and not where nothing ever runs.

    One housekeeping CPU keeps its tick even when idle, as timekeeper for the nohz_full ones.
    """
    host = s.host
    housekeeping = host.timer_housekeeping
    used = set(itertools.chain(*s.placement))
    loaded = host.loaded_cpus if host.housekeeping != "idle" else ()
    timekeeper = housekeeping[:1] if len(housekeeping) < host.pcpus else ()
    return used.union(loaded, timekeeper).intersection(housekeeping)


def timers_of(s: Scenario, vcpus: int) -> np.ndarray:
    """The hrtimers: each vCPU's LAPIC timer, then each pCPU's tick, then each pCPU's background timer.

    `time` says when the host starts them, NEVER if not: ticks at multiples of the period on all pCPUs alike, background
    timers spread over theirs.
    """
    host, count = s.host, s.host.pcpus
    tick, period = gap(host.hz), us(host.housekeeping_timer_us)
    loaded = set(host.loaded_cpus if host.housekeeping == "timers" else ())
    ticks = ticking(s)
    timers = np.zeros(vcpus + 2 * count, TIMER)
    timers["cpu"] = NONE
    timers["kind"] = [APIC_TIMER] * vcpus + [SCHED_TICK] * count + [BACKGROUND] * count
    timers["owner"] = [*range(vcpus), *range(count), *range(count)]
    timers["period"] = [NEVER] * vcpus + [tick] * count + [period] * count
    timers["time"] = (
        [NEVER] * vcpus
        + [tick if cpu in ticks else NEVER for cpu in range(count)]
        + [1 + start_offset(s.seed, vcpus + cpu, period) if cpu in loaded else NEVER for cpu in range(count)]
    )
    return timers


def machine(s: Scenario) -> Machine:
    """The machine that a scenario describes, before it starts, in numpy tables."""
    vcpus = vcpus_of(s)
    programs, pools = programs_of(s)
    n, count = len(vcpus), s.host.pcpus
    hrtimers = hrtimers_at_most(s)
    lanes = np.zeros((n << LANE_BITS) + count, LANE)
    lanes["time"] = NEVER
    streams = np.zeros((n + count) * STREAMS, STREAM)
    numbers: Any = np.arange(len(streams))
    streams["key"] = mix(mix(s.seed) ^ numbers)
    return Machine(
        g=globals_of(s, n),
        vcpus=vcpus,
        programs=programs,
        pcpus=pcpus_of(s.host, vcpus, hrtimers),
        timers=timers_of(s, n),
        bases=np.zeros(hrtimers.sum(), np.int64),
        lanes=lanes,
        queue=np.zeros(len(lanes), np.int64),
        exits=np.zeros(n * len(EXITS), EXIT),
        histogram=np.zeros(n * HIST_BINS, np.int64),
        places=np.zeros(n * len(PLACES), np.int64),
        streams=streams,
        costs=s.costs.stacked().reshape(len(STEPS) * TABLE),
        exponential=exponential_table(),
        housekeeping=np.array(s.host.timer_housekeeping, np.int64),
        pools=pools,
        trace=np.zeros(s.trace_steps, STEP),
    )
