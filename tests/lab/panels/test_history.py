"""The history: nothing later than asked for, lines as they were mailed, and gains that the lines bear out."""

from __future__ import annotations

import itertools
import json

import pytest

from kvmlab import data, panels
from kvmlab.lab.panels.history_beads import FACTS, GUESTS, LAST, NOTES, beads, facts_of, holds, split
from kvmlab.policy import POLICIES, every_input

LATER = {
    "before": ("pi_inject", "posted_", "apicv", "housekeeping_cpu(", "mwait", "2019", "2021", "2022", "rev1", "rev 1"),
    "rev1": ("housekeeping_cpu(", "2021", "2022", "rev 2", "rev 3"),
    "rev2": ("2022", "rev 3", "rev3", "Christopherson"),
    "rev3": ("2023", "2026", "virt"),
}


@pytest.mark.parametrize("until", LATER)
def test_nothing_later_is_in_the_page(until: str) -> None:
    place = panels.history_panel(until).place()
    for word in LATER[until]:
        assert word not in place, word
    assert panels.history_panel(until).beads[-1]["id"] == LAST[until] == panels.history_panel(until).selected


def test_without_until_it_goes_to_the_newest_and_every_note_is_used() -> None:
    shown = panels.history_panel(until=None).beads
    assert [bead["id"] for bead in shown] == [patch for patch in data.history()["id"] if patch in NOTES]
    assert {*NOTES} == {bead["id"] for bead in shown}
    assert shown[0]["date"] == "2015-09-01"
    assert shown[-1]["date"] > "2026"


def test_beads_are_in_the_order_of_their_dates_and_say_what_the_history_says() -> None:
    history = data.history().set_index("id")
    for bead in beads(None, drafts=True):
        row = history.loc[bead["id"]]
        assert (bead["author"], bead["date"], bead["changes"]) == (row["author"], row["date"], row["changes"])
        assert bead["merged"] == (row["release"] != "")
        assert str(row["commit"]) in bead["url"] or str(row["message_id"]) in bead["url"]
        quoted = row["predicate"] if isinstance(row["predicate"], str) else ""
        assert " && ".join(bead["terms"]) == quoted
    dates = [bead["date"] for bead in beads(None, drafts=True)]
    assert dates == sorted(dates)


def test_without_drafts_only_what_was_merged_and_rev_2_is_left() -> None:
    shown = panels.history_panel(None, drafts=False).beads
    assert [bead["id"] for bead in shown if not bead["merged"]] == ["rev2"]
    assert "kvm_hlt_in_guest" not in panels.history_panel("rev1", drafts=False).place()


def test_a_quoted_line_answers_as_the_policy_does() -> None:
    lines = {bead["id"]: " && ".join(bead["terms"]) for bead in beads("rev3", drafts=True)}
    for name in ("rev1", "rev2", "rev3"):
        for facts in every_input():
            assert holds(lines[name], facts) == POLICIES[name](facts), (name, facts)


def test_every_condition_is_a_fact_but_the_one_of_newer_cpus() -> None:
    terms = {term for bead in beads("rev3", drafts=True) for term in bead["terms"]}
    parts = {part for term in terms for part in (term[1:-1].split(" || ") if term[0] == "(" else [term])}
    assert parts == {*FACTS} - {"housekeeping_cpu(vcpu->cpu, HK_FLAG_TIMER)"} | {
        "!housekeeping_cpu(vcpu->cpu, HK_FLAG_TIMER)"
    }


def test_who_is_eligible_is_what_is_said_of_the_guests() -> None:
    posts = {bead["id"]: tuple(bead["posts"].values()) for bead in beads("rev3", drafts=True)}
    assert posts["hv"] == (False, False, False)
    assert posts["posted-v5"] == posts["rev3"] == posts["rev3-idea"] == (True, False, False)
    assert posts["rev1"] == (True, True, True)
    assert posts["rev2"] == (True, True, False)
    assert posts["rev3-v1"] == posts["posted-v2"] == (False, False, False)
    for guest, (revision, policy) in itertools.product(GUESTS, POLICIES.items()):
        if revision != "before":
            assert posts[revision][GUESTS.index(guest)] == policy(facts_of(guest))


def test_brackets_are_one_term() -> None:
    assert split("a && (b && c || d) && !e(f, g)") == ["a", "(b && c || d)", "!e(f, g)"]


def test_what_the_reader_looks_at_is_known_to_python() -> None:
    panel = panels.history_panel(at="rev1")
    assert panel.selected == "rev1"
    bridge = panel.bridge()
    panel._bridge = bridge
    bridge.answer = {"selected": "rev2"}
    assert panel.selected == "rev2"
    assert json.loads(json.dumps(panel.options))["against"] == "version"


def test_what_is_not_possible_is_named() -> None:
    with pytest.raises(ValueError, match="until: 'rev4' is not allowed"):
        panels.history_panel("rev4")
    with pytest.raises(ValueError, match="at: 'rev3' is not allowed"):
        panels.history_panel("rev2", at="rev3")
    with pytest.raises(ValueError, match="against: 'today' is not allowed"):
        panels.history_panel(against="today")


def test_who_paid_may_be_left_to_the_reader() -> None:
    told, asked = panels.history_panel(), panels.history_panel(paid=False)
    assert [bead["id"] for bead in told.beads] == [bead["id"] for bead in asked.beads]
    assert all(bead["gains"] and bead["pays"] for bead in told.beads)
    assert not [bead for bead in asked.beads if "gains" in bead or "pays" in bead]
