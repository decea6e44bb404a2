"""Each sentence of an answer, word for word, for explanations that are made up as far as the sentence looks at them."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.host.explain.answer import (
    FIRED,
    LOOK,
    NEEDED,
    QEMU,
    RECORD,
    REPORT,
    fired_by,
    fitting,
    joined,
    next_step,
    three_sentences,
    who_fired,
)
from kvmlab.host.inference import Observation, PolicyInference
from kvmlab.host.outcome import Outcome
from tests.host.made_up import table

SEEN = Observation("vCPU 0", 1, "can_use_hv_timer", True, 3, "It was used.")
POSTED = Observation("vCPU 0", 1, "can_post_timer_interrupt", True, 3, "They were posted.")


def policy(consistent=("rev1", "rev2"), excluded=(), conditions=None, seen=(SEEN,), unknown=(), assumed=()):
    conditions = dict.fromkeys(consistent, "") | (conditions or {})
    return PolicyInference(
        consistent, dict.fromkeys(excluded, "why."), conditions, (), (), unknown, assumed, observations=seen
    )


def explanation(names=(), counts=None, whole_table=None, events=NEEDED, host=None, name="a.txt", **inference):
    return SimpleNamespace(
        policy=policy(**inference),
        counts=Counter(counts or {}),
        exits=pd.DataFrame({"Samples": [1] * len(names)}, index=list(names)),
        table=whole_table,
        events=frozenset(events),
        host=host,
        name=name,
    )


def outcome(backend="hrtimer", fires_on="own", delivery="vm_entry", fate="delivered"):
    return Outcome(backend, fires_on, None, delivery, fate)


@pytest.mark.parametrize(
    ("backend", "fires_on", "delivery", "key"),
    [
        ("hv", "own", "vm_entry", ("hv", "vm_entry")),
        ("hrtimer", "own", "vm_entry", ("own", "vm_entry")),
        ("hrtimer", "housekeeping", "vm_entry", ("housekeeping", "vm_entry")),
        ("hrtimer", "housekeeping", "posted", ("housekeeping", "posted")),
        ("hrtimer", "not visible", "posted", ("any", "posted")),
        ("hrtimer", "housekeeping", "wake_up", ("any", "wake_up")),
        ("hv", "own", "wake_up", ("any", "wake_up")),
        ("not visible", "not visible", "vm_entry", ("any", "vm_entry")),
        (None, None, "at_arm", ("any", "at_arm")),
    ],
)
def test_who_fired_a_timer(backend, fires_on, delivery, key):
    assert who_fired(outcome(backend, fires_on, delivery)) == FIRED[key]


def test_a_timer_whose_way_has_no_words_was_not_seen():
    assert who_fired(outcome(delivery="not visible")) == "a timer that was not seen"


def test_what_fired_the_timers_is_counted_the_most_frequent_first():
    counts = {outcome(): 2, outcome("hv"): 5, outcome("hv", "housekeeping"): 4, outcome(fate="disarmed"): 30}
    assert fired_by(explanation(counts=counts)) == (
        "The events show what fired 11 timers: 9 by the VMX preemption timer (a PREEMPTION_TIMER exit each) and 2 by a "
        "host hrtimer on the vCPU's own pCPU (an exit each)."
    )
    assert fired_by(explanation(counts={outcome(): 1})).startswith("The events show what fired 1 timer: 1 by a host")


def test_counts_of_exits_show_it_where_no_timer_was_delivered():
    lost = {outcome(fate="armed anew"): 9}
    assert fired_by(explanation(counts=lost, seen=(SEEN, POSTED))) == (
        "The counts of exits show it. It was used. They were posted."
    )
    assert fired_by(explanation(seen=(SEEN, POSTED), assumed=("so", "so on"))) == (
        "It was used. They were posted, if so and so on."
    )


@pytest.mark.parametrize(
    ("names", "counts", "whole_table", "why"),
    [
        (("HLT", "WFx"), {}, None, "Exits have arm64's names: there the guest has the architected timer, not a LAPIC "),
        (("HLT", "CPUID"), {}, None, "the guest halts, and a timer that wakes it costs no exit of its own, whoever "),
        (("MWAIT", "APIC_WRITE"), {}, None, "the guest halts, and a timer that wakes it costs no exit of its own, "),
        (("APIC_WRITE", "0x6e0:W"), {}, None, "which of the APIC_WRITE exits arm the timer is not in it."),
        (("0x6e0:W",), {}, None, "the table shows which writes arm the timer, not what fires it."),
        (("CPUID",), {outcome(fate="armed anew"): 1}, None, "the listing has no events that show who fires them."),
        (("CPUID",), {}, None, "it has too few exits that arm a timer."),
        ((), {}, None, "it has too few exits that arm a timer."),
    ],
)
def test_why_it_cannot_be_told(names, counts, whole_table, why):
    told = fired_by(explanation(names, counts, whole_table, seen=()))
    assert told.startswith(f"What fired the timers cannot be told from this: {why}")
    assert told.endswith(".")
    assert ".." not in told


def test_a_table_with_missing_rows_says_so_before_all_else():
    cut = kl.read_perf_kvm_stat(table({"HLT": (5, 1.0), "CPUID": (5, 1.0)}, listed=("HLT",)))
    assert fired_by(explanation(("HLT",), whole_table=cut, seen=())) == (
        "What fired the timers cannot be told from this: the table is incomplete, and nothing follows from rows that "
        "are not there."
    )
    assert next_step(explanation(("HLT",), whole_table=cut)) == (
        f"Next: print the whole table, `{REPORT}`; or record the events, `{RECORD}`."
    )
    whole = kl.read_perf_kvm_stat(table({"CPUID": (5, 1.0)}))
    told = fired_by(explanation(("CPUID",), {outcome(fate="armed anew"): 1}, whole, seen=()))
    assert told.endswith(": it has too few exits that arm a timer.")


@pytest.mark.parametrize(
    ("inference", "sentence"),
    [
        (
            {"consistent": ("before", "rev1", "rev2")},
            "No revision is excluded: before, rev1 and rev2 can all behave like this, on conditions (below).",
        ),
        ({"seen": ()}, "Nothing that tells the revisions apart was seen."),
        ({"excluded": ("before",)}, "Behaves like rev1 or rev2, not like before."),
        (
            {"consistent": ("rev3",), "excluded": ("rev1",), "conditions": {"rev3": "HLT exits"}},
            "Behaves like rev3, not like rev1, if HLT exits.",
        ),
        ({"consistent": ("rev3",), "excluded": ("rev1",)}, "Behaves like rev3, not like rev1."),
        (
            {"excluded": ("before",), "conditions": {"rev1": "HLT exits"}},
            "Behaves like rev1 or rev2, not like before.",
        ),
        (
            {"consistent": (), "excluded": ("rev1",)},
            "No revision gives all these answers: facts changed while it was recorded, or a fact given is wrong.",
        ),
    ],
)
def test_which_revisions_fit(inference, sentence):
    assert fitting(explanation(**inference)) == sentence


LISTING = "then `kvmlab explain listing.txt`."
WHAT_IF = "Next: ask what the other revisions would do there: `kvmlab what-if {}`."


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"names": ("WFx",)}, "Next: record a guest on x86; kvmlab follows LAPIC timers only."),
        (
            {"consistent": (), "excluded": ("rev1",)},
            f"Next: record a shorter time, in which nothing is changed: `{RECORD}`.",
        ),
        (
            {"events": NEEDED[1:4]},
            f"Next: record the events that are missing, kvm_exit and hrtimer_expire_entry: `{RECORD}`, {LISTING}",
        ),
        (
            {"unknown": ("mwait_in_guest", "hlt_in_guest")},
            f"Next: look how QEMU was started: `{QEMU}`; cpu-pm=on means mwait_in_guest or hlt_in_guest, which would "
            "tell more.",
        ),
        (
            {"unknown": ("apicv_active", "mwait_in_guest", "hlt_in_guest")},
            f"Next: look how QEMU was started: `{QEMU}`; cpu-pm=on means apicv_active, mwait_in_guest or hlt_in_guest, "
            "which would tell more.",
        ),
        (
            {"unknown": ("hlt_in_guest", "pi_inject_timer")},
            f"Next: look up hlt_in_guest or pi_inject_timer, which would tell more: `{LOOK}`, then `kvmlab explain "
            "a.txt --host-facts host.txt`.",
        ),
        (
            {"unknown": ("pi_inject_timer",), "name": "the text"},
            f"Next: look up pi_inject_timer, which would tell more: `{LOOK}`, then `kvmlab explain FILE --host-facts "
            "host.txt`.",
        ),
        ({"unknown": ("pi_inject_timer",), "host": object()}, WHAT_IF.format("a.txt")),
        ({}, WHAT_IF.format("a.txt")),
        ({"name": "the trace"}, WHAT_IF.format("FILE")),
    ],
)
def test_what_to_do_next(changes, step):
    assert next_step(explanation(**changes)) == step
    assert three_sentences(explanation(**changes))[2] == step


def test_of_a_whole_table_the_events_are_what_is_missing():
    whole = kl.read_perf_kvm_stat(table({"CPUID": (5, 1.0)}))
    assert next_step(explanation(("CPUID",), whole_table=whole, events=())) == (
        f"Next: record the events of each timer: `{RECORD}`, {LISTING}"
    )


@pytest.mark.parametrize(("parts", "text"), [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_parts_are_joined_as_in_a_sentence(parts, text):
    assert joined(parts) == text
    assert joined("ab", last="or") == "a or b"
