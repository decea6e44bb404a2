"""What a summary of a listing shows beside its timers: interrupts by vector, and the longest times out of the guest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kvmlab.host.interrupts import NO_VECTOR

if TYPE_CHECKING:
    import pandas as pd

    from kvmlab.host.explain.explanation import Explanation

MOST_VECTORS, MOST_GAPS = 6, 3
"""Rows of each section, the most frequent and the longest first."""


def sections(e: Explanation) -> list[str]:
    """Return the lines of both sections, as far as the recording has something for them."""
    lines: list[str] = []
    if e.interrupts is not None and len(e.interrupts):
        lines += ["", "Interrupts that ended guest mode, by vector:", *map(indented, interrupt_lines(e.interrupts))]
    if e.gaps is not None and len(e.gaps):
        unsure = " (events are missing, so some of these may be several)" if e.incomplete else ""
        title = f"Longest times out of the guest, halts left out, of {e.gaps.attrs['gaps']:,}{unsure}:"
        lines += ["", title, *map(indented, gap_lines(e.gaps))]
    return lines


def indented(line: str) -> str:
    """Return a line of a section."""
    return f"  {line}"


def interrupt_lines(interrupts: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each of the most frequent vectors: count, vector, name, who sent it, what handled it."""
    for vector, row in interrupts.head(MOST_VECTORS).iterrows():
        what = NO_VECTOR if vector == NO_VECTOR else f"{vector} {row['name']}".strip() + f", from {row['sender']}"
        handled = f"; handled by {row['handler']}" if row["handler"] else ""
        sent = f"; sent by {row['sent_by']}" if row["sent_by"] else ""
        yield f"{row['exits']:>7} {what}{handled}{sent}"
    if (more := len(interrupts) - MOST_VECTORS) > 0:
        yield f"        and {more} more vector{'s' * (more != 1)}"


def gap_lines(gaps: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each of the longest gaps: length, exit, vCPU, when, and what ran meanwhile."""
    for _, row in gaps.head(MOST_GAPS).iterrows():
        who = f"thread {row['thread']}" if row["vcpu"] is None or row["vcpu"] != row["vcpu"] else f"vCPU {row['vcpu']}"
        ran = f"; meanwhile {row['meanwhile']}" if row["meanwhile"] else ""
        yield f"{row['gap_us']:>11,.1f} us {row['reason']}, {who}, at {row['exit_s']:.6f} s{ran}"


def records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return a table as JSON has it: a dict a row, None for what is not known; [] without a table."""
    if table is None:
        return []
    rows = (table if table.index.name is None else table.reset_index()).astype(object)
    return [
        {str(name): value for name, value in row.items()} for row in rows.where(rows.notna(), None).to_dict("records")
    ]
