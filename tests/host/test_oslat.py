"""oslat's summary, core by core. Made up after the tool's print format."""

from __future__ import annotations

import pytest

from kvmlab.host.formats import oslat, read_latencies, read_latency_histogram
from tests.host.latency_numbers import NAN, assert_numbers

HEAD = "oslat V 2.60\nTest completed.\n\n"
WHOLE = (
    HEAD
    + """\
        Core:\t 4 6 7 8 9
    CPU Freq:\t 2495 2495 2495 2495 2495 (MHz)
    001 (us):\t 900 800 500 500 1
    002 (us):\t 80 190 490 498 0
    003 (us):\t 20 7 5 0 0
    004 (us):\t 0 3 5 2 0 (including overflows)
     Minimum:\t 1 1 1 0 0 (us)
     Average:\t 1.020 1.213 1.500 1.250 0.500 (us)
     Maximum:\t 2 9 4 3 4 (us)
     Max-Min:\t 1 8 3 3 4 (us)
    Duration:\t 10.001 10.001 10.001 10.001 10.001 (sec)
"""
)
# Rows of 0.335 us, and empty ones left out.
FINE = (
    HEAD
    + """\
Core: 0 1
0.335 (us): 90 5
...
1.005 (us): 8 3

1.340 (us): 2 2
2.010 (us): 0 1 (including overflows)
Minimum: 0.410 1.001 (us)
Average: 0.612 0.700 (us)
Maximum: 1.003 3.001 (us)
"""
)


@pytest.mark.parametrize(
    ("text", "rows", "over", "histogram"),
    [
        (
            WHOLE,
            {
                "core 4": [1000, 1020, 1000, 0, 2000, 2000, 2000],
                "core 6": [1000, 1213, 1000, 0, 1000, NAN, 9000],
                "core 7": [1000, 1500, 1000, 0, 1000, NAN, 4000],
                "core 8": [1000, 1250, 0, 0, 1000, 3000, 3000],
                "core 9": [1, 500, 0, 0, 0, 0, 4000],
            },
            [0, 3, 5, 0, 0],
            [
                *(("core 4", low, low + 1000, count) for low, count in [(0, 900), (1000, 80), (2000, 20)]),
                *(("core 6", low, low + 1000, count) for low, count in [(0, 800), (1000, 190), (2000, 7)]),
                *(("core 7", low, low + 1000, count) for low, count in [(0, 500), (1000, 490), (2000, 5)]),
                *(("core 8", low, low + 1000, count) for low, count in [(0, 500), (1000, 498), (3000, 2)]),
                ("core 9", 0, 1000, 1),
            ],
        ),
        (
            FINE,
            {
                "core 0": [100, 612, 410, 0, 1005, 1005, 1003],
                "core 1": [11, 700, 1001, 670, NAN, NAN, 3001],
            },
            [0, 1],
            [
                ("core 0", 0, 335, 90),
                ("core 0", 670, 1005, 8),
                ("core 0", 1005, 1340, 2),
                ("core 1", 0, 335, 5),
                ("core 1", 670, 1005, 3),
                ("core 1", 1005, 1340, 2),
            ],
        ),
        (
            "Core: 3\n001 (us): 5 (including overflows)\nMinimum: 0 (us)\nAverage: 0.2 (us)\nMaximum: 0 (us)\n",
            {"core 3": [5, 200, 0, 0, 0, 0, 0]},
            [0],
            [("core 3", 0, 1000, 5)],
        ),
    ],
)
def test_the_numbers_of_every_core(
    text: str, rows: dict[str, list[float]], over: list[int], histogram: list[tuple[str, float, float, int]]
) -> None:
    assert_numbers(text, rows, over)
    assert list(read_latency_histogram(text).itertuples(index=False, name=None)) == histogram


@pytest.mark.parametrize(
    ("line", "is_its"),
    [
        ("Core:\t 4 6", True),
        ("001 (us):\t 900 800", True),
        ("0.500 (us): 3 (including overflows)", True),
        ("Core:", False),
        ("Minimum:\t 1 1 (us)", False),
        ("001: 900 800", False),
    ],
)
def test_a_line_of_oslat_is_told_from_others(line: str, is_its: bool) -> None:
    assert oslat.is_oslat(line) is is_its


ROW = r"a row of oslat: latency \(us\): a count for each core, not cut off"
END = r"Core:, the rows up to \(including overflows\), Minimum, Average and Maximum, each core once"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (WHOLE.replace("CPU Freq", "Some Freq"), f"line 5: found 'Some Freq:.*; expected {ROW}"),
        (WHOLE.replace("002 (us):", "002 (ms):"), f"line 7: found '002 .*; expected {ROW}"),
        (WHOLE.replace(" (including overflows)", ""), rf"line 13: found 'Max-Min:.*; expected {ROW}"),
        (WHOLE.replace("003 (us)", "002 (us)"), "line 8: .*; expected rows below the line Core:, each latency once"),
        (WHOLE + "005 (us): 1 1 1 1 1\n", "line 15: .*; expected rows below the line Core:, each latency once"),
        ("001 (us): 1 1\n" + WHOLE, "line 1: found '001 .us.: 1 1'; expected rows below the line Core:"),
        (WHOLE + "Core: 4\n", "line 15: found 'Core: 4'; expected one summary; this is the second"),
        (
            WHOLE.replace("Maximum:\t 2 9 4 3 4", "Maximum:\t 2 9 4 3"),
            "line 12: .*; expected 5 numbers, one per core, not",
        ),
        (WHOLE.replace("Core:\t 4 6", "Core:\t 4 4"), f"line 14: found 'the end'; expected {END}"),
        (WHOLE.replace("Average", "Mean"), f"line 14: found 'the end'; expected {END}"),
        (FINE.partition("2.010")[0], f"line 9: found 'the end'; expected {END}"),
    ],
)
def test_bad_output_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^the text, {complaint}"):
        read_latencies(text)


def test_what_stands_above_and_below_the_summary_is_passed_over() -> None:
    assert read_latencies(WHOLE + "and prose\n").equals(read_latencies(WHOLE))
    assert read_latencies("prose (us): 5\n" + WHOLE).equals(read_latencies(WHOLE))


def test_a_histogram_has_a_greatest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oslat, "MAX_BUCKETS", 20)
    assert len(read_latencies(WHOLE)) == 5
    monkeypatch.setattr(oslat, "MAX_BUCKETS", 19)
    with pytest.raises(ValueError, match=r"line 9: found '004 .*; expected at most 19 counts in a histogram"):
        read_latencies(WHOLE)
