"""Latencies that a guest or a host has measured: cyclictest, rtla's histograms, kvm-unit-tests' tscdeadline_latency.

Print formats: src/cyclictest/cyclictest.c (print_hist, print_stat) of rt-tests; tools/tracing/rtla/src/timerlat_hist.c
and osnoise_hist.c of Linux; x86/tscdeadline_latency.c of kvm-unit-tests.
"""

from __future__ import annotations

import bisect
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvmlab.host.formats.lines import Source, open_source
from kvmlab.results.stats import PERCENTILES
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

CYCLICTEST, RTLA, TSCDEADLINE = "cyclictest", "rtla", "tscdeadline_latency"
UNITS = {"ns": 1.0, "us": 1000.0}
MAX_BUCKETS = 1_000_000
"""Different latencies, over all series, that are kept in memory."""

_INT = r"[0-9]{1,15}"
_HIST_ROW = re.compile(rf"({_INT})((?:\s+{_INT})+)\s*")
_CYCLIC_TOTALS = re.compile(
    rf"# (Total|Min Latencies|Avg Latencies|Max Latencies|Histogram Overflows):((?:\s+{_INT})*)\s*"
)
_THREAD = re.compile(
    rf"T:\s*(?P<thread>[0-9]{{1,6}}) \(\s*[0-9]+\) P:\s*[0-9]+ I:\s*[0-9]+ C:\s*(?P<count>{_INT}) "
    rf"Min:\s*(?P<min>{_INT}) Act:\s*{_INT} Avg:\s*(?P<avg>{_INT}) Max:\s*(?P<max>{_INT})(?: SMI:\s*{_INT})?\s*"
)
_RTLA_TITLE = re.compile(r"# RTLA (timerlat|osnoise) histogram\s*")
_RTLA_UNIT = re.compile(r"# Time unit is \w+ \((us|ns)\)\s*")
_RTLA_HEADER = re.compile(r"Index((?:\s+(?:IRQ|Thr|Usr|CPU)-[0-9]{3,6})+)\s*")
_RTLA_SUMMARY = re.compile(rf"(over|count|min|avg|max):((?:\s+(?:{_INT}|-))+)\s*")
_LATENCY = re.compile(r"(?:hit max: -?[0-9]{1,15} < )?latency: (-?[0-9]{1,15})\s*")
_MAX_SERIES = 100_000


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


def read_latencies(
    text_or_path: str | os.PathLike[str], *, unit: str = "us", bucket: int = 1, tsc_ghz: float | None = None
) -> pd.DataFrame:
    """Read measured latencies: one row per series, with the columns of `Run.latency`.

    Accepted: cyclictest (``-h``, ``-H``, or its lines ``T: 0 (...) ... Max: 9``, of which the last counts), ``rtla
    timerlat hist`` and ``rtla osnoise hist``, kvm-unit-tests' tscdeadline_latency (lines ``latency: N``).

    - `text_or_path`: the text, or the path of a file that holds it.
    - `unit`: in what cyclictest counted, which it does not print: "us", or "ns" with ``-N``.
    - `bucket`: rtla's ``--bucket-size``, which it does not print either.
    - `tsc_ghz`: the TSC's frequency in GHz, to turn the cycles of tscdeadline_latency into ns; without it they stay
      cycles.

    Index ``series``: ``thread 0`` (cyclictest), ``IRQ-000``, ``Thr-000``, ``Usr-000``, ``CPU-000`` (rtla), ``guest``.
    Columns: count, mean, min, p50, p99, p99.9, max, in ns (``attrs["unit"]`` says where it is cycles). A percentile is
    the lower edge of its bucket; NaN where the text has no histogram, or where it lies beyond it. Mean, min and max
    are those the tool printed, and whole units as it printed them. ``attrs``: ``tool``, ``unit``, ``over`` (how many
    lay beyond the histogram, by series).

    Raises ValueError for another text, a histogram that is cut off, or that does not add up to the totals below it;
    with the line number, what stands there and what was expected. Raises FileNotFoundError for a Path that does not
    exist.

    Example: `kl.read_latencies("cyclictest.txt")[["mean", "p99", "max"]]`
    """
    import pandas as pd

    found = _read(text_or_path, unit, bucket)
    factor = _factor(found, tsc_ghz)
    rows = {name: _row(series, factor) for name, series in found.series.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["count", "mean", "min", *PERCENTILES, "max"])
    frame.index.name = "series"
    frame.attrs.update(
        tool=found.tool,
        unit="cycles" if found.unit == "cycles" and tsc_ghz is None else "ns",
        over={name: series.over for name, series in found.series.items()},
    )
    return frame


