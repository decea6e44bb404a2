"""JSON that rt-tests' tools write with ``--json``: cyclictest and oslat.

Print formats: src/lib/rt-utils.c (rt_write_json), src/cyclictest/cyclictest.c (write_stats), src/lib/histogram.c
(hist_print_json) and src/oslat/oslat.c (write_summary_json) of rt-tests.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter

from kvmlab.host.formats.lines import Source
from kvmlab.host.formats.series import CYCLICTEST, MAX_BUCKETS, MAX_SERIES, OSLAT, Latencies, Series

MAX_CHARACTERS = 16 * 2**20
"""A file with a full histogram of each of 1,000 CPUs has fewer."""
_DEEPEST = 16
# The colon within the key is rt-tests' own.
_TOOL = re.compile(r'"cmdline:?"\s*:\s*"[^" ]*\b(cyclictest|oslat)\b')
_KEYS = re.compile(r'"(resolution_in_ns|freq)"\s*:')
_LATENCY = re.compile(r"([0-9]{1,12})(\.[0-9]{3})?")


def json_tool(text: str) -> str | None:
    """Return the tool whose JSON has this line; None where the line does not show it."""
    if found := _TOOL.search(text):
        return found[1]
    keys = _KEYS.search(text)
    return None if keys is None else CYCLICTEST if keys[1] == "resolution_in_ns" else OSLAT


def read_rt_json(source: Source, tool: str) -> Latencies:
    """Read the JSON of a tool: everything from the first brace to the last."""
    source.rewind()
    lines, size, start = list[str](), 0, 1
    for number, line in source.lines():
        if lines or line.lstrip().startswith("{"):
            start = start if lines else number
            lines.append(line)
            size += len(line)
            if size > MAX_CHARACTERS:
                raise source.refuse(number, line, f"at most {MAX_CHARACTERS >> 20} million characters of JSON")
    content = _decoded(source, start, "\n".join(lines))
    threads = content.get("thread")
    if not isinstance(threads, dict) or not threads or len(threads) > MAX_SERIES:
        raise source.refuse(start, "the JSON", f'"thread": {{...}} with the threads of {tool}')
    resolution = content.get("resolution_in_ns")
    unit = "ns" if resolution == 1 and tool == CYCLICTEST else "us"
    if tool == OSLAT and any(
        "." in key for each in threads.values() if isinstance(each, dict) for key in each.get("histogram") or ()
    ):
        unit = "ns"  # oslat -W with a width that is not of whole us: bucket names have decimals, min and max are in ns
    series = dict(_series(source, start, tool, unit, number, values) for number, values in threads.items())
    if sum(len(each.buckets) for each in series.values()) > MAX_BUCKETS:
        raise source.refuse(start, "the JSON", f"at most {MAX_BUCKETS} counts in its histograms")
    return Latencies(tool, unit, series)


def _decoded(source: Source, start: int, text: str) -> dict[str, object]:
    """Return the object that a text begins with; refuse one that is cut off, has a key twice or is too deep."""
    depth = 0
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(character, 0)
        if depth > _DEEPEST:
            raise source.refuse(start, text, f"JSON of at most {_DEEPEST} levels")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key stands there twice")
        return dict(pairs)

    try:
        content, _ = json.JSONDecoder(object_pairs_hook=once).raw_decode(text.lstrip())
    except ValueError as error:  # JSONDecodeError is one
        raise source.refuse(start, text.splitlines()[0] if text else "", f"whole JSON ({error})") from None
    if not isinstance(content, dict):
        raise source.refuse(start, text, "a JSON object")
    return content


def _series(source: Source, line: int, tool: str, unit: str, number: str, values: object) -> tuple[str, Series]:
    """Return name and series of one thread."""
    if not isinstance(values, dict):
        raise source.refuse(line, f"thread {number}", "its numbers")
    histogram = values.get("histogram")
    buckets: Counter[int] = Counter()
    for key, count in (histogram if isinstance(histogram, dict) else {}).items():
        found = _LATENCY.fullmatch(key)
        if found is None or type(count) is not int or count < 0:
            raise source.refuse(line, f"{key}: {count}", f"a latency and its count in thread {number}")
        edge = int(found[1]) * 1000 + int((found[2] or ".000")[1:]) if unit == "ns" and tool == OSLAT else int(found[1])
        buckets[edge] += count
    over = 0
    if tool == OSLAT:
        highest = max(buckets, default=0)
        # The last bucket holds everything beyond it as well.
        beyond = bool(buckets) and _number(source, line, number, values, "max") >= highest
        over = buckets[highest] if beyond else 0
        buckets = _lower_edges(buckets, unit)
    total = _number(source, line, number, values, "cycles") if tool == CYCLICTEST else buckets.total()
    if buckets and buckets.total() > total:
        found_ = f"{buckets.total()} in the histogram of thread {number}"
        raise source.refuse(line, found_, f"at most its {total} cycles")
    least, most = (round(_number(source, line, number, values, name)) for name in ("min", "max"))
    mean = _number(source, line, number, values, "avg") * (1000 if unit == "ns" and tool == OSLAT else 1)
    name = f"core {round(_number(source, line, number, values, 'cpu'))}" if tool == OSLAT else f"thread {number}"
    if over:
        del buckets[max(buckets)]
    elif tool == CYCLICTEST and buckets:
        over = round(total) - buckets.total()
    if not total:
        return name, Series(count=0)
    return name, Series(buckets, round(total), least, mean, most, over)


def _lower_edges(buckets: Counter[int], unit: str) -> Counter[int]:
    """Return oslat's buckets, which it names by their upper edge, by their lower one."""
    edges = sorted(buckets)
    steps = [after - before for before, after in itertools.pairwise(edges)]
    width = min(steps, default=1) if unit == "ns" else 1
    return Counter({max(0, edge - width): count for edge, count in buckets.items()})


def _number(source: Source, line: int, thread: str, values: dict[str, object], name: str) -> float:
    """Return a number of a thread; refuse one that is missing or none."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise source.refuse(line, f"{name}: {value}", f"a number in thread {thread}")
    return value
