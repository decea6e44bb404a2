"""Which revisions fit some answers of the kernel, worked out by hand from the four predicates."""

from __future__ import annotations

import pytest

from kvmlab import policy
from kvmlab.host.inference import Fact, Observation, PolicyInference, conditions, forced, infer, sufficient

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
