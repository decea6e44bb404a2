"""Which revisions fit some answers of the kernel, worked out by hand from the four predicates."""

from __future__ import annotations

import pytest

from kvmlab import policy
from kvmlab.host.inference import (
    Fact,
    Known,
    Observation,
    PolicyInference,
    conditions,
    fits_with,
    forced,
    in_words,
    infer,
    listed,
    sufficient,
)

POSTS, USES_HV = "can_post_timer_interrupt", "can_use_hv_timer"


def saw(question, answer, *, vcpu="vCPU 0", cpu=1):
    """Return an observation, which says itself as "posted: yes" or the like."""
    word = {POSTS: "posted", USES_HV: "hv timer"}[question]
    return Observation(vcpu, cpu, question, answer, 1, f"{vcpu}, {word}: {'yes' if answer else 'no'}.")


def verdict(consistent, excluded=(), observations=()):
    """Return what is said of these names."""
    found = PolicyInference(tuple(consistent), dict.fromkeys(excluded, ""), {}, (), (), (), (), tuple(observations))
    return found.sentence


def test_the_verdict_in_a_sentence():
    everybody = tuple(policy.POLICIES)
    assert verdict(everybody) == "Nothing that tells the revisions apart was seen."
    assert verdict(everybody, (), [saw(USES_HV, True)]) == "Behaves like before, rev1, rev2 or rev3."
    assert verdict(("rev1", "rev3"), ("before", "rev2")) == "Behaves like rev1 or rev3, not like before or rev2."
    assert verdict((), everybody).startswith("No revision gives all these answers")


KNOWN = {"pi_inject_timer": True, "apicv_active": True}


