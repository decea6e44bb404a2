"""The JSON of cyclictest and oslat, number by number. Made up after rt-tests' sources."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from kvmlab.host.formats import read_latencies, read_latency_histogram, rt_json
from tests.host.latency_numbers import NAN, assert_numbers


def cyclictest(*threads: dict[str, Any], **other: Any) -> str:
    """A file of cyclictest, a line a key."""
    content = {"cmdline:": "cyclictest --json=x", "resolution_in_ns": 0, **other}
    return json.dumps(content | {"thread": {str(i): each for i, each in enumerate(threads)}}, indent=1)


def oslat(*threads: dict[str, Any]) -> str:
    """A file of oslat, a line a key."""
    content = {"cmdline:": "oslat -D 10", "thread": {str(i): each for i, each in enumerate(threads)}}
    return json.dumps(content, indent=1)


def thread(histogram: dict[str, Any] | None, **numbers: Any) -> dict[str, Any]:
    """A thread, with or without a histogram."""
    return {"cpu": 4, "min": 1, "avg": 2.5, "max": 9, **numbers} | (
        {} if histogram is None else {"histogram": histogram}
    )


@pytest.mark.parametrize(
    ("text", "rows", "over", "histogram"),
    [
        (
            cyclictest(
                thread({"3": 90, "4": 9, "7": 0}, cycles=100, min=3, max=77, avg=3.84),
                thread({"0": 1, "5": 2}, cycles=3, min=0, max=5, avg=3.5),
                thread(None, cycles=50, min=2, max=6, avg=2.5),
                thread({"5": 0}, cycles=0, min=1_000_000, max=0, avg=0.0),
                thread({}, cycles=4),
            ),
            {
                "thread 0": [100, 3840, 3000, 3000, 4000, NAN, 77000],
                "thread 1": [3, 3500, 0, 5000, 5000, 5000, 5000],
                "thread 2": [50, 2500, 2000, NAN, NAN, NAN, 6000],
                "thread 3": [0, NAN, NAN, NAN, NAN, NAN, NAN],
                "thread 4": [4, 2500, 1000, NAN, NAN, NAN, 9000],
            },
            [1, 0, 0, 0, 0],
            [
                ("thread 0", 3000, 4000, 90),
                ("thread 0", 4000, 5000, 9),
                ("thread 1", 0, 1000, 1),
                ("thread 1", 5000, 6000, 2),
            ],
        ),
        (
            cyclictest(thread({"3000": 90}, cycles=90, min=3000, max=3001, avg=3000.5), resolution_in_ns=1),
            {"thread 0": [90, 3000.5, 3000, 3000, 3000, 3000, 3001]},
            [0],
            [("thread 0", 3000, 3001, 90)],
        ),
        (
            oslat(
                thread({"1": 90, "3": 10}, cpu=4, avg=1.02, max=2),
                thread({"1": 90, "2": 5, "3": 5}, cpu=6, avg=1.25, max=3),
                thread({"1": 70, "2": 20, "3": 10}, cpu=7, max=40),
                thread(None, cpu=8),
            ),
            {
                "core 4": [100, 1020, 1000, 0, 2000, 2000, 2000],
                "core 6": [100, 1250, 1000, 0, NAN, NAN, 3000],
                "core 7": [100, 2500, 1000, 0, NAN, NAN, 40000],
                "core 8": [0, NAN, NAN, NAN, NAN, NAN, NAN],
            },
            [0, 5, 10, 0],
            [
                ("core 4", 0, 1000, 90),
                ("core 4", 2000, 3000, 10),
                ("core 6", 0, 1000, 90),
                ("core 6", 1000, 2000, 5),
                ("core 7", 0, 1000, 70),
                ("core 7", 1000, 2000, 20),
            ],
        ),
        (
            # Buckets of 250 ns, of which each core lacks some: the narrowest step of both says how wide they are.
            oslat(
                thread({"0.500": 90, "1.000": 6, "12.000": 4}, cpu=0, min=310, avg=0.625, max=960),
                thread({"0.250": 8, "1.250": 2}, cpu=1, min=200, avg=0.5, max=1250),
                thread({"0.500": 1, "0.750": 1}, cpu=2, min=400, avg=0.5, max=600),
            ),
            {
                "core 0": [100, 625, 310, 250, 11750, 11750, 960],
                "core 1": [10, 500, 200, 0, NAN, NAN, 1250],
                "core 2": [2, 500, 400, 250, 500, 500, 600],
            },
            [0, 2, 0],
            [
                ("core 0", 250, 500, 90),
                ("core 0", 750, 1000, 6),
                ("core 0", 11750, 12000, 4),
                ("core 1", 0, 250, 8),
                ("core 2", 250, 500, 1),
                ("core 2", 500, 750, 1),
            ],
        ),
        (
            oslat(thread({"0.500": 3, "2.000": 1}, min=310, avg=0.625, max=960)),
            {"core 4": [4, 625, 310, 0, 500, 500, 960]},
            [0],
            [("core 4", 0, 1500, 3), ("core 4", 500, 2000, 1)],
        ),
        (
            # Minimum and maximum are whole units in every other output of these tools.
            cyclictest(thread(None, cycles=2, min=2.6, max=7.7)),
            {"thread 0": [2, 2500, 3000, NAN, NAN, NAN, 8000]},
            [0],
            [],
        ),
    ],
)
def test_the_numbers_of_every_thread(
    text: str, rows: dict[str, list[float]], over: list[int], histogram: list[tuple[str, float, float, int]]
) -> None:
    assert_numbers(text, rows, over)
    assert list(read_latency_histogram(text).itertuples(index=False, name=None)) == histogram


@pytest.mark.parametrize("inner", ["[" * 15 + "]" * 15, "[], {}, " * 40 + '"[[[[[[[[[[[[[[[[[ \\"{{{{{{{{{{{{{{{{{{"'])
def test_json_may_be_16_levels_deep(inner: str) -> None:
    text = cyclictest(thread(None, cycles=2)).replace("{", '{"more": [' + inner + "],", 1)
    if inner.startswith("[["):
        with pytest.raises(ValueError, match=r"line 1: found .*; expected JSON of at most 16 levels"):
            read_latencies(text)
        text = text.replace("[" + inner + "]", inner)
    assert len(read_latencies(text)) == 1


@pytest.mark.parametrize(
    ("value", "fits"),
    [(0, True), (0.0, True), (10**15 - 1, True), (1e15, False), (-1, False), (True, False), (NAN, False), ("1", False)],
)
def test_a_number_of_a_thread_is_one(value: object, fits: bool) -> None:
    text = cyclictest(thread(None, cycles=2, max=value))
    if fits:
        assert read_latencies(text)["max"].tolist() == [float(value) * 1000]
    else:
        with pytest.raises(ValueError, match=rf"line 1: found 'max: {value}'; expected a number in thread 0"):
            read_latencies(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"resolution_in_ns": 0,\n', r"^the text \(no file has this name\), line 1: found ''; expected whole JSON \("),
        (
            "prose\n\n" + cyclictest(thread(None)),
            "^the text, line 3: found 'cycles: None'; expected a number in thread 0",
        ),
        (
            cyclictest(thread({"3": -1}, cycles=9)),
            "line 1: found '3: -1'; expected a latency and its count in thread 0",
        ),
        (cyclictest(thread({"3": 1.5}, cycles=9)), "line 1: found '3: 1.5'; expected a latency and its count"),
        (cyclictest(thread({"3": True}, cycles=9)), "line 1: found '3: True'; expected a latency and its count"),
        (cyclictest(thread({"3.500": 1}, cycles=9)), "line 1: found '3.500: 1'; expected a latency and its count"),
        (
            cyclictest(thread({"3": 5, "4": 5}, cycles=9)),
            "found '10 in the histogram of thread 0'; expected at most its 9",
        ),
        (oslat(thread({"3.50": 1})), "line 1: found '3.50: 1'; expected a latency and its count in thread 0"),
        (oslat(thread({"1": 1}, cpu="4")), "line 1: found 'cpu: 4'; expected a number in thread 0"),
        (cyclictest().replace('"thread": {}', '"thread": {"0": 7}'), "line 1: found 'thread 0'; expected its numbers"),
        (cyclictest().replace('"thread": {}', '"thread": [1]'), r"found 'the JSON'; expected \"thread\": \{...\} with"),
        (cyclictest(thread(None, cycles=2))[:-9], r"line 1: found '\{'; expected whole JSON \("),
    ],
)
def test_bad_json_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_latencies(text)


def test_what_stands_behind_the_json_is_passed_over() -> None:
    text = cyclictest(thread(None, cycles=2))
    assert read_latencies(f"{text}\nand prose\n").equals(read_latencies(text))


def test_json_has_a_greatest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    text = cyclictest(thread({"3": 1, "4": 1}, cycles=2), thread({"3": 1}, cycles=2))
    for name, most, complaint in [
        ("MAX_CHARACTERS", len(text.replace("\n", "")), "at most 0 million characters of JSON"),
        ("MAX_SERIES", 2, '"thread": {...} with the threads of cyclictest'),
        ("MAX_BUCKETS", 3, "at most 2 counts in its histograms"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(rt_json, name, most)
            assert len(read_latencies(text)) == 2
            patch.setattr(rt_json, name, most - 1)
            with pytest.raises(ValueError, match=f"expected {re.escape(complaint)}"):
                read_latencies(text)


def test_the_greatest_size_is_told_in_millions_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rt_json, "MAX_CHARACTERS", 2**20)
    with pytest.raises(ValueError, match=r"line 133: .*; expected at most 1 million characters of JSON"):
        read_latencies('{"freq": 1,\n' + (" " * 8000 + "\n") * 150)
