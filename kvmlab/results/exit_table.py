"""perf's table of exits, summed from the EXIT records of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kvmlab.results.perf_text import PERF_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

ExitRecords = npt.NDArray[np.void]
"""EXIT records (kvmlab.model.machine), times in ns."""


def perf_table(records: Mapping[str, ExitRecords]) -> pd.DataFrame:
    """Return the table that ``perf kvm stat report`` would print, most frequent exit first.

    `records`: the name of an exit reason -> its EXIT records, for example one per vCPU; at least one must have a count.

    Index VM-EXIT, columns as in `PERF_COLUMNS`: Samples (count), Samples% and Time% (of all that are listed), Min Time,
    Max Time, Avg time (us), +-% (standard error of the mean, in percent of the mean).
    """
    import pandas as pd

    table = {name: perf_row(each) for name, each in records.items()}
    frame = pd.DataFrame.from_dict(table, orient="index", columns=["Samples", "sum_ns", *PERF_COLUMNS[3:]])
    frame.index.name = "VM-EXIT"
    total_ns = frame.pop("sum_ns")
    frame.insert(1, "Samples%", 100 * frame["Samples"] / max(1, frame["Samples"].sum()))
    frame.insert(2, "Time%", 100 * total_ns / max(1, total_ns.sum()))
    return frame.astype({"Samples": int}).sort_values("Samples", ascending=False, kind="stable")


def perf_row(records: ExitRecords) -> tuple[int, int, float, float, float, float]:
    """Return Samples, total ns, and perf's Min Time, Max Time, Avg time (us) and +-% of one reason."""
    some = records[records["count"] > 0]
    n, total = int(some["count"].sum()), int(some["sum_ns"].sum())
    mean = total / n
    variance = max(0.0, float(some["sum_sq"].sum()) - n * mean * mean) / (n - 1) if n > 1 else 0.0
    error = 100 * (variance / n) ** 0.5 / mean if mean else 0.0
    return n, total, some["min_ns"].min() / 1e3, some["max_ns"].max() / 1e3, mean / 1e3, error
