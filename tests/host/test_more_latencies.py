"""Latencies as oslat, hwlatdetect, sysjitter, rtla top and the JSON of rt-tests print them. All made up."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from kvmlab.host.formats import read_any, read_latencies, read_latency_histogram, sniff
from kvmlab.host.formats.rt_json import json_tool
from tests.host.twins import TWINS, WRAPPED
from tests.strategies import few

OSLAT = """\
oslat V 2.60
Total runtime: \t\t10 seconds
Thread priority: \tSCHED_FIFO:1
Pre-heat for 1 seconds...
Test starts...
Test completed.

        Core:\t 4 6
Counter Freq:\t 2495 2495 (MHz)
    001 (us):\t 900 800
    002 (us):\t 80 190
    003 (us):\t 20 7
    004 (us):\t 0 3 (including overflows)
     Minimum:\t 1 1 (us)
     Average:\t 1.020 1.213 (us)
     Maximum:\t 2 9 (us)
     Max-Min:\t 1 8 (us)
    Duration:\t 10.001 10.001 (sec)
"""
HWLAT = """\
hwlatdetect:  test duration 60 seconds
   detector: tracer
   parameters:
        Latency threshold: 10us
        Sample window:     1000000us
        Sample width:      500000us
     Non-sampling period:  500000us
        Output File:       None

Starting test
test finished
Max Latency: 31us
Samples recorded: 3
Samples exceeding threshold: 3
SMIs during run: 3
ts: 1700000001.000000001, inner:12, outer:0
ts: 1700000002.000000001, inner:0, outer:31
ts: 1700000003.000000001, inner:14, outer:11
"""
SYSJITTER = """\
core_i: 2 3
threshold(ns): 200 200
cpu_mhz: 2500 2500
runtime(ns): 9999999999 9999999999
runtime(s): 10.000 10.000
int_n: 40 0
int_n_per_sec: 4.000 0.000
int_min(ns): 210 0
int_median(ns): 700 0
int_mean(ns): 912 0
int_90(ns): 1400 0
int_99(ns): 5100 0
int_999(ns): 7000 0
int_9999(ns): 7000 0
int_99999(ns): 7000 0
int_max(ns): 7000 0
int_total(ns): 36480 0
int_total(%): 0.000 0.000
"""
TOP = """\
                                     Timer Latency
  0 00:00:{0}   |          IRQ Timer Latency (us)        |         Thread Timer Latency (us)
CPU COUNT      |      cur       min       avg       max |      cur       min       avg       max
  1 #{1}      |        1         0         1         9 |        5         3         6        21
  3 #{1}      |        2         1         2         7 |        -         -         -         -
---------------|----------------------------------------|---------------------------------------
ALL #{1}   e0 |                  0         1         9 |                  3         6        21
"""
OSNOISE_TOP = """\
                                          Operating System Noise
duration:   0 00:01:00 | time is in us
CPU Period       Runtime        Noise  % CPU Aval   Max Noise   Max Single          HW          NMI
  2 #60         60000000           49    99.99999          14            3           0            0
