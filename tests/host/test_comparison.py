"""Two recordings side by side: what differs by more than counting explains, and what cannot be compared."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kvmlab as kl
from kvmlab.host.comparison import TOTAL, ratio_of
from tests.host.made_up import IPIS, WORKS, table
from tests.places import RECORDED

BEFORE = {"MSR_WRITE": (9000, 1.0), "PREEMPTION_TIMER": (8000, 0.8), "HLT": (200, 500.0)}
AFTER = {"MSR_WRITE": (9100, 1.4), "EXTERNAL_INTERRUPT": (300, 0.8), "HLT": (190, 500.0)}


def test_rates_with_their_uncertainty():
    told = kl.compare_recordings(table(BEFORE), table(AFTER), seconds=(10, 20), vcpus=(1, 2))
    rows = told.table
    assert told.per == "1/s a vCPU"
    assert rows.loc["MSR_WRITE", ["rate_before", "rate_after"]].tolist() == [900, 227.5]
    assert rows.loc["MSR_WRITE", "ratio"] == pytest.approx(0.2528, rel=1e-3)
    assert rows.loc["MSR_WRITE", "low"] < 0.2528 < rows.loc["MSR_WRITE", "high"]
    assert rows.loc[TOTAL, "before"] == 17_200
    assert rows["differs"].to_dict() == dict.fromkeys(rows.index, True)
    # Of the same length, the halts do not differ.
    told = kl.compare_recordings(table(BEFORE), table(AFTER), seconds=10, vcpus=1)
    assert told.table["differs"].to_dict()["HLT"] is False
    assert told.table.loc["PREEMPTION_TIMER", "after"] == 0
    assert told.table.loc["MSR_WRITE", "time_differs"]
    assert not told.table.loc["HLT", "time_differs"]
    assert "PREEMPTION_TIMER (none left" in told.verdict
    assert told.cannot_be_compared == ()


def test_without_a_time_shares_are_compared():
    told = kl.compare_recordings(table(BEFORE), table(AFTER))
    assert told.per == "% of exits"
    assert told.table.loc["MSR_WRITE", "rate_before"] == pytest.approx(100 * 9000 / 17_200)
    assert not told.table.loc[TOTAL, "differs"]
    assert any(sentence.startswith("Rates: how long a table took") for sentence in told.cannot_be_compared)
    told = kl.compare_recordings(table(BEFORE), table(AFTER), seconds=10)
    assert told.per == "1/s"
    assert any("Say vcpus=" in sentence for sentence in told.cannot_be_compared)


def test_the_interval_holds_the_truth():
    """Counts of Poisson processes with a known ratio: of 400 intervals, 95 % hold it."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        counts = [float(random.poisson(50)), float(random.poisson(90))]
        _, low, high = ratio_of(counts, (10, 10), None)
        held += low <= 1.8 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_a_row_that_is_not_listed_is_not_none():
    told = kl.compare_recordings(table(WORKS, listed=("MSR_WRITE", "HLT")), table(WORKS), seconds=10)
    assert np.isnan(told.table.loc["PREEMPTION_TIMER", "before"])
    assert not told.table.loc["PREEMPTION_TIMER", "differs"]
    assert not told.table.loc[TOTAL, "differs"]
    assert any("What is not listed before." in sentence for sentence in told.cannot_be_compared)


def test_two_tables_of_one_text():
    both = table(BEFORE) + table(AFTER)
    told = kl.compare_recordings(both)
    assert told.table.loc["MSR_WRITE", ["before", "after"]].tolist() == [9000, 9100]
    told = kl.compare_recordings(both, table=(1, 0))
    assert told.table.loc["MSR_WRITE", ["before", "after"]].tolist() == [9100, 9000]


def test_traces_and_tables():
    posted = RECORDED / "vmx-6.1-rev1-posted.trace.txt"
    told = kl.compare_recordings(posted, RECORDED / "vmx-6.1-rev3-hv-timer.trace.txt")
    assert told.per == "1/s a vCPU"
    assert told.table.index[told.table["differs"]].tolist() == ["PREEMPTION_TIMER"]
    assert told.cannot_be_compared == ()
    told = kl.compare_recordings(kl.explain(posted), RECORDED / "perf-kvm-stat.pi1_all.txt", seconds=1, vcpus=1)
    assert any("Who fired" in sentence for sentence in told.cannot_be_compared)
    assert not told.table.loc["MSR_WRITE", "differs"]


def test_another_vendor_is_said():
    told = kl.compare_recordings(table(IPIS), table({"msr": (900, 1.0), "interrupt": (900, 1.0)}))
    assert any("AMD" in sentence for sentence in told.cannot_be_compared)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seconds": (1, 2, 3)}, r"seconds: .* is not allowed; it must be one number, or two"),
        ({"seconds": 0}, "seconds: 0 is not allowed"),
        ({"vcpus": 1.5}, "vcpus: 1.5"),
        ({"table": 4}, "table=4"),
    ],
)
def test_what_does_not_fit_is_named(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        kl.compare_recordings(table(BEFORE), table(AFTER), **arguments)


def test_unlike_recordings_are_refused():
    msr = table({"0x6e0:W": (900, 1.0)}, title="MSR Access")
    with pytest.raises(ValueError, match=r"after: a table of MSR Access is not allowed; it must be one of VM-EXIT"):
        kl.compare_recordings(table(BEFORE), msr)
    with pytest.raises(ValueError, match="after: None does not fit beside an Explanation"):
        kl.compare_recordings(kl.explain(table(BEFORE)))


def test_what_is_shown_reads_well():
    told = kl.compare_recordings(table(BEFORE), table(AFTER), seconds=10, vcpus=1)
    for part in (told.verdict, "PREEMPTION_TIMER", "before, 1/s a vCPU"):
        assert part in told.summary()
        assert part in told._repr_html_()
    assert json.loads(json.dumps(told.to_dict(), allow_nan=False))["verdict"] == told.verdict
