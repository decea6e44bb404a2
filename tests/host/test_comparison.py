"""Two recordings side by side: what differs by more than counting explains, and what cannot be compared."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import kvmlab as kl
from kvmlab.host.comparison import TOTAL, Side, length_of, ratio_of, shown, size_of, times
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


# By hand: a count of n varies by sqrt(1 / (n + 1/2)) of itself, 1.96 of these are 95 %.
@pytest.mark.parametrize(
    ("counts", "bases", "totals", "expected"),
    [
        # (16/4) / (4/2) = 2, times or by exp(1.96 sqrt(1/4 + 1/16)) = 2.9912
        ((3.5, 15.5), (2, 4), None, (2.214286, 0.668628, 5.982399)),
        # 1/8 and 1/32 less: exp(1.96 sqrt(5/32)) = 2.17007
        ((3.5, 15.5), (2, 4), (7.5, 31.5), (2.214286, 0.921629, 4.340140)),
        # all of one total, all of the other: a share of 100 % cannot vary
        ((7.5, 15.5), (8, 16), (7.5, 15.5), (1.033333, 1, 1)),
        ((0, 5), (1, 1), None, (math.inf, 0.608221, 198.940770)),
        ((5, 0), (1, 1), None, (0, 0.00502662, 1.6441386)),
        ((0, 0), (1, 1), None, (math.nan,) * 3),
        ((math.nan, 5), (1, 1), None, (math.nan,) * 3),
        ((5, math.nan), (1, 1), None, (math.nan,) * 3),
        ((5, 5), (0, 1), None, (math.nan,) * 3),
        ((5, 5), (1, 0), None, (math.nan,) * 3),
    ],
)
def test_a_ratio_and_its_interval_by_hand(counts, bases, totals, expected):
    assert ratio_of(counts, bases, totals) == pytest.approx(expected, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (math.nan, "-"),
        (0, "0"),
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (999.4, "999"),
        (999.5, "1,000"),
        (-999.5, "-1,000"),
        (1000, "1,000"),
        (1234567.8, "1,234,568"),
    ],
)
def test_a_number_in_a_cell(value, cell):
    assert shown(value) == cell


@pytest.mark.parametrize(
    ("ratio", "cell"),
    [
        (math.nan, "-"),
        (math.inf, "new, at least x 0.25"),
        (0.0, "none left, at most x 4"),
        (1.5, "x 1.5, 0.25 to 4"),
    ],
)
def test_a_ratio_in_a_cell(ratio, cell):
    assert times({"ratio": ratio, "low": 0.25, "high": 4.0}) == cell


def test_a_rate_is_a_count_a_second_or_a_share():
    told = kl.explain(table(AFTER))
    assert Side(told, 50, 4.0).rate(10) == 2.5
    assert Side(told, 50, math.nan).rate(10) == 20
    assert math.isnan(Side(told, 0, math.nan).rate(0))
    side = Side(told, 9590, 10.0)
    assert (side.samples("MSR_WRITE"), side.samples("CPUID")) == (9100, 0)
    assert side.time("MSR_WRITE") == pytest.approx((1.4, 0.014))  # perf's +- 1 %
    assert side.time("CPUID") == pytest.approx((math.nan, math.nan), nan_ok=True)


def test_a_notebook_shows_the_verdict_above_a_table_without_lines():
    told = kl.compare_recordings(table(BEFORE), table(AFTER), seconds=10, vcpus=1)
    begins = f"<p style='text-align:left'><b>{told.verdict}</b></p><table class=\"dataframe\">"
    assert told._repr_html_().split()[: len(begins.split())] == begins.split()
    assert told._repr_html_().endswith("</table><ul></ul>")


def test_the_limits_of_what_a_reader_says():
    told = kl.explain(table(AFTER))
    assert [length_of(told, seconds) for seconds in (None, 1e-6, 1e7)] == [None, 1e-6, 1e7]
    assert [size_of(told, vcpus) for vcpus in (None, 1, 100_000)] == [None, 1, 100_000]
    for seconds in (0.9e-6, 1.01e7, 10_000_000.5):
        with pytest.raises(ValueError, match="seconds"):
            length_of(told, seconds)
    for vcpus in (0, 100_001):
        with pytest.raises(ValueError, match="vcpus"):
            size_of(told, vcpus)


def test_what_differs_is_what_counting_does_not_explain():
    """One standard error of a difference of two counts of 9000 is 1.5 % of them."""
    one = {"MSR_WRITE": (9000, 1.0), "CPUID": (9000, 1.0), "HLT": (9000, 1.0)}
    other = {"MSR_WRITE": (9900, 1.02), "CPUID": (8100, 1.03), "HLT": (9100, 1.0)}
    told = kl.compare_recordings(table(one), table(other), seconds=(10, 10.0), vcpus=[1, 1])
    assert told.table["differs"].to_dict() == {TOTAL: False, "MSR_WRITE": True, "CPUID": True, "HLT": False}
    # Averages to within 1 % each: 1.96 sqrt(2) % apart, 2.8 %, is what they may be.
    assert told.table["time_differs"].to_dict() == {TOTAL: False, "MSR_WRITE": False, "CPUID": True, "HLT": False}
    assert told.verdict == ("The rates of MSR_WRITE (x 1.1, 1.07 to 1.13) and CPUID (x 0.9, 0.873 to 0.927) differ.")


@pytest.mark.parametrize(("seconds", "word"), [(10, "rate"), (None, "share")])
def test_two_alike_do_not_differ(seconds, word):
    only = table({"MSR_WRITE": (9000, 1.0)})
    told = kl.compare_recordings(only, only, seconds=seconds, vcpus=1)
    assert told.verdict == f"No {word} differs by more than counting explains."
    assert not told.table["differs"].any()


def test_the_whole_of_a_comparison_as_text():
    told = kl.compare_recordings(table(BEFORE), table(AFTER), seconds=(10, 20), vcpus=(1, 2))
    assert told.summary().splitlines() == [
        "the text (before), the text (after)",
        "The rates of all exits (x 0.139, 0.136 to 0.143), MSR_WRITE (x 0.253, 0.246 to 0.26), PREEMPTION_TIMER (none "
        "left, at most x 0.00025), HLT (x 0.237, 0.195 to 0.29) and EXTERNAL_INTERRUPT (new, at least x 9.38) differ.",
        "",
        "                   before, 1/s a vCPU after, 1/s a vCPU           after/before (95 %) differs us each, before"
        "  after",
        "all exits                       1,720               240       x 0.139, 0.136 to 0.143     yes               -"
        "      -",
        "MSR_WRITE                         900               228        x 0.253, 0.246 to 0.26     yes               1"
        "  1.4 !",
        "PREEMPTION_TIMER                  800                 0  none left, at most x 0.00025     yes             0.8"
        "      -",
        "HLT                                20              4.75        x 0.237, 0.195 to 0.29     yes             500"
        "    500",
        "EXTERNAL_INTERRUPT                  0               7.5          new, at least x 9.38     yes               -"
        "    0.8",
        "",
        f"Before: {' '.join(told.before.answer[:2])}",
        *(f"  {note}" for note in told.before.notes),
        f"After: {' '.join(told.after.answer[:2])}",
        *(f"  {note}" for note in told.after.notes),
    ]
    [new] = [row for row in told.to_dict()["table"] if row["exit"] == "EXTERNAL_INTERRUPT"]
    assert (new["before"], new["after"], new["ratio"], new["us_before"]) == (0, 300, None, None)
    assert told.to_dict()["before"] == told.before.to_dict()
    assert told.to_dict()["after"] == told.after.to_dict()
    assert told.interrupts is None
    assert told.to_dict()["interrupts"] == []


LISTED = (
    " kt-7 [001] d..1. {:.6f}: kvm_exit: vcpu 0 reason EXTERNAL_INTERRUPT rip 0x1 info1 0x0000000000000000 "
    "info2 0x0000000000000000 intr_info 0x800000{:02x} error_code 0x00000000\n"
    " kt-7 [001] d..1. {:.6f}: kvm_entry: vcpu 0\n"
)


def listing(*vectors):
    """A second in which interrupts by these vectors each cost 250 us."""
    first = " kt-7 [001] d..1. 5.000000: kvm_entry: vcpu 0\n"
    exits = [LISTED.format(5 + i / 10, vector, 5.00025 + i / 10) for i, vector in enumerate(vectors, 1)]
    return first + "".join(exits) + " kt-7 [001] d..1. 6.000000: kvm_fpu: load\n"


def test_interrupts_and_gaps_of_two_listings():
    told = kl.compare_recordings(listing(0xEC, 0xFD, 0xEC), listing(0xEC, 0x25))
    assert told.per == "1/s a vCPU"
    assert told.interrupts is not None
    assert told.interrupts.reset_index().to_dict("split")["data"] == [
        ["0xec", "LOCAL_TIMER_VECTOR", 2, 1, 2.0, 1.0],
        ["0xfd", "RESCHEDULE_VECTOR", 1, 0, 1.0, 0.0],
        ["0x25", "", 0, 1, 0.0, 1.0],
    ]
    assert list(told.interrupts.columns) == ["name", "before", "after", "rate_before", "rate_after"]
    assert told.to_dict()["interrupts"][0] == {
        "vector": "0xec", "name": "LOCAL_TIMER_VECTOR", "before": 2, "after": 1, "rate_before": 2.0, "rate_after": 1.0
    }  # fmt: skip
    text = told.summary()
    assert (
        """