"""
CYCLIC: dict[str, Any] = {
    "file_version": 1,
    "cmdline:": "cyclictest --json=x -h 50",
    "rt_test_version:": "2.60",
    "return_code": 0,
    "sysinfo": {"sysname": "Linux", "realtime": 1},
    "num_threads": 2,
    "resolution_in_ns": 0,
    "thread": {
        "0": {"histogram": {"3": 90, "4": 9}, "cycles": 100, "min": 3, "max": 77, "avg": 3.84, "cpu": 0, "node": 0},
        "1": {"cycles": 50, "min": 2, "max": 6, "avg": 2.5, "cpu": 1, "node": 0},
    },
}
OSLAT_JSON: dict[str, Any] = {
    "file_version": 1,
    "cmdline:": "/usr/bin/oslat -D 10 --json=x",
    "num_threads": 1,
    "thread": {
        "0": {
            "cpu": 4,
            "freq": 2495,
            "min": 1,
            "avg": 1.02,
            "max": 2,
            "duration": 10.0,
            "histogram": {"1": 90, "3": 10},
        }
    },
}


def written(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


TEXTS = {
    "oslat": OSLAT,
    "hwlatdetect": HWLAT,
    "sysjitter": SYSJITTER,
    "rtla top": TOP.format("09", 9001),
    "cyclictest --json": written(CYCLIC),
    "oslat --json": written(OSLAT_JSON),
}


def row_of(table: pd.DataFrame, name: str) -> dict[str, float]:
    row: Any = table.loc[name]
    return dict(row)


def test_oslat() -> None:
    table = read_latencies(OSLAT)
    assert (table.attrs["tool"], table.attrs["unit"]) == ("oslat", "ns")
    assert row_of(table, "core 4") == {
        "count": 1000, "mean": 1020, "min": 1000, "p50": 0, "p99": 2000, "p99.9": 2000, "max": 2000,
    }  # fmt: skip
    # The last bucket holds what lies beyond it: its percentile is where nobody knows.
    assert math.isnan(row_of(table, "core 6")["p99.9"])
    assert table.attrs["over"] == {"core 4": 0, "core 6": 3}
    histogram = read_latency_histogram(OSLAT)
    assert histogram[histogram["series"] == "core 6"][["low_ns", "high_ns", "count"]].to_numpy().tolist() == [
        [0, 1000, 800],
        [1000, 2000, 190],
        [2000, 3000, 7],
    ]


def test_oslat_with_buckets_of_less_than_a_us_and_without_empty_ones() -> None:
    text = OSLAT.replace("001 (us)", "0.500 (us)").replace("002 (us)", "1.000 (us)").replace("003 (us)", "1.500 (us)")
    text = text.replace("    004 (us)", "    ...\n    4.000 (us)")
    histogram = read_latency_histogram(text)
    assert histogram["low_ns"].unique().tolist() == [0, 500, 1000]
    assert (histogram["high_ns"] - histogram["low_ns"]).eq(500).all()
    assert read_latencies(text)["max"].tolist() == [2000, 9000]


def test_hwlatdetect() -> None:
    table = read_latencies(HWLAT)
    assert row_of(table, "hardware") == {
        "count": 3, "mean": 19000, "min": 12000, "p50": 14000, "p99": 31000, "p99.9": 31000, "max": 31000,
    }  # fmt: skip
    elsewhere = HWLAT.partition("ts:")[0].replace("None", "report.txt")
    row = row_of(read_latencies(elsewhere), "hardware")
    assert (row["count"], row["max"], math.isnan(row["p50"])) == (3, 31000, True)
    none = elsewhere.replace("31us", "Below threshold").replace("Max Latency: Below", "Max Latency: Below")
    none = none.replace("recorded: 3", "recorded: 0")
    row = row_of(read_latencies(none), "hardware")
    assert (row["count"], math.isnan(row["max"])) == (0, True)


def test_hwlatdetect_of_the_kernel_module() -> None:
    text = HWLAT.partition("ts:")[0] + "1700000001.0286324723\t12\t31\n1700000002.1\t1\t1\n"
    text = text.replace("1700000002.1\t", "1700000002.100000\t").replace("recorded: 3", "recorded: 2")
    assert row_of(read_latencies(text), "hardware")["max"] == 31000


def test_sysjitter() -> None:
    table = read_latencies(SYSJITTER)
    assert row_of(table, "core 2") == {
        "count": 40, "mean": 912, "min": 210, "p50": 700, "p99": 5100, "p99.9": 7000, "max": 7000,
    }  # fmt: skip
    row = row_of(table, "core 3")
    assert row.pop("count") == 0
    assert all(math.isnan(value) for value in row.values())
    # As `column -t` sets it.
    aligned = "\n".join("  ".join(f"{word:<14}" for word in line.split()) for line in SYSJITTER.splitlines())
    assert read_latencies(aligned).equals(table)


def test_the_last_screen_of_rtla_top_counts() -> None:
    table = read_latencies("\x1bc" + TOP.format("08", 8000) + "\x1bc" + TOP.format("09", 9001))
    assert table.index.tolist() == ["IRQ-001", "Thr-001", "IRQ-003", "Thr-003"]
    assert row_of(table, "Thr-001")["max"] == 21000
    assert table["count"].tolist() == [9001, 9001, 9001, 0]
    assert table["p50"].isna().all()
    ns = TOP.format("09", 9001).replace("(us)", "(ns)")
    assert read_latencies(ns)["max"].tolist()[:2] == [9, 21]


def test_rtla_top_in_colours() -> None:
    lines = TOP.format("09", 9001).splitlines()
    lines = [f"\x1b[2;30;47m{line}\x1b[0;0;0m" if line.startswith("CPU COUNT") else line for line in lines]
    assert read_latencies("\n".join(lines)).equals(read_latencies(TOP.format("09", 9001)))


def test_osnoise_top_has_no_latencies() -> None:
    with pytest.raises(ValueError, match=r"line 1: .*expected rtla osnoise hist: osnoise top is a screen of sums"):
        read_any(OSNOISE_TOP)


def test_rtla_osnoise_hist() -> None:
    head = "# RTLA osnoise histogram\n# Time unit is microseconds (us)\n# Duration:   0 00:00:07\n"
    none = head + "Index\nover: 0\ncount: 0\nmin: 0\navg: 0\nmax: 0\n"
    assert read_latencies(none).empty
    assert read_latency_histogram(none).empty
    some = (
        head
        + "Index   CPU-002\n1      5\n2      3\nover:     0\ncount:        8\nmin:   1\navg:      1.38\nmax:    2\n"
    )
    assert row_of(read_latencies(some), "CPU-002")["mean"] == 1380
    beyond = head + "Index   CPU-002\nover: 0\ncount: 0\nmin: 0\navg: 0\nmax: 0\n"
    assert read_latencies(beyond).loc["CPU-002", "count"] == 0


def test_cyclictest_json() -> None:
    table = read_latencies(written(CYCLIC))
    assert table.attrs["tool"] == "cyclictest"
    row = row_of(table, "thread 0")
    assert math.isnan(row.pop("p99.9"))
    assert row == {"count": 100, "mean": 3840, "min": 3000, "p50": 3000, "p99": 4000, "max": 77000}
    assert table.attrs["over"] == {"thread 0": 1, "thread 1": 0}
    assert row_of(table, "thread 1")["max"] == 6000
    assert read_latencies(written(CYCLIC | {"resolution_in_ns": 1}))["max"].tolist() == [77, 6]
    assert read_latencies("prose:\n" + json.dumps(CYCLIC)).equals(table)


def test_oslat_json() -> None:
    table = read_latencies(written(OSLAT_JSON))
    assert row_of(table, "core 4")["mean"] == 1020
    assert read_latency_histogram(written(OSLAT_JSON))["low_ns"].tolist() == [0, 2000]
    fine = written(OSLAT_JSON).replace('"1": 90', '"0.500": 90').replace('"3": 10', '"1.000": 10')
    fine = fine.replace('"min": 1', '"min": 400').replace('"max": 2', '"max": 900')
    assert row_of(read_latencies(fine), "core 4")["max"] == 900
    assert read_latency_histogram(fine)["low_ns"].tolist() == [0, 500]
    beyond = written(OSLAT_JSON).replace('"max": 2', '"max": 44')
    assert read_latencies(beyond).attrs["over"] == {"core 4": 10}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (OSLAT.replace(" 80 190", " 80"), r"line 11: .*expected 2 numbers, one per core.*wrapped"),
        (OSLAT.partition("     Minimum")[0], r"expected Core:, the rows up to"),
        (OSLAT.replace("003 (us)", "002 (us)"), r"line 12: .*each latency once"),
        (OSLAT.replace(" (us):\t 20 7", " (us):\t 20\n7"), r"line 12: .*one per core.*wrapped"),
        (OSLAT + OSLAT, "one summary; this is the second"),
        (HWLAT.replace("recorded: 3", "recorded: 4"), r"found '3 samples'; expected 4"),
        (HWLAT.replace("31us", "30us"), r"expected 30 us, as the line Max Latency"),
        (HWLAT.replace(", outer:31", ","), r"line 17: .*expected ts: .*wrapped"),
        (HWLAT.partition("Max")[0], "Samples recorded"),
        (SYSJITTER.replace("int_min(ns): 210 0", "int_min(ns): 210"), r"line 8: .*one per core.*wrapped"),
        (SYSJITTER.replace("int_max(ns): 7000 0", ""), r"expected a line int_max"),
        (SYSJITTER.replace("core_i: 2 3", "core_i: 2 2"), "each core once"),
        (SYSJITTER + SYSJITTER, "there twice"),
        (TOP.format("09", 9001).replace("        21\n", "\n", 1), r"line 4: .*expected a row of timerlat top.*wrapped"),
        (TOP.format("09", 9001).replace("  3 #", "  1 #"), "each CPU once"),
        ("CPU COUNT      |  cur min avg max | cur min avg max\n", "expected the line with IRQ Timer Latency"),
        (written(CYCLIC)[:-40], r"expected whole JSON"),
        (written(CYCLIC).replace('"cycles": 100', '"cycles": 1'), "expected at most its 1 cycles"),
        (written(CYCLIC).replace('"cycles": 100', '"cycles": "x"'), r"cycles: x'; expected a number in thread 0"),
        (written(CYCLIC).replace('"3": 90', '"x": 90'), "a latency and its count in thread 0"),
        (written(CYCLIC).replace('"4": 9', '"3": 9'), "a key stands there twice"),
        (written(CYCLIC | {"thread": {}}), "with the threads of cyclictest"),
        ('{"resolution_in_ns": ' + "[" * 5000, "at most 16 levels"),
    ],
)
def test_bad_output_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_latencies(text)


@pytest.mark.parametrize("name", TEXTS)
def test_twins_are_the_same_table_or_refused(name: str) -> None:
    assert sniff(TEXTS[name]) == name.split(" ")[0]
    table = read_latencies(TEXTS[name])
    for twin in TWINS.values():
        pd.testing.assert_frame_equal(read_any(twin(TEXTS[name]))[1], table)
    for twin in WRAPPED.values():
        with contextlib.suppress(ValueError):
            pd.testing.assert_frame_equal(read_latencies(twin(TEXTS[name])), table)


@pytest.mark.parametrize("read", [read_latencies, read_latency_histogram])
@few(100)
@given(st.lists(st.sampled_from("".join([*TEXTS.values(), OSNOISE_TOP]).splitlines())).map("\n".join))
def test_any_mixture_is_a_table_or_a_value_error(read: Any, text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text + "\n")


@pytest.mark.parametrize(
    ("line", "tool"),
    [
        ('  "resolution_in_ns": 0,', "cyclictest"),
        ('  "freq":2500,', "oslat"),
        ('  "cmdline:": "./cyclictest -m -p95",', "cyclictest"),
        ('  "cmdline": "oslat --cpu-list 1",', "oslat"),
        ('  "cmdline": "hwlatdetect",', None),
        ('  "thread": {', None),
    ],
)
def test_a_line_of_json_says_whose_it_is(line, tool):
    assert json_tool(line) == tool
