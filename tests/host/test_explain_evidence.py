"""From timers to answers of the kernel's: which timer shows what, and what is said of it; timers are made up here."""

from __future__ import annotations

from collections import Counter

import pytest

from kvmlab.host.explain import evidence
from kvmlab.host.explain.evidence import NO_HV_TIMER, Evidence
from kvmlab.host.inference import Fact, Observation
from kvmlab.host.names import EOI, TMICT, TSC_DEADLINE
from kvmlab.host.threads import Thread
from kvmlab.host.timers import Timer
from kvmlab.host.tracker import Tracker

FIVE_S = 5_000_000_000


def timer(**changes):
    """A timer of thread 7 that was armed on pCPU 2, and is an hrtimer due in a microsecond."""
    base = {"vcpu": 0, "pid": 7, "armed_ns": 1000, "pcpu": 2, "arm_exit": "MSR_WRITE", "value": 5}
    return Timer(**(base | {"backend": "hrtimer", "expires": 2000} | changes))


def seen(*timers, threads=(), whole=True):
    """Evidence of some timers."""
    found = Evidence(Tracker(0))
    for thread in (Thread(7, 0), *threads):
        found.tracker.threads[thread.pid] = thread
    for each in timers:
        found.take(each)
    return found


def answers(*timers):
    """(question, answer, pCPU, count) of what some timers show."""
    found, assumed = seen(*timers).observations(whole=True)
    assert assumed == []
    return [(each.question, each.answer, each.cpu, each.count) for each in found]


HV, POST = "can_use_hv_timer", "can_post_timer_interrupt"


def test_what_was_armed_answers_whether_the_preemption_timer_may_be_used():
    assert answers(timer(backend="hv"), timer(backend="hv", pcpu=3), timer(backend="hv")) == [
        (HV, True, 2, 2),
        (HV, True, 3, 1),
    ]
    assert answers(timer(), timer()) == [(HV, False, 2, 2)]
    assert answers(timer(backend="hv", value=0)) == []
    assert answers(timer(backend=None)) == []


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"expires": 1000}, True),
        ({"expires": 999}, False),
        ({"expires": 1000 + FIVE_S - 1}, True),
        ({"expires": 1000 + FIVE_S}, False),
        ({"expires": None}, False),
        ({"expires": None, "fired_ns": 1000 + FIVE_S - 1}, True),
        ({"expires": None, "fired_ns": 1000 + FIVE_S}, False),
        ({"expires": 10 * FIVE_S, "fired_ns": 2000}, True),
        ({"value": None}, True),
        ({"value": None, "expires": None, "fired_ns": 2000}, False),
        ({"value": 0}, False),
        ({"switched": True}, False),
        ({"arm_exit": None}, False),
    ],
)
def test_an_hrtimer_is_a_refusal_if_its_deadline_was_in_reach(changes, answer):
    """Any preemption timer reaches 5 s; a period that started by itself was asked for by nobody."""
    assert answers(timer(**changes)) == ([(HV, False, 2, 1)] if answer else [])


FIRED = {"backend": None, "fired_ns": 2000, "fired_cpu": 0, "vcpu_cpu": 3}
KICKED = FIRED | {"vcpu_was": "guest", "expiry_exit": "EXTERNAL_INTERRUPT", "accepted_ns": 2100}


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        (FIRED | {"posted": True}, True),
        (KICKED, False),
        (KICKED | {"vcpu_was": "interrupted"}, None),
        (KICKED | {"expiry_exit": None}, None),
        (KICKED | {"fired_ns": None}, None),
        (KICKED | {"accepted_ns": None}, None),
        (KICKED | {"vcpu_cpu": None}, None),
        (FIRED | {"posted": True, "vcpu_cpu": None}, None),
    ],
)
def test_an_expiry_elsewhere_was_posted_or_kicked(changes, answer):
    """What counts is the pCPU of the vCPU, 3, not where the timer was armed."""
    assert answers(timer(**changes)) == ([] if answer is None else [(POST, answer, 3, 1)])


def test_a_kick_beside_posts_on_the_same_cpu_is_a_race():
    posted = timer(**FIRED, posted=True)
    assert answers(posted, timer(**KICKED), posted) == [(POST, True, 3, 2)]
    assert answers(posted, timer(**KICKED | {"vcpu_cpu": 4})) == [(POST, True, 3, 1), (POST, False, 4, 1)]


def test_each_answer_is_said_in_a_sentence():
    found, _ = seen(
        timer(backend="hv"),
        timer(),
        timer(),
        timer(**FIRED, posted=True),
        timer(**KICKED | {"vcpu_cpu": 4}),
        timer(**KICKED | {"vcpu_cpu": 4}),
    ).observations(whole=True)
    assert [each.sentence for each in found] == [
        "vCPU 0 on pCPU 2: the preemption timer was armed, 1 time.",
        "vCPU 0 on pCPU 2: an hrtimer, not the preemption timer, was armed, 2 times.",
        "vCPU 0 on pCPU 3: an expiry on another CPU was posted, 1 time.",
        "vCPU 0 on pCPU 4: an expiry on another CPU found it in the guest and was not posted but kicked, 2 times.",
    ]
    assert {each.vcpu for each in found} == {"vCPU 0"}


