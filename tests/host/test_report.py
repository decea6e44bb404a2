"""How a prediction is shown: cells, sentences, marks, and the whole text of a small one."""

from __future__ import annotations

import json
import math
import re

import pytest

from kvmlab.host.what_if.backcast import Backcast, BackcastRow
from kvmlab.host.what_if.findings import Findings
from kvmlab.host.what_if.predict import QUANTITIES, Row
from kvmlab.host.what_if.report import WhatIf, number, shown
from kvmlab.scenario.interval import Interval
from tests.host.test_worlds import HOST

NAN = math.nan
ROWS = [
    Row("rev1", "exits", 1.0, 2.0, 3.0, "1/s"),
    Row("rev1", "posted", 50.0, 50.0, 50.0, "%"),
    Row("before", "exits", 1000.0, 2500.4, 1e6, "1/s"),
    Row("before", "posted", NAN, NAN, NAN, "%"),
]
EXITS = BackcastRow("exits", 2.0, 2.5, 1.0, 3.0, "1/s", within=True)
POSTED = BackcastRow("posted", 20.0, 50.0, 50.0, 50.0, "%", within=False)


def small(backcast_rows=(EXITS, POSTED), first=("Read <this>.",), unsure=False):
    findings = Findings(first=list(first), known=["A.", "And <B>."], assumed=["C."], cannot=["D."])
    return WhatIf("a table", HOST, ROWS, findings, 7, Backcast("rev1", tuple(backcast_rows), unsure))


def test_the_whole_summary():
    """The revisions stand in the order in which they were asked for."""
    lines = [" ".join(line.split()) for line in small().summary().splitlines()]
    assert lines == [
        "a table: what each revision would do (7 runs; central, and low to high)",
        "",
        "Read <this>.",
        "",
        "The recording is not wholly reproduced (under rev1): posted is not. What rests on that is marked with ?.",
        "quantity recorded reproduced within",
        "exits, 1/s 2 2.5 (1 to 3) yes",
        "posted, % 20 50 NO",
        "",
        "revision rev1 before",
        "exits, 1/s 2 (1 to 3) 2,500 (1,000 to 1,000,000)",
        "posted, % 50 ? - ?",
        "",
        "Known:",
        "A.",
        "And <B>.",
        "Assumed:",
        "C.",
        "Cannot be known from this:",
        "D.",
    ]
    assert str(small()) == small().summary()


def test_without_anything_to_read_first_the_back_cast_comes_first():
    lines = small(backcast_rows=[EXITS], first=()).summary().splitlines()
    assert lines[1:3] == ["", "The recording is reproduced (under rev1):"]


@pytest.mark.parametrize(
    ("rows", "unsure", "sentence"),
    [
        ([EXITS], False, "The recording is reproduced (under rev1):"),
        (
            [EXITS._replace(within=False), POSTED],
            False,
            "The recording is not wholly reproduced (under rev1): exits and posted are not. What rests on that is "
            "marked with ?.",
        ),
        ([EXITS], True, "The recording leaves too much open: rely on no number, each is marked with ?."),
    ],
)
def test_how_well_it_is_reproduced_is_one_sentence(rows, unsure, sentence):
    assert sentence in small(rows, unsure=unsure).summary().splitlines()


def test_what_is_doubtful_has_a_mark():
    assert small().doubtful == ("posted",)
    assert small().wide.to_dict("index") == {
        "rev1": {"exits, 1/s": "2 (1 to 3)", "posted, %": "50 ?"},
        "before": {"exits, 1/s": "2,500 (1,000 to 1,000,000)", "posted, %": "- ?"},
    }
    assert list(small().wide.index) == ["rev1", "before"]
    assert small([EXITS], unsure=True).doubtful == tuple(QUANTITIES)


def test_the_html_has_the_same_in_it():
    html = small()._repr_html_()
    assert re.findall(r"<t[hd]>(.*?)</t[hd]>", html) == [
        *("quantity", "recorded", "reproduced", "within"),
        *("exits, 1/s", "2", "2.5 (1 to 3)", "yes"),
        *("posted, %", "20", "50", "NO"),
        *("revision", "rev1", "before"),
        *("exits, 1/s", "2 (1 to 3)", "2,500 (1,000 to 1,000,000)"),
        *("posted, %", "50 ?", "- ?"),
    ]
    assert "border=" not in html
    assert re.findall(r"<li>(.*?)</li>", html) == ["A.", "And &lt;B&gt;.", "C.", "D."]
    assert [re.sub("<.*?>", "", text) for text in re.findall(r"<p .*?>(.*?)</p>", html)] == [
        "Read &lt;this&gt;.",
        "The recording is not wholly reproduced (under rev1): posted is not. What rests on that is marked with ?.",
        "a table: what each revision would do there. Simulated; central value (low to high).",
        "Known",
        "Assumed",
        "Cannot be known from this",
    ]


def test_as_json():
    told = small().to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told == {
        "name": "a table",
        "runs": 7,
        "first": ["Read <this>."],
        "reproduced_as": "rev1",
        "backcast": [EXITS._asdict(), POSTED._asdict()],
        "doubtful": ["posted"],
        "table": [
            *(row._asdict() for row in ROWS[:3]),
            ROWS[3]._asdict() | {"low": None, "central": None, "high": None},
        ],
        "known": ["A.", "And <B>."],
        "assumed": ["C."],
        "cannot_be_known": ["D."],
    }
    assert small().measured is HOST


def test_one_number_with_its_bounds():
    w = small()
    assert w.of("rev1", "posted") == Interval(50, 50, 50)
    assert w.of("before", "exits") == Interval(2500.4, 1000, 1e6)
    with pytest.raises(ValueError, match="revision: 'rev3' is not allowed; it must be one of rev1, before"):
        w.of("rev3", "exits")
    with pytest.raises(ValueError, match="quantity: 'HLT' is not allowed; it must be one of exits, posted"):
        w.of("rev1", "HLT")


@pytest.mark.parametrize(
    ("low", "central", "high", "cell"),
    [
        (1.0, 2.0, 3.0, "2 (1 to 3)"),
        (2.0, 2.0, 3.0, "2 (2 to 3)"),
        (2.00001, 2.00002, 2.00003, "2"),  # no difference that is shown
        (1.0, NAN, 3.0, "-"),
    ],
)
def test_a_range_is_a_cell(low, central, high, cell):
    assert shown(low, central, high) == cell


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.23456, "1.235"),
        (999.5, "999.5"),
        (1000.0, "1,000"),
        (-999.5, "-999.5"),
        (12_345.6, "12,346"),
        (-12_345.6, "-12,346"),
    ],
)
def test_a_number_has_four_digits_or_no_fraction(value, text):
    assert number(value) == text
