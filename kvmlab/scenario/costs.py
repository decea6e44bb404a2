"""How long each step takes: distributions fitted to published rows, each with its source.

A step's time is a shifted lognormal: never below ``shift_ns`` (the published minimum), with the published mean and
spread, and a long right tail. The simulator draws from integer tables of it (`ShiftedLognormal.table`), so a run is
exact integer arithmetic in ns. Everything here is in ns except what is read from, or compared with, a table of
``perf kvm stat``, which prints us.
"""

from __future__ import annotations

import csv
import itertools
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from kvmlab import data
from kvmlab.model.machine import BODY, STEPS, TABLE
from kvmlab.scenario.interval import Interval

IntArray = npt.NDArray[np.int64]

MAX_NS = 1e10
"""No step may take longer than this: 10 s keeps every table entry within an int64."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class ShiftedLognormal:
    """`shift_ns` plus a lognormal, given by the mean and the standard deviation of the whole, in ns.

    It is a constant (`mean_ns`) if ``sd_ns == 0`` or ``mean_ns == shift_ns``.
    """

    shift_ns: float
    mean_ns: float
    sd_ns: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= MAX_NS:
                raise ValueError(f"{field.name}: {value!r} does not fit; allowed: 0 to {MAX_NS:.0f} ns")
        if self.shift_ns > self.mean_ns:
            raise ValueError(
                f"shift_ns: {self.shift_ns!r} is above the mean; allowed: 0 to mean_ns = {self.mean_ns!r} ns"
            )

    @property
    def constant(self) -> bool:
        """Whether every draw is the same."""
        return self.sd_ns == 0 or self.mean_ns == self.shift_ns or self.sigma == 0

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm of the part above the shift: sqrt(log(1 + (sd / excess)^2))."""
        if self.sd_ns == 0 or self.mean_ns == self.shift_ns:
            return 0.0
        x = 2 * (math.log(self.sd_ns) - math.log(self.mean_ns - self.shift_ns))
        return math.sqrt(max(x, 0.0) + math.log1p(math.exp(-abs(x))))

    @property
    def mu(self) -> float:
        """Mean of the logarithm of the part above the shift (in ns); only where it is not constant."""
        return math.log(self.mean_ns - self.shift_ns) - self.sigma**2 / 2

    def quantile(self, u: float) -> float:
        """The time that a share `u` of the draws does not exceed, in ns; 0 <= u < 1."""
        if not 0 <= u < 1:
            raise ValueError(f"u: {u!r} is no share; allowed: 0 up to but not including 1")
        if self.constant:
            return self.mean_ns
        return self._at(_NORMAL.inv_cdf(u)) if u > 0 else self.shift_ns

    def upper_quantile(self, tail: float) -> float:
        """The time that a share `tail` of the draws exceeds, in ns; exact where 1 - tail would round to 1."""
        if not 0 < tail <= 1:
            raise ValueError(f"tail: {tail!r} is no share; allowed: above 0, up to 1")
        if self.constant:
            return self.mean_ns
        return self._at(-_NORMAL.inv_cdf(tail)) if tail < 1 else self.shift_ns

    def cdf(self, x: float) -> float:
        """The share of draws that take at most `x` ns."""
        if self.constant:
            return float(x >= self.mean_ns)
        if x <= self.shift_ns:
            return 0.0
        return _NORMAL.cdf((math.log(x - self.shift_ns) - self.mu) / self.sigma)

    def table(self) -> IntArray:
        """Quantiles in whole ns, in two levels of `BODY` entries each; read-only, and remembered.

        Entry i of the body is the quantile at (i + 0.5) / 4096; entry 4096 + j the one within the last 4096th, at
        1 - (1 - (j + 0.5) / 4096) / 4096. A draw takes 24 random bits: the upper 12 choose the entry of the body, and
        where they are all ones the lower 12 choose one of the tail: so the tail is resolved to 1 in 16.7 million.
        """
        return _table(self)

    def scaled(self, factor: float) -> ShiftedLognormal:
        """The same shape, `factor` times as long."""
        if not 0 <= factor < math.inf:
            raise ValueError(f"factor: {factor!r} does not fit; allowed: a finite number from 0")
        return ShiftedLognormal(self.shift_ns * factor, self.mean_ns * factor, self.sd_ns * factor)

    def _at(self, z: float) -> float:
        """The time at `z` standard deviations of its logarithm."""
        return self.shift_ns + math.exp(self.mu + self.sigma * z)


