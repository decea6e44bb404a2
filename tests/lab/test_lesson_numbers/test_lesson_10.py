"""What lesson 10 says of its runs: one test for each number or claim, named after the cell."""

from __future__ import annotations

import csv

import pytest

import kvmlab as kl
from kvmlab import data, exercises
from kvmlab.lab.exercises.course import lesson_10


@pytest.fixture(scope="module")
def three():
    return kl.compare_guests(kl.three_guests(), ["v5.18", "v6.18"])


def test_title_the_line_has_not_changed():
    assert kl.KERNELS["v6.18"].policy is kl.KERNELS["v7.1"].policy is kl.KERNELS["v5.18"].policy


def test_title_1107_and_888_us(three):
    lost, exits = (three.loc["database", column] for column in ("lost us", "exits"))
    assert lost["v5.18"] == pytest.approx(1107, abs=0.5)
    assert lost["v6.18"] == pytest.approx(888, abs=0.5)
    assert exits["v5.18"] == exits["v6.18"] == pytest.approx(999, abs=0.5)


def test_stage_caption_from_two_slow_exits_to_one_fast_one():
    old, new = kl.follow_timer("v5.2"), kl.follow_timer("v6.18", hlt_in_guest=True)
    assert [old.arm_fastpath, old.expiry_fastpath, old.expiry_exit] == [False, False, "PREEMPTION_TIMER"]
    assert [new.arm_fastpath, new.expiry_exit] == [True, None]
    assert not kl.follow_timer("v5.18", hlt_in_guest=True).arm_fastpath


def test_stage_caption_an_arming_gets_200_ns_back():
    costs = kl.Costs.default()
    assert costs.msr_write.mean_ns - costs.msr_write_fastpath.mean_ns == pytest.approx(200, abs=0.5)


def test_stage_without_hlt_in_guest_two_fast_exits():
    story = kl.follow_timer("v6.18")
    assert [story.arm_fastpath, story.expiry_fastpath] == [True, True]


def test_exits_999_1998_and_4265(three):
    assert three.xs("v5.18", level="kernel")["exits"].round().tolist() == [999, 1998, 4265]


def test_left_0_0_and_2670(three):
    now = three.xs("v5.18", level="kernel")
    left = now["exits"] - now["arm exits"] - now["deadline exits"]
    assert left.round(-1).tolist() == [0, 0, 2670]
    assert now.loc["ordinary", "not in guest"] == pytest.approx(399, abs=0.5)


def test_left_and_p1_why_the_authors_published_61_and_24_percent():
    assert lesson_10.sooner_if_the_guest_halts() == 24
    rows = csv.DictReader(data.path("published", "anchors.csv").open(encoding="utf-8"))
    published = {row["after"] for row in rows if row["id"].startswith("apic-timer-virt")}
    assert {"-61", "-24"} <= {value.rstrip("%") for value in published}


def test_e1_a_sixth_and_five_sixths():
    assert lesson_10.exits_saved() == pytest.approx({"posting": 100 / 6, "arm64": 500 / 6})


RIGHT = {"A": ["ordinary", "lonely"], "B": ["database"], "C": ["lonely"]}


def test_e2_each_patch_has_somebody_who_pays():
    assert exercises.check("L10-E2", RIGHT).right
    told = exercises.check("L10-E2", {**RIGHT, "A": ["poller", "lonely"], "C": []})
    assert not told.right
    assert "A: your list has 1 of 2 who pay, and 1 more; C: your list has 0 of 1 who pay, and 0 more." in told.text


@pytest.mark.parametrize("answer", ["A", {"A": []}, {**RIGHT, "B": "database"}, {**RIGHT, "B": ["nobody"]}])
def test_e2_asks_for_lists_of_guests(answer):
    assert "is asked for" in exercises.check("L10-E2", answer).text
