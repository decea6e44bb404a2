"""What a table of perf kvm stat leaves out, by its totals and by its shares. All made up."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from kvmlab.host.formats.unlisted import Unlisted, handled_s, missing_share, unlisted_of

NAN = math.nan
INCOMPLETE, END = "The table is incomplete: ", ". Nothing is concluded from a row that is not there."


@pytest.mark.parametrize(
    ("unlisted", "missing"),
    [
        (Unlisted(0, 10, 0.0, 0, True), ""),
        (Unlisted(0, 10, NAN, 0, True), ""),
        (Unlisted(3, 10, NAN, 0, True), "rows with 3 of 10 samples are not listed"),
        (
            Unlisted(1500, 3000, 12.34, 0, True),
            "rows with 1,500 of 3,000 samples and 12.3 % of the time are not listed",
        ),
        (
            Unlisted(1, 10, 0.0, 7, True),
            "rows with 1 of 10 samples and 0.0 % of the time are not listed; perf lost 7 events",
        ),
        (Unlisted(0, 10, 0.5, 0, True), "rows with 0.5 % of the time are not listed"),
        (Unlisted(0, 10, 0.5, 0, True, True), "rows with 0.5 % of the time are not listed"),
        (Unlisted(0, 10, 0.0, 2000, True), "perf lost 2,000 events"),
        (Unlisted(0, 10, NAN, 0, False, True), "dots stand between its rows, where some were left out"),
        (
            Unlisted(0, 10, 0.0, 1, True, True),
            "dots stand between its rows, where some were left out; perf lost 1 events",
        ),
    ],
)
def test_what_is_missing_is_one_sentence(unlisted: Unlisted, missing: str) -> None:
    assert unlisted.nothing is (not missing)
    assert unlisted.sentence == (f"{INCOMPLETE}{missing}{END}" if missing else "")


@pytest.mark.parametrize("lost", [0, 3])
def test_without_totals_and_shares_a_missing_row_would_not_show(lost: int) -> None:
    unlisted = Unlisted(0, 10, NAN, lost, False)
    assert not unlisted.nothing
    assert unlisted.sentence == (
        "The table has neither totals nor shares, so a missing row would not show: nothing follows from one."
    )


def table(samples: list[int], shares: list[float], times: list[float], **attrs: object) -> pd.DataFrame:
    """A table of perf kvm stat, as its reader makes it."""
    frame = pd.DataFrame({"Samples": samples, "Samples%": shares, "Time%": times})
    frame.attrs.update(attrs)
    return frame


@pytest.mark.parametrize(
    ("frame", "unlisted"),
    [
        (table([3, 4], [30, 40], [50, 50], total_samples=10, lost_events=0), Unlisted(3, 10, 0.0, 0, True)),
        (table([3, 7], [30, 70], [50, 25], total_samples=10, lost_events=2), Unlisted(0, 10, 25.0, 2, True)),
        (table([3, 4], [NAN, NAN], [NAN, NAN], total_samples=7), Unlisted(0, 7, NAN, 0, True)),
        # More rows than the total: somebody has added some.
        (table([3, 4], [30, 40], [50, 50], total_samples=5), Unlisted(0, 5, 0.0, 0, True)),
        # Without a total, the shares say how many there were: 2 are 67 % of 3.
        (table([1, 1], [33.5, 33.5], [25, 25], total_samples=None), Unlisted(1, 3, 50.0, 0, True)),
        (table([3, 4], [30, 40], [50, 50]), Unlisted(3, 10, 0.0, 0, True)),
        (table([500, 500], [20, 30], [50, 50]), Unlisted(1000, 2000, 0.0, 0, True)),
        (table([1, 1], [50, 50], [25, 75], dots=True), Unlisted(0, 2, 0.0, 0, True, True)),
        (table([3, 4], [NAN, NAN], [NAN, NAN], lost_events=None), Unlisted(0, 7, NAN, 0, False)),
    ],
)
def test_what_a_table_leaves_out(frame: pd.DataFrame, unlisted: Unlisted) -> None:
    found = unlisted_of(frame)
    assert found == pytest.approx(unlisted, nan_ok=True)
    assert [type(each) for each in found] == [int, int, float, int, bool, bool]


@pytest.mark.parametrize(
    ("shares", "lacking"),
    [
        ([50, 50], 0),
        ([60, 60], 0),
        ([50, 49.975], 0),  # within the rounding of two shares, and what floating point adds
        ([50, 49.965], 0.035),
        ([20.0] * 4 + [19.96], 0),
        ([20.0] * 4 + [19.95], 0.05),
        ([60], 40),
        ([60, NAN], 40),
        ([0, 0], NAN),
        ([NAN], NAN),
        ([], NAN),
    ],
)
def test_what_shares_lack(shares: list[float], lacking: float) -> None:
    frame = pd.DataFrame({"Time%": shares}, dtype=float)
    assert missing_share(frame, "Time%") == pytest.approx(lacking, abs=1e-9, nan_ok=True)
    assert math.isnan(missing_share(frame, "Samples%"))


@pytest.mark.parametrize(
    ("times", "total_us", "seconds"),
    [
        ([1e6, 2e6], None, 8.0),
        ([1e6, 2e6], 9e6, 9.0),
        ([1e6, 2e6], 7e6, 8.0),  # as printed it may be rounded
        ([1e6, NAN], None, 2.0),
        ([NAN, NAN], 3e6, 3.0),
        ([NAN, NAN], None, 0.0),
    ],
)
def test_how_long_exits_were_handled(times: list[float], total_us: float | None, seconds: float) -> None:
    frame = pd.DataFrame({"Samples": [2, 3], "Avg time": times})
    frame.attrs["total_time_us"] = total_us
    assert handled_s(frame) == seconds
