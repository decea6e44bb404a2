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
    "decision": lambda: panels.decision_panel(mine),
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


def test_the_decision_answers_for_its_facts():
    _, *rows = cells(still_of(panels.decision_panel(mine, hlt_in_guest=True, housekeeping_cpu=True)))
    assert rows == [["before", "no"], ["rev1", "yes"], ["rev2", "no"], ["rev3", "yes"], ["mine", "no"]]


def test_a_prediction_keeps_what_is_true_to_itself():
    panel = panels.predict_panel("L00-P8", "Who fires <it>?", choices=("the guest", "the host"))
    panel.reveal("the guest")
    assert still_of(panel).get_text() == "Who fires <it>?: the guest, the host"
    number = panels.predict_panel("L00-P7", "How many?", low=0, high=10_000)
    number.reveal(7531)
    assert not re.search("7531", number.place())
