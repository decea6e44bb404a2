"""The table of exits as ``perf kvm stat report`` prints it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PERF_COLUMNS = ("Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "+-%")
"""Columns of a table of exits: counts, percent, us, and the standard error of the mean in percent of the mean."""
DEFAULT_HEADING = "Analyze events for all VMs, all VCPUs:"


def perf_text(table: pd.DataFrame, title: str | None = None, width: int = 20) -> str:
    """Return the text of ``perf kvm stat report`` for a table, to the byte as perf 6.1 prints it (print_result).

    `table` has the index and the columns of `read_perf_kvm_stat`, in the order in which to print the rows. `title`
    heads the column of names: the index's own name unless told, ``VM-EXIT`` where it has none. `width` is that of the
    column of names: 20, or 40 as in the current tree. Where Min and Max are all NaN, the text is that of the perf
    before it had them.

    The totals, the lost events and the line above the table come from ``attrs`` where they are there and the rows
    still add up to them; else the totals are the sums over the rows.

    Raises ValueError for a missing column, and for a count or a time that is negative or not finite.
    """
    _check_perf_columns(table)
    if width < 1:
        raise ValueError(f"width is {width}; expected 20, 40 or another number from 1 on")
    heading = table.attrs.get("title") or DEFAULT_HEADING
    title = title or str(table.index.name or "VM-EXIT")
    names = [str(name) for name in table.index]
    old = bool(len(table)) and bool(table[["Min Time", "Max Time"]].isna().all(axis=None))
    lines = ["", "", heading, "", _header_text(title, width, old), ""]
    columns = (_numbers(table, column) for column in PERF_COLUMNS)
    lines += [_row_text(name, values, width, old) for name, *values in zip(names, *columns, strict=True)]
    samples, time_us = _totals(table)
    lines += ["", f"Total Samples:{samples}, Total events handled time:{time_us:.2f}us.", "", ""]
    if lost := table.attrs.get("lost_events"):
        lines += [f"Lost events: {lost}", "", ""]
    return "\n".join(lines)


def _header_text(title: str, width: int, old: bool) -> str:
    """Return the line of column names."""
    extremes = "" if old else f"{'Min Time':>11} {'Max Time':>11} "
    return f"{title:>{width}} {'Samples':>10} {'Samples%':>9} {'Time%':>9} {extremes}{'Avg time':>16} "


def _row_text(name: str, values: Sequence[float], width: int, old: bool) -> str:
    """Return one row, its values in the order of `PERF_COLUMNS`."""
    samples, samples_share, time_share, least, most, average, spread = values
    extremes = "" if old else f"{least:9.2f}us {most:9.2f}us "
    shares = f"{samples_share:8.2f}% {time_share:8.2f}% "
    return f"{name:>{width}} {int(samples):10d} {shares}{extremes}{average:9.2f}us ( +-{spread:7.2f}% )"


def _check_perf_columns(table: pd.DataFrame) -> None:
    """Raise ValueError for a missing column."""
    missing = [column for column in PERF_COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; expected {', '.join(PERF_COLUMNS)}")


def _numbers(table: pd.DataFrame, column: str) -> list[float]:
    """Return the column's values; a share may be NaN, and an extreme where all of them are."""
    may_be_nan = column.endswith("%") or (column in ("Min Time", "Max Time") and bool(table[column].isna().all()))
    numbers: list[float] = []
    for name, value in zip(table.index, table[column], strict=True):
        number = float(value)
        whole = column != "Samples" or number.is_integer()
        if not (number >= 0 and math.isfinite(number) and whole) and not (may_be_nan and math.isnan(number)):
            raise ValueError(f"{column} of {name} is {value}; expected a number from 0 on")
        # The sum turns -0.0, which would print a sign, into 0.0.
        numbers.append(number + 0.0)
    return numbers


def _totals(table: pd.DataFrame) -> tuple[int, float]:
    """Return samples and time (us) over all rows: as perf gave them, unless rows were dropped or changed since."""
    counts = [int(value) for value in table["Samples"]]
    samples = sum(counts)
    time_us = math.fsum(n * float(average) for n, average in zip(counts, table["Avg time"], strict=True))
    given_samples, given_time_us = table.attrs.get("total_samples"), table.attrs.get("total_time_us")
    # Each average is rounded to 0.01 us, so the sum may be half of that off for every sample.
    if given_samples == samples and given_time_us is not None and abs(given_time_us - time_us) <= 0.005 * (samples + 1):
        return samples, float(given_time_us)
    return samples, time_us
