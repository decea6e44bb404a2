"""What no kernel causes: hwlatdetect's gaps, and sysjitter's interruptions of each core.

Print formats: src/hwlatdetect/hwlatdetect.py of rt-tests; sysjitter.c (write_summary) of cns-sysjitter 1.4.
"""

from __future__ import annotations

import re
from collections import Counter

from kvmlab.host.formats.lines import OR_WRAPPED, Lines, Source
from kvmlab.host.formats.series import DECIMAL, HWLAT, INT, MAX_BUCKETS, ONLY_NUMBERS, SYSJITTER, Latencies, Series

_HWLAT = re.compile(r"hwlatdetect:\s+test duration [0-9]+ seconds")
_SAMPLE = re.compile(rf"ts: [0-9]+\.[0-9]+, inner:(?P<inner>{INT}), outer:(?P<outer>{INT})")
# Up to rt-tests 0.9x, with the kernel module: time, inner, outer.
_OLD_SAMPLE = re.compile(rf"[0-9]{{9,11}}\.[0-9]{{6,10}}\s+(?P<inner>{INT})\s+(?P<outer>{INT})")
_MAX = re.compile(rf"Max Latency: (?:(?P<most>{INT})us|Below threshold)")
_RECORDED = re.compile(rf"Samples recorded: ({INT})")
_SYSJITTER_LINE = re.compile(rf"(?P<label>[a-z_0-9]+(?:\((?:ns|s|%)\))?):(?P<values>(?:\s+{DECIMAL})+)")
_NEEDED = ("core_i", "int_n", "int_min(ns)", "int_mean(ns)", "int_max(ns)")
_SHARES = {"int_median(ns)": "p50", "int_99(ns)": "p99", "int_999(ns)": "p99.9"}


def is_hwlatdetect(text: str) -> bool:
    """Return True if a line is one of hwlatdetect's that no other tool prints."""
    return bool(_HWLAT.fullmatch(text) or _SAMPLE.fullmatch(text))


def read_hwlatdetect(source: Source, lines: Lines) -> Latencies:
    """Read the samples, of each the longer of its two gaps, as the tool takes its maximum."""
    gaps: Counter[int] = Counter()
    recorded: int | None = None
    most: int | None = None
    for number, line in lines:
        text = line.strip()
        if found := _SAMPLE.fullmatch(text) or _OLD_SAMPLE.fullmatch(text):
            gaps[max(int(found["inner"]), int(found["outer"]))] += 1
            if len(gaps) > MAX_BUCKETS:
                raise source.refuse(number, text, f"at most {MAX_BUCKETS} different latencies")
        elif text.startswith("ts:"):
            raise source.refuse(number, text, f"ts: <seconds>, inner:<us>, outer:<us>, {OR_WRAPPED}")
        elif found := _MAX.fullmatch(text):
            most = None if found["most"] is None else int(found["most"])
        elif found := _RECORDED.fullmatch(text):
            recorded = int(found[1])
    count = gaps.total()
    if recorded is None and not count:
        raise source.refuse(lines.number, "the end", "the line Samples recorded: of hwlatdetect")
    if recorded is not None and count not in (0, recorded):
        raise source.refuse(lines.number, f"{count} samples", f"{recorded}, as the line Samples recorded: says")
    if not count:
        # With --report the samples are in another file.
        return Latencies(HWLAT, "us", {"hardware": Series(count=recorded, most=most)})
    if most is not None and most != max(gaps):
        raise source.refuse(
            lines.number, f"samples of at most {max(gaps)} us", f"{most} us, as the line Max Latency: says"
        )
    mean = sum(gap * n for gap, n in gaps.items()) / count
    return Latencies(HWLAT, "us", {"hardware": Series(gaps, count, min(gaps), mean, max(gaps))})


def is_sysjitter(text: str) -> bool:
    """Return True if a line is one of sysjitter's that no other tool prints."""
    found = _SYSJITTER_LINE.fullmatch(text)
    return found is not None and (found["label"] == "core_i" or found["label"] in _SHARES)


def read_sysjitter(source: Source, lines: Lines) -> Latencies:
    """Read the summary: one series per core, with the percentiles that the tool printed."""
    table: dict[str, list[str]] = {}
    start = 0
    for number, line in lines:
        text = line.strip()
        found = _SYSJITTER_LINE.fullmatch(text)
        if found is None:
            if table and ONLY_NUMBERS.fullmatch(text):
                raise source.refuse(number, text, f"a line of sysjitter, {OR_WRAPPED}")
            continue
        values = found["values"].split()
        if not table:
            start = number
        elif len(values) != len(next(iter(table.values()))):
            raise source.refuse(number, text, f"as many numbers as in line {start}, one per core, {OR_WRAPPED}")
        if found["label"] in table:
            raise source.refuse(number, text, "one summary; this line is there twice")
        table[found["label"]] = values
    missing = [label for label in _NEEDED if label not in table]
    if missing:
        raise source.refuse(lines.number, "the end", f"a line {missing[0]}: of sysjitter")
    cores = table["core_i"]
    if len(set(cores)) != len(cores):
        raise source.refuse(start, " ".join(cores), "each core once")
    return Latencies(
        SYSJITTER, "ns", {f"core {int(core)}": _of_core(table, i) for i, core in enumerate(map(float, cores))}
    )


def _of_core(table: dict[str, list[str]], i: int) -> Series:
    """Return the series of one core; without an interruption the tool prints 0 for all."""
    count = int(float(table["int_n"][i]))
    if not count:
        return Series(count=0)
    least, mean, most = (float(table[label][i]) for label in _NEEDED[2:])
    shares = {name: float(table[label][i]) for label, name in _SHARES.items() if label in table}
    return Series(count=count, least=int(least), mean=mean, most=int(most), shares=shares)
