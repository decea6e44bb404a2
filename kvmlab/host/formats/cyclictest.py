"""cyclictest: its histogram (-h, -H), or its lines of threads.

Print formats: src/cyclictest/cyclictest.c (print_hist, print_stat) of rt-tests.
"""

from __future__ import annotations

import re
from collections import Counter

from kvmlab.host.formats.lines import OR_WRAPPED, Lines, Source
from kvmlab.host.formats.series import (
    CYCLICTEST,
    INT,
    MAX_SERIES,
    ONLY_NUMBERS,
    Latencies,
    Series,
    add_row,
    add_up,
    numbers,
)

_TOTALS = re.compile(rf"# (Total|Min Latencies|Avg Latencies|Max Latencies|Histogram Overflows):((?:\s+{INT})*)\s*")
_THREAD = re.compile(
    rf"T:\s*(?P<thread>[0-9]{{1,6}}) \(\s*[0-9]+\) P:\s*[0-9]+ I:\s*[0-9]+ C:\s*(?P<count>{INT}) "
    rf"Min:\s*(?P<min>{INT}) Act:\s*{INT} Avg:\s*(?P<avg>{INT}) Max:\s*(?P<max>{INT})(?: SMI:\s*{INT})?\s*"
)
_THREAD_BEGINS = re.compile(r"T:\s*[0-9]{1,6} \(\s*[0-9]+\) P:")


def is_cyclictest(text: str) -> bool:
    """Return True if a line is one of cyclictest's that no other tool prints."""
    return text == "# Histogram" or bool(_THREAD_BEGINS.match(text))


def read_cyclictest(source: Source, lines: Lines, unit: str) -> Latencies:
    """Read a histogram of cyclictest, or its lines of threads, of which the last of each counts."""
    table: dict[int, list[int]] = {}
    below: dict[str, list[int]] = {}
    threads: dict[str, Series] = {}
    columns: int | None = None
    start = 0
    """Number of the line # Histogram, 0 above it."""
    for number, line in lines:
        text = line.strip()
        if text == "# Histogram":
            if start:
                raise source.refuse(number, text, "one histogram; this is the second")
            start = number
        elif found := _TOTALS.fullmatch(text):
            if found[1] in below or not start:
                raise source.refuse(number, text, "each line of totals once, below # Histogram")
            below[found[1]] = numbers(found[2])
        elif text.startswith("T:"):
            whole = lines.joined(number, text, _read_thread)
            name, series = _thread(source, number, whole)
            threads[name] = series
            if len(threads) > MAX_SERIES:
                raise source.refuse(number, text, f"at most {MAX_SERIES} threads")
        elif start and not below and text and not text.startswith("#"):
            columns = add_row(source, number, text, table, columns)
        elif start and ONLY_NUMBERS.fullmatch(text):
            raise source.refuse(number, text, f"lines of totals, {OR_WRAPPED}")
    if not start:
        return Latencies(CYCLICTEST, unit, threads)
    wanted = [name for name in ("Min Latencies", "Avg Latencies", "Max Latencies") if name not in below]
    if wanted:
        raise source.refuse(
            lines.number, f"the end, after # Histogram in line {start}", f"a line # {wanted[0]}: below it"
        )
    return Latencies(CYCLICTEST, unit, _cyclic_series(source, lines.number, table, below, columns))


def _read_thread(text: str) -> tuple[str, ...] | None:
    """Return the numbers of a thread's line, None where it is not whole."""
    found = _THREAD.fullmatch(text.strip())
    return found.groups() if found else None


def _thread(source: Source, number: int, text: str) -> tuple[str, Series]:
    """Return name and series of a line T: 0 (...) ... Max: 9."""
    found = _THREAD.fullmatch(text)
    if not found:
        raise source.refuse(number, text, f"T: n (tid) P: n I: n C: n Min: n Act: n Avg: n Max: n, {OR_WRAPPED}")
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
        add_up(source, line, names, table, below["Total"])
    totals, overs = below.get("Total"), below.get("Histogram Overflows", [0] * count)
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