Interrupts that ended guest mode, by vector:
                         before, 1/s a vCPU after, 1/s a vCPU
0xec  LOCAL_TIMER_VECTOR                  2                 1
0xfd   RESCHEDULE_VECTOR                  1                 0
0x25                                      0                 1

Before: """
        in text
    )
    gaps = (
        "\n  Longest times out of the guest, halts left out:\n"
        "        250.0 us EXTERNAL_INTERRUPT, vCPU 0, at 5.100000 s\n"
        "        250.0 us EXTERNAL_INTERRUPT, vCPU 0, at 5.200000 s"
    )
    assert text.count(gaps) == 2
    assert "Cannot be compared" not in text


def test_interrupts_are_compared_where_both_listings_could_show_them():
    quiet = " kt-7 [001] d..1. 5.000000: kvm_entry: vcpu 0\n kt-7 [001] d..1. 6.000000: kvm_entry: vcpu 0\n"
    assert kl.compare_recordings(quiet, quiet).interrupts is None
    assert kl.compare_recordings(listing(0xEC), table(AFTER)).interrupts is None
    assert kl.compare_recordings(table(AFTER), listing(0xEC)).interrupts is None
    for pair, counts in (((quiet, listing(0xEC)), [0, 1]), ((listing(0xEC), quiet), [1, 0])):
        told = kl.compare_recordings(*pair)
        assert told.interrupts is not None
        assert told.interrupts.loc["0xec", ["before", "after"]].tolist() == counts
        assert "Exits by name" not in told.summary()


def test_a_listing_and_a_table_of_amd():
    told = kl.compare_recordings(listing(0xEC), table({"msr": (900, 1.0), "interrupt": (900, 1.0)}))
    assert told.cannot_be_compared == (
        "Rates: how long a table took is not in it. Shares of all exits are shown. Say seconds=.",
        "Exits by name: one recording is from AMD, the other is not, and their exits have other names.",
        "Who fired the timers: a listing shows that, and a table does not.",
    )
    assert told.summary().endswith("Cannot be compared:\n" + "\n".join(f"  {s}" for s in told.cannot_be_compared))
    assert told._repr_html_().endswith(f"<ul>{''.join(f'<li>{s}</li>' for s in told.cannot_be_compared)}</ul>")
    # A listing says itself how long it took, and of how many vCPUs it is.
    told = kl.compare_recordings(listing(0xEC), table({"interrupt": (900, 1.0)}), seconds=3)
    assert told.per == "1/s"
    assert told.table.loc[TOTAL, ["rate_before", "rate_after"]].tolist() == [1, 300]
    assert told.cannot_be_compared[0] == "Rates per vCPU: a table does not say of how many it is. Say vcpus=."
    told = kl.compare_recordings(listing(0xEC), table({"interrupt": (900, 1.0)}), seconds=3, vcpus=3)
    assert told.per == "1/s a vCPU"
    assert told.table.loc[TOTAL, ["rate_before", "rate_after"]].tolist() == [1, 100]


def test_of_three_tables_two_have_to_be_named():
    three = table(BEFORE) + table(AFTER) + table(WORKS)
    with pytest.raises(ValueError, match=r"^table: None does not fit: there are more than two tables; allowed: two "):
        kl.compare_recordings(three)
    assert kl.compare_recordings(three, table=(0, 2)).table.loc["MSR_WRITE", "after"] == 24_000


def test_a_table_of_the_same_number_may_be_asked_of_both():
    two = table(BEFORE) + table(AFTER)
    told = kl.compare_recordings(two, two, table=1)
    assert told.table.loc["MSR_WRITE", ["before", "after"]].tolist() == [9100, 9100]
    told = kl.compare_recordings(two, two, table=(0, 1))
    assert told.table.loc["MSR_WRITE", ["before", "after"]].tolist() == [9000, 9100]
