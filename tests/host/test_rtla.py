"""rtla's histograms and screens, number by number. Made up after the tool's print formats."""

from __future__ import annotations

import pytest

from kvmlab.host.formats import read_latencies, read_latency_histogram
from kvmlab.host.formats.rtla import is_rtla
from tests.host.latency_numbers import NAN, assert_numbers

HEAD = "$ rtla timerlat hist\n\n# RTLA timerlat histogram\n# Time unit is microseconds (us)\n# Duration:   0 00:00:09\n"
HIST = (
    HEAD
    + """\
Index   IRQ-001   Thr-001   Usr-001   IRQ-002
# a comment

0             7         0         0         0
3             2         8         0         0
8             0         1         9         0
over:         1         0         2         0
count:       10         9        11         0
min:          0         3         8         -
avg:       1.25         4      8.50         -
max:         12         8        44         -
ALL:        IRQ       Thr       Usr
count:       10         9        11
"""
)
TOP = """\
                                     Timer Latency
  0 00:00:09   | IRQ Timer Latency (us)        |     Thread Timer Latency (us)     |    Ret user Timer Latency (us)
CPU COUNT      |  cur   min   avg   max |  cur   min   avg   max |  cur   min   avg   max
  1 #9001      |    1     0     2     9 |    5     3     6     21 |    7     4     8     33
 12 #9000      |    2     1     3     7 |    -     -     -     - |    1     1     1     1
"""


@pytest.mark.parametrize(
    ("text", "rows", "over"),
    [
        (
            HIST,
            {
                "IRQ-001": [10, 1250, 0, 0, NAN, NAN, 12000],
                "Thr-001": [9, 4000, 3000, 3000, 8000, 8000, 8000],
                "Usr-001": [11, 8500, 8000, 8000, NAN, NAN, 44000],
                "IRQ-002": [0, NAN, NAN, NAN, NAN, NAN, NAN],
            },
            [1, 0, 2, 0],
        ),
        (
            HEAD.replace("micro", "nano").replace("(us)", "(ns)") + "Index CPU-007\n5 2\n6 2\ncount: 4\nmax: 6\n",
            {"CPU-007": [4, NAN, NAN, 5, 6, 6, 6]},
            [0],
        ),
        (
            "# RTLA osnoise histogram\nIndex CPU-007\n5 2\ncount: 2\nmax: 5\n",
            {"CPU-007": [2, NAN, NAN, 5000, 5000, 5000, 5000]},
            [0],
        ),
        (
            TOP,
            {
                "IRQ-001": [9001, 2000, 0, NAN, NAN, NAN, 9000],
                "Thr-001": [9001, 6000, 3000, NAN, NAN, NAN, 21000],
                "Usr-001": [9001, 8000, 4000, NAN, NAN, NAN, 33000],
                "IRQ-012": [9000, 3000, 1000, NAN, NAN, NAN, 7000],
                "Thr-012": [0, NAN, NAN, NAN, NAN, NAN, NAN],
                "Usr-012": [9000, 1000, 1000, NAN, NAN, NAN, 1000],
            },
            [0] * 6,
        ),
    ],
)
def test_the_numbers_of_every_column(text: str, rows: dict[str, list[float]], over: list[int]) -> None:
    assert_numbers(text, rows, over)


def test_rows_of_a_histogram_are_as_wide_as_the_buckets() -> None:
    text = "# RTLA timerlat histogram\nIndex IRQ-000 Thr-000\n0 3 0\n20 0 1\n40 1 0\ncount: 4 1\nmax: 41 22\n"
    for bucket in (10, 20):
        assert list(read_latency_histogram(text, bucket=bucket).itertuples(index=False, name=None)) == [
            ("IRQ-000", 0, bucket * 1000, 3),
            ("IRQ-000", 40000, 40000 + bucket * 1000, 1),
            ("Thr-000", 20000, 20000 + bucket * 1000, 1),
        ]
    with pytest.raises(ValueError, match="line 2: found 'a row of 20'; expected multiples of bucket=40"):
        read_latencies(text, bucket=40)


def test_without_a_sample_there_is_no_series() -> None:
    assert read_latencies(HEAD + "Index\nover: 0\ncount: 0\nmin: 0\navg: 0\nmax: 0\n").empty


@pytest.mark.parametrize(
    ("line", "is_its"),
    [
        ("# RTLA timerlat histogram", True),
        ("# RTLA osnoise histogram", True),
        ("Timer Latency", True),
        ("0 00:00:09   |          IRQ Timer Latency (us)        |         Thread Timer Latency (us)", True),
        ("CPU COUNT      |      cur       min       avg       max |      cur       min       avg       max", True),
        ("Operating System Noise", True),
        ("CPU Period       Runtime        Noise", True),
        ("Index   IRQ-000   Thr-000", True),
        ("Index", False),
        ("Index   column", False),
        ("0   7   0", False),
        ("", False),
    ],
)
def test_a_line_of_rtla_is_told_from_others(line: str, is_its: bool) -> None:
    assert is_rtla(line) is is_its


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEAD + "count: 5\n", "line 6: found 'count: 5'; expected the header above it, Index and the columns' names"),
        (
            HEAD + "Index IRQ-001 Thr-001\nover: 0\n",
            r"line 7: found 'over: 0'; expected a histogram with rows: all samples",
        ),
        (
            HEAD + "Index IRQ-001 Thr-001\nover: 5\n",
            "line 7: found 'over: 5'; expected 2 numbers, as in the header of line 6",
        ),
        (
            HEAD + "Index IRQ-001 Thr-001\n1 0 0\nover: 0\n",
            "line 8: found 'over: 0'; expected 2 numbers, as in the header of",
        ),
        (HEAD + "Index\nover: 5\n", "line 7: found 'over: 5'; expected 0 numbers, as in the header of line 6"),
        (HIST.replace("max:    ", "most:  "), r"line 16: found 'most: +12 .*; expected a row of a histogram"),
        (HIST.partition("max:")[0], r"line 15: found 'the end'; expected the lines over:, count:, min:, avg: and max:"),
        (HEAD + "Index IRQ-001\n1 0\nmax: 5\n", r"line 8: found 'the end'; expected the lines over:, count:"),
        (
            HIST.replace("# a comment", "Index   IRQ-003"),
            "line 7: found '   IRQ-003'; expected one header, with each column",
        ),
        (HIST.replace("IRQ-002", "IRQ-001"), "line 6: .*; expected one header, with each column once"),
        (
            HIST.replace("over:         1", "over:         0"),
            "line 16: found '9 in the rows of IRQ-001'; expected 10, as the",
        ),
        (HIST.replace("3             2", "3             2.5"), "line 10: .*; expected a row of a histogram"),
        (TOP.replace("  1 #9001", " 12 #9001"), "line 5: found '12 #9000 .*; expected each CPU once on a screen"),
        (
            TOP.partition("  1 #")[0],
            r"line 3: found 'the end'; expected the line with IRQ Timer Latency \(us\) and rows below",
        ),
        (
            TOP.partition("\n")[2].partition("\n")[2],
            r"line 3: found 'the end'; expected the line with IRQ Timer Latency",
        ),
        (
            TOP.replace(" 33", " 3x"),
            "line 4: found '1 #9001 .*; expected a row of timerlat top: CPU, #COUNT, cur",
        ),
    ],
)
def test_bad_output_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^the text, {complaint}"):
        read_latencies(text)
