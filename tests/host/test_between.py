"""Lines between the events of a listing: what kind they are, and which of them may be a part of an event."""

from __future__ import annotations

import pytest

from kvmlab.host.formats.between import (
    begins,
    damage,
    goes_on_with_pairs,
    kind_behind_head,
    kind_between,
    may_go_on,
    refusal_of,
)
from kvmlab.host.formats.messages import AN_EVENT


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("=> kvm_vcpu_block (ffffffff81001000)", "stack frames"),
        ("        ffffffffc0a01000 vcpu_enter_guest+0x100 ([kvm])", "stack frames"),
        (" 5)   0.123 us    |  kvm_vcpu_kick();", "traced functions"),
        ("[   40.000400] kvm: vcpu 1 requested lapic timer restore", "kernel messages"),
        ("<6>[40.000401][ T812] a: b", "kernel messages"),
        ("           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION", "column heads"),
        ("              | |         |   |||||     |         |", "column heads"),
        (" [...] ", "marks of lines left out"),
        ("8 lines follow", "lines of other text"),
        ("CPU:3 [LOST 12 EVENTS]", "lines of other text"),
        ("", "lines of other text"),
    ],
)
def test_the_kind_of_a_line_between_events(line: str, kind: str) -> None:
    assert kind_between(line) == kind


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        ("<stack trace>", "stack frames"),
        (" <user stack trace> ", "stack frames"),
        ("apic_timer_fn <-__hrtimer_run_queues", "traced functions"),
        ("apic_timer_fn", None),
        ("", None),
    ],
)
def test_the_kind_of_a_line_with_a_head_and_no_event(rest: str, kind: str | None) -> None:
    assert kind_behind_head(rest) == kind


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("  # a comment", True),
        (" kt-617 [000] 8.000001: anything", True),
        ("=> kvm_vcpu_block (ffffffff81001000)", True),
        ("...", True),
        ("CPU:3 [LOST 12 EVENTS]", True),
        (" CPU:3 [12 EVENTS DROPPED]", True),
        ("CPU:3 [LOST", False),
        ("info2 0x0000000000000000", False),
        ("and prose", False),
    ],
)
def test_a_line_that_begins_something_continues_nothing(line: str, is_one: bool) -> None:
    assert begins(line) is is_one


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("VM-EXIT  Samples  Samples%", f"{AN_EVENT}; not a table of perf kvm stat"),
        ("Event name  Samples  Sample%", f"{AN_EVENT}; not a table of perf kvm stat"),
        ("kt-617 [000] d..1. 8.27: kvm", AN_EVENT),
        ("at 8.27: it ran on [000]", None),
        ("it ran on [000] for long", None),
        ("it ran at 8.27: so early", None),
        ("  CPU:3 [LOST 1", AN_EVENT),
        ("kvm_entry: nothing of it", AN_EVENT),
        (" kvm_entry: nothing of it", AN_EVENT),
        ("a kvm_entry: nothing of it", None),
        ("The kvm_exit: event comes first", None),
        ("here is kvm_entry: vcpu 3", AN_EVENT),
        ("8.273633: kvm_exit: reason", AN_EVENT),
        ("8.273633: kvm:kvm_exit: reason", AN_EVENT),
        ("and so on", None),
    ],
)
def test_a_part_of_an_event_is_told_from_prose(line: str, expected: str | None) -> None:
    assert damage(line) == expected


@pytest.mark.parametrize(
    ("event", "message", "expected"),
    [
        (
            "kvm_exit",
            "PC: 0xffff800008012345",
            "kvm_exit of x86; this is one of arm64, whose timer is another one and which",
        ),
        (
            "kvm_entry",
            "PC: 0xffff800008012345",
            "kvm_entry of x86; this is one of arm64, whose timer is another one and",
        ),
        ("kvm_msr", "PC: 0x1", "a whole message of kvm_msr, as kernels for x86 print it; cut off or wrapped"),
        ("kvm_exit", "reason", "a whole message of kvm_exit, as kernels for x86 print it; cut off or wrapped"),
        ("kvm_exit", "", "a whole message of kvm_exit, as kernels for x86 print it; it is cut off or wrapped"),
    ],
)
def test_what_is_expected_of_a_message(event: str, message: str, expected: str) -> None:
    assert refusal_of(event, message).startswith(expected)


@pytest.mark.parametrize(
    ("event", "width", "following", "may"),
    [
        ("kvm_fpu", 20, "0x14", True),
        ("kvm_fpu", 20, "one two", True),
        ("kvm_fpu", 20, "and then it sleeps", False),
        # A mail program wraps lines of 64 characters or more: what follows may be anything.
        ("kvm_fpu", 63, "and then it sleeps", False),
        ("kvm_fpu", 64, "and then it sleeps", True),
        ("kvm_fpu", 64, "  ", False),
        ("kvm_fpu", 64, "# a comment", False),
        ("kvm_fpu", 64, "CPU:3 [LOST 12 EVENTS]", False),
        ("kvm_fpu", 64, "", False),
        ("kvm_entry", 20, "0x14", False),
        ("kvm_entry", 64, "and then it sleeps", False),
    ],
)
def test_what_may_be_the_end_of_an_event(event: str, width: int, following: str, may: bool) -> None:
    assert may_go_on(event, "x" * width, following) is may


@pytest.mark.parametrize(
    ("line", "does"), [("a=1", True), (" ==> a=1 b", True), ("a =1", False), ("a=", False), ("the a=1", False)]
)
def test_a_line_that_goes_on_with_pairs(line: str, does: bool) -> None:
    assert goes_on_with_pairs(line) is does