def read_latency_histogram(
    text_or_path: str | os.PathLike[str], *, unit: str = "us", bucket: int = 1, tsc_ghz: float | None = None
) -> pd.DataFrame:
    """Read the histogram in the texts that `read_latencies` takes: one row per series and bucket.

    Columns: series, low_ns, high_ns (a bucket's edges, the upper excluded; cycles where those are not turned into ns),
    count. What lies beyond the histogram is in no row. Arguments and errors as in `read_latencies`.

    Example: `kl.read_latency_histogram("cyclictest.txt").groupby("series")["count"].sum()`
    """
    import pandas as pd

    found = _read(text_or_path, unit, bucket)
    factor = _factor(found, tsc_ghz)
    rows = [
        (name, low * factor, (low + found.width) * factor, count)
        for name, series in found.series.items()
        for low, count in sorted(series.buckets.items())
        if count
    ]
    frame = pd.DataFrame(rows, columns=["series", "low_ns", "high_ns", "count"])
    frame.attrs.update(tool=found.tool, unit="cycles" if found.unit == "cycles" and tsc_ghz is None else "ns")
    return frame


def latency_tool(line: str) -> str | None:
    """Return which of the tools prints this line; None if none does, or several might."""
    if line.strip() == "# Histogram" or _THREAD.fullmatch(line):
        return CYCLICTEST
    if _RTLA_TITLE.fullmatch(line) or _RTLA_HEADER.fullmatch(line):
        return RTLA
    return TSCDEADLINE if _LATENCY.fullmatch(line) else None


def _factor(found: Latencies, tsc_ghz: float | None) -> float:
    """Return ns per printed unit; 1 where cycles stay cycles."""
    if found.unit != "cycles":
        return UNITS[found.unit]
    return 1.0 if tsc_ghz is None else 1 / checks.number("tsc_ghz", tsc_ghz, 0.1, 10, "GHz")


def _row(series: Series, factor: float) -> dict[str, float]:
    """Return a series' row of `read_latencies`."""
    count = series.buckets.total() + series.over if series.count is None else series.count
    known = {"mean": series.mean, "min": series.least, "max": series.most}
    values = {name: math.nan if value is None else value * factor for name, value in known.items()}
    return {"count": count, **values, **_percentiles(series, count, factor)}


def _percentiles(series: Series, count: int, factor: float) -> dict[str, float]:
    """Return the bucket that holds each share; NaN beyond the histogram, and without one."""
    lows = sorted(low for low, n in series.buckets.items() if n)
    sums = list(itertools.accumulate(series.buckets[low] for low in lows))
    places = {name: bisect.bisect_left(sums, max(1, share * count)) for name, share in PERCENTILES.items()}
    return {name: lows[place] * factor if place < len(lows) else math.nan for name, place in places.items()}


def _read(text_or_path: str | os.PathLike[str], unit: str, bucket: int) -> Latencies:
    """Read a text of any of the tools, told by its first line that only one of them prints."""
    checks.choice("unit", unit, UNITS)
    bucket = checks.whole("bucket", bucket, 1, 10**9)
    with closing(open_source(text_or_path)) as source:
        lines = source.lines()
        last = (1, "")
        for number, line in lines:
            tool = latency_tool(line.strip())
            last = (number, line) if line.strip() else last
            if tool:
                rest = itertools.chain([(number, line)], lines)
                break
        else:
            raise source.refuse(*last, "cyclictest, rtla hist or tscdeadline_latency; there is none")
        if tool == CYCLICTEST:
            return _read_cyclictest(source, rest, unit)
        if tool == RTLA:
            return _read_rtla(source, rest, bucket)
        return _read_tscdeadline(source, rest)


