"""Which of the formats a text is in, and the reader for it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kvmlab.host.formats import latencies
from kvmlab.host.formats.events import read_kvm_trace
from kvmlab.host.formats.kvm_stat import is_kvm_stat_line, read_kvm_stat
from kvmlab.host.formats.latencies import latency_tool, read_latencies
from kvmlab.host.formats.lines import open_source
from kvmlab.host.formats.messages import TRACE_CMD_HEAD, TRACER, read_head
from kvmlab.host.formats.perf_stat import is_perf_line, read_perf_kvm_stat
from kvmlab.host.formats.unit_tests import is_unit_test_row, read_unit_test_vmexit

if TYPE_CHECKING:
    import pandas as pd

PERF, TRACE, VMEXIT, KVM_STAT = "perf kvm stat", "kvm trace", "vmexit", "kvm_stat"
READERS: dict[str, Callable[..., pd.DataFrame]] = {
    PERF: read_perf_kvm_stat,
    TRACE: read_kvm_trace,
    **dict.fromkeys(latencies.TOOLS, read_latencies),
    VMEXIT: read_unit_test_vmexit,
    KVM_STAT: read_kvm_stat,
}
"""Every kind of text, and its reader."""
MOST_PROSE = 100_000
"""Lines that may stand before the first one that shows what the text is."""


def kind_of(line: str) -> str | None:
    """Return what kind of text has this line; None where the line does not show it."""
    text = line.strip()
    if TRACER.match(text) or read_head(line) or TRACE_CMD_HEAD.fullmatch(text):
        return TRACE
    if is_perf_line(text):
        return PERF
    if tool := latency_tool(text):
        return tool
    if is_kvm_stat_line(line):
        return KVM_STAT
    return VMEXIT if is_unit_test_row(text) else None


def sniff(text_or_path: str | os.PathLike[str]) -> str:
    """Return what kind of text it is, by its first line that shows it: one of `READERS`.

    Raises ValueError for any other text, and for a file that is no text; FileNotFoundError for a Path that does not
    exist.
    """
    with closing(open_source(text_or_path)) as source:
        first: tuple[int, str] | None = None
        for number, line in source.lines():
            if kind := kind_of(line):
                return kind
            first = first or ((number, line) if line.strip() else None)
            if number > MOST_PROSE:
                break
        expected = f"one of: {', '.join(READERS)}; no line shows which"
        raise source.refuse(*(first or (1, "")), expected)


def read_any(text_or_path: str | os.PathLike[str], **options: Any) -> tuple[str, pd.DataFrame]:
    """Read a text or file of any of the formats. Returns (kind, table), the kind one of `READERS`.

    - `text_or_path`: the text, or the path of a file that holds it.
    - `options`: go to the reader (`read_perf_kvm_stat`: table; `read_kvm_trace`: limit, file; `read_latencies`: unit,
      bucket, tsc_ghz; `read_unit_test_vmexit`: tsc_ghz; `read_kvm_stat`: interval_s, table).

    Raises ValueError for a text of no known format, for an option that its reader does not take, and as the reader
    does; FileNotFoundError for a Path that does not exist.

    Example: `kind, table = kl.read_any("measured.txt")`
    """
    kind = sniff(text_or_path)
    takes = [
        name for name, each in inspect.signature(READERS[kind]).parameters.items() if each.kind is each.KEYWORD_ONLY
    ]
    for name, value in options.items():
        if name not in takes:
            allowed = ", ".join(takes) or "none"
            raise ValueError(f"{name}: {value!r} does not fit the output of {kind}; options for that: {allowed}")
    return kind, READERS[kind](text_or_path, **options)
