"""oslat: how long a busy loop on each core was interrupted.

Print format: src/oslat/oslat.c (write_summary) of rt-tests. A bucket is named by its upper edge; the last one holds
everything beyond.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TypeVar

from kvmlab.host.formats.lines import OR_WRAPPED, Lines, Source
from kvmlab.host.formats.series import DECIMAL, INT, MAX_BUCKETS, OSLAT, Latencies, Series

_ROW = re.compile(
    rf"(?P<edge>[0-9]{{1,9}}(?:\.[0-9]{{3}})?) \(us\):(?P<counts>(?:\s+{INT})+)(?P<last>\s*\(including overflows\))?"
)
_CORES = re.compile(rf"Core:((?:\s+{INT})+)")
_FIELD = re.compile(rf"(Minimum|Average|Maximum):((?:\s+{DECIMAL})+)\s*\(us\)")
_Number = TypeVar("_Number", int, float)
_FREQUENCY = re.compile(r"(?:Counter|CPU) Freq:")


def is_oslat(text: str) -> bool:
    """Return True if a line is one of oslat's that no other tool prints."""
    return bool(_CORES.fullmatch(text) or _ROW.fullmatch(text))


def read_oslat(source: Source, lines: Lines) -> Latencies:
    """Read the summary: one series per core."""
    cores: list[int] | None = None
    rows: dict[str, list[int]] = {}
    below: dict[str, list[float]] = {}
    last = False
    for number, line in lines:
        text = line.strip()
        if found := _CORES.fullmatch(text):
            if cores is not None:
                raise source.refuse(number, text, "one summary; this is the second")
            cores = [int(word) for word in found[1].split()]
        elif found := _ROW.fullmatch(text):
            if cores is None or last or found["edge"] in rows:
                raise source.refuse(number, text, "rows below the line Core:, each latency once")
            rows[found["edge"]] = _as_many(source, number, text, cores, [int(word) for word in found["counts"].split()])
            last = found["last"] is not None
            if len(rows) * len(cores) > MAX_BUCKETS:
                raise source.refuse(number, text, f"at most {MAX_BUCKETS} counts in a histogram")
        elif found := _FIELD.fullmatch(text):
            words = [float(word) for word in found[2].split()]
            below[found[1]] = _as_many(source, number, text, cores or [], words)
        elif cores is not None and not last and text and text != "..." and not _FREQUENCY.match(text):
            raise source.refuse(number, text, f"a row of oslat: latency (us): a count for each core, {OR_WRAPPED}")
    if cores is None or not last or len(below) < 3 or len(set(cores)) != len(cores):
        wanted = "Core:, the rows up to (including overflows), Minimum, Average and Maximum, each core once"
        raise source.refuse(lines.number, "the end", wanted)
    return _latencies(cores, rows, below)


def _as_many(source: Source, number: int, text: str, cores: list[int], values: list[_Number]) -> list[_Number]:
    """Return the numbers of a line; refuse more or fewer than one per core."""
    if len(values) != len(cores):
        raise source.refuse(number, text, f"{len(cores)} numbers, one per core, {OR_WRAPPED}")
    return values


def _latencies(cores: list[int], rows: dict[str, list[int]], below: dict[str, list[float]]) -> Latencies:
    """Return the series, in ns where the buckets' names have decimals, else in us."""
    per_us = 1000 if any("." in edge for edge in rows) else 1
    edges = [round(float(edge) * per_us) for edge in rows]
    width = min((after - before for before, after in itertools.pairwise(edges)), default=1)
    series = {}
    for i, core in enumerate(cores):
        most = round(below["Maximum"][i] * per_us)
        buckets = Counter(
            {edge - width: counts[i] for edge, counts in zip(edges, rows.values(), strict=True) if counts[i]}
        )
        over = buckets.pop(edges[-1] - width, 0) if most >= edges[-1] else 0
        least, mean = round(below["Minimum"][i] * per_us), below["Average"][i] * per_us
        series[f"core {core}"] = Series(buckets, buckets.total() + over, least, mean, most, over)
    return Latencies(OSLAT, "ns" if per_us > 1 else "us", series, width)
