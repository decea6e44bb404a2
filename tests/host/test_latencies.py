"""kvmlab.host.formats on latencies and unit tests. Examples are made up after the tools' sources, except as said."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, strategies as st

from kvmlab.host import formats
from kvmlab.host.formats import read_any, read_latencies, read_latency_histogram, read_unit_test_vmexit, sniff
from tests.places import RECORDED
from tests.strategies import few

# The message of Linux commit 1eeb6328e8b3 (rtla timerlat hist), two of its CPUs.
RTLA = """\
# RTLA timerlat histogram
# Time unit is microseconds (us)
# Duration:   0 00:01:00
Index   IRQ-000   Thr-000   IRQ-001   Thr-001
0         58572         0     59373         0
1          1422     57021       628     57241
2             6      2931         0      2695
3             1        40         0        53
4             0         7         0         5
5             0         2         0         5
6             0         0         0         2
over:         0         0         0         0
count:    60001     60001     60001     60001
min:          0         1         0         1
avg:          0         1         0         1
max:          3         5         1         6
"""
CYCLICTEST = """\
# /dev/cpu_dma_latency set to 0us
# Histogram
000000 000000\t000000\t
000005 000100\t000050\t
000006 000700\t000800\t
000009 000150\t000140\t
000041 000001\t000000\t
# Total: 000000951 000000990
# Min Latencies: 00005 00005
# Avg Latencies: 00006 00007
# Max Latencies: 00041 00052
# Histogram Overflows: 00000 00001
# Histogram Overflow at cycle number:
# Thread 0:
# Thread 1: 00017
"""
# As cyclictest refreshes its lines on a terminal: the cursor goes up, the last lines count.
THREADS = """\
# /dev/cpu_dma_latency set to 0us
policy: fifo: loadavg: 0.10 0.06 0.01 1/177 24073
T: 0 (24072) P:80 I:1000 C:    100 Min:      4 Act:    5 Avg:    5 Max:      11
T: 1 (24073) P:80 I:1500 C:     66 Min:      4 Act:    7 Avg:    6 Max:      19
\x1b[2A\
T: 0 (24072) P:80 I:1000 C:    200 Min:      3 Act:    5 Avg:    5 Max:      12 SMI:       0
T: 1 (24073) P:80 I:1500 C:    133 Min:      4 Act:    7 Avg:    6 Max:      21
"""
TSCDEADLINE = """\
enabling apic
PASS: apic existence
breakmax=3000
tsc deadline timer enabled
latency: 2300
latency: 2300
latency: 2412
hit max: 3000 < latency: 3100
SUMMARY: 1 tests
"""
VMEXIT = """\
enabling apic
paging enabled
cpuid 1340
vmcall 1301
mov_from_cr8 (skipped)
tscdeadline_immed 2920
tscdeadline 5766
  ipi ipi 3645
"""


def test_rtla_columns_become_series():
    table = read_latencies(RTLA)
    assert table.loc["IRQ-000"].to_dict() == {
        "count": 60001, "mean": 0, "min": 0, "p50": 0, "p99": 1000, "p99.9": 1000, "max": 3000,
    }  # fmt: skip
    assert table.loc["Thr-001", "max"] == 6000
    assert (table.attrs["tool"], table.attrs["unit"]) == ("rtla", "ns")
    histogram = read_latency_histogram(RTLA)
    assert histogram.groupby("series")["count"].sum().eq(60001).all()
    assert (histogram["high_ns"] - histogram["low_ns"]).eq(1000).all()


def test_newer_rtla_goes_on_with_sums_and_has_absent_values():
    text = RTLA.replace("IRQ-001", "Usr-001") + "ALL:        IRQ       Thr       Usr\ncount:   120002    120002\n"
    assert "Usr-001" in read_latencies(text).index
    rows = ("Index   CPU-003   CPU-004", "5   2   0", "over:  0  0", "count:  2  0", "min: 5 -", "avg: 5 -", "max: 6 -")
    table = read_latencies("\n".join(["# RTLA osnoise histogram", "# Time unit is nanoseconds (ns)", *rows]))
    assert table.loc["CPU-003", ["min", "max"]].tolist() == [5, 6]
    assert table.loc["CPU-004"].isna().sum() == 6


def test_a_bucket_size_is_as_the_reader_says():
    text = RTLA.replace("\n1  ", "\n10 ").replace("\n2  ", "\n20 ").replace("\n3  ", "\n30 ")
    text = text.replace("\n4  ", "\n40 ").replace("\n5  ", "\n50 ").replace("\n6  ", "\n60 ")
    assert (read_latency_histogram(text, bucket=10)["high_ns"] % 10_000 == 0).all()
    with pytest.raises(ValueError, match=r"multiples of bucket=20"):
        read_latency_histogram(text, bucket=20)


def test_cyclictest_threads_and_overflows():
    table = read_latencies(CYCLICTEST)
    assert table["count"].tolist() == [951, 991]
    assert table["max"].tolist() == [41_000, 52_000]
    assert table["p50"].tolist() == [6_000, 6_000]
    assert table.attrs["over"] == {"thread 0": 0, "thread 1": 1}
    # One of 991 lay beyond the histogram: the 99.9th percentile is where nobody knows.
    assert math.isnan(
        read_latencies(CYCLICTEST.replace("Overflows: 00000 00001", "Overflows: 00000 00009")).iloc[1]["p99.9"]
    )
    assert read_latencies(CYCLICTEST, unit="ns")["max"].tolist() == [41, 52]


def test_cyclictest_with_a_column_of_sums():
    lines = [line + "000999\t" if line.startswith("0000") else line for line in CYCLICTEST.splitlines()]
    text = "\n".join(lines).replace("Total: 000000951 000000990", "Total: 000000951 000000990 000001941")
    text = text.replace("Max Latencies: 00041 00052", "Max Latencies: 00041 00052 00052")
    assert read_latencies(text).equals(read_latencies(CYCLICTEST))


def test_cyclictest_lines_the_last_counts():
    table = read_latencies(THREADS)
    assert table["max"].tolist() == [12_000, 21_000]
    assert table["count"].tolist() == [200, 133]
    assert table["p50"].isna().all()
    assert read_latency_histogram(THREADS).empty


def test_tscdeadline_latency_is_cycles_until_the_frequency_is_known():
    table = read_latencies(TSCDEADLINE)
    assert (table.attrs["unit"], table.loc["guest", "max"], table.loc["guest", "count"]) == ("cycles", 3100, 4)
    in_ns = read_latencies(TSCDEADLINE, tsc_ghz=2.5)
    assert (in_ns.attrs["unit"], in_ns.loc["guest", "max"], in_ns.loc["guest", "min"]) == ("ns", 1240, 920)
    assert in_ns.loc["guest", "mean"] == pytest.approx(2528 / 2.5)


def test_vmexit_results():
    table = read_unit_test_vmexit(VMEXIT, tsc_ghz=2.0)
    assert table.loc["tscdeadline_immed", "cycles"] == 2920
    assert table.loc["cpuid", "ns"] == 670
    assert table["cycles"].isna().sum() == 1
    assert table.index[-1] == "ipi ipi"
    assert read_unit_test_vmexit(VMEXIT)["ns"].isna().all()


@pytest.mark.parametrize(
    ("text", "kind", "rows"),
    [
        (RTLA, "rtla", 4),
        (CYCLICTEST, "cyclictest", 2),
        (THREADS, "cyclictest", 2),
        (TSCDEADLINE, "tscdeadline_latency", 1),
        (VMEXIT, "vmexit", 6),
        ((RECORDED / "perf-kvm-stat.pi0_none.txt").read_text(), "perf kvm stat", 6),
        (RECORDED / "perf-script.no-apicv.txt", "kvm trace", 151),
        (RECORDED / "vmx-6.1-rev3-hv-periodic.trace.txt", "kvm trace", 80),
    ],
)
def test_any_text_is_told_by_its_kind(text, kind, rows):
    found, table = read_any(text)
    assert (found, len(table)) == (kind, rows)


def test_options_go_to_the_reader():
    assert read_any(TSCDEADLINE, tsc_ghz=2.5)[1].loc["guest", "min"] == 920
    with pytest.raises(ValueError, match=r"at most 3 events"):
        read_any(RECORDED / "perf-script.no-apicv.txt", limit=3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: found ''; expected the output of cyclictest, rtla"),
        ("prose\nmore prose", "line 2: found 'more prose'"),
        (
            CYCLICTEST.partition("# Min")[0],
            "line 8: found 'the end, after # Histogram in line 2'; expected a line # Min",
        ),
        (CYCLICTEST.replace("000700", "000701"), "found '952 in the rows of thread 0'; expected 951"),
        (CYCLICTEST.replace("000006 000700", "000004 000700"), "line 5: .* expected a latency above 5"),
        (CYCLICTEST.replace("\t000800", ""), "line 5: .* expected 2 counts"),
        (CYCLICTEST.replace("000700", "7x"), "line 5: .* expected a row of a histogram"),
        (CYCLICTEST.replace("Max Latencies: 00041 00052", "Max Latencies: 00041"), "expected 2, one a thread"),
        (CYCLICTEST + CYCLICTEST, "expected one histogram; this is the second"),
        (THREADS.replace("Max:      12", "Max:"), "line 5: .* expected T: n"),
        (RTLA.partition("over:")[0], "expected the lines over:, count:, min:, avg: and max:"),
        (RTLA.replace("count:    60001", "count:    60002"), "60001 in the rows of IRQ-000'; expected 60002"),
        (RTLA.replace("max:          3", "max:"), "line 16: .* expected 4 numbers"),
        (RTLA.replace("Thr-001", "IRQ-000"), "line 4: .* expected one header, with each column once"),
        (
            TSCDEADLINE.replace("latency: 2412", "latency: 24x"),
            "line 7: found 'latency: 24x'; expected latency: and a whole",
        ),
        ("latency: 1\n\x00\n", "line 2: .* not a binary file"),
    ],
)
def test_bad_latencies_are_refused_with_their_line(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_latencies(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("paging enabled\n", "line 1: found 'paging enabled'; expected results of x86/vmexit"),
        ("cpuid 13x0\n", "line 1: found 'cpuid 13x0'; expected <name> <cycles>"),
        ("vmcall 3\ncpuid\n", "line 2: found 'cpuid'; expected <name> <cycles>"),
        ("cpuid 1\ncpuid 2\n", "line 2: found 'cpuid 2'; expected each test once"),
    ],
)
def test_bad_results_are_refused_with_their_line(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_unit_test_vmexit(text)


def test_an_unknown_text_names_what_is_known():
    with pytest.raises(ValueError, match=r"line 1: found 'hello'; expected one of: perf kvm stat, kvm trace"):
        sniff("hello\nworld")


TEXTS = st.text() | st.lists(st.sampled_from((RTLA + CYCLICTEST + THREADS + TSCDEADLINE + VMEXIT).splitlines())).map(
    "\n".join
)


@pytest.mark.parametrize("read", [read_latencies, read_latency_histogram, read_unit_test_vmexit, read_any])
@few(100)
@given(text=TEXTS)
def test_any_mixture_is_a_table_or_a_value_error(read, text):
    with contextlib.suppress(ValueError):
        read(text + "\n")


@few(100)
@given(
    st.lists(st.lists(st.integers(0, 999), min_size=2, max_size=2), min_size=1, max_size=20),
    st.integers(0, 9),
)
def test_every_count_of_a_histogram_is_in_the_table(rows, over):
    totals = [sum(row[i] for row in rows) for i in range(2)]
    lines = [f"{low:<6d}{a:9d} {b:9d} " for low, (a, b) in enumerate(rows)]
    summary = [f"{name}:{a:9d} {b:9d} " for name, a, b in (("over", over, 0), ("count", totals[0] + over, totals[1]))]
    text = "\n".join(["Index   IRQ-000   Thr-000", *lines, *summary, "min: 0 0", "avg: 0 0", "max: 30 30"])
    histogram = read_latency_histogram(text)
    found = histogram.groupby("series")["count"].sum().reindex(["IRQ-000", "Thr-000"]).fillna(0)
    assert found.tolist() == totals
    assert read_latencies(text)["count"].tolist() == [totals[0] + over, totals[1]]


def test_a_histogram_has_a_greatest_size(monkeypatch):
    monkeypatch.setattr(formats.series, "MAX_BUCKETS", 5)
    monkeypatch.setattr(formats.latencies, "MAX_BUCKETS", 5)
    with pytest.raises(ValueError, match=r"at most 5 counts"):
        read_latencies(CYCLICTEST)
    with pytest.raises(ValueError, match=r"at most 5 different latencies"):
        read_latencies("".join(f"latency: {i}\n" for i in range(9)))
