"""kvmlab.host.formats on latencies and unit tests. Examples are made up after the tools' sources, except as said."""

from __future__ import annotations

import contextlib
import math
import re

import pytest
from hypothesis import given, strategies as st

from kvmlab.host import formats
from kvmlab.host.formats import read_any, read_latencies, read_latency_histogram, read_unit_test_vmexit, sniff
from kvmlab.host.formats.cyclictest import is_cyclictest
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


@pytest.mark.parametrize(
    ("options", "factor", "unit"), [({}, 1, "cycles"), ({"tsc_ghz": 2.5}, 0.4, "ns"), ({"tsc_ghz": 10}, 0.1, "ns")]
)
def test_every_number_of_tscdeadline_latency(options, factor, unit):
    table = read_latencies(TSCDEADLINE, **options)
    assert table.attrs == {"tool": "tscdeadline_latency", "unit": unit, "over": {"guest": 0}, "notes": []}
    assert table.index.name == "series"
    assert list(table.columns) == ["count", "mean", "min", "p50", "p99", "p99.9", "max"]
    cycles = [2528, 2300, 2300, 3100, 3100, 3100]
    assert table.loc["guest"].tolist() == pytest.approx([4, *(each * factor for each in cycles)], rel=1e-12)
    histogram = read_latency_histogram(TSCDEADLINE, **options)
    assert histogram.attrs == {"tool": "tscdeadline_latency", "unit": unit}
    assert list(histogram.columns) == ["series", "low_ns", "high_ns", "count"]
    assert histogram["series"].tolist() == ["guest"] * 3
    assert histogram["low_ns"].tolist() == pytest.approx([2300 * factor, 2412 * factor, 3100 * factor], rel=1e-12)
    assert histogram["high_ns"].tolist() == pytest.approx([2301 * factor, 2413 * factor, 3101 * factor], rel=1e-12)
    assert histogram["count"].tolist() == [2, 1, 1]


def test_a_latency_may_be_negative():
    assert read_latencies("latency: -5\nlatency: 7\n").loc["guest"].tolist() == [2, 1, -5, -5, 7, 7, 7]


def test_a_unit_of_ns_is_said_without_a_frequency():
    assert read_latencies(CYCLICTEST).attrs["unit"] == read_latency_histogram(CYCLICTEST).attrs["unit"] == "ns"
    for read in (read_latencies, read_latency_histogram):
        assert read(CYCLICTEST, tsc_ghz=2.5).equals(read(CYCLICTEST))


def test_what_a_reader_is_told_has_limits():
    assert read_latencies(TSCDEADLINE, tsc_ghz=0.1).loc["guest", "max"] == pytest.approx(31000)
    for ghz in (0.09, 10.5):
        with pytest.raises(ValueError, match=r"tsc_ghz: .* is not allowed; it must be .* from 0.1 to 10"):
            read_latencies(TSCDEADLINE, tsc_ghz=ghz)
    assert read_latencies(
        RTLA.partition("\n1 ")[0] + "\nover: 0 0 0 0\ncount: 58572 0 59373 0\nmax: 1 1 1 1\n", bucket=10**9
    ).shape
    for bucket in (0, 10**9 + 1):
        with pytest.raises(ValueError, match=r"bucket: .* is not allowed; it must be an integer from 1 to 1000000000"):
            read_latencies(RTLA, bucket=bucket)
    with pytest.raises(ValueError, match=r"unit: 'ms' is not allowed; .*ns"):
        read_latencies(CYCLICTEST, unit="ms")


def test_only_so_many_different_latencies_are_kept(monkeypatch):
    monkeypatch.setattr(formats.latencies, "MAX_BUCKETS", 3)
    assert read_latencies(TSCDEADLINE).loc["guest", "count"] == 4
    with pytest.raises(ValueError, match=r"line 10: found 'latency: 9'; expected at most 3 different latencies"):
        read_latencies(TSCDEADLINE + "latency: 9\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "prose\n\n  \n",
            r"line 1: found 'prose'; expected the output of cyclictest, rtla, tscdeadline_latency, oslat",
        ),
        ("\n\nprose\nmore\n\n", "line 4: found 'more'; expected the output of"),
        (
            "latency: 7\n latency: many \n",
            "line 2: found 'latency: many'; expected latency: and a whole number of cycles",
        ),
    ],
)
def test_a_text_of_no_tool_is_refused_with_its_last_line(text, complaint):
    with pytest.raises(ValueError, match=rf"^the text.*, {complaint}"):
        read_latencies(text)


# cyclictest, number by number -----------------------------------------------------------------------------------------

NAN = math.nan
WITHOUT_TOTAL = CYCLICTEST.replace("# Total: 000000951 000000990\n", "").replace(
    "Overflows: 00000 00001", "Overflows: 00003 00001"
)


