"""What the counts of a table are taken to show, and what is said with them."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab.host.explain.elsewhere import AMD, ARM64, PVM, STIMER, has_no_lapic_timer, other_machines
from kvmlab.host.explain.evidence import NO_HV_TIMER
from kvmlab.host.explain.given import Given
from kvmlab.host.explain.perf_table import explain_table, fast_exits, table_facts
from kvmlab.host.host_facts import HostFacts
from kvmlab.host.inference import Fact, Observation
from tests.host.made_up import table

FAST = (
    "That there are no PREEMPTION_TIMER exits shows nothing on v5.8 to v5.10: perf misses exits that the fast path "
    "handles there."
)


def test_exits_are_facts_of_a_vm():
    samples = {"HLT": 3, "hlt": 2, "MWAIT_INSTRUCTION": 4, "0x80b:W": 5, "0xfee000b0:W": 1, "CPUID": 9}
    assert table_facts(samples) == [
        NO_HV_TIMER,  # "hlt" is AMD's name
        Fact("hlt_in_guest", False, "some vCPU", "HLT exits (5)."),
        Fact("mwait_in_guest", False, "some vCPU", "MWAIT exits (4)."),
        Fact("apicv_active", False, "some vCPU", "EOI exits (6), so APICv is not active."),
    ]
    assert table_facts({"CPUID": 9}) == []
    assert table_facts({"HLT": 1, "0x80b:W": 1}) == [
        Fact("hlt_in_guest", False, "some vCPU", "HLT exits (1)."),
        Fact("apicv_active", False, "some vCPU", "EOI exits (1), so APICv is not active."),
    ]


def seen(question="can_use_hv_timer", answer=False):
    return Observation("some vCPU", None, question, answer, 5, "So.")


def given(release):
    return Given({}, None, None, HostFacts("host.txt", release=release))


@pytest.mark.parametrize(
    ("release", "hidden"),
    [
        ((5, 7), False), ((5, 8), True), ((5, 9), True), ((5, 10), True), ((5, 11), False), ((4, 9), False),
        ((6, 9), False), (None, True),
    ],
)  # fmt: skip
def test_some_releases_hide_the_preemption_timer_s_exits(release, hidden):
    assert fast_exits([seen()], given(release)) == (FAST if hidden else "")


def test_only_a_conclusion_from_missing_exits_is_doubted():
    unknown = Given({}, None, None)
    posted = seen("can_post_timer_interrupt", True)
    assert fast_exits([posted, seen()], unknown) == FAST
    assert fast_exits([seen(answer=True)], unknown) == ""
    assert fast_exits([posted], unknown) == fast_exits([], unknown) == ""
    assert fast_exits([seen("can_post_timer_interrupt", False)], unknown) == ""


def notes(rows, **options):
    return kl.explain(table(rows, **options)).notes


def test_what_a_table_s_rows_leave_open_is_said():
    assert notes({"APIC_WRITE": (1234, 1.0)}) == (
        "1,234 APIC_WRITE exits: an IPI, an EOI or a write of the timer's initial count, the table does not show "
        "which. They are not taken for timers.",
    )
    assert notes({"CPUID": (1234, 1.0)}) == ()
    assert notes({"0x6e0:W": (1000, 1.0), "0x838:W": (234, 1.0), "0x1b:R": (5, 1.0)}, title="MSR Access") == (
        "1,234 writes armed the guest's LAPIC timer, or disarmed it.",
    )
    assert notes({"0x1b:R": (5, 1.0)}, title="MSR Access") == ()
    # AMD has no preemption timer, so no exit of it can be missing.
    assert notes({"MSR_WRITE": (900, 1.0)}) == (FAST,)
    assert notes({"msr": (900, 1.0), "interrupt": (900, 1.0)}) == (AMD,)


def test_rows_of_one_name_are_added_up():
    twice = kl.read_perf_kvm_stat(table({"MSR_WRITE": (60, 1.0), "CPUID": (60, 1.0)}))
    twice.index = twice.index.str.replace("CPUID", "MSR_WRITE")
    [used, posted] = explain_table(twice, "the table", Given({}, None, None)).policy.observations
    assert (used.question, used.answer, used.count) == ("can_use_hv_timer", False, 120)
    assert (posted.question, posted.answer, posted.count) == ("can_post_timer_interrupt", True, 120)


@pytest.mark.parametrize(
    ("rows", "events", "sentences"),
    [
        ({"HLT", "CPUID"}, {"kvm_exit"}, []),
        ({"hlt"}, (), [AMD]),
        ({"WFx", "hlt"}, (), [AMD, ARM64]),
        ({"SYSCALL"}, (), [PVM]),
        ({"0x400000b0:W"}, (), [STIMER]),
        ({"0x400000b7:W"}, (), [STIMER]),
        ({"0x400000af:W", "0x400000b8:W", "0x400000b0:R"}, (), []),
        ((), {"kvm_exit", "kvm_hv_stimer_expiration"}, [STIMER]),
        ((), {"kvm_hv_timer_state"}, []),
        ((), (), []),
    ],
)
def test_names_tell_other_machines(rows, events, sentences):
    assert other_machines(rows, events) == sentences


def test_only_arm64_has_no_lapic_timer():
    assert has_no_lapic_timer(["DABT_LOW", "HLT"]) == ARM64
    assert has_no_lapic_timer(["hlt", "SYSCALL"]) == has_no_lapic_timer([]) == ""
