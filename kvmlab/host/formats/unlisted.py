"""What a table of perf kvm stat leaves out: rows that its totals and shares count, and that are not there.

People shorten tables before they post them. Of a row that is missing nothing is known, so nothing follows from it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 0.005
"""A share is printed with two decimals, so each row's may be wrong by this much, in percent."""
SLACK = 0.02
"""What floating point adds, in percent."""


class Unlisted(NamedTuple):
    """What is counted in a table's totals, and stands in none of its rows."""

    samples: int
    """Samples in no row."""
    total_samples: int
    """Samples in all, listed or not."""
    time_share: float
    """Share of the handled time in no row, in percent; NaN where the table has no times."""
    lost_events: int
    """Events that perf says it lost."""
    known: bool
    """The table has totals or shares, so that a missing row would be noticed."""
    dots: bool = False
    """Dots stand where rows were left out, and no total says whether they were."""

    @property
    def nothing(self) -> bool:
        """Every row is there, so that a row which is not there had no samples."""
        return self.known and not self.samples and not self.time_share > 0 and not self.lost_events and not self.dots

    @property
    def sentence(self) -> str:
        """What is missing, in one sentence; "" where nothing is."""
        if self.nothing:
            return ""
        if not self.known and not self.dots:
            return "The table has neither totals nor shares, so a missing row would not show: nothing follows from one."
        missing = []
        if self.samples:
            time = "" if math.isnan(self.time_share) else f" and {self.time_share:.1f} % of the time"
            missing.append(f"rows with {self.samples:,} of {self.total_samples:,} samples{time} are not listed")
        elif self.time_share > 0:
            missing.append(f"rows with {self.time_share:.1f} % of the time are not listed")
        elif self.dots:
            missing.append("dots stand between its rows, where some were left out")
        if self.lost_events:
            missing.append(f"perf lost {self.lost_events:,} events")
        text = "; ".join(missing)
        return f"The table is incomplete: {text}. Nothing is concluded from a row that is not there."


def unlisted_of(table: pd.DataFrame) -> Unlisted:
    """Return what a table (of `read_perf_kvm_stat`) leaves out, by its totals or, without them, by its shares."""
    listed = int(table["Samples"].sum())
    total = table.attrs.get("total_samples")
    share = missing_share(table, "Samples%")
    known = total is not None or not math.isnan(share)
    if total is None:
        total = listed if math.isnan(share) else max(listed, round(listed / max(1e-9, 1 - share / 100)))
    lost = int(table.attrs.get("lost_events") or 0)
    dots = bool(table.attrs.get("dots"))
    return Unlisted(max(0, int(total) - listed), int(total), missing_share(table, "Time%"), lost, known, dots)


def missing_share(table: pd.DataFrame, column: str) -> float:
    """Return how much a column of shares lacks to 100 percent, 0 within its rounding; NaN without numbers."""
    shares = [float(share) for share in table[column].dropna()] if column in table else []
    if not sum(shares):
        return math.nan
    lacking = 100 - sum(shares)
    return lacking if lacking > ROUNDING * len(shares) + SLACK else 0.0


def handled_s(table: pd.DataFrame) -> float:
    """Return for how long the host handled the exits, over all vCPUs, in s: the table's total, or its rows' sum.

    No vCPU has two exits at a time, so a recording took at least that long, times its vCPUs (builtin-kvm.c: a sample is
    the time from kvm_exit to the next kvm_entry of one thread). 0 where the table has no times.
    """
    total = table.attrs.get("total_time_us")
    listed = float((table["Samples"] * table["Avg time"]).sum())  # NaN counts as 0
    return max(listed, float(total or 0.0)) / 1e6