@pytest.mark.parametrize(
    ("text", "rows", "over"),
    [
        (
            CYCLICTEST,
            [[951, 6000, 5000, 6000, 9000, 41000, 41000], [991, 7000, 5000, 6000, 9000, NAN, 52000]],
            [0, 1],
        ),
        (
            WITHOUT_TOTAL,
            [[954, 6000, 5000, 6000, 9000, NAN, 41000], [991, 7000, 5000, 6000, 9000, NAN, 52000]],
            [3, 1],
        ),
        (
            CYCLICTEST.partition("# Histogram Overflows")[0],
            [[951, 6000, 5000, 6000, 9000, 41000, 41000], [990, 7000, 5000, 6000, 9000, 9000, 52000]],
            [0, 0],
        ),
        (THREADS, [[200, 5000, 3000, NAN, NAN, NAN, 12000], [133, 6000, 4000, NAN, NAN, NAN, 21000]], [0, 0]),
    ],
)
def test_every_number_of_cyclictest(text, rows, over):
    table = read_latencies(text)
    assert table.index.tolist() == ["thread 0", "thread 1"]
    for row, expected in zip(table.to_numpy().tolist(), rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert list(table.attrs["over"].values()) == over


def test_a_line_of_a_thread_may_be_wrapped():
    line = "T: 7 (24072) P:80 I:1000 C: 100 Min: 4 Act: 5 Avg: 5\nMax: 11\n"
    for text in (line, line + "and prose\n", THREADS.splitlines()[2] + "\n" + line + line.replace("7 (", "8 (")):
        table = read_latencies(text)
        assert table.loc["thread 7"].dropna().to_dict() == {"count": 100, "mean": 5000, "min": 4000, "max": 11000}
        assert table.attrs["notes"] == [
            f"Joined: {text.count('Max: 11')} wrapped line{'s' * (text.count('Max: 11') > 1)}."
        ]


@pytest.mark.parametrize(
    ("line", "is_its"),
    [
        ("# Histogram", True),
        ("T: 0 (24072) P:80 I:1000 C:    100 Min:      4 Act:    5 Avg:    5 Max:      11", True),
        ("T: 0 (24072) P:80", True),
        ("T: 0", False),
        ("# Total: 000000951 000000990", False),
        ("000005 000100", False),
    ],
)
def test_a_line_of_cyclictest_is_told_from_others(line, is_its):
    assert is_cyclictest(line) is is_its


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (CYCLICTEST + "# Histogram\n", "line 16: found '# Histogram'; expected one histogram; this is the second"),
        (
            CYCLICTEST + "# Total: 1 1\n",
            "line 16: found '# Total: 1 1'; expected each line of totals once, below # Histogram",
        ),
        (
            THREADS + "# Total: 1 1\n",
            "line 7: found '# Total: 1 1'; expected each line of totals once, below # Histogram",
        ),
        (CYCLICTEST + "12 13\n", "line 16: found '12 13'; expected lines of totals, not cut off, and not wrapped"),
        (
            CYCLICTEST.replace("00005 00005", "00005 00005 00005 00005"),
            "line 15: found '# Total: with 2 numbers'; expected 4, one a thread",
        ),
        (
            CYCLICTEST.replace("Latencies: 00005 00005", "Latencies: 00005").replace("951 000000990", "951 990 991"),
            "line 15: found '# Total: with 3 numbers'; expected 1, one a thread",
        ),
        (
            re.sub("(Total|Latencies|Overflows): .*", r"\1: 951 951 951 951", CYCLICTEST),
            "line 15: found 'a histogram of 2 columns'; expected 4, one a thread, as below it",
        ),
        (
            CYCLICTEST.replace("# Max", "# Most"),
            r"line 15: found 'the end, after # Histogram in line 2'; expected a line # Max L",
        ),
        (
            "prose\n" + CYCLICTEST.partition("# Total")[0],
            r"line 8: found 'the end, after # Histogram in line 3'; expected a line",
        ),
        (THREADS + "T: 2 (7) P:80 I:10", "line 7: found 'T: 2 .7. P:80 I:10'; expected T: n .tid. P: n"),
    ],
)
def test_bad_output_of_cyclictest_is_refused_with_its_line(text, complaint):
    with pytest.raises(ValueError, match=f"^the text, {complaint}"):
        read_latencies(text)


def test_cyclictest_has_only_so_many_threads(monkeypatch):
    monkeypatch.setattr(formats.cyclictest, "MAX_SERIES", 2)
    assert len(read_latencies(THREADS)) == 2
    three = THREADS + "".join(THREADS.splitlines(True)[2].replace("T: 0", f"T: {i}") for i in (2, 3, 4))
    with pytest.raises(ValueError, match=r"line 7: found 'T: 2 .*; expected at most 2 threads"):
        read_latencies(three)


def test_a_histogram_may_be_as_large_as_that(monkeypatch):
    monkeypatch.setattr(formats.series, "MAX_BUCKETS", 10)
    assert len(read_latencies(CYCLICTEST)) == 2
    monkeypatch.setattr(formats.series, "MAX_BUCKETS", 9)
    with pytest.raises(ValueError, match=r"line 7: found '000041 .*; expected at most 9 counts in a histogram"):
        read_latencies(CYCLICTEST)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("000006 000000", "line 5: found '000006 000000'; expected 2 counts, as above, not cut off, and not wrapped"),
        ("000006 000700 000800 000000", "line 5: .*; expected 2 counts, as above"),
        ("000005 000700 000800", "line 5: found '000005 .*; expected a latency above 5, as rows are in order"),
        ("000003 000700 000800", "line 5: found '000003 .*; expected a latency above 5, as rows are in order"),
        ("000006 000700 000800 x", "line 5: .*; expected a row of a histogram: a latency and a count for each column"),
    ],
)
def test_a_bad_row_of_a_histogram_is_refused(row, complaint):
    text = CYCLICTEST.replace("000006 000700\t000800\t", row)
    assert text != CYCLICTEST
    with pytest.raises(ValueError, match=f"^the text, {complaint}"):
        read_latencies(text)
