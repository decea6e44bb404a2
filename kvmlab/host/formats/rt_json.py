"""JSON that rt-tests' tools write with ``--json``: cyclictest and oslat.

Print formats: src/lib/rt-utils.c (rt_write_json), src/cyclictest/cyclictest.c (write_stats), src/lib/histogram.c
(hist_print_json) and src/oslat/oslat.c (write_summary_json) of rt-tests.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable

from kvmlab.host.formats.lines import Source
from kvmlab.host.formats.series import CYCLICTEST, MAX_BUCKETS, MAX_SERIES, OSLAT, Latencies, Series

MAX_CHARACTERS = 16 * 2**20
"""A file with a full histogram of each of 1,000 CPUs has fewer."""
_DEEPEST = 16
# The colon within the key is rt-tests' own.
_TOOL = re.compile(r'"cmdline:?"\s*:\s*"[^" ]*\b(cyclictest|oslat)\b')
_KEYS = re.compile(r'"(resolution_in_ns|freq)"\s*:')
_LATENCY = re.compile(r"[0-9]{1,12}(\.[0-9]{3})?")


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
    in_ns = tool == CYCLICTEST and content.get("resolution_in_ns") == 1
    # oslat -W with a width that is not of whole us: bucket names have decimals, and min and max are in ns.
    is_fine = tool == OSLAT and any("." in key for each in threads.values() for key in _named(each, "histogram"))
    per_us = 1000 if is_fine else 1
    histograms = {number: _histogram(source, start, number, values, per_us) for number, values in threads.items()}
    if sum(len(each) for each in histograms.values()) > MAX_BUCKETS:
        raise source.refuse(start, "the JSON", f"at most {MAX_BUCKETS} counts in its histograms")
    width = _width(histograms.values()) if is_fine else 1
    series = dict(
        _series(source, start, tool, number, values, histograms[number], per_us, width)
        for number, values in threads.items()
    )
    return Latencies(tool, "ns" if in_ns or is_fine else "us", series, width)


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


def _named(values: object, name: str) -> dict[str, object]:
    """Return the object of that name in another; an empty one where there is none."""
    found = values.get(name) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _histogram(source: Source, line: int, number: str, values: object, per_us: int) -> Counter[int]:
    """Return the counts of one thread by the number that names them, in us or, where it has decimals, in ns."""
    if not isinstance(values, dict):
        raise source.refuse(line, f"thread {number}", "its numbers")
    buckets: Counter[int] = Counter()
    for key, count in _named(values, "histogram").items():
        found = _LATENCY.fullmatch(key)
        if found is None or (found[1] and per_us == 1) or type(count) is not int or count < 0:
            raise source.refuse(line, f"{key}: {count}", f"a latency and its count in thread {number}")
        buckets[round(float(key) * per_us)] += count
    return buckets


def _series(
    source: Source,
    line: int,
    tool: str,
    number: str,
    values: dict[str, object],
    buckets: Counter[int],
    per_us: int,
    width: int,
) -> tuple[str, Series]:
    """Return name and series of one thread."""
    over = 0
    if tool == OSLAT:
        name = f"core {round(_number(source, line, number, values, 'cpu'))}"
        highest = max(buckets, default=0)
        # The last bucket holds everything beyond it as well.
        if buckets and _number(source, line, number, values, "max") >= highest:
            over = buckets.pop(highest)
        # oslat names a bucket by its upper edge.
        buckets = Counter({max(0, edge - width): count for edge, count in buckets.items()})
        total = buckets.total() + over
    else:
        name = f"thread {number}"
        total = round(_number(source, line, number, values, "cycles"))
        if buckets.total() > total:
            found = f"{buckets.total()} in the histogram of thread {number}"
            raise source.refuse(line, found, f"at most its {total} cycles")
        over = total - buckets.total() if buckets else 0
    least, most = (round(_number(source, line, number, values, key)) for key in ("min", "max"))
    mean = _number(source, line, number, values, "avg") * per_us
    return name, Series(buckets, total, least, mean, most, over) if total else Series(count=0)


def _width(histograms: Iterable[Counter[int]]) -> int:
    """Return the width of oslat's buckets, of which empty ones may be left out."""
    edges = sorted({edge for each in histograms for edge in each})
    return min((after - before for before, after in itertools.pairwise(edges)), default=1)


def _number(source: Source, line: int, thread: str, values: dict[str, object], name: str) -> float:
    """Return a number of a thread; refuse one that is missing or none."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise source.refuse(line, f"{name}: {value}", f"a number in thread {thread}")
    return value
