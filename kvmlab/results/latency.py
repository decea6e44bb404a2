"""Latencies from the histogram that the model fills: a percentile, a vCPU's row, the bins as a table.

A histogram has `HIST_BINS` bins, each 1/64 of its lower edge wide (HdrHistogram's layout), so that a percentile is off
by 0.8 % at most. Everything here is in ns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kvmlab.model.draws import histogram_edges
from kvmlab.results.stats import PERCENTILES

if TYPE_CHECKING:
    import pandas as pd

Bins = npt.NDArray[np.int64]
"""Latency counts; the last axis is the bins."""


def percentile(bins: Bins, share: float, largest: int) -> float:
    """Return the middle of the bin that holds the given share of a histogram, but not more than the largest value.

    `share`: from 0 to 1; `largest`: the largest latency counted. NaN for an empty histogram.
    """
    total = int(bins.sum())
    if total == 0:
        return math.nan
    index = int(np.searchsorted(np.cumsum(bins), max(1, share * total)))
    low, high = histogram_edges(index)
    return float(min((low + high - 1) / 2, largest))


def latency_row(vcpu: np.void, bins: Bins) -> dict[str, float]:
    """Return one row of `Run.latency`: count, mean, min, the `PERCENTILES`, max; NaN where nothing was counted."""
    n = int(vcpu["lat_n"])
    return {
        "count": n,
        "mean": vcpu["lat_sum"] / n if n else math.nan,
        "min": float(vcpu["lat_min"]) if n else math.nan,
        **{name: percentile(bins, share, int(vcpu["lat_max"])) for name, share in PERCENTILES.items()},
        "max": float(vcpu["lat_max"]) if n else math.nan,
    }


def histogram_table(bins: Bins) -> pd.DataFrame:
    """Return the bins that hold something. Columns: low_ns, high_ns (a bin's edges, the upper excluded), count."""
    import pandas as pd

    rows = [(*histogram_edges(int(i)), int(bins[i])) for i in np.flatnonzero(bins)]
    return pd.DataFrame(rows, columns=["low_ns", "high_ns", "count"])
