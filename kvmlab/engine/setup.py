"""From a scenario to what the rules are given: a few small tables, in the scenario's own units.

What follows from them, the rules work out themselves (`kvmlab.model.start`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from kvmlab import policy
from kvmlab.engine.layout import GIVEN, TABLES
from kvmlab.kernels import Kernel
from kvmlab.model.draws import BODY, EXPONENTIAL_BITS
from kvmlab.model.names import LOADS, NONE, TIMER_MODES, WAITS
from kvmlab.model.records import Machinery
from kvmlab.scenario.guest import Guest
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

UNSET = -1
"""What stands for None."""


@functools.cache
def exponential_table() -> np.ndarray:
    """Return quantiles of the exponential distribution with mean 1 << EXPONENTIAL_BITS, laid out as a cost's table."""
    middle = (np.arange(BODY) + 0.5) / BODY
    survival = np.concatenate([1 - middle, (1 - middle) / BODY])
    table: np.ndarray = np.rint(-np.log(survival) * (1 << EXPONENTIAL_BITS)).astype(np.int64)
    table.flags.writeable = False  # all machines share it
    return table


def one(table: str, values: Mapping[str, Any]) -> np.ndarray:
    """Return a table with one record, whose other fields are 0."""
    array = np.zeros(1, TABLES[table].dtype)
    for name, value in values.items():
        array[name] = UNSET if value is None else value
    return array


def kernel_values(kernel: Kernel) -> dict[str, int]:
    """Return the fields of `Machinery`."""
    machinery = {field.name: int(getattr(kernel, field.name)) for field in fields(Machinery) if field.name != "policy"}
    return {"policy": policy.table_bits(kernel.policy), **machinery}


SAME_IN_HOST = (
    "hz", "preemption_timer_shift", "lapic_timer_advance_ns", "pi_inject_timer", "ple_window", "nohz_full",
    "isolated_domains", "apicv", "preemption_timer", "timer_migration", "tsc_ghz", "housekeeping_timer_us",
    "housekeeping_work_us",
    "min_timer_period_us", "halt_poll_us",
)  # fmt: skip
SAME_IN_GUEST = (
    "vcpus", "pool_size", "hlt_in_guest", "mwait_in_guest", "pause_in_guest", "preempt_hz", "preempt_us",
    "moves_every_ms", "boot_us",
)  # fmt: skip
SAME_IN_WORKLOAD = (
    "timers", "nohz_idle", "tick_hz", "timer_us", "gap_us", "rewrites", "rewrite_every_us", "slides",
    "rewrite_by_us", "busy_us", "idle_us", "device_irq_hz", "other_exit_hz", "host_irq_hz",
)  # fmt: skip
"""What has the same name and unit in a scenario and in a record."""


def host_values(s: Scenario) -> dict[str, Any]:
    """Return the given fields of `HostSetup`."""
    return {
        "seed": s.seed,
        "trace_steps": s.trace_steps,
        "load": LOADS.index(s.host.housekeeping),
        "loaded_given": s.host.loaded is not None,
        "amd": s.host.vendor == "amd",
        **{name: getattr(s.host, name) for name in SAME_IN_HOST},
    }


def guest_values(guest: Guest, pool_first: int) -> dict[str, Any]:
    """Return the given fields of `GuestProgram`."""
    w = guest.workload
    return {
        "pool_first": pool_first,
        "timer_mode": TIMER_MODES.index(w.timer_mode),
        "wait": WAITS.index(w.waits_by),
        "relative": w.rearm == "relative",
        **{name: getattr(guest, name) for name in SAME_IN_GUEST},
        **{name: getattr(w, name) for name in SAME_IN_WORKLOAD},
    }


def guests_and_pools(guests: tuple[Guest, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the guests, and their pCPUs end to end: NONE for those that the rules are to choose."""
    rows, pools = [], list[int]()
    for guest in guests:
        rows.append(one("guests", guest_values(guest, len(pools))))
        pools.extend(guest.pcpus if guest.pcpus is not None else [NONE] * guest.vcpus)
    return np.concatenate(rows), np.array(pools, np.int64)


def pcpus(host: Host) -> np.ndarray:
    """Return the pCPUs: which domain each is in, and which are loaded."""
    array = np.zeros(host.pcpus, TABLES["pcpus"].dtype)
    for number, domain in enumerate(host.domains):
        array["domain"][list(domain)] = number
    array["loaded"][list(host.loaded or ())] = 1
    return array


def given(s: Scenario) -> dict[str, np.ndarray]:
    """Return the tables that the rules are given (`layout.GIVEN`), as numpy arrays."""
    guests, pools = guests_and_pools(s.guests)
    tables = {
        "sizes": one("sizes", {}),
        "loop": one("loop", {}),
        "kernel": one("kernel", kernel_values(s.kernel)),
        "host": one("host", host_values(s)),
        "guests": guests,
        "pools": pools,
        "isolated": np.array(s.host.isolated, np.int64),
        "taken": np.zeros(s.host.pcpus, np.int64),
        "pcpus": pcpus(s.host),
        "costs": s.costs.stacked().reshape(-1),
        "exponential": exponential_table(),
    }
    return {name: tables[name] for name in GIVEN}
