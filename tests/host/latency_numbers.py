"""What the tests of the latency tools' outputs compare: every number of the table, column by column."""

import math
from collections.abc import Mapping, Sequence

import pytest

from kvmlab.host.formats import read_latencies

COLUMNS = ["count", "mean", "min", "p50", "p99", "p99.9", "max"]
NAN = math.nan


def assert_numbers(text: str, rows: Mapping[str, Sequence[float]], over: Sequence[int]) -> None:
    """Require these rows of the table of a text, in order, and how many values of each lie beyond its histogram."""
    table = read_latencies(text)
    assert list(table.columns) == COLUMNS
    assert table.index.tolist() == list(rows)
    for name, row in rows.items():
        assert list(table.loc[name]) == pytest.approx(row, rel=1e-12, nan_ok=True)
    assert table.attrs["over"] == dict(zip(rows, over, strict=True))
