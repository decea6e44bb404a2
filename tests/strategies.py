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


@functools.cache
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


# Strategies are made once, not where they are drawn: what hypothesis finds out about a new one outlasts a draw.
host_options = st.fixed_dictionaries(
    {
        "nohz_full": st.booleans(),
        "isolated_domains": st.booleans(),
        "hz": st.sampled_from([100, 250, 1000, 10_000]),
        "housekeeping": st.sampled_from(["idle", "ticking", "timers"]),
        "housekeeping_timer_us": st.sampled_from([20, 100, 333.3]),
        "housekeeping_work_us": st.sampled_from([0, 0, 1, 50]),
        "vendor": st.sampled_from(["intel", "intel", "intel", "amd"]),
        "apicv": st.sampled_from([True, True, False]),
        "preemption_timer": st.sampled_from([True, True, False]),
        "preemption_timer_shift": st.sampled_from([0, 5, 7, 31]),
        "tsc_ghz": st.sampled_from([0.1, 1.0, 2.5, 3.3]),
        "pi_inject_timer": st.sampled_from([None, True, True, False]),
        "timer_migration": st.sampled_from([True, True, False]),
        "lapic_timer_advance_ns": st.sampled_from([None, None, 0, 1000, 5000, 100_000]),
        "min_timer_period_us": st.sampled_from([200, 0, 50]),
        "halt_poll_us": st.sampled_from([200, 0, 10]),
        "ple_window": st.sampled_from([4096, 128, 1 << 31]),
    }
)


@functools.cache
def isolated_of(pcpus: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw which of the pCPUs are isolated: not all."""
    return subsets(range(pcpus), max_size=pcpus - 1)


@functools.cache
def loaded_of(pcpus: int) -> st.SearchStrategy[tuple[int, ...] | None]:
    """Draw which of the pCPUs are loaded."""
    return st.none() | subsets(range(pcpus))


@st.composite
def hosts(draw: st.DrawFn, least: int = 1, most: int = 8, **fixed: Any) -> kl.Host:
    """Draw a host of `least` to `most` pCPUs; `fixed` fields are as they are given."""
    count = draw(st.integers(least, most))
    isolated = tuple(sorted(draw(isolated_of(count))))
    middle = draw(st.integers(1, count))
    domains = () if middle == count or draw(st.booleans()) else (tuple(range(middle)), tuple(range(middle, count)))
    options = {**draw(host_options), "domains": domains, "loaded": draw(loaded_of(count))}
    return kl.Host(pcpus=count, isolated=isolated, **(options | fixed))


rates = st.sampled_from([0, 0, 100, 2000, 20_000])
modes = st.sampled_from(["tsc_deadline", "tsc_deadline", "oneshot", "periodic"])
ticks = st.sampled_from([0, 100, 250, 1000, 10_000])
timers = st.sampled_from([None, 50, 130, 1000, 7000])
rewrites = st.fixed_dictionaries(
    {
        "rearm": st.just("relative"),
        "gap_us": st.sampled_from([0, 90, 2000]),
        "rewrites": st.sampled_from([0, 1, 7]),
        "rewrite_every_us": st.sampled_from([1, 40, 300]),
        "slides": st.booleans(),
        "rewrite_by_us": st.sampled_from([0, -20, 15.5, -5000]),
        "busy_us": st.just(0),
    }
)
workload_options = st.fixed_dictionaries(
    {
        "rearm": st.sampled_from(["absolute", "relative"]),
        "busy_us": st.sampled_from([0, 20, 300]),
        "timers": st.none() | st.integers(1, 200),
        "idle_us": st.sampled_from([0, 0, 15, 500, 20_000]),
        "waits_by": st.sampled_from(["hlt", "mwait", "pause", "spin"]),
        "nohz_idle": st.booleans(),
        "device_irq_hz": rates,
        "other_exit_hz": rates,
        "host_irq_hz": rates,
    }
)


@st.composite
def workloads(draw: st.DrawFn) -> kl.Workload:
    """Draw what a guest does."""
    mode, tick, timer = draw(modes), draw(ticks), draw(timers)
    if mode == "periodic" and tick and timer:
        tick, timer = (tick, None) if draw(st.booleans()) else (0, timer)
    writes = draw(rewrites) if timer and mode != "periodic" and draw(st.booleans()) else {}
    return kl.Workload(tick_hz=tick, timer_us=timer, timer_mode=mode, **(draw(workload_options) | writes))


guest_options = st.fixed_dictionaries(
    {
        "hlt_in_guest": st.booleans(),
        "mwait_in_guest": st.booleans(),
        "pause_in_guest": st.booleans(),
        "preempt_us": st.sampled_from([5, 100, 1000]),
    }
)
moves = st.fixed_dictionaries(
    {
        "moves_every_ms": st.sampled_from([None, None, 0.2, 3]),
        "preempt_hz": st.sampled_from([0, 0, 100, 3000]),
    }
)


@st.composite
def guests(draw: st.DrawFn, vcpus: int = 1, pcpus: tuple[int, ...] | None = None, moving: bool = True) -> kl.Guest:
    """Draw a guest; `moving`: it may move and be preempted."""
    options = draw(guest_options) | (draw(moves) if moving else {})
    return kl.Guest(vcpus=vcpus, pcpus=pcpus, workload=draw(workloads()), **options)


durations = st.sampled_from([0.001, 0.005, 0.02])
one_in_three = st.sampled_from([False, False, True])


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
    if draw(one_in_three):
        made = [replace(guest, pcpus=None) for guest in made]
    choice = kernels or all_kernels()
    return kl.Scenario(
        on,
        tuple(made),
        kernel=choice[draw(st.integers(0, len(choice) - 1))],
        duration_s=draw(durations),
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