def _numbers(text: str) -> list[int]:
    """Return the whole numbers of a line."""
    return [int(word) for word in text.split()]


def _add_row(source: Source, number: int, line: str, table: dict[int, list[int]], columns: int | None) -> int:
    """Add one row of a histogram to `table`; return how many columns it has."""
    found = _HIST_ROW.fullmatch(line)
    if not found:
        raise source.refuse(number, line, "a row of a histogram: a latency and a count for each column")
    low, counts = int(found[1]), _numbers(found[2])
    if columns is not None and len(counts) != columns:
        raise source.refuse(number, line, f"{columns} counts, as above")
    if table and low <= next(reversed(table)):
        raise source.refuse(number, line, f"a latency above {next(reversed(table))}, as rows are in order")
    if (len(table) + 1) * len(counts) > MAX_BUCKETS:
        raise source.refuse(number, line, f"at most {MAX_BUCKETS} counts in a histogram")
    table[low] = counts
    return len(counts)


def _add_up(source: Source, line: int, names: list[str], table: dict[int, list[int]], totals: list[int]) -> None:
    """Refuse a histogram whose columns do not add up to what stands below it."""
    for i, name in enumerate(names):
        total = sum(counts[i] for counts in table.values())
        if total != totals[i]:
            raise source.refuse(line, f"{total} in the rows of {name}", f"{totals[i]}, as the line below them says")


def _read_cyclictest(source: Source, lines: Iterable[tuple[int, str]], unit: str) -> Latencies:
    """Read a histogram of cyclictest, or its lines of threads, of which the last of each counts."""
    table: dict[int, list[int]] = {}
    below: dict[str, list[int]] = {}
    threads: dict[str, Series] = {}
    columns: int | None = None
    begun, number, start = False, 1, 1
    for number, line in lines:
        text = line.strip()
        if text == "# Histogram":
            if begun:
                raise source.refuse(number, text, "one histogram; this is the second")
            begun, start = True, number
        elif found := _CYCLIC_TOTALS.fullmatch(text):
            if found[1] in below or not begun:
                raise source.refuse(number, text, "each line of totals once, below # Histogram")
            below[found[1]] = _numbers(found[2])
        elif text.startswith("T:"):
            name, series = _thread(source, number, text)
            if len(threads) > _MAX_SERIES:
                raise source.refuse(number, text, f"at most {_MAX_SERIES} threads")
            threads[name] = series
        elif begun and not below and text and not text.startswith("#"):
            columns = _add_row(source, number, text, table, columns)
    if not begun:
        return Latencies(CYCLICTEST, unit, threads)
    wanted = [name for name in ("Min Latencies", "Avg Latencies", "Max Latencies") if name not in below]
    if wanted:
        raise source.refuse(number, f"the end, after # Histogram in line {start}", f"a line # {wanted[0]}: below it")
    return Latencies(CYCLICTEST, unit, _cyclic_series(source, number, table, below, columns))


def _thread(source: Source, number: int, text: str) -> tuple[str, Series]:
    """Return name and series of a line T: 0 (...) ... Max: 9."""
    found = _THREAD.fullmatch(text)
    if not found:
        raise source.refuse(number, text, "T: n (tid) P: n I: n C: n Min: n Act: n Avg: n Max: n")
    series = Series(count=int(found["count"]), least=int(found["min"]), mean=int(found["avg"]), most=int(found["max"]))
    return f"thread {int(found['thread'])}", series


