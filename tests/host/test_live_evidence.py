"""What a live run is taken to show: each sign at its limit, and the sentences word for word."""

from __future__ import annotations

from collections import Counter

import pytest

from kvmlab.host.live import evidence
from kvmlab.host.live.evidence import Observed, Traced

NO_SIGN = {"exits": 0, "irq_exits": 0, "halt_exits": 0}


def observed(exits, irqs=0, halts=0, **changes):
    """100 one-shot timers of a guest that spins, on Intel with APICv."""
    base = {
        "timers": 100,
        "timer_mode": "oneshot",
        "waits_by": "spin",
        "hlt_in_guest": False,
        "modules": ["kvm_intel"],
        "parameters": {"kvm_intel.enable_apicv": "Y"},
        "counters": {"exits": exits, "irq_exits": irqs, "halt_exits": halts},
    }
    return Observed(**(base | changes))


@pytest.mark.parametrize(
    ("exits", "backend"),
    [
        *[(89, None), (90, "hrtimer"), (100, "hrtimer"), (130, "hrtimer"), (131, None)],
        *[(179, None), (180, "hv"), (200, "hv"), (230, "hv"), (231, None)],
    ],
)
def test_exits_beside_the_arming_tell_the_timer(exits, backend):
    """100 armings cost an exit each: what is left is -0.1 to 0.3 exits per timer (none), or 0.8 to 1.3 (one)."""
    assert evidence.from_counters(observed(exits))[0] == backend


@pytest.mark.parametrize(("irqs", "backend"), [(0, "hv"), (49, "hv"), (50, None), (51, None)])
def test_many_interrupts_may_be_the_timers(irqs, backend):
    assert evidence.from_counters(observed(200 + irqs, irqs))[0] == backend


def test_a_periodic_timer_is_armed_once():
    assert evidence.from_counters(observed(101, timer_mode="periodic"))[0] == "hv"
    assert evidence.from_counters(observed(1, timer_mode="periodic"))[0] == "hrtimer"
    assert evidence.from_counters(observed(1, timer_mode="periodic", timers=2))[0] == "hrtimer"
    assert evidence.from_counters(observed(1))[0] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"waits_by": "pause"},
        {"modules": ["kvm_amd"]},
        {"parameters": {"kvm_intel.enable_apicv": "N"}},
        {"parameters": {}},
    ],
)
def test_without_apicv_or_with_exits_of_pause_the_counts_show_nothing(changes):
    backend, said = evidence.from_counters(observed(200, **changes))
    assert backend is None
    assert said == ["KVM counted 200 exits for 100 timers, 0 of them by interrupts and 0 by HLT."]


@pytest.mark.parametrize(("halts", "blocked"), [(50, False), (51, True)])
def test_a_guest_has_blocked_if_it_halted_for_more_than_half_of_its_timers(halts, blocked):
    backend, said = evidence.from_counters(observed(200 + halts, 0, halts, waits_by="hlt"))
    assert backend == (None if blocked else "hv")
    sentence = "The guest blocked: meanwhile KVM keeps its timer in an hrtimer, whatever was armed."
    assert (sentence in said) == blocked
    granted = "hlt_in_guest was granted, and yet HLT exited: this host does not leave it to the guest."
    assert granted not in said
    _, said = evidence.from_counters(observed(200 + halts, 0, halts, waits_by="hlt", hlt_in_guest=True))
    assert (granted in said) == blocked


@pytest.mark.parametrize(("emulated", "interpreted"), [(500, False), (501, True)])
def test_more_than_five_emulated_instructions_per_timer_are_an_interpreter(emulated, interpreted):
    counters = {"exits": 200, "irq_exits": 0, "halt_exits": 0, "insn_emulation": emulated}
    backend, said = evidence.from_counters(observed(0, counters=counters))
    assert backend == (None if interpreted else "hv")
    assert said[1:] == (
        [
            "KVM emulated 501 instructions: this host interprets the guest's code, so exits are not counted as "
            "hardware would make them, and latencies are the interpreter's."
        ]
        if interpreted
        else ["Beside the arming there is one exit per timer that is no interrupt: the preemption timer's."]
    )


@pytest.mark.parametrize("name", NO_SIGN)
def test_each_counter_is_needed(name):
    counters = {each: 100 for each in NO_SIGN if each != name}
    assert evidence.from_counters(observed(0, counters=counters)) == (
        None,
        ["KVM's counters are not available (KVM_GET_STATS_FD: Linux 5.14)."],
    )


