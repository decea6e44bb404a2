"""The times of a run cut at its end (`kvmlab.model.until_end`), for all vCPUs or pCPUs of the tables that it left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt

from kvmlab.model.records import Machine
from kvmlab.model.until_end import idle_until, lost_until, timer_busy_until

Times = npt.NDArray[np.int64]


def machine_of(**tables: np.ndarray) -> Machine:
    """Return some tables of a machine so that a rule can read their fields."""
    return cast(Machine, SimpleNamespace(**{name: table.view(np.recarray) for name, table in tables.items()}))


def idle_ns(vcpus: np.ndarray, end: int) -> Times:
    """Return for how long each guest was idle. `vcpus`: VCPU records; `end`: the time at which the run ended, ns."""
    m = machine_of(vcpus=vcpus)
    return np.array([idle_until(m, v, end) for v in range(len(vcpus))], np.int64)


def lost_ns(vcpus: np.ndarray, end: int) -> Times:
    """Return how much of its time each guest lost to exits. Arguments as `idle_ns`."""
    m = machine_of(vcpus=vcpus)
    return np.array([lost_until(m, v, end) for v in range(len(vcpus))], np.int64)


def timer_busy_ns(pcpus: np.ndarray, end: int) -> Times:
    """Return for how long LAPIC timers kept each pCPU. `pcpus`: PCPU records; `end`: as above."""
    m = machine_of(pcpus=pcpus)
    return np.array([timer_busy_until(m, cpu, end) for cpu in range(len(pcpus))], np.int64)
