"""What counts of exits show, at the edges from which on they show it."""

from __future__ import annotations

import pytest

from kvmlab.host.explain.counts import count_observations


def shown(samples, whole=True, armed=None):
    """Return question, answer and count of each observation, and how many conditions it rests on."""
    found, rests_on = count_observations(samples, whole=whole, armed=armed)
    return [(each.question, each.answer, each.count) for each in found], len(rests_on)


def test_one_exit_of_the_preemption_timer_is_enough_and_the_rest_is_not_looked_at():
    for whole in (False, True):
        assert shown({"PREEMPTION_TIMER": 1, "MSR_WRITE": 1000}, whole) == ([("can_use_hv_timer", True, 1)], 0)
    sentences = [count_observations({"PREEMPTION_TIMER": n}, whole=False)[0][0].sentence for n in (1, 2)]
    assert sentences[0].startswith("1 PREEMPTION_TIMER exit: ")
    assert sentences[1].startswith("2 PREEMPTION_TIMER exits: ")


@pytest.mark.parametrize("name", ["MSR_WRITE", "MSR_WRITE_IMM", "msr", "EXIT_MSR"])
def test_from_100_writes_on_their_lack_says_that_hrtimers_were_used(name):
    assert shown({name: 99, "EXTERNAL_INTERRUPT": 99}) == ([], 0)
    assert shown({name: 100, "EXTERNAL_INTERRUPT": 100}) == ([("can_use_hv_timer", False, 100)], 1)
    assert shown({name: 100, "EXTERNAL_INTERRUPT": 100}, whole=False) == ([], 0)


@pytest.mark.parametrize(("irqs", "posted"), [(0, 200), (99, 101), (100, None), (101, None)])
def test_fewer_interrupts_than_half_the_writes_say_that_most_were_posted(irqs, posted):
    found, _ = shown({"MSR_WRITE": 200, "EXTERNAL_INTERRUPT": irqs})
    assert found[1:] == ([("can_post_timer_interrupt", True, posted)] if posted else [])


@pytest.mark.parametrize("name", ["HLT", "hlt", "MWAIT_INSTRUCTION"])
def test_one_halt_leaves_it_open_as_a_halted_vcpu_takes_no_exit(name):
    assert shown({"MSR_WRITE": 200, name: 1}) == ([], 0)


def test_more_apic_writes_than_msr_writes_leave_open_what_either_are():
    assert shown({"MSR_WRITE": 200, "APIC_WRITE": 201}) == ([], 0)
    assert len(shown({"MSR_WRITE": 200, "APIC_WRITE": 200})[0]) == 2


def test_writes_that_are_known_to_arm_need_no_condition_and_are_those_that_count():
    found, conditions = shown({"MSR_WRITE": 1000, "EXTERNAL_INTERRUPT": 140}, armed=300)
    assert found == [("can_use_hv_timer", False, 300), ("can_post_timer_interrupt", True, 160)]
    assert conditions == 0
    assert shown({"MSR_WRITE": 1000}, armed=99) == ([], 0)