def _cyclic_series(
    source: Source, line: int, table: dict[int, list[int]], below: dict[str, list[int]], columns: int | None
) -> dict[str, Series]:
    """Return one series per thread; with -H the last column is the sum over all, and is left out."""
    count = len(below["Min Latencies"])
    for name, values in below.items():
        if len(values) not in (count, count + 1):
            raise source.refuse(line, f"# {name}: with {len(values)} numbers", f"{count}, one a thread")
    if columns is not None and columns not in (count, count + 1):
        raise source.refuse(line, f"a histogram of {columns} columns", f"{count}, one a thread, as below it")
    names = [f"thread {i}" for i in range(count)]
    if table and "Total" in below:
        _add_up(source, line, names, table, below["Total"])
    totals, overs = below.get("Total"), below.get("Histogram Overflows", [0] * (count + 1))
    return {
        name: Series(
            Counter({low: counts[i] for low, counts in table.items() if counts[i]}),
            None if totals is None else totals[i] + overs[i],
            below["Min Latencies"][i],
            below["Avg Latencies"][i],
            below["Max Latencies"][i],
            overs[i],
        )
        for i, name in enumerate(names)
    }


def _read_rtla(source: Source, lines: Iterable[tuple[int, str]], bucket: int) -> Latencies:
    """Read a histogram of rtla."""
    unit = "us"
    names: list[str] = []
    table: dict[int, list[int]] = {}
    below: dict[str, list[int | None]] = {}
    number = start = 1
    for number, line in lines:
        text = line.strip()
        if found := _RTLA_UNIT.fullmatch(text):
            unit = found[1]
        elif found := _RTLA_HEADER.fullmatch(text):
            names, start = _rtla_names(source, number, found[1], names), number
        elif found := _RTLA_SUMMARY.fullmatch(text):
            values = [None if word == "-" else int(word) for word in found[2].split()]
            if len(values) != len(names):
                raise source.refuse(number, text, f"{len(names)} numbers, as in the header of line {start}")
            below[found[1]] = values
            if found[1] == "max":
                break  # newer versions go on with the sums over all CPUs, and perhaps an analysis
        elif names and text:
            _add_row(source, number, text, table, len(names))
    if "max" not in below or "count" not in below:
        raise source.refuse(number, "the end", "the lines over:, count:, min:, avg: and max: below the histogram")
    for low in table:
        if low % bucket:
            raise source.refuse(start, f"a row of {low}", f"multiples of bucket={bucket}")
    return Latencies(RTLA, unit, _rtla_series(source, number, names, table, below), bucket)


def _rtla_names(source: Source, number: int, text: str, before: list[str]) -> list[str]:
    """Return the columns' names from a header; refuse a second header."""
    names = text.split()
    if before or len(set(names)) != len(names):
        raise source.refuse(number, text, "one header, with each column once")
    return names


def _rtla_series(
    source: Source, line: int, names: list[str], table: dict[int, list[int]], below: dict[str, list[int | None]]
) -> dict[str, Series]:
    """Return one series per column; refuse columns that do not add up."""
    counts = [value or 0 for value in below["count"]]
    overs = [value or 0 for value in below.get("over", [0] * len(names))]
    _add_up(source, line, names, table, [count - over for count, over in zip(counts, overs, strict=True)])
    return {
        name: Series(
            Counter({low: row[i] for low, row in table.items() if row[i]}),
            counts[i],
            below["min"][i] if "min" in below and counts[i] else None,
            below["avg"][i] if "avg" in below and counts[i] else None,
            below["max"][i] if counts[i] else None,
            overs[i],
        )
        for i, name in enumerate(names)
    }


def _read_tscdeadline(source: Source, lines: Iterable[tuple[int, str]]) -> Latencies:
    """Read the lines latency: N of tscdeadline_latency."""
    series = Series()
    for number, latency in _latencies(source, lines):
        series.buckets[latency] += 1
        if len(series.buckets) > MAX_BUCKETS:
            raise source.refuse(number, f"latency: {latency}", f"at most {MAX_BUCKETS} different latencies")
    series.count = series.buckets.total()
    series.least, series.most = min(series.buckets), max(series.buckets)
    series.mean = math.fsum(low * n for low, n in series.buckets.items()) / series.count
    return Latencies(TSCDEADLINE, "cycles", {"guest": series})


def _latencies(source: Source, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """Yield line number and latency; pass over everything else that the guest and QEMU print."""
    for number, line in lines:
        if found := _LATENCY.fullmatch(line.strip()):
            yield number, int(found[1])
        elif "latency:" in line:
            raise source.refuse(number, line.strip(), "latency: and a whole number of cycles")