@pytest.mark.parametrize(
    ("rule", "seen", "known", "terms"),
    [
        (policy.before, saw(POSTS, False), {}, [{}]),
        (policy.rev1, saw(POSTS, True), {}, [KNOWN]),
        (policy.rev1, saw(POSTS, False), {}, [{"pi_inject_timer": False}, {"apicv_active": False}]),
        (policy.rev2, saw(POSTS, True), {"apicv_active": True}, [{"pi_inject_timer": True, "housekeeping_cpu": False}]),
        (policy.rev3, saw(POSTS, True), {}, [KNOWN | {"mwait_in_guest": True}, KNOWN | {"hlt_in_guest": True}]),
        (policy.rev3, saw(POSTS, True), KNOWN, [{"mwait_in_guest": True}, {"hlt_in_guest": True}]),
        (policy.rev3, saw(POSTS, True), KNOWN | {"hlt_in_guest": True}, [{}]),
        (policy.before, saw(USES_HV, False), {}, [{"hv_timer": False}, {"mwait_in_guest": True}]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_shortest_conditions_under_which_a_revision_answers_so(rule, seen, known, terms):
    """Those of the predicate, no fact more than is needed, and none that is known."""
    assert sorted(map(sorted, map(dict.items, sufficient(rule, [seen], known)))) == sorted(
        map(sorted, map(dict.items, terms))
    )


def test_what_has_one_value_only_follows():
    assert forced([policy.rev1], [saw(POSTS, True)], {}) == KNOWN
    assert forced([policy.rev1, policy.rev3], [saw(POSTS, True)], {"pi_inject_timer": True}) == {"apicv_active": True}
    assert forced([policy.rev2], [saw(POSTS, True)], KNOWN) == {"housekeeping_cpu": False}
    assert forced([policy.before], [saw(POSTS, False)], {}) == {}


def test_a_revision_that_never_gives_an_answer_is_excluded_by_it():
    told = {"rev2": "told so."}
    found = infer([saw(POSTS, True), saw(USES_HV, False)], [], told)
    assert found.consistent == ("rev1", "rev3")
    assert found.excluded == {"before": "vCPU 0, posted: yes.", "rev2": "told so."}
    assert found.conditions["rev1"] == ""
    assert found.conditions["rev3"] == "MWAIT does not exit, or HLT does not exit"
    assert found.implied == ("kvm.pi_inject_timer is on and APICv is active.",)
    assert found.unknown == ("mwait_in_guest", "hlt_in_guest")


def test_answers_that_fit_one_by_one_may_not_fit_together():
    """A vCPU that is posted to, and uses the preemption timer on the same pCPU: no predicate says both."""
    found = infer([saw(POSTS, True), saw(USES_HV, True)], [], {})
    assert found.consistent == ()
    assert found.excluded["rev1"] == "some of what was seen fits, all of it together does not."
    assert found.excluded["before"] == "vCPU 0, posted: yes."


def test_of_a_fact_that_is_there_twice_the_first_counts():
    facts = [Fact("hv_timer", value, None, f"hv_timer {value}.") for value in (True, False)]
    found = infer([saw(USES_HV, False)], facts, {})
    assert found.conditions["before"] == "MWAIT does not exit"
    assert found.evidence == ("vCPU 0, hv timer: no.", "hv_timer True.", "hv_timer False.")


@pytest.mark.parametrize("places", [2, 3, 4])
def test_at_most_three_conditions_are_listed(places):
    terms = {("rev3", (f"vCPU {n}", n)): [{"housekeeping_cpu": True}] for n in range(places)}
    listed = [f"pCPU {n} is a housekeeping CPU" for n in range(min(places, 3))]
    assert conditions("rev3", terms) == "; and ".join([*listed, *(["more"] if places > 3 else [])])


TOLD = {"before": "it posts.", "rev2": "told so."}


@pytest.mark.parametrize("assumed", [(), ("the clock is right", "all was recorded")])
def test_the_whole_verdict_as_text_and_as_json(assumed):
    found = PolicyInference(
        ("rev1", "rev3"), TOLD, {"rev1": "", "rev3": "HLT does not exit"}, ("posted.", "armed."), ("APICv is active.",),
        ("hv_timer", "hlt_in_guest"), assumed, (saw(POSTS, True),),
    )  # fmt: skip
    provided = ", if the clock is right and all was recorded" if assumed else ""
    assert str(found).split("\n  ") == [
        f"Behaves like rev1 or rev3, not like before or rev2{provided}.",
        "rev3 if HLT does not exit",
        "not before: it posts.",
        "not rev2: told so.",
        "seen: posted.",
        "seen: armed.",
        *(f"assumed: {sentence}." for sentence in assumed),
        f"{'if so' if assumed else 'so'}: APICv is active.",
        "would tell more: hv_timer, hlt_in_guest",
    ]
    assert found.to_dict() == {
        "sentence": found.sentence,
        "consistent": ["rev1", "rev3"],
        "excluded": TOLD,
        "conditions": {"rev1": "", "rev3": "HLT does not exit"},
        "evidence": ["posted.", "armed."],
        "implied": ["APICv is active."],
        "unknown": ["hv_timer", "hlt_in_guest"],
        "assumed": list(assumed),
    }


def test_nothing_is_said_of_what_there_is_nothing_of():
    assert str(PolicyInference(("rev1",), {}, {"rev1": ""}, (), (), ())) == (
        "Nothing that tells the revisions apart was seen."
    )
    # What a reader has told excludes without an observation.
    assert verdict(("rev1",), ("before",)) == "Behaves like rev1, not like before."


@pytest.mark.parametrize(("names", "text"), [("a", "a"), ("ab", "a or b"), ("abc", "a, b or c")])
def test_names_in_a_sentence(names, text):
    assert listed(names) == text


def known(name, value, of=None):
    """Return a fact, and how it is said."""
    return Fact(name, value, of, f"{name} of {of}: {value}.")


FACTS = [
    known("hv_timer", True),
    known("hv_timer", False),
    known("apicv_active", True, "vCPU 0"),
    known("apicv_active", False, "vCPU 0"),
    known("hlt_in_guest", False, "vCPU 0"),
    known("housekeeping_cpu", False, 3),
    known("housekeeping_cpu", True, 3),
    known("housekeeping_cpu", True, 0),
]
VM = {"apicv_active": True, "hlt_in_guest": False}


@pytest.mark.parametrize(
    ("vcpu", "cpu", "values"),
    [
        ("vCPU 0", 3, {"hv_timer": True, **VM, "housekeeping_cpu": False}),
        ("vCPU 0", 0, {"hv_timer": True, **VM, "housekeeping_cpu": True}),
        ("vCPU 0", 5, {"hv_timer": True, **VM}),
        ("vCPU 0", None, {"hv_timer": True, **VM}),
        ("vCPU 1", 3, {"hv_timer": True, "housekeeping_cpu": False}),
    ],
)
def test_what_is_known_of_a_vcpu_on_a_pcpu(vcpu, cpu, values):
    assert Known.of(FACTS).about(vcpu, cpu) == values


def test_facts_in_words():
    assert in_words({"housekeeping_cpu": False}, None) == "the pCPU is isolated"
    assert in_words({"housekeeping_cpu": True, "hv_timer": False}, 3) == (
        "pCPU 3 is a housekeeping CPU and there is no preemption timer"
    )
    assert in_words({"pi_inject_timer": False, "mwait_in_guest": False, "hlt_in_guest": False}, 3) == (
        "kvm.pi_inject_timer is off and MWAIT exits and HLT exits"
    )


POSTED_ON_ONE = [saw(POSTS, True, cpu=1), saw(POSTS, False, cpu=2)]
POSTED_TO_ONE = [saw(POSTS, True), saw(POSTS, False, vcpu="vCPU 1")]
BOTH_APICV = [known("apicv_active", True, "vCPU 0"), known("apicv_active", True, "vCPU 1")]
TOGETHER = "some of what was seen fits, all of it together does not."


@pytest.mark.parametrize(
    ("seen", "facts", "left"),
    [
        # Only rev2 asks the pCPU, and a VM's facts are the same on both.
        (POSTED_ON_ONE, [], "rev2"),
        # Each VM has facts of its own.
        (POSTED_TO_ONE, [], "rev1 rev2 rev3"),
        # The host has one parameter, and rev1 asks for no more than that and APICv.
        (POSTED_TO_ONE, BOTH_APICV, "rev2 rev3"),
        (POSTED_TO_ONE, [*BOTH_APICV, known("housekeeping_cpu", False, 1)], "rev3"),
        ([saw(POSTS, True, cpu=1)], [known("housekeeping_cpu", True, 1)], "rev1 rev3"),
        ([saw(POSTS, True, cpu=1)], [known("housekeeping_cpu", True, 2)], "rev1 rev2 rev3"),
        ([saw(POSTS, True, cpu=None)], [known("housekeeping_cpu", True, 1)], "rev1 rev2 rev3"),
        ([saw(USES_HV, True)], [known("hv_timer", False)], ""),
        ([saw(USES_HV, True)], [known("mwait_in_guest", True, "vCPU 0")], ""),
        ([saw(USES_HV, True)], [known("mwait_in_guest", True, "vCPU 1")], "before rev1 rev2 rev3"),
        ([], [], "before rev1 rev2 rev3"),
    ],
)
def test_which_revisions_are_left(seen, facts, left):
    assert infer(seen, facts, {}).consistent == tuple(left.split())


def test_why_a_revision_is_excluded():
    found = infer(POSTED_ON_ONE, [], {"rev3": "told so."})
    assert found.excluded == {"before": "vCPU 0, posted: yes.", "rev1": TOGETHER, "rev3": "told so."}
    assert infer([saw(USES_HV, True)], [known("hv_timer", False)], {}).excluded["rev1"] == "vCPU 0, hv timer: yes."


REST = dict.fromkeys(("before", "rev1", "rev3"), "told so.")


def test_conditions_name_the_pcpu():
    found = infer([saw(POSTS, False, cpu=3)], [], REST, ["it was recorded"])
    assert found.conditions == {
        "rev2": "kvm.pi_inject_timer is off, or APICv is not active, or pCPU 3 is a housekeeping CPU"
    }
    assert found.unknown == ("pi_inject_timer", "apicv_active", "housekeeping_cpus")
    assert found.implied == ()
    assert found.assumed == ("it was recorded",)
    assert found.evidence == ("vCPU 0, posted: no.",)


def test_what_follows_is_no_condition():
    facts = [known("pi_inject_timer", True), known("apicv_active", True, "vCPU 0")]
    found = infer([saw(POSTS, True, cpu=3)], facts, REST)
    assert found.implied == ("pCPU 3 is isolated.",)
    assert found.conditions == {"rev2": ""}
    assert found.unknown == ()
    assert found.facts == tuple(facts)
    # On each pCPU, once for all vCPUs.
    seen = [saw(POSTS, True, cpu=cpu) for cpu in (3, 4, 4)]
    assert infer(seen, facts, REST).implied == ("pCPU 3 is isolated.", "pCPU 4 is isolated.")


def test_a_condition_of_more_than_three_facts_is_not_listed():
    def four(v):
        return v.pi_inject_timer and v.apicv_active and v.mwait_in_guest and v.hlt_in_guest

    assert sufficient(four, [saw(POSTS, True)], {}) == []
    assert sufficient(four, [saw(POSTS, True)], {"hlt_in_guest": True}) == [KNOWN | {"mwait_in_guest": True}]


def test_a_condition_of_another_revision_and_one_that_is_none_are_left_out():
    place = ("vCPU 0", 1)
    terms = {
        ("rev1", place): [{"apicv_active": True}],
        ("rev3", place): [{}],
        ("rev3", ("vCPU 1", 2)): [{"hlt_in_guest": True}],
    }
    assert conditions("rev1", terms) == "APICv is active"
    assert conditions("rev3", terms) == "HLT does not exit"
    assert conditions("rev2", terms) == ""


def test_what_a_reader_supposes_is_tried_beside_what_is_known():
    found = infer([saw(POSTS, True)], [known("pi_inject_timer", True)], {})
    assert fits_with(found, policy.rev1, [])
    assert not fits_with(found, policy.before, [])
    assert not fits_with(found, policy.rev1, [known("apicv_active", False, "vCPU 0")])
    assert fits_with(found, policy.rev1, [known("apicv_active", False, "vCPU 1")])
    # What is known counts.
    assert fits_with(found, policy.rev1, [known("pi_inject_timer", False)])