def test_where_no_timer_answers_the_counts_of_a_thread_s_exits_do():
    other = Thread(8, 1, exits=Counter(MSR_WRITE=300, EXTERNAL_INTERRUPT=300))
    found, assumed = seen(timer(), threads=[other]).observations(whole=True)
    sentence = "vCPU 1: 300 MSR writes and no PREEMPTION_TIMER exit: hrtimers were used."
    assert found[1:] == [Observation("vCPU 1", None, HV, False, 300, sentence)]
    assert assumed == ["most of the 300 MSR writes arm the timer (IPIs, and without APICv EOIs, may be among them)"]
    assert seen(timer(), threads=[other]).observations(whole=False)[0] == found[:1]
    # Of the thread that has answered, the counts are not asked.
    answered = seen(timer(backend="hv"))
    answered.tracker.threads[7].exits.update(MSR_WRITE=300, EXTERNAL_INTERRUPT=300)
    assert len(answered.observations(whole=True)[0]) == 1


def test_where_the_writes_are_seen_those_that_arm_count():
    other = Thread(8, 1, exits=Counter(MSR_WRITE=900, EXTERNAL_INTERRUPT=290))
    other.msr_writes = Counter({TSC_DEADLINE: 200, TMICT: 100, EOI: 600})
    found, assumed = seen(threads=[other]).observations(whole=True)
    sentence = "vCPU 1: 300 writes that arm the timer and no PREEMPTION_TIMER exit: hrtimers were used."
    assert found == [Observation("vCPU 1", None, HV, False, 300, sentence)]
    assert assumed == []


LEFT = {"fired_ns": 2000, "fired_cpu": 0, "vcpu_cpu": 2, "vcpu_was": "host"}


def test_an_hrtimer_that_left_its_cpu_tells_both_cpus():
    facts = seen(timer(**LEFT), timer(**LEFT), timer(**LEFT | {"fired_cpu": 1})).facts()
    assert facts == [
        Fact("housekeeping_cpu", False, 2, f"2 hrtimers armed on pCPU 2 fired on pCPU 0: {LEAVE}"),
        Fact("housekeeping_cpu", True, 0, f"2 hrtimers armed on pCPU 2 fired on pCPU 0: {GO}"),
        Fact("housekeeping_cpu", False, 2, f"1 hrtimer armed on pCPU 2 fired on pCPU 1: {LEAVE}"),
        Fact("housekeeping_cpu", True, 1, f"1 hrtimer armed on pCPU 2 fired on pCPU 1: {GO}"),
    ]


LEAVE, GO = "timers leave isolated CPUs only.", "timers go to housekeeping CPUs only."


@pytest.mark.parametrize(
    "changes", [{"fired_cpu": 2}, {"fired_cpu": None}, {"vcpu_cpu": 0}, {"vcpu_cpu": None}, {"backend": None}]
)
def test_other_hrtimers_tell_of_no_cpu(changes):
    assert seen(timer(**LEFT | changes)).facts() == []


def test_exits_of_a_thread_are_facts_about_its_vm():
    thread = Thread(8, 1, exits=Counter({"HLT": 3, "hlt": 1, "MWAIT": 2}), msr_writes=Counter({EOI: 4}))
    assert seen(threads=[thread]).facts() == [
        NO_HV_TIMER,  # "hlt" is AMD's name
        Fact("hlt_in_guest", False, "vCPU 1", "vCPU 1: HLT exits (4)."),
        Fact("mwait_in_guest", False, "vCPU 1", "vCPU 1: MWAIT exits (2)."),
        Fact("apicv_active", False, "vCPU 1", "vCPU 1: EOI exits (4), so APICv is not active."),
    ]
    active = Thread(8, 1, exits=Counter(HLT=1), apicv=True, msr_writes=Counter({EOI: 4}))
    assert seen(threads=[active]).facts() == [
        Fact("hlt_in_guest", False, "vCPU 1", "vCPU 1: HLT exits (1)."),
        Fact("apicv_active", True, "vCPU 1", "vCPU 1: APICv took interrupts (kvm_apicv_accept_irq)."),
    ]
    assert seen(threads=[Thread(8, 1, msr_writes=Counter({TMICT: 4}))]).facts() == []
    assert Fact("hv_timer", False, None, "Exits have AMD's names: there is no preemption timer.") == NO_HV_TIMER


def test_the_release_shows_in_pinned_timers_and_in_the_form_of_exits():
    old, new = "LAPIC hrtimers are pinned, as up to v5.2.", "LAPIC hrtimers are not pinned; v5.2 pins them."
    assert seen(timer(pinned=True)).excluded() == {"rev1": old, "rev2": old, "rev3": old}
    assert seen(timer(pinned=True), timer(pinned=False)).excluded() == {"before": new}
    assert seen(timer(pinned=False)).excluded() == {"before": new}
    assert seen(timer()).excluded() == {}
    printed = seen(timer())
    printed.tracker.vectors.modern = True
    assert printed.excluded() == {"before": "kvm_exit is printed as from v5.10 on."}


@pytest.mark.parametrize("changes", [{"backend": "hv"}, LEFT])
def test_a_listing_of_more_pairs_than_a_host_has_is_refused(monkeypatch, changes):
    monkeypatch.setattr(evidence, "MAX_PLACES", 2)
    found = seen(*(timer(**changes | {"pcpu": cpu, "vcpu_cpu": cpu}) for cpu in (4, 5, 6)))
    with pytest.raises(ValueError, match=r"^more than 2 pairs of vCPUs and pCPUs; expected a listing of one host$"):
        found.take(timer())