def test_counts_are_said_in_full():
    assert evidence.from_counters(observed(107, 4, 2)) == (
        "hrtimer",
        [
            "KVM counted 107 exits for 100 timers, 4 of them by interrupts and 2 by HLT.",
            "Beside those and the arming there is no exit for each timer: no preemption timer exited.",
        ],
    )


def test_the_modules_say_what_can_be():
    amd = observed(0, modules=["kvm_amd"])
    assert evidence.from_modules(amd) == (
        "hrtimer",
        ["kvm_amd is loaded: SVM has no preemption timer, so it can only be an hrtimer."],
    )
    off = observed(0, parameters={"kvm_intel.preemption_timer": "N"})
    assert evidence.from_modules(off) == (
        "hrtimer",
        ["kvm_intel.preemption_timer is N: it can only be an hrtimer."],
    )
    assert evidence.from_modules(observed(0)) == (None, [])
    assert evidence.from_modules(observed(0, modules=["kvm_amd", "kvm_intel"])) == (None, [])
    assert evidence.from_modules(observed(0, modules=["kvm_a", "kvm_b"])) == (
        None,
        ["The vendor module is neither kvm_intel nor kvm_amd (kvm_a, kvm_b): nothing follows from it."],
    )


LISTING = """\
 vcpu-7 [002] 1.000001: kvm_exit: reason MSR_WRITE rip 0x1 info 0 0
 vcpu-7 [002] 1.000002: kvm_hv_timer_state: vcpu_id 0 hv_timer 0
 vcpu-7 [002] 1.000003: kvm_entry: vcpu 0
 vcpu-7 [002] 1.000011: kvm_exit: reason MSR_WRITE rip 0x1 info 0 0
 vcpu-7 [002] 1.000012: kvm_hv_timer_state: vcpu_id 0 hv_timer 1
 vcpu-7 [001] 1.000013: kvm_entry: vcpu 0
 <idle>-0 [000] 1.000020: hrtimer_expire_entry: hrtimer=0xff function=apic_timer_fn now=1000020000
 <idle>-0 [000] 1.000021: kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)
 <idle>-0 [000] 1.000021: kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)
 vcpu-7 [002] 1.000022: kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)
"""


def test_a_trace_is_counted_by_who_did_what_and_where():
    seen = evidence.read_trace(LISTING, 2, 7)
    assert seen == Traced(
        2,
        armed=Counter(hrtimer=1, hv=1),
        exits=Counter(MSR_WRITE=2),
        fired_on=Counter({0: 1}),
        ran_on=(1, 2),
        posted=2,
    )
    assert evidence.from_trace(seen) == (
        "hrtimer",
        [
            "kvm_hv_timer_state, 2 timers traced: armed on hrtimer: 1, hv: 1.",
            "apic_timer_fn, the LAPIC hrtimer's callback, ran on CPU 0: 1; vCPU: 1, 2.",
            "kvm_apicv_accept_irq: from there 2 were posted.",
            "kvm_exit: MSR_WRITE: 2.",
        ],
    )


def test_a_trace_without_signs_says_so():
    assert evidence.from_trace(Traced(3)) == (
        None,
        ["No kvm_exit was emitted: this host's exits cannot be told by reason."],
    )


@pytest.mark.parametrize(
    ("seen", "backend"),
    [
        (Traced(9, Counter(hrtimer=9), Counter(PREEMPTION_TIMER=1)), "hv"),
        (Traced(9, Counter(hv=9), Counter(PREEMPTION_TIMER=3), Counter({0: 2, 1: 2})), "hrtimer"),
        (Traced(9, Counter(hv=4, hrtimer=5)), "hrtimer"),
    ],
)
def test_what_fired_most_goes_before_what_was_armed_most(seen, backend):
    assert evidence.from_trace(seen)[0] == backend


def test_the_trace_decides_before_the_modules_and_those_before_the_counters():
    off = {"kvm_intel.enable_apicv": "Y", "kvm_intel.preemption_timer": "N"}
    backend, said = evidence.judge(observed(200, parameters=off, traced=Traced(1, Counter(hv=1))))
    assert backend == "hv"
    assert [sentence.split()[0] for sentence in said] == [
        "kvm_hv_timer_state,",
        "No",
        "kvm_intel.preemption_timer",
        "KVM",
        "Beside",
    ]
    assert evidence.judge(observed(200, parameters=off))[0] == "hrtimer"
    assert evidence.judge(observed(200))[0] == "hv"
