"""Published tables of ``perf kvm stat``, the distributions fitted to their rows, and what those predict.

A table prints us; distributions and maxima are in ns.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from kvmlab import data
from kvmlab.scenario import checks
from kvmlab.scenario.distribution import ShiftedLognormal
from kvmlab.scenario.interval import Interval


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published ``perf kvm stat`` table, as printed: shares in percent, times in us."""

    side: str
    """Which table of the source: "before" or "after" the patch; "" where there is one only."""
    exit: str
    """The exit's reason."""
    samples: int
    """How many exits."""
    samples_pct: float
    """Share of all exits."""
    time_pct: float
    """Share of all exits' handling time."""
    min_us: float
    max_us: float
    avg_us: float
    """Shortest, longest and mean handling time."""
    rsem_pct: float
    """The column ``+-``: standard error of the mean in percent of the mean."""
    source: str
    """Where the row was published."""

    @property
    def sd_us(self) -> float:
        """Standard deviation of the handling time: perf prints 100 x sd / sqrt(n) / avg (tools/perf/util/stat.c)."""
        return self.rsem_pct / 100 * self.avg_us * math.sqrt(self.samples)


POSTED_TIMER_2019 = "2019-posted-timer"
"""The two rows in the message of commit 0c5f81dad46c (v5.3): the timer patch off and on."""
SYSBENCH_2020 = "2020-sysbench-exits"
"""All rows of one table of 2020: a guest that runs sysbench."""


@cache
def published_table(name: str = POSTED_TIMER_2019) -> tuple[PublishedRow, ...]:
    """Return the rows of data/published/`name`.csv, in the order of the file.

    Raises FileNotFoundError for a name that is not there.
    """
    with data.path("published", f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(_published_row(row) for row in csv.DictReader(file))


def _published_row(row: dict[str, str]) -> PublishedRow:
    """Turn the text of each column into what the field of that name holds."""
    kinds: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
    return PublishedRow(**{field.name: kinds[str(field.type)](row[field.name]) for field in fields(PublishedRow)})


def fit(row: PublishedRow) -> ShiftedLognormal:
    """Return the shifted lognormal (ns) with the row's minimum, average and spread. The row's maximum is not used.

    >>> before, after = published_table()
    >>> fit(before).mean_ns
    710.0
    """
    return ShiftedLognormal(row.min_us * 1000, row.avg_us * 1000, row.sd_us * 1000)


@dataclass(frozen=True)
class MaxOfDraws:
    """The longest of `n` independent draws: P(longest <= x) = cdf(x)^n. Times in ns."""

    dist: ShiftedLognormal
    n: int

    def __post_init__(self) -> None:
        checks.whole("n", self.n, 1, 1 << 62)

    @property
    def median(self) -> float:
        """Half of all such runs have a longer maximum, in ns."""
        return self.quantile(0.5)

    def quantile(self, p: float) -> float:
        """Return the time that the maximum does not exceed in a share `p` of such runs, in ns; 0 < p < 1."""
        if not 0 < checks.finite(p) < 1:
            raise checks.refusal("p", p, "a share above 0 and below 1")
        return self.dist.upper_quantile(-math.expm1(math.log(p) / self.n))

    def percentile_of(self, observed: float) -> float:
        """Return the percentage (0 to 100) of such runs whose maximum is at most `observed` ns."""
        return float(100 * self.dist.cdf(observed) ** self.n)


def predicted_max(dist: ShiftedLognormal, n: int) -> MaxOfDraws:
    """Return what the longest of `n` draws of `dist` is likely to be; ValueError unless `n` is 1 or more.

    >>> before, after = published_table()
    >>> round(predicted_max(fit(before), before.samples).median / 1000)
    120
    """
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
    """Return the totals behind a row: exits = Samples / Samples%, time = Samples x Avg / Time%, and what is left.

    Each range holds for every value that the row's percentages and average may have had before they were rounded
    to two digits (`rounding` in their own unit); Samples is exact. ValueError for a number too close to 0 or 100.
    """
    for field in ("samples_pct", "time_pct", "avg_us"):
        value = getattr(row, field)
        if not rounding < checks.finite(value) < 100 - rounding:
            raise checks.refusal(
                f"PublishedRow.{field}", value, f"a number above {rounding} and below {100 - rounding}"
            )
    printed = (row.samples_pct, row.time_pct, row.avg_us)
    corners = itertools.product(*((x - rounding, x + rounding) for x in printed))
    totals, *possible = (_totals(row.samples, *point) for point in (printed, *corners))
    return ImpliedTotals(*(Interval(v, min(p), max(p)) for v, *p in zip(totals, *possible, strict=True)))


def _totals(samples: int, samples_pct: float, time_pct: float, avg_us: float) -> tuple[float, float, float, float]:
    """Return the numbers of `ImpliedTotals`; monotone in each argument, so the extremes over a box are at corners."""
    exits = samples / (samples_pct / 100)
    time_us = samples * avg_us / (time_pct / 100)
    others = exits - samples
    return exits, time_us / 1000, others, (time_us - samples * avg_us) / others