def constant(ns: float) -> ShiftedLognormal:
    """A step that always takes `ns`."""
    return ShiftedLognormal(ns, ns, 0.0)


@cache
def _normal_quantiles() -> npt.NDArray[np.float64]:
    """The standard normal at the places of a table; the tail from its small end, where floats are dense."""
    middles = (np.arange(BODY) + 0.5) / BODY
    body = [_NORMAL.inv_cdf(u) for u in middles.tolist()]
    tail = [-_NORMAL.inv_cdf(t) for t in ((1 - middles) / BODY).tolist()]
    return np.array(body + tail)


@lru_cache(maxsize=512)  # 64 KiB each
def _table(dist: ShiftedLognormal) -> IntArray:
    if dist.constant:
        ns = np.full(TABLE, dist.mean_ns)
    else:
        ns = dist.shift_ns + np.exp(dist.mu + dist.sigma * _normal_quantiles())
    table: IntArray = np.rint(ns).astype(np.int64)
    table.flags.writeable = False
    return table


# --- what was published -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published ``perf kvm stat`` table, as printed: shares in percent, times in us."""

    side: str
    """Which table of the source: "before" or "after" the patch; "" where there is one only."""
    exit: str
    samples: int
    samples_pct: float
    """Share of all exits."""
    time_pct: float
    """Share of all exits' handling time."""
    min_us: float
    max_us: float
    avg_us: float
    rsem_pct: float
    """The column ``+-``: standard error of the mean as a share of the mean."""
    source: str

    @property
    def sd_us(self) -> float:
        """Standard deviation of the handling time: perf prints 100 x sd / sqrt(n) / avg (tools/perf/util/stat.c)."""
        return self.rsem_pct / 100 * self.avg_us * math.sqrt(self.samples)

    @property
    def max_share_of_variance(self) -> float:
        """How much of the row's variance its single longest exit makes up: (max - avg)^2 / ((n - 1) sd^2).

        The nearer to 1, the less a prediction of the maximum from the spread says: one exit made both.
        """
        if self.sd_us == 0:
            return 1.0
        return ((self.max_us - self.avg_us) / self.sd_us) ** 2 / (self.samples - 1)


POSTED_TIMER_2019 = "2019-posted-timer"
"""The two rows in the message of commit 0c5f81dad46c (v5.3): the timer patch off and on."""
SYSBENCH_2020 = "2020-sysbench-exits"
"""All rows of one table of 2020: a guest that runs sysbench."""


