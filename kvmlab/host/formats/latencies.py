"""Latencies that a guest or a host has measured, by whichever tool: cyclictest, rtla, oslat, hwlatdetect, ...

The lines of kvm-unit-tests' x86/tscdeadline_latency.c are read here, the others in modules of their own.
"""

from __future__ import annotations

import bisect
import itertools
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from kvmlab.host.formats.cyclictest import is_cyclictest, read_cyclictest
from kvmlab.host.formats.hardware import is_hwlatdetect, is_sysjitter, read_hwlatdetect, read_sysjitter
from kvmlab.host.formats.lines import Lines, Source, open_source
from kvmlab.host.formats.oslat import is_oslat, read_oslat
from kvmlab.host.formats.rt_json import json_tool, read_rt_json
from kvmlab.host.formats.rtla import is_rtla, read_rtla
from kvmlab.host.formats.series import (
    CYCLICTEST,
    HWLAT,
    MAX_BUCKETS,
    OSLAT,
    RTLA,
    SYSJITTER,
    TSCDEADLINE,
    UNITS,
    Latencies,
    Series,
)
from kvmlab.results.stats import PERCENTILES
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

TOOLS = (CYCLICTEST, RTLA, TSCDEADLINE, OSLAT, HWLAT, SYSJITTER)
"""The tools whose output `read_latencies` takes."""
_LATENCY = re.compile(r"(?:hit max: -?[0-9]{1,15} < )?latency: (-?[0-9]{1,15})\s*")


def read_latencies(
    text_or_path: str | os.PathLike[str], *, unit: str = "us", bucket: int = 1, tsc_ghz: float | None = None
) -> pd.DataFrame:
    """Read measured latencies: one row per series, with the columns of `Run.latency`.

    Accepted: cyclictest (``-h``, ``-H``, or its lines ``T: 0 (...) ... Max: 9``, of which the last counts), ``rtla
    timerlat hist`` and ``rtla osnoise hist``, the last screen of ``rtla timerlat top``, cyclictest's and oslat's
    ``--json``, oslat, hwlatdetect, sysjitter, kvm-unit-tests' tscdeadline_latency (lines ``latency: N``).

    - `text_or_path`: the text, or the path of a file that holds it.
    - `unit`: in what cyclictest counted, which it does not print: "us", or "ns" with ``-N``.
    - `bucket`: rtla's ``--bucket-size``, which it does not print either.
    - `tsc_ghz`: the TSC's frequency in GHz, to turn the cycles of tscdeadline_latency into ns; without it they stay
      cycles.

    Index ``series``: ``thread 0`` (cyclictest), ``IRQ-000``, ``Thr-000``, ``Usr-000``, ``CPU-000`` (rtla), ``core 0``
    (oslat, sysjitter), ``hardware`` (hwlatdetect: of each sample the longer gap), ``guest``.
    Columns: count, mean, min, p50, p99, p99.9, max, in ns (``attrs["unit"]`` says where it is cycles). A percentile is
    the lower edge of its bucket; NaN where the text has no histogram, or where it lies beyond it. Mean, min and max
    are those the tool printed, and whole units as it printed them. ``attrs``: ``tool``, ``unit``, ``over`` (how many
    lay beyond the histogram, by series), ``notes`` (sentences on what was taken off the lines).

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
        notes=found.notes,
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
    text = line.strip()
    signs: dict[str, Callable[[str], object]] = {
        CYCLICTEST: is_cyclictest,
        RTLA: is_rtla,
        OSLAT: is_oslat,
        HWLAT: is_hwlatdetect,
        SYSJITTER: is_sysjitter,
        TSCDEADLINE: _LATENCY.fullmatch,
    }
    return next((tool for tool, is_line in signs.items() if is_line(text)), None) or json_tool(text)


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
    printed = {name: value * factor for name, value in series.shares.items()}
    return {"count": count, **values, **_percentiles(series, count, factor), **printed}


def _percentiles(series: Series, count: int, factor: float) -> dict[str, float]:
    """Return the bucket that holds each share; NaN beyond the histogram, and without one."""
    lows = sorted(low for low, n in series.buckets.items() if n)
    sums = list(itertools.accumulate(series.buckets[low] for low in lows))
    places = {name: bisect.bisect_left(sums, share * count) for name, share in PERCENTILES.items()}
    return {name: lows[place] * factor if place < len(lows) else math.nan for name, place in places.items()}


def _read(text_or_path: str | os.PathLike[str], unit: str, bucket: int) -> Latencies:
    """Read a text of any of the tools, told by its first line that only one of them prints."""
    checks.choice("unit", unit, UNITS)
    bucket = checks.whole("bucket", bucket, 1, 10**9)
    with closing(open_source(text_or_path)) as source:
        lines = Lines(source, lambda line: latency_tool(line) is not None)
        found = _read_tool(source, lines, unit, bucket)
        found.notes = [note for note in (source.log.sentence(),) if note]
        return found


def _read_tool(source: Source, lines: Lines, unit: str, bucket: int) -> Latencies:
    """Pass over what stands before the tool's lines, and read these."""
    last = (1, "")
    while (following := lines.peek()) and not (tool := latency_tool(following[1])):
        last = next(lines) if following[1].strip() else (next(lines), last)[1]
    if following is None:
        raise source.refuse(*last, f"the output of {', '.join(TOOLS)}; there is none")
    if json_tool(following[1]) and tool:
        return read_rt_json(source, tool)
    if tool == CYCLICTEST:
        return read_cyclictest(source, lines, unit)
    if tool == RTLA:
        return read_rtla(source, lines, bucket)
    if tool == OSLAT:
        return read_oslat(source, lines)
    if tool == HWLAT:
        return read_hwlatdetect(source, lines)
    return read_sysjitter(source, lines) if tool == SYSJITTER else _read_tscdeadline(source, lines)


def _read_tscdeadline(source: Source, lines: Lines) -> Latencies:
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


def _latencies(source: Source, lines: Lines) -> Iterator[tuple[int, int]]:
    """Yield line number and latency; pass over everything else that the guest and QEMU print."""
    for number, line in lines:
        if found := _LATENCY.fullmatch(line.strip()):
            yield number, int(found[1])
        elif "latency:" in line:
            raise source.refuse(number, line.strip(), "latency: and a whole number of cycles")
