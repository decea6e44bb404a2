"""rtla: ``timerlat hist`` and ``osnoise hist``, and the last screen of ``timerlat top``.

Print formats: tools/tracing/rtla/src/timerlat_hist.c, osnoise_hist.c, timerlat_top.c and osnoise_top.c of v7.1.
"""

from __future__ import annotations

import re
from collections import Counter

from kvmlab.host.formats.lines import OR_WRAPPED, Lines, Source
from kvmlab.host.formats.series import DECIMAL, INT, RTLA, Latencies, Series, add_row, add_up

_TITLE = re.compile(r"# RTLA (timerlat|osnoise) histogram\s*")
_UNIT = re.compile(r"# Time unit is \w+ \((us|ns)\)\s*")
_HEADER = re.compile(r"Index((?:\s+(?:IRQ|Thr|Usr|CPU)-[0-9]{3,6})*)\s*")
_SUMMARY = re.compile(rf"(over|count|min|avg|max):((?:\s+(?:{DECIMAL}|-))+)\s*")
_TOP_TITLE = re.compile(r"Timer Latency")
_TOP_UNITS = re.compile(r".*\|\s*IRQ Timer Latency \((?P<unit>us|ns)\)\s*\|.*")
_TOP_HEAD = re.compile(r"CPU COUNT\s*\|(?:\s*cur\s+min\s+avg\s+max\s*\|?){1,3}")
_TOP_ROW = re.compile(rf"(?P<cpu>[0-9]{{1,6}}) #(?P<count>{INT})\s*(?P<groups>(?:\|(?:\s*(?:{INT}|-)){{4}}\s*){{2,3}})")
_OSNOISE_TOP = re.compile(
    r"Operating System Noise|Hardware-related Noise|duration:.*\| time is in us|CPU Period\s+Runtime.*"
)
_TOP_SERIES = ("IRQ", "Thr", "Usr")


def is_rtla(text: str) -> bool:
    """Return True if a line is one of rtla's that no other tool prints."""
    kinds = (_TITLE, _TOP_TITLE, _TOP_UNITS, _TOP_HEAD, _OSNOISE_TOP)
    header = _HEADER.fullmatch(text)
    return any(kind.fullmatch(text) for kind in kinds) or bool(header and header[1])


def read_rtla(source: Source, lines: Lines, bucket: int) -> Latencies:
    """Read what rtla printed, by its first line."""
    first = lines.peek()
    text = first[1].strip() if first else ""
    if first and _OSNOISE_TOP.fullmatch(text):
        summary = "rtla osnoise hist: osnoise top is a screen of sums per CPU, and has no latencies"
        raise source.refuse(first[0], text, summary)
    is_top = any(kind.fullmatch(text) for kind in (_TOP_TITLE, _TOP_UNITS, _TOP_HEAD))
    return _read_top(source, lines) if is_top else read_rtla_hist(source, lines, bucket)


def _read_top(source: Source, lines: Lines) -> Latencies:
    """Read the screens of timerlat top, of which the last counts."""
    unit: str | None = None
    series: dict[str, Series] = {}
    for number, line in lines:
        text = line.strip()
        if found := _TOP_UNITS.fullmatch(text):
            unit, series = found["unit"], {}
        elif re.match(r"[0-9]+ #[0-9]", text):
            whole = lines.joined(number, text, _top_words)
            found = _TOP_ROW.fullmatch(whole.strip())
            if found is None:
                raise source.refuse(number, text, f"a row of timerlat top: CPU, #COUNT, cur min avg max, {OR_WRAPPED}")
            for name, group in zip(_TOP_SERIES, found["groups"].split("|")[1:], strict=False):
                key = f"{name}-{int(found['cpu']):03d}"
                if key in series:
                    raise source.refuse(number, text, "each CPU once on a screen")
                series[key] = _top_series(int(found["count"]), group.split())
    if unit is None or not series:
        raise source.refuse(lines.number, "the end", "the line with IRQ Timer Latency (us) and rows below it")
    return Latencies(RTLA, unit, series)


def _top_words(text: str) -> list[str] | None:
    """Return the words of a row of timerlat top, None where it is not whole."""
    found = _TOP_ROW.fullmatch(text.strip())
    return [found["cpu"], found["count"], *found["groups"].split()] if found else None


def _top_series(count: int, values: list[str]) -> Series:
    """Return the series of one CPU's four numbers, cur min avg max; the tool prints one count for all of a CPU."""
    _, least, mean, most = (None if value == "-" else int(value) for value in values)
    return Series(count=0 if most is None else count, least=least, mean=mean, most=most)


def _whole(value: float | None) -> int | None:
    """Return a number that was printed without decimals."""
    return None if value is None else int(value)


def read_rtla_hist(source: Source, lines: Lines, bucket: int) -> Latencies:
    """Read a histogram of rtla."""
    unit = "us"
    names: list[str] = []
    start = 0
    """Number of the header's line, 0 above it."""
    table: dict[int, list[int]] = {}
    below: dict[str, list[float | None]] = {}
    for number, line in lines:
        text = line.strip()
        if found := _UNIT.fullmatch(text):
            unit = found[1]
        elif found := _HEADER.fullmatch(text):
            names, start = _names(source, number, found[1], start > 0), number
        elif found := _SUMMARY.fullmatch(text):
            values = [None if word == "-" else float(word) for word in found[2].split()]
            if not start:
                raise source.refuse(number, text, "the header above it, Index and the columns' names")
            if not names and values == [0]:
                values = []  # no sample was recorded: one 0 stands for all columns, of which there are none
            if len(values) != len(names):
                expected = f"{len(names)} numbers, as in the header of line {start}, {OR_WRAPPED}"
                if values == [0] and not table:
                    expected = "a histogram with rows: all samples lay beyond it, more entries (-E) are needed"
                raise source.refuse(number, text, expected)
            below[found[1]] = values
            if found[1] == "max":
                break  # newer versions go on with the sums over all CPUs, and perhaps an analysis
        elif start and text and not text.startswith("#"):
            add_row(source, number, text, table, len(names))
    if "max" not in below or "count" not in below:
        raise source.refuse(lines.number, "the end", "the lines over:, count:, min:, avg: and max: below the histogram")
    for low in table:
        if low % bucket:
            raise source.refuse(start, f"a row of {low}", f"multiples of bucket={bucket}")
    return Latencies(RTLA, unit, _series(source, lines.number, names, table, below), bucket)


def _names(source: Source, number: int, text: str, is_second: bool) -> list[str]:
    """Return the columns' names from a header; refuse a second header."""
    names = text.split()
    if is_second or len(set(names)) != len(names):
        raise source.refuse(number, text, "one header, with each column once")
    return names


def _series(
    source: Source, line: int, names: list[str], table: dict[int, list[int]], below: dict[str, list[float | None]]
) -> dict[str, Series]:
    """Return one series per column; refuse columns that do not add up."""
    counts = [int(value or 0) for value in below["count"]]
    overs = [int(value or 0) for value in below.get("over", [0] * len(names))]
    add_up(source, line, names, table, [count - over for count, over in zip(counts, overs, strict=True)])
    return {
        name: Series(
            Counter({low: row[i] for low, row in table.items() if row[i]}),
            counts[i],
            _whole(below["min"][i]) if "min" in below and counts[i] else None,
            below["avg"][i] if "avg" in below and counts[i] else None,
            _whole(below["max"][i]) if counts[i] else None,
            overs[i],
        )
        for i, name in enumerate(names)
    }