@cache
def published_table(name: str = POSTED_TIMER_2019) -> tuple[PublishedRow, ...]:
    """The rows of data/published/`name`.csv, in the order of the file."""
    with data.path("published", f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(_published_row(row) for row in csv.DictReader(file))


def _published_row(row: dict[str, str]) -> PublishedRow:
    kinds: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
    return PublishedRow(**{field.name: kinds[str(field.type)](row[field.name]) for field in fields(PublishedRow)})


def fit(row: PublishedRow) -> ShiftedLognormal:
    """The shifted lognormal with the row's minimum, average and spread. The row's maximum is not used."""
    return ShiftedLognormal(row.min_us * 1000, row.avg_us * 1000, row.sd_us * 1000)


@dataclass(frozen=True)
class MaxOfDraws:
    """The longest of `n` independent draws: P(longest <= x) = cdf(x)^n. Times in ns."""

    dist: ShiftedLognormal
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n: {self.n!r} draws have no longest; allowed: 1 or more")

    @property
    def median(self) -> float:
        """Half of all such runs have a longer maximum, in ns."""
        return self.quantile(0.5)

    def quantile(self, p: float) -> float:
        """The time that the maximum does not exceed in a share `p` of such runs, in ns; 0 < p < 1."""
        if not 0 < p < 1:
            raise ValueError(f"p: {p!r} is no share; allowed: above 0, below 1")
        return self.dist.upper_quantile(-math.expm1(math.log(p) / self.n))

    def percentile_of(self, observed: float) -> float:
        """The percentage (0 to 100) of such runs whose maximum is at most `observed` ns."""
        return float(100 * self.dist.cdf(observed) ** self.n)


def predicted_max(dist: ShiftedLognormal, n: int) -> MaxOfDraws:
    """What the longest of `n` draws of `dist` is likely to be."""
    return MaxOfDraws(dist, n)


@dataclass(frozen=True)
class ImpliedTotals:
    """What one printed row says about the whole table it was taken from."""

    exits: Interval
    """All exits."""
    time_ms: Interval
    """All exits' handling time."""
    other_exits: Interval
    """Exits for other reasons."""
    other_mean_us: Interval
    """Their mean handling time."""


def implied_totals(row: PublishedRow, rounding: float = 0.005) -> ImpliedTotals:
    """The totals behind a row: exits = Samples / Samples%, time = Samples x Avg / Time%, and what is left for others.

    Each range holds for every value that the row's percentages and average may have had before they were rounded
    to two digits (`rounding` in their own unit); Samples is exact.
    """
    for field in ("samples_pct", "time_pct", "avg_us"):
        value = getattr(row, field)
        if not rounding < value < 100 - rounding:
            raise ValueError(f"{field}: {value!r} tells no totals; allowed: above {rounding}, below {100 - rounding}")
    printed = (row.samples_pct, row.time_pct, row.avg_us)
    corners = itertools.product(*((x - rounding, x + rounding) for x in printed))
    totals, *possible = (_totals(row.samples, *point) for point in (printed, *corners))
    return ImpliedTotals(*(Interval(v, min(p), max(p)) for v, *p in zip(totals, *possible, strict=True)))


def _totals(samples: int, samples_pct: float, time_pct: float, avg_us: float) -> tuple[float, float, float, float]:
    """`ImpliedTotals`, in its order. Monotone in each argument, so its extremes over a box are at corners."""
    exits = samples / (samples_pct / 100)
    time_us = samples * avg_us / (time_pct / 100)
    others = exits - samples
    return exits, time_us / 1000, others, (time_us - samples * avg_us) / others


# --- what the simulator uses ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """How long each step takes. Change one with ``dataclasses.replace``."""

    external_interrupt: ShiftedLognormal
    """Host handling of an EXTERNAL_INTERRUPT exit, the interrupt's own handler included."""
    msr_write: ShiftedLognormal
    """Host handling of a WRMSR exit that arms the timer, the slow way."""
    msr_write_fastpath: ShiftedLognormal
    """The same through the fast path."""
    preemption_timer: ShiftedLognormal
    """Host handling of a PREEMPTION_TIMER exit, the slow way."""
    preemption_timer_fastpath: ShiftedLognormal
    """The same through the fast path."""
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

    def __post_init__(self) -> None:
        for name in STEPS:
            if not isinstance(getattr(self, name), ShiftedLognormal):
                raise ValueError(f"{name}: {getattr(self, name)!r} is no cost; allowed: a ShiftedLognormal")

    @staticmethod
    def default() -> Costs:
        """The costs of data/costs.toml."""
        return _default()

    @staticmethod
    def zero() -> Costs:
        """No step takes any time."""
        return Costs(**dict.fromkeys(STEPS, constant(0.0)))

    def stacked(self) -> IntArray:
        """The tables of all steps, in the order of `STEPS`: one row of `TABLE` entries each, in ns."""
        return np.stack([getattr(self, name).table() for name in STEPS])

    def provenance(self) -> list[dict[str, Any]]:
        """Each step with its numbers (ns), what they rest on (status; sd_status for the spread) and source.

        A step that was changed from the default is yours.
        """
        return [self._provenance(name) for name in STEPS]

    def _provenance(self, name: str) -> dict[str, Any]:
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


@cache
def _entries() -> dict[str, dict[str, Any]]:
    with data.path("costs.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def _default() -> Costs:
    entries = _entries()
    return Costs(
        **{
            name: ShiftedLognormal(*(float(entries[name][key]) for key in ("shift_ns", "mean_ns", "sd_ns")))
            for name in STEPS
        }
    )
