"""How long each step of the simulation takes: a shifted lognormal each, with its source (data/costs.toml), in ns.

What the lessons call as ``costs.fit`` and so on stands in published.py.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from kvmlab import data
from kvmlab.model.names import STEPS
from kvmlab.scenario import checks
from kvmlab.scenario.distribution import IntArray, ShiftedLognormal, constant
from kvmlab.scenario.published import (
    POSTED_TIMER_2019,
    SYSBENCH_2020,
    PublishedRow,
    fit,
    implied_totals,
    predicted_max,
    published_table,
)

__all__ = [
    "POSTED_TIMER_2019",
    "SYSBENCH_2020",
    "Costs",
    "PublishedRow",
    "ShiftedLognormal",
    "fit",
    "implied_totals",
    "predicted_max",
    "published_table",
]


@dataclass(frozen=True)
class Costs:
    """How long each step takes. Change one with ``dataclasses.replace``.

    >>> import dataclasses
    >>> import kvmlab as kl
    >>> default = kl.Costs.default()
    >>> slow_kick = dataclasses.replace(default, kick=default.kick.scaled(2))
    >>> [row["name"] for row in slow_kick.provenance() if row["status"] == "yours"]
    ['kick']
    """

    external_interrupt: ShiftedLognormal
    """Host handling of an EXTERNAL_INTERRUPT exit, the interrupt's own handler included."""
    msr_write: ShiftedLognormal
    """Host handling of a WRMSR exit that arms the timer, the slow way."""
    msr_write_fastpath: ShiftedLognormal
    """Host handling of such an exit through the fast path."""
    preemption_timer: ShiftedLognormal
    """Host handling of a PREEMPTION_TIMER exit, the slow way."""
    preemption_timer_fastpath: ShiftedLognormal
    """Host handling of such an exit through the fast path."""
    hlt: ShiftedLognormal
    """Host handling of a HLT exit, without the time blocked."""
    pause: ShiftedLognormal
    """Host handling of a pause-loop exit."""
    other_exit: ShiftedLognormal
    """Host handling of any other exit."""
    exit_transition: ShiftedLognormal
    """The hardware's way out of the guest; perf does not count it."""
    entry_transition: ShiftedLognormal
    """The hardware's way back in; perf does not count it."""
    hrtimer_interrupt: ShiftedLognormal
    """Interrupt entry and one hrtimer callback on a housekeeping CPU, without what it sends."""
    tick: ShiftedLognormal
    """The scheduler tick's work, on top of the interrupt that runs it."""
    post: ShiftedLognormal
    """Setting the bit in the posted-interrupt descriptor and writing the ICR."""
    posted_delivery: ShiftedLognormal
    """From that write to the guest's handler: IPI flight, merge of the descriptor, vectoring."""
    kick: ShiftedLognormal
    """Flight of a reschedule IPI."""
    wake_up: ShiftedLognormal
    """Waking the thread of a blocked vCPU from another CPU."""
    cstate_exit: ShiftedLognormal
    """Leaving the idle state of the pCPU."""
    guest_handler: ShiftedLognormal
    """The guest's timer interrupt handler until it arms the next timer."""
    halt_poll_notice: ShiftedLognormal
    """Until a polling vCPU sees that its timer is pending."""
    searched_cpu: ShiftedLognormal
    """One CPU looked at in the search for a target, up to v5.5; later releases look at few, within the write's cost."""

    def __post_init__(self) -> None:
        for name in STEPS:
            if not isinstance(getattr(self, name), ShiftedLognormal):
                raise checks.refusal(f"Costs.{name}", getattr(self, name), "a ShiftedLognormal")

    @staticmethod
    def default() -> Costs:
        """Return the costs of data/costs.toml."""
        return _default()

    @staticmethod
    def zero() -> Costs:
        """Return costs by which no step takes any time."""
        return Costs(**dict.fromkeys(STEPS, constant(0.0)))

    def stacked(self) -> IntArray:
        """Return the tables of all steps, in the order of `STEPS`: a row of `TABLE` entries each, in ns; read-only."""
        return _stacked(self)

    def provenance(self) -> list[dict[str, Any]]:
        """Return each step with its numbers (ns), what they rest on (status; sd_status for the spread) and source.

        Keys: name, shift_ns, mean_ns, sd_ns, status, sd_status, source, note. A step that was changed is "yours".
        """
        return [self._provenance(name) for name in STEPS]

    def _provenance(self, name: str) -> dict[str, Any]:
        """Return one row of `provenance`."""
        dist: ShiftedLognormal = getattr(self, name)
        entry = _entries()[name] if dist == getattr(_default(), name) else _YOURS
        return {
            "name": name,
            "shift_ns": dist.shift_ns,
            "mean_ns": dist.mean_ns,
            "sd_ns": dist.sd_ns,
            **{key: entry[key] for key in ("status", "sd_status", "source", "note")},
        }


_YOURS = {"status": "yours", "sd_status": "yours", "source": "set by you", "note": ""}


@lru_cache(maxsize=8)
def _stacked(costs: Costs) -> IntArray:
    """Make the tables of all steps. All runs with these costs share them, as long as they live: 1 MB."""
    tables = np.stack([getattr(costs, name).table() for name in STEPS])
    tables.flags.writeable = False
    return tables


@cache
def _entries() -> dict[str, dict[str, Any]]:
    """Read costs.toml, once."""
    with data.path("costs.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def _default() -> Costs:
    """Make the costs of costs.toml, once."""
    entries = _entries()
    return Costs(
        **{
            name: ShiftedLognormal(*(float(entries[name][key]) for key in ("shift_ns", "mean_ns", "sd_ns")))
            for name in STEPS
        }
    )
