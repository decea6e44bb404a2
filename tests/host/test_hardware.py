"""hwlatdetect and sysjitter, number by number. Made up after the tools' print formats."""

from __future__ import annotations

import pytest

from kvmlab.host.formats import hardware, read_latencies, read_latency_histogram
from tests.host.latency_numbers import NAN, assert_numbers

HWLAT = """\
# hwlatdetect --duration 60
hwlatdetect:  test duration 60 seconds
   detector: tracer
Starting test
Max Latency: 31us
Samples recorded: 4
Samples exceeding threshold: 4
ts: 1700000001.000000001, inner:12, outer:0
ts: 1700000002.000000001, inner:0, outer:31
ts: 1700000003.000000001, inner:14, outer:11
ts: 1700000004.000000001, inner:12, outer:12
"""
ELSEWHERE = HWLAT.partition("ts:")[0]
MODULE = ELSEWHERE + "1700000001.0286324723\t12\t31\n1700000002.028632\t1\t14\n1700000002.028632\t9 9\n17000.1\t90 90\n"
NOTHING = ELSEWHERE.replace("31us", "Below threshold").replace("recorded: 4", "recorded: 0")


@pytest.mark.parametrize(
    ("text", "row", "histogram"),
    [
        (HWLAT, [4, 17250, 12000, 12000, 31000, 31000, 31000], [(12000, 2), (14000, 1), (31000, 1)]),
        (HWLAT.replace("Max Latency: 31us\n", ""), [4, 17250, 12000, 12000, 31000, 31000, 31000], None),
        (HWLAT.replace("Samples recorded: 4\n", ""), [4, 17250, 12000, 12000, 31000, 31000, 31000], None),
        (
            MODULE.replace("ed: 4", "ed: 3"),
            [3, 18000, 9000, 14000, 31000, 31000, 31000],
            [(9000, 1), (14000, 1), (31000, 1)],
        ),
        (ELSEWHERE, [4, NAN, NAN, NAN, NAN, NAN, 31000], []),
        (NOTHING, [0, NAN, NAN, NAN, NAN, NAN, NAN], []),
    ],
)
def test_the_numbers_of_hwlatdetect(text: str, row: list[float], histogram: list[tuple[int, int]] | None) -> None:
    assert_numbers(text, {"hardware": row}, [0])
    if histogram is not None:
        rows = read_latency_histogram(text)
        assert list(zip(rows["low_ns"], rows["count"], strict=True)) == histogram
        assert (rows["high_ns"] - rows["low_ns"]).eq(1000).all()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            HWLAT.replace("recorded: 4", "recorded: 5"),
            "line 11: found '4 samples'; expected 5, as the line Samples recorded:",
        ),
        (
            ELSEWHERE + "ts: 1.1, inner:31, outer:1\n",
            "line 8: found '1 samples'; expected 4, as the line Samples recorded:",
        ),
        (
            HWLAT.replace("31us", "12us"),
            "line 11: found 'samples of at most 31 us'; expected 12 us, as the line Max Latency",
        ),
        (
            HWLAT.replace(", outer:11", ""),
            r"line 10: found 'ts: 1700000003.*; expected ts: <seconds>, inner:<us>, outer:<us>",
        ),
        (
            HWLAT.partition("Max")[0] + "and prose\n",
            "line 5: found 'the end'; expected the line Samples recorded: of",
        ),
    ],
)
def test_bad_output_of_hwlatdetect_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^the text, {complaint}"):
        read_latencies(text)


def test_hwlatdetect_has_only_so_many_different_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "MAX_BUCKETS", 3)
    assert len(read_latency_histogram(HWLAT)) == 3
    monkeypatch.setattr(hardware, "MAX_BUCKETS", 2)
    with pytest.raises(ValueError, match=r"line 10: found 'ts: .*; expected at most 2 different latencies"):
        read_latencies(HWLAT)


SYSJITTER = """\
$ sysjitter --runtime 10 200
12 13
core_i: 2 13
threshold(ns): 200 200
int_n: 40 0
int_min(ns): 210 0
int_median(ns): 700 0
int_mean(ns): 912.5 0
int_99(ns): 5100 0
int_999(ns): 7001 0
int_max(ns): 7002 0
int_total(%): 0.000 0.000

done: yes
"""
WITHOUT = "".join(line for line in SYSJITTER.splitlines(True) if "99" not in line and "median" not in line)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (SYSJITTER, [[40, 912.5, 210, 700, 5100, 7001, 7002], [0, NAN, NAN, NAN, NAN, NAN, NAN]]),
        (WITHOUT, [[40, 912.5, 210, NAN, NAN, NAN, 7002], [0, NAN, NAN, NAN, NAN, NAN, NAN]]),
    ],
)
def test_the_numbers_of_sysjitter(text: str, rows: list[list[float]]) -> None:
    table = read_latencies(text)
    assert table.attrs == {"tool": "sysjitter", "unit": "ns", "over": {"core 2": 0, "core 13": 0}, "notes": []}
    for row, expected in zip(table.to_numpy().tolist(), rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-12, nan_ok=True)


AS_MANY = "expected as many numbers as in line 3, one per core, not cut off, and not wrapped"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SYSJITTER.replace("210 0", "210"), rf"line 6: found 'int_min\(ns\): 210'; {AS_MANY}"),
        (SYSJITTER.replace("210 0", "210\n0"), rf"line 6: found 'int_min\(ns\): 210'; {AS_MANY}"),
        (SYSJITTER + "12 13\n", "line 15: found '12 13'; expected a line of sysjitter, not cut off, and not wrapped"),
        (SYSJITTER + "int_n: 40 0\n", "line 15: found 'int_n: 40 0'; expected one summary; this line is there twice"),
        (SYSJITTER.replace("2 13\n", "2 2\n"), "line 3: found '2 2'; expected each core once"),
        (SYSJITTER.replace("int_n:", "int_m:"), "line 14: found 'the end'; expected a line int_n: of sysjitter"),
        (SYSJITTER.replace("int_m", "int_n"), r"line 14: found 'the end'; expected a line int_min\(ns\): of sysjitter"),
    ],
)
def test_bad_output_of_sysjitter_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^the text, {complaint}"):
        read_latencies(text)


@pytest.mark.parametrize(
    ("line", "of_hwlatdetect", "of_sysjitter"),
    [
        ("hwlatdetect:  test duration 60 seconds", True, False),
        ("ts: 1700000001.000000001, inner:12, outer:0", True, False),
        ("ts: 1700000001.000000001", False, False),
        ("Max Latency: 31us", False, False),
        ("core_i: 2 3", False, True),
        ("int_99(ns): 5100 0", False, True),
        ("int_n: 40 0", False, False),
        ("core_i:", False, False),
    ],
)
def test_a_line_is_told_from_others(line: str, of_hwlatdetect: bool, of_sysjitter: bool) -> None:
    assert hardware.is_hwlatdetect(line) is of_hwlatdetect
    assert hardware.is_sysjitter(line) is of_sysjitter
