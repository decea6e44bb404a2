"""Tables of perf kvm stat, published and recorded, as the notebook on reading them shows them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from kvmlab import data
from kvmlab.host.formats.perf_stat import read_perf_kvm_stat
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.published import SYSBENCH_2020, published_table

SHOWN = 6
"""So many rows are looked at: the others have too few exits."""


def published() -> pd.DataFrame:
    """Return the published table of a guest that runs sysbench, under the names that perf gives its columns."""
    rows = {
        row.exit: {
            "Samples": row.samples,
            "Samples%": row.samples_pct,
            "Time%": row.time_pct,
            "Min": row.min_us,
            "Max": row.max_us,
            "Avg": row.avg_us,
            "+-%": row.rsem_pct,
        }
        for row in published_table(SYSBENCH_2020)
    }
    return pd.DataFrame(rows).T.astype({"Samples": int}).rename_axis("VM-EXIT")


def without_sleep() -> pd.DataFrame:
    """Return what the rows but HLT add up to, in ms: by perf's clock, and with the model's way out and in."""
    costs = Costs.default()
    way_us = (costs.exit_transition.mean_ns + costs.entry_transition.mean_ns) / 1000
    table = published().drop(index="HLT").head(SHOWN)
    perf_ms = table["Samples"] * table["Avg"] / 1000
    return pd.DataFrame({"by perf's clock": perf_ms, "with way out and in": perf_ms + table["Samples"] * way_us / 1000})


def longest() -> pd.DataFrame:
    """Return of each row which share of its variance, in %, comes from its longest exit, and the average without it."""
    rows = {}
    for row in published_table(SYSBENCH_2020)[:SHOWN]:
        share = (row.max_us - row.avg_us) ** 2 / ((row.samples - 1) * row.sd_us**2)
        rest = (row.avg_us * row.samples - row.max_us) / (row.samples - 1)
        rows[row.exit] = {
            "Avg": row.avg_us,
            "Avg without the longest": rest,
            "its share of the variance, %": 100 * share,
        }
    return pd.DataFrame(rows).T.rename_axis("VM-EXIT")


def recorded(names: Mapping[str, str]) -> pd.DataFrame:
    """Return the counts of some recorded tables side by side; `names`: of the recordings, by the title of a column."""
    columns = {}
    for title, name in names.items():
        columns[title] = read_perf_kvm_stat(data.path("recorded", f"perf-kvm-stat.{name}.txt"))["Samples"]
    return pd.DataFrame(columns).fillna(0).astype(int)
