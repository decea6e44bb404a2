"""What hypothesis draws: small hosts, guests and workloads, with every option that a scenario has."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from hypothesis import HealthCheck, settings, strategies as st

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.distribution import ShiftedLognormal

# The engine may have to be compiled within the first example, hence no deadline. A fixed set of examples unless
# KVMLAB_HYPOTHESIS=random asks for others: a run of the suite says the same twice.
RANDOM = os.environ.get("KVMLAB_HYPOTHESIS") == "random"
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def few(examples: int) -> settings:
    """Return the settings of a property: this number of examples, KVMLAB_EXAMPLES times as many on request."""
    many = int(os.environ.get("KVMLAB_EXAMPLES", "1"))
    return settings(deadline=None, derandomize=not RANDOM, max_examples=examples * many, suppress_health_check=SLOW)


@functools.cache
def constant_costs(ns: int | None = None) -> Costs:
    """Return costs by which a step always takes the same time: its mean, or `ns`."""
    default = Costs.default()
    means = {f.name: round(getattr(default, f.name).mean_ns) if ns is None else ns for f in fields(Costs)}
    return replace(default, **{name: ShiftedLognormal(mean, mean, 0) for name, mean in means.items()})


COSTS = [Costs.default(), Costs.zero(), constant_costs(), constant_costs(1), constant_costs(100_000)]
"""As published, none, means, 1 ns and 100 us per step."""


def all_kernels() -> list[kl.Kernel]:
    """Return the seven kernels, and each policy in each kernel's machinery."""
    mixed = [
        kernel.with_policy(f"{kernel.name} {name}", rule)
        for kernel, (name, rule) in itertools.product(kl.KERNELS.values(), policy.POLICIES.items())
    ]
    others = [("v5.8", policy.rev1), ("v5.10", policy.rev3)]
    return [*kl.KERNELS.values(), *mixed, *(kernels.release(version, rule) for version, rule in others)]


