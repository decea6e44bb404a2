"""The decision: its flow chart is what the rules do, and its settings are what is simulated."""

from __future__ import annotations

import itertools

import pytest

from kvmlab import follow_timer, panels
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.lab.panels import decision_chart, front_end
from kvmlab.lab.panels.decision_chart import ENDS, FACTS, PINNED, QUESTIONS, walk
from kvmlab.policy import POLICIES, VcpuFacts, can_use_hv_timer, every_input, index, table_bits, truth_table

FIRST_KERNELS = {
    name: next(kernel for kernel in KERNELS.values() if kernel.policy is policy) for name, policy in POLICIES.items()
}
DOORS_NS = {True: 1_000_000, False: 3_000_000}
"""The housekeeping CPU's next event: before the deadline of 2 ms, or after it."""


def answers(kernel: Kernel, facts: VcpuFacts, hv_timer: bool, door: bool) -> dict[str, bool]:
    can_post = kernel.policy(facts)
    return {
        **facts._asdict(),
        "hv_timer": hv_timer,
        "can_post": can_post,
        "pinned": kernel.hrtimer_pinned,
        "door": door,
    }


def simulated(kernel: Kernel, facts: VcpuFacts, hv_timer: bool, door: bool) -> tuple[str, str | None]:
    """The end that one simulated timer comes to, and its exit."""
    story = follow_timer(
        kernel,
        pi_inject_timer=facts.pi_inject_timer,
        apicv_active=facts.apicv_active,
        hlt_in_guest=facts.hlt_in_guest,
        mwait_in_guest=facts.mwait_in_guest,
        hv_timer=hv_timer,
        pcpu="housekeeping" if facts.housekeeping_cpu else "isolated",
        deadline_ns=2_000_000,
        housekeeping_next_event_ns=DOORS_NS[door],
    )
    if story.backend == "hv":
        return "hv", story.expiry_exit
    if story.fires_on == "own":
        return "local", story.expiry_exit
    return "posted" if story.delivery == "posted" else "kicked", story.expiry_exit


@pytest.mark.parametrize("name", POLICIES)
def test_chart_is_what_the_model_does(name: str) -> None:
    kernel = FIRST_KERNELS[name]
    assert PINNED[name] == kernel.hrtimer_pinned
    for facts, hv_timer, door in itertools.product(every_input(), (False, True), (False, True)):
        end = walk(answers(kernel, facts, hv_timer, door))
        assert (end, ENDS[end].exit) == simulated(kernel, facts, hv_timer, door), (facts, hv_timer, door)


def test_chart_is_the_predicate_of_the_preemption_timer() -> None:
    kernel = KERNELS["v5.18"]
    for facts, hv_timer in itertools.product(every_input(), (False, True)):
        end = walk(answers(kernel, facts, hv_timer, True))
        assert (end == "hv") == can_use_hv_timer(facts, kernel.policy(facts), hv_timer)


def test_every_way_leads_somewhere_and_no_two_boxes_overlap() -> None:
    known = {*QUESTIONS, *ENDS}
    followers = {name for question in QUESTIONS.values() for name in (question.yes, question.no)}
    assert followers == known - {decision_chart.FIRST}
    places = [question.at for question in QUESTIONS.values()] + [end.at for end in ENDS.values()]
    assert len(set(places)) == len(places)


def test_bits_of_the_preemption_timer_are_pythons() -> None:
    for name, policy in POLICIES.items():
        bits = front_end.policy_data(policy)["hv"]
        table = truth_table(policy)["can_use_hv_timer"]
        assert [bits >> index(facts) & 1 == 1 for facts in every_input()] == table.tolist(), name


def test_settings_are_what_is_simulated() -> None:
    panel = panels.decision_panel(housekeeping_cpu=True, hlt_in_guest=True, apicv_active=False, hv_timer=False)
    [guest] = panel.scenario.guests
    host = panel.scenario.host
    assert (guest.hlt_in_guest, guest.mwait_in_guest) == (True, False)
    assert (host.apicv, host.preemption_timer, host.pi_inject_timer) == (False, False, True)
    assert set(guest.pcpus or ()) <= set(host.timer_housekeeping)
    assert panel.scenario.kernel.policy is POLICIES["rev1"]


def test_own_policy_is_one_more_revision() -> None:
    def never_on_housekeeping(v: VcpuFacts) -> bool:
        return v.pi_inject_timer and not v.housekeeping_cpu

    panel = panels.decision_panel(never_on_housekeeping)
    panel.settings = {"revision": "never_on_housekeeping", "apicv_active": True}
    assert table_bits(panel.scenario.kernel.policy) == table_bits(never_on_housekeeping)
    assert float(panel.run.placement["share"]["housekeeping posted"]) > 0.8
    with pytest.raises(ValueError, match="revision: 'other' is not allowed"):
        panel.settings = {"revision": "other"}


def test_facts_of_the_panel_are_those_of_a_policy() -> None:
    assert {*VcpuFacts._fields, "hv_timer", "revision"} == {*FACTS.controls}


def test_only_the_policies_asked_for_are_shown() -> None:
    panel = panels.decision_panel(policies=["before", "rev1"])
    assert panel.options == {"policies": ["before", "rev1"], "table": True}
    assert panel.settings["revision"] == "rev1"
    for wrong in ({"policies": ["rev9"]}, {"policies": ["before"], "revision": "rev3"}):
        with pytest.raises(ValueError, match="it must be one of before"):
            panels.decision_panel(**wrong)


def test_the_table_can_be_left_out():
    assert panels.decision_panel().options["table"] is True
    assert panels.decision_panel(table=False).options["table"] is False
    with pytest.raises(ValueError, match=r"table: 'no' is not allowed; it must be True or False"):
        panels.decision_panel(table="no")
