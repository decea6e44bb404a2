"""Text into values, and results into JSON."""

import pandas as pd
import pytest

from kvmlab.cli.values import plain, value_of


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host.nohz_full", "False", False),
        ("host.loaded", "none", None),
        ("host.hz", "1000", 1000),
        ("host.tsc_ghz", "2.5", 2.5),
        ("host.pcpus", "8", 8),
        ("host.isolated", "2-4,7", (2, 3, 4, 7)),
        ("guest.pcpus", "3", (3,)),
        ("housekeeping_cpus", "0", (0,)),
        ("host.isolated", "none", ()),
        ("host.isolated", "[]", ()),
        ("host.isolated", "", ()),
        ("host.isolated", "[2-3]", (2, 3)),
        ("guest.pcpus", "none", None),
        ("workload.waits_by", "spin", "spin"),
        ("duration_s", "nan", pytest.approx(float("nan"), nan_ok=True)),
    ],
)
def test_values(name, text, value):
    assert value_of(name, text) == value


def test_plain_is_json():
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [float("nan"), 2.0]}, index=["x", "y"])
    assert plain({"t": frame, "n": float("inf"), "s": {1}, 3: None}) == {
        "t": [{"index": "x", "a": 1, "b": None}, {"index": "y", "a": None, "b": 2.0}],
        "n": None,
        "s": [1],
        "3": None,
    }