def subsets(cpus: Iterable[int], **sizes: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw distinct CPUs of `cpus`; `sizes` as st.lists takes them."""
    return st.lists(st.sampled_from(list(cpus)), unique=True, **sizes).map(tuple)


@st.composite
def hosts(draw: st.DrawFn, least: int = 1, most: int = 8, **fixed: Any) -> kl.Host:
    """Draw a host of `least` to `most` pCPUs; `fixed` fields are not drawn."""
    count = draw(st.integers(least, most))
    isolated = tuple(sorted(draw(subsets(range(count), max_size=count - 1))))
    middle = draw(st.integers(1, count))
    domains = () if middle == count or draw(st.booleans()) else (tuple(range(middle)), tuple(range(middle, count)))
    options: dict[str, Any] = {
        "nohz_full": draw(st.booleans()),
        "isolated_domains": draw(st.booleans()),
        "domains": domains,
        "hz": draw(st.sampled_from([100, 250, 1000, 10_000])),
        "housekeeping": draw(st.sampled_from(["idle", "ticking", "timers"])),
        "housekeeping_timer_us": draw(st.sampled_from([20, 100, 333.3])),
        "housekeeping_work_us": draw(st.sampled_from([0, 0, 1, 50])),
        "loaded": draw(st.none() | subsets(range(count))),
        "vendor": draw(st.sampled_from(["intel", "intel", "intel", "amd"])),
        "apicv": draw(st.sampled_from([True, True, False])),
        "preemption_timer": draw(st.sampled_from([True, True, False])),
        "preemption_timer_shift": draw(st.sampled_from([0, 5, 7, 31])),
        "tsc_ghz": draw(st.sampled_from([0.1, 1.0, 2.5, 3.3])),
        "pi_inject_timer": draw(st.sampled_from([None, True, True, False])),
        "timer_migration": draw(st.sampled_from([True, True, False])),
        "lapic_timer_advance_ns": draw(st.sampled_from([None, None, 0, 1000, 5000, 100_000])),
        "min_timer_period_us": draw(st.sampled_from([200, 0, 50])),
        "halt_poll_us": draw(st.sampled_from([200, 0, 10])),
        "ple_window": draw(st.sampled_from([4096, 128, 1 << 31])),
    }
    return kl.Host(pcpus=count, isolated=isolated, **(options | fixed))


rates = st.sampled_from([0, 0, 100, 2000, 20_000])


@st.composite
def workloads(draw: st.DrawFn) -> kl.Workload:
    """Draw what a guest does."""
    mode = draw(st.sampled_from(["tsc_deadline", "tsc_deadline", "oneshot", "periodic"]))
    tick = draw(st.sampled_from([0, 100, 250, 1000, 10_000]))
    timer = draw(st.sampled_from([None, 50, 130, 1000, 7000]))
    if mode == "periodic" and tick and timer:
        tick, timer = draw(st.sampled_from([(tick, None), (0, timer)]))
    writes = {}
    if timer and mode != "periodic" and draw(st.booleans()):
        writes = {
            "rearm": "relative",
            "gap_us": draw(st.sampled_from([0, 90, 2000])),
            "rewrites": draw(st.sampled_from([0, 1, 7])),
            "rewrite_every_us": draw(st.sampled_from([1, 40, 300])),
            "slides": draw(st.booleans()),
            "rewrite_by_us": draw(st.sampled_from([0, -20, 15.5, -5000])),
            "busy_us": 0,
        }
    options = {
        "rearm": draw(st.sampled_from(["absolute", "relative"])),
        "busy_us": draw(st.sampled_from([0, 20, 300])),
    }
    return kl.Workload(
        tick_hz=tick,
        timer_us=timer,
        timers=draw(st.none() | st.integers(1, 200)),
        timer_mode=mode,
        idle_us=draw(st.sampled_from([0, 0, 15, 500, 20_000])),
        waits_by=draw(st.sampled_from(["hlt", "mwait", "pause", "spin"])),
        nohz_idle=draw(st.booleans()),
        device_irq_hz=draw(rates),
        other_exit_hz=draw(rates),
        host_irq_hz=draw(rates),
        **(options | writes),
    )


@st.composite
def guests(draw: st.DrawFn, vcpus: int = 1, pcpus: tuple[int, ...] | None = None, moving: bool = True) -> kl.Guest:
    """Draw a guest; `moving`: it may move and be preempted."""
    return kl.Guest(
        vcpus=vcpus,
        pcpus=pcpus,
        workload=draw(workloads()),
        hlt_in_guest=draw(st.booleans()),
        mwait_in_guest=draw(st.booleans()),
        pause_in_guest=draw(st.booleans()),
        moves_every_ms=draw(st.sampled_from([None, None, 0.2, 3])) if moving else None,
        preempt_hz=draw(st.sampled_from([0, 0, 100, 3000])) if moving else 0,
        preempt_us=draw(st.sampled_from([5, 100, 1000])),
    )


@st.composite
def scenarios(
    draw: st.DrawFn,
    host: st.SearchStrategy[kl.Host] | None = None,
    moving: bool = True,
    costs: Sequence[Costs] = COSTS[:4],
    kernels: Sequence[kl.Kernel] | None = None,
) -> kl.Scenario:
    """Draw 1 to 8 pCPUs, 1 to 3 guests with whatever fits on them, 1 to 20 ms."""
    on = draw(hosts() if host is None else host)
    free = draw(st.permutations(range(on.pcpus)))
    made: list[kl.Guest] = []
    while free and len(made) < 3 and (not made or draw(st.booleans())):
        vcpus = draw(st.integers(1, min(4, len(free))))
        spare = draw(st.integers(0, len(free) - vcpus))
        pool, free = tuple(free[: vcpus + spare]), free[vcpus + spare :]
        made.append(draw(guests(vcpus=vcpus, pcpus=pool, moving=moving)))
    if draw(st.sampled_from([False, False, True])):
        made = [replace(guest, pcpus=None) for guest in made]
    return kl.Scenario(
        on,
        tuple(made),
        kernel=draw(st.sampled_from(kernels or all_kernels())),
        duration_s=draw(st.sampled_from([0.001, 0.005, 0.02])),
        seed=draw(st.integers(0, 2**32 - 1)),
        costs=costs[draw(st.integers(0, len(costs) - 1))],
        trace_steps=20_000,
    )


STORY_DEFAULTS = {
    "pi_inject_timer": True,
    "apicv_active": True,
    "hv_timer": True,
    "mwait_in_guest": False,
    "hlt_in_guest": False,
    "pcpu": "isolated",
    "nohz_full": True,
    "vcpu_at_expiry": "guest",
    "timer_mode": "tsc_deadline",
    "deadline_ns": 2_000_000,
    "housekeeping_next_event_ns": 1_000_000,
    "timer_migration": True,
    "tsc_ghz": 2.5,
    "preemption_timer_shift": 5,
}
"""The options of `kvmlab.follow_timer` that are not given."""
