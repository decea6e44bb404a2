"""Heads and messages of single lines: what they say, and which numbers the kernel can have printed."""

from __future__ import annotations

import pytest

from kvmlab.host.formats.messages import Head, fits, is_event_line, is_known, read_head, read_message, whole_event


@pytest.mark.parametrize(
    ("name", "value", "fit"),
    [
        *(("delta", value, fit) for value, fit in [(2**63 - 1, True), (2**63, False), (-(2**63), True)]),
        *(("now", value, fit) for value, fit in [(2**63 - 1, True), (2**63, False), (-(2**63) - 1, False)]),
        *(("vector", value, fit) for value, fit in [(2**64 - 1, True), (2**64, False), (-1, True)]),
        *(("prev_pid", value, fit) for value, fit in [(0, True), (-(2**63), True), (-(2**63) - 1, False)]),
    ],
)
def test_a_number_has_64_bits_and_some_have_a_sign(name: str, value: int, fit: bool) -> None:
    assert fits(name, value) is fit


@pytest.mark.parametrize(
    ("line", "head"),
    [
        (
            "   CPU 0/KVM-4711    (   4700) [003] d..1.  8.273633: kvm_fpu: load",
            Head(None, "CPU 0/KVM", 4711, 4700, 3, "d..1.", 8_273_633_000, "kvm_fpu: load"),
        ),
        ("a-b-7 (-----) [012]  70.000001: x", Head(None, "a-b", 7, None, 12, None, 70_000_001_000, "x")),
        ("a-7 [012]  70.000001:", Head(None, "a", 7, None, 12, None, 70_000_001_000, "")),
        ("CPU 0/KVM 4700/4711 [003] 8.273633012: e", Head(None, "CPU 0/KVM", 4711, 4700, 3, None, 8_273_633_012, "e")),
        ("kt 5 [003] 0.000001: e", Head(None, "kt", 5, None, 3, None, 1000, "e")),
        # A report of several files has the file's name, or an instance's name and blanks, before the task.
        (" trace.dat: kt-5 [003] 0.000001: e", Head("trace.dat", "kt", 5, None, 3, None, 1000, "e")),
        ("trace.dat:kt-5 [003] 0.000001: e", Head("trace.dat", "kt", 5, None, 3, None, 1000, "e")),
        ("buffer:     kworker/1:0-5 [003] 0.000001: e", Head("buffer", "kworker/1:0", 5, None, 3, None, 1000, "e")),
        ("inst: abcdefghij-5 [003] 0.000001: e", Head("inst", "abcdefghij", 5, None, 3, None, 1000, "e")),
        # The name of a task has up to 15 characters.
        ("inst: abcdefghi-5 [003] 0.000001: e", Head(None, "inst: abcdefghi", 5, None, 3, None, 1000, "e")),
        ("buffer:abcdefghijkl-5 [003] 0.000001: e", Head(None, "buffer:abcdefghijkl", 5, None, 3, None, 1000, "e")),
        ("trace.dat:-5 [003] 0.000001: e", Head(None, "trace.dat:", 5, None, 3, None, 1000, "e")),
        ("kt-5 [003] 1.00001: e", None),
        ("kt-5 003 1.000001: e", None),
        ("", None),
    ],
)
def test_the_head_of_a_line(line: str, head: Head | None) -> None:
    assert read_head(line) == head


@pytest.mark.parametrize(
    ("rest", "event"),
    [
        ("kvm_fpu: load", ("kvm_fpu", "load")),
        ("  kvm:kvm_fpu:   load ", ("kvm_fpu", "load")),
        ("12 kvm:kvm_fpu: ", ("kvm_fpu", "")),
        ("kvm_fpu:", None),
        ("kvm_fpu load", None),
    ],
)
def test_the_event_of_a_line(rest: str, event: tuple[str, str] | None) -> None:
    line = f"kt-5 [003] 0.000001: {rest}"
    head = read_head(line)
    assert head is not None
    assert head.event() == event
    assert is_event_line(line) == (event is not None)
    assert not is_event_line(rest)


@pytest.mark.parametrize(
    ("event", "message", "fields"),
    [
        ("kvm_msr", "msr_write 6e0 = 0x10", {"access": "write", "msr": 0x6E0, "value": 16}),
        ("kvm_msr", "msr_write 6e0 = 0xffffffffffffffff", {"access": "write", "msr": 0x6E0, "value": 2**64 - 1}),
        ("kvm_msr", "msr_write 6e0 = 16", None),
        ("kvm_eoi", "apicid 10 vector 99999999999999999999", None),
        ("kvm_eoi", "apicid 10 vector 10", {"apicid": 16, "vector": 10}),
        ("local_timer_exit", "vector=236", {"vector": 236}),
        ("local_timer_exit", "vector=23x", None),
        ("hrtimer_cancel", "hrtimer=", None),
        ("hrtimer_expire_entry", "hrtimer=ff function=tick now=5", {"hrtimer": "ff", "function": "tick", "now": 5}),
        ("hrtimer_expire_entry", "hrtimer=ff now=5", None),
        (
            "hrtimer_expire_entry",
            "hrtimer=12 function=tick+0x1/0x20 [kvm_intel] now=-5",
            {"hrtimer": "12", "function": "tick", "module": "kvm_intel", "now": -5},
        ),
        ("other", "", {"text": ""}),
        ("other", "some text a=1", {"text": "some text a=1"}),
        ("other", "a=0x10, b=10 c=0010 d=x e=", {"a": 16, "b": 10, "c": "0010", "d": "x", "e": ""}),
        ("other", "a=99999999999999999999 b=-007 comm=7", {"a": "99999999999999999999", "b": -7, "comm": "7"}),
        ("tracing_mark_write", "a=1", {"text": "a=1"}),
    ],
)
def test_a_message_is_read_or_refused(event: str, message: str, fields: dict[str, object] | None) -> None:
    assert read_message(event, message) == fields


@pytest.mark.parametrize(
    ("rest", "fields"),
    [
        ("kvm_entry: vcpu 3", {"vcpu": 3}),
        ("hrtimer_cancel: hrtimer=ff", {"hrtimer": "ff"}),
        ("hrtimer_cancel: hrtimer=ff and more", None),  # its value has no blanks
        (
            "hrtimer_expire_entry: hrtimer=ff function=f [kvm] now=7",
            {"hrtimer": "ff", "function": "f", "module": "kvm", "now": 7},
        ),
        ("hrtimer_expire_entry: hrtimer=ff function=f g now=7", None),
        ("kvm_entry: vcpu", None),
        ("kvm_fpu: load", None),  # nobody knows what its messages look like
        ("x", None),
    ],
)
def test_an_event_that_is_known_to_be_whole(rest: str, fields: dict[str, object] | None) -> None:
    line = f"kt-5 [003] d..1. 0.000001: {rest}"
    name = rest.partition(":")[0]
    head = Head(None, "kt", 5, None, 3, "d..1.", 1000, "")
    assert whole_event(line) == (None if fields is None else (head, name, fields))
    assert whole_event(rest) is None
    assert is_known(name) == (name not in ("kvm_fpu", "x"))
