"""Series of latencies, as every tool's reader makes them, and the rows of a histogram, which several tools print."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from kvmlab.host.formats.lines import OR_WRAPPED, Source

CYCLICTEST, RTLA, TSCDEADLINE = "cyclictest", "rtla", "tscdeadline_latency"
OSLAT, HWLAT, SYSJITTER = "oslat", "hwlatdetect", "sysjitter"
UNITS = {"ns": 1.0, "us": 1000.0}
MAX_BUCKETS = 1_000_000
"""Different latencies, over all series, that are kept in memory."""
MAX_SERIES = 100_000
INT = r"[0-9]{1,15}"
DECIMAL = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"

HIST_ROW = re.compile(rf"({INT})((?:\s+{INT})+)\s*")
ONLY_NUMBERS = re.compile(rf"\s*{DECIMAL}(?:\s+{DECIMAL})*\s*")


@dataclass
class Series:
    """The latencies of one thread, CPU or guest, in the unit in which they were printed."""

    buckets: Counter[int] = field(default_factory=Counter)
    """Lower edge of a bucket -> how many."""
    count: int | None = None
    """How many in all, those beyond the histogram included."""
    least: int | None = None
    """The smallest latency."""
    mean: float | None = None
    most: int | None = None
    """The largest latency."""
    over: int = 0
    """How many lay beyond the histogram."""
    shares: dict[str, float] = field(default_factory=dict)
    """Percentiles that the tool printed, by their names in `PERCENTILES`; they count before those of the buckets."""


@dataclass
class Latencies:
    """The latencies in one text."""

    tool: str
    """The tool that printed it."""
    unit: str
    """"ns", "us" or "cycles"."""
    series: dict[str, Series]
    """By the name of the thread, CPU or guest."""
    width: int = 1
    """Width of a bucket, in the unit."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what was taken off the lines."""


def numbers(text: str) -> list[int]:
    """Return the whole numbers of a line."""
    return [int(word) for word in text.split()]


def add_row(source: Source, number: int, line: str, table: dict[int, list[int]], columns: int | None) -> int:
    """Add one row of a histogram to `table`; return how many columns it has."""
    found = HIST_ROW.fullmatch(line)
    if not found:
        raise source.refuse(number, line, f"a row of a histogram: a latency and a count for each column, {OR_WRAPPED}")
    low, counts = int(found[1]), numbers(found[2])
    if columns is not None and len(counts) != columns:
        raise source.refuse(number, line, f"{columns} counts, as above, {OR_WRAPPED}")
    if table and low <= next(reversed(table)):
        raise source.refuse(number, line, f"a latency above {next(reversed(table))}, as rows are in order")
    if (len(table) + 1) * len(counts) > MAX_BUCKETS:
        raise source.refuse(number, line, f"at most {MAX_BUCKETS} counts in a histogram")
    table[low] = counts
    return len(counts)


def add_up(source: Source, line: int, names: list[str], table: dict[int, list[int]], totals: list[int]) -> None:
    """Refuse a histogram whose columns do not add up to what stands below it."""
    for i, name in enumerate(names):
        total = sum(counts[i] for counts in table.values())
        if total != totals[i]:
            raise source.refuse(line, f"{total} in the rows of {name}", f"{totals[i]}, as the line below them says")
