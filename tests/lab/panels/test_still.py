"""What stands in a panel's place where no script runs: little, true, and no answer to a prediction."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup

from kvmlab.lab import panels


def mine(v):
    return v.apicv_active and not v.housekeeping_cpu


PANELS = {
    "stage": lambda: panels.stage_panel(),
    "counts": lambda: panels.counts_panel(policy=mine),
    "decision": lambda: panels.decision_panel(mine),
    "door": lambda: panels.door_panel(),
    "porter": lambda: panels.porter_panel(),
    "lab": lambda: panels.lab_panel(mine),
    "game": lambda: panels.game_panel(),
}


def still_of(panel):
    return BeautifulSoup(panel.place(), "html.parser").select_one(".kvmlab > .still")


def cells(still):
    return [[cell.get_text() for cell in row.select("th, td")] for row in still.select("tr")]


@pytest.mark.parametrize("name", PANELS)
def test_it_is_small(name):
    assert len(str(still_of(PANELS[name]()))) < 3000


def test_the_stage_tells_its_steps():
    panel = panels.stage_panel(kernel="v5.2", vcpu_at_expiry="blocked")
    told = [item.get_text() for item in still_of(panel).select("ol > li")]
    assert len(told) == len(panel.story.timeline)
    assert all(step.sentence in text for step, text in zip(panel.story.timeline, told, strict=True))
    assert panel.story.summary() in still_of(panel).p.get_text()


def test_the_counts_have_a_row_for_each_policy():
    _, *rows = cells(still_of(panels.counts_panel(policy=mine, tick_hz=250)))
    assert [name for name, *_ in rows] == ["before", "rev1", "rev2", "rev3", "mine"]
    assert [round(int(exits), -1) for _, exits, *_ in rows] == [500, 250, 250, 500, 250]
    assert all(latency.endswith(" us") and lost.endswith(" per mille") for *_, latency, lost in rows)


def test_the_counts_say_nothing_of_columns_that_are_not_shown():
    head, *rows = cells(still_of(panels.counts_panel("places", "load", "gap", policies=["before", "rev1"])))
    assert head == ["policy", "who fired", "busiest housekeeping CPU", "longest gap"]
    assert [fired for _, fired, *_ in rows] == ["hv 100%", "own pCPU 0%, housekeeping posted 100%"]
    assert rows[0][2] == "0.00% of its time"


def test_the_decision_answers_for_its_facts():
    _, *rows = cells(still_of(panels.decision_panel(mine, hlt_in_guest=True, housekeeping_cpu=True)))
    assert rows == [["before", "no"], ["rev1", "yes"], ["rev2", "no"], ["rev3", "yes"], ["mine", "no"]]


def test_the_door_and_the_porter_say_what_the_whole_run_does():
    [_, [timers, share]] = cells(still_of(panels.door_panel(deadline_us=1000, period_us=4000)))
    assert (timers, share) == ("400", "25.2%")
    _, *rows = cells(still_of(panels.porter_panel()))
    assert [name for name, _ in rows] == ["of pCPU 0's time", "most at once", "p99 latency", "posted"]


def test_a_prediction_keeps_what_is_true_to_itself():
    panel = panels.predict_panel("L00-P8", "Who fires <it>?", choices=("the guest", "the host"))
    panel.reveal("the guest")
    assert still_of(panel).get_text() == "Who fires <it>?: the guest, the host"
    number = panels.predict_panel("L00-P7", "How many?", low=0, high=10_000)
    number.reveal(7531)
    assert not re.search("7531", number.place())
