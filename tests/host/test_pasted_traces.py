"""Listings as people paste them: trace-cmd's plugins, several files, stacks, prose, wrapped lines. All made up."""

from __future__ import annotations

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.host.formats import read_kvm_trace
from tests.host.recorded import TRACES
from tests.host.twins import WRAPPED
from tests.places import RECORDED


def listing(*lines: str) -> str:
    return "\n".join(lines) + "\n"


LEAVE = " qemu-6.2-812 [005] d..1. 40.000100: kvm_exit: reason HLT rip 0x2000 info 0 0"
ENTER = " qemu-6.2-812 [005] d..1. 40.000900: kvm_entry: vcpu 1"
PLAIN = read_kvm_trace(listing(LEAVE, ENTER))

# trace-cmd -----------------------------------------------------------------------------------------------------------

POSTED = """\
 CPU 0/KVM-321  [007]  9.000100: kvm_exit:             reason MSR_WRITE rip 0xffffffff81060000 info 0 0
 CPU 0/KVM-321  [007]  9.000102: hrtimer_start:        hrtimer=0xff81aa function={} expires=8001000 softexpires=8001000
 CPU 0/KVM-321  [007]  9.000103: kvm_msr:              msr_write 6e0 = 0x77
 CPU 0/KVM-321  [007]  9.000104: kvm_entry:             vcpu 0 rip 0xffffffff81060002
    <idle>-0    [001]  9.000500: hrtimer_expire_entry: hrtimer=0xff81aa now=8001200 function={}
    <idle>-0    [001]  9.000501: kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)
    <idle>-0    [001]  9.000502: hrtimer_expire_exit:  hrtimer=0xff81aa
"""


@pytest.mark.parametrize(
    "function", ["apic_timer_fn/0x0", "apic_timer_fn+0x0/0x90", "apic_timer_fn+0x0", "apic_timer_fn [kvm]"]
)
def test_an_offset_is_no_part_of_a_function(function: str) -> None:
    found = kl.explain(POSTED.format(function, function))
    assert found.summary() == kl.explain(POSTED.format("apic_timer_fn", "apic_timer_fn")).summary()
    assert found.outcomes["delivery"].tolist() == ["posted"]


@pytest.mark.parametrize("symbol", ["", " [native_write_msr+0x4]", " native_write_msr+0x4", " native_write_msr"])
def test_a_guest_symbol_may_stand_behind_rip(symbol: str) -> None:
    lines = [
        f" a-1 [000] 1.000001: kvm_exit: reason EXIT_MSR rip 0xabc{symbol} info 1 0",
        f" a-1 [000] 1.000002: kvm_entry: vcpu 0 rip 0xabc{symbol}",
    ]
    trace = read_kvm_trace(listing(*lines))
    assert [fields["rip"] for fields in trace["fields"]] == [0xABC, 0xABC]
    assert trace["fields"][0]["info1"] == 1


@pytest.mark.parametrize(
    "reason",
    ["EXIT_NPF", "EXIT_VINTR", "EXIT_EXCP_PF", "EXIT_MSR", "npf", "PF excp", "read_cr8", "avic_incomplete_ipi"],
)
def test_exits_with_amds_names_are_amds(reason: str) -> None:
    text = listing(f" a-1 [000] 1.000001: kvm_exit: reason {reason} rip 0x1 info 0 0", ENTER)
    assert read_kvm_trace(text)["reason"][0] == reason
    assert any("AMD's names" in each for each in kl.explain(text).policy.evidence)


def test_intels_names_are_not_amds() -> None:
    text = listing(*(LEAVE.replace("HLT", reason) for reason in ("MSR_WRITE", "EXTERNAL_INTERRUPT", "EXCEPTION_NMI")))
    assert not any("AMD's names" in each for each in kl.explain(text).policy.evidence)


HOST = [f"       trace.dat: {line}" for line in (LEAVE, ENTER)]
GUEST = [
    "  trace-web.dat:       <idle>-0   [005] 40.000300: hrtimer_expire_entry: hrtimer=0xff now=1 function=tick",
    "    trace-web.dat:           <idle>-0     [005] 40.000500: sched_wakeup: comm=sh pid=7 prio=120 target_cpu=000",
]


def test_of_a_report_of_several_files_the_hosts_is_read() -> None:
    trace = read_kvm_trace(listing("cpus=8", GUEST[0], HOST[0], GUEST[1], HOST[1]))
    pd.testing.assert_frame_equal(trace, PLAIN)
    assert trace.attrs["passed_over"] == {"events of trace-web.dat": 2}
    assert trace.attrs["notes"] == ["Passed over: events of trace-web.dat (2)."]
    assert kl.explain(listing(GUEST[0], *HOST, GUEST[1])).housekeeping_hrtimers_hz is None


def test_a_file_can_be_asked_for() -> None:
    text = listing(GUEST[0], HOST[0], GUEST[1], HOST[1])
    assert read_kvm_trace(text, file="trace-web.dat")["event"].tolist() == ["hrtimer_expire_entry", "sched_wakeup"]
    with pytest.raises(ValueError, match=r"file='b' is not in it; expected one of 'trace-web.dat', 'trace.dat'"):
        read_kvm_trace(text, file="b")


def test_files_that_cannot_be_told_apart_are_never_mixed() -> None:
    two = [line.replace("trace.dat", "other.dat") for line in HOST]
    with pytest.raises(ValueError, match=r"exits of guests in 2 files; .* file=.*'trace.dat', 'other.dat'"):
        read_kvm_trace(listing(HOST[0], two[0], HOST[1], two[1]))
    with pytest.raises(ValueError, match="events of several files"):
        read_kvm_trace(listing(GUEST[0], GUEST[1].replace("trace-web", "trace-db")))


def test_a_report_of_several_files_may_have_no_event() -> None:
    with pytest.raises(ValueError, match=r"line 1: .*expected an event"):
        read_kvm_trace(" trace.dat: a-1 [003] 2.000050: kvm_ent\n")
    assert read_kvm_trace(listing(f"a.dat: {BETWEEN['traced functions'][0]}", HOST[0]), file="trace.dat").shape[0] == 1


def test_one_file_before_every_line_is_no_part_of_the_task() -> None:
    for prefix in ("trace.txt:", "trace.txt:  ", "my-buffer:            "):
        trace = read_kvm_trace(listing(*(prefix + line for line in (LEAVE, ENTER))))
        assert trace["task"].tolist() == ["qemu-6.2"] * 2
    assert read_kvm_trace(" sshd: root-812 [005] d..1. 40.000900: kvm_entry: vcpu 1")["task"][0] == "sshd: root"


# Between the events --------------------------------------------------------------------------------------------------

BETWEEN = {
    "stack frames": [
        "=> kvm_vcpu_block (ffffffff81001000)",
        " => vcpu_run+0x1f/0x50",
        " => 0xffffffffc0a01000",
        "        ffffffffc0a01000 vcpu_enter_guest+0x100 ([kvm])",
        "        ffffffff81000000 [unknown] ([kernel.kallsyms])",
        "ffffffff81063be2 vmx_vcpu_run+0x2",
        " qemu-6.2-812 [005] d..1. 40.000200: <stack trace>",
    ],
    "traced functions": [
        " qemu-6.2-812 [005] d..1. 40.000300: apic_timer_fn <-__hrtimer_run_queues",
        " 5)   0.123 us    |  kvm_vcpu_kick();",
        " 5)               |  }",
    ],
    "kernel messages": ["[   40.000400] kvm: vcpu 1 requested lapic timer restore", "<6>[40.000401][ T812] a: b"],
    "column heads": [
        "           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
        "              | |         |   |||||     |         |",
        "                                _-----=> irqs-off/BH-disabled",
    ],
    "lines of other text": ["and here it sleeps:", "Then the guest is entered", "The kvm_exit: event comes first"],
}


@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, lines in BETWEEN.items() for line in lines])
def test_what_stands_between_events_is_passed_over_and_counted(kind: str, line: str) -> None:
    trace = read_kvm_trace(listing(LEAVE, line, ENTER))
    pd.testing.assert_frame_equal(trace, PLAIN)
    assert trace.attrs["passed_over"] == {kind: 1}
    assert trace.attrs["notes"] == [f"Passed over: {kind} (1)."]


@pytest.mark.parametrize("dots", ["...", "[...]", "[..]", "[snip]", "<snip>", "…", "-- >8 --"])
def test_dots_say_that_events_are_missing(dots: str) -> None:
    trace = read_kvm_trace(listing(LEAVE, dots, ENTER))
    assert trace.attrs["notes"] == ["Lines were left out in 1 place: events are missing there."]


def test_a_stack_of_trace_cmd_is_an_event_and_its_frames() -> None:
    mark = " qemu-6.2-812 [005] d..1. 40.000200: kernel_stack:         <stack trace >"
    trace = read_kvm_trace(listing(LEAVE, mark, *BETWEEN["stack frames"][:2], ENTER))
    assert trace["event"].tolist() == ["kvm_exit", "kernel_stack", "kvm_entry"]


def test_a_period_before_the_event_of_perf_script_is_passed_over() -> None:
    trace = read_kvm_trace(" qemu-6.2 810/812 [005] 40.000900:          1 kvm:kvm_entry: vcpu 1")
    assert tuple(trace[["event", "pid", "tgid"]].iloc[0]) == ("kvm_entry", 812, 810)


def test_arm64_is_named() -> None:
    line = " a-1 [000] d..1. 1.000001: kvm_exit: TRAP: HSR_EC: 0x0001 (WFx), PC: 0xffff800008012345"
    with pytest.raises(ValueError, match=r"kvm_exit of x86; this is one of arm64"):
        read_kvm_trace(line)


# Wrapped lines -------------------------------------------------------------------------------------------------------

LONG = (
    " CPU 0/KVM-4711 [003] d..1. 8.273633: kvm_exit: vcpu 2 reason EXTERNAL_INTERRUPT rip 0xffffffff81060000 "
    "info1 0x0000000000000010 info2 0x0000000000000000 intr_info 0x800000ec error_code 0x00000000"
)
START = (
    " CPU 0/KVM-4711 [003] d..1. 8.273634: hrtimer_start: hrtimer=00000000abcdef01 function=apic_timer_fn [kvm] "
    "expires=8274632804 softexpires=8274632804 mode=ABS|HARD was_armed=0"
)


def same_or_refused(text: str, whole: pd.DataFrame) -> pd.DataFrame | None:
    """The table of a wrapped text, which has to be that of the whole one; None if it is refused as wrapped."""
    complaint = ""
    try:
        trace = read_kvm_trace(text)
    except ValueError as error:
        complaint = str(error)
    if complaint:
        assert "wrapped" in complaint
        return None
    pd.testing.assert_frame_equal(trace, whole)
    return trace


@pytest.mark.parametrize("line", [LONG, START])
def test_a_line_wrapped_at_any_blank_is_the_same_or_refused(line: str) -> None:
    whole = read_kvm_trace(listing(line, GOOD))
    joined = 0
    for place in range(line.index("["), len(line)):
        if line[place] == " ":
            for left in (line[:place], "> " + line[:place]):
                trace = same_or_refused(listing(left, line[place + 1 :], GOOD), whole)
                if trace is not None:
                    assert "joined: 1 wrapped line" in trace.attrs["notes"][0].lower()
                    joined += 1
    assert joined > 10


GOOD = " CPU 0/KVM-4711 [003] d..1. 8.273640: kvm_entry: vcpu 2, rip 0xffffffff81060002"


@pytest.mark.parametrize("line", [LONG, START, GOOD])
def test_a_line_cut_anywhere_is_the_same_or_refused(line: str) -> None:
    # A cut within the task's name leaves a line of text, and a task with a shorter name.
    last = GOOD.replace("8.273640", "8.273650")
    whole = read_kvm_trace(listing(line, last))
    cuts = range(line.index("["), len(line), 2 if line is LONG else 1)
    traces = [same_or_refused(listing(line[:i], line[i:], last), whole) for i in cuts]
    assert sum(trace is not None for trace in traces) > 10


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["kvm_msr: msr_write 6e0 = 0x12", "34"], "it is wrapped, and it is unclear where"),
        (
            ["kvm_page_fault: vcpu 0 rip 0x1 address 0x2 error_code", "0x14"],
            "may be the end of kvm_page_fault .* wrapped",
        ),
        (["kvm_exit:"], "expected an event"),
        (["kvm_exit: reason HLT rip 0x1 info"], "whole message of kvm_exit.*wrapped"),
    ],
)
def test_what_cannot_be_put_together_is_refused(lines: list[str], complaint: str) -> None:
    head = " CPU 0/KVM-4711 [003] d..1. 8.273633: "
    with pytest.raises(ValueError, match=complaint):
        read_kvm_trace(listing(head + lines[0], *lines[1:], GOOD))


def test_pairs_of_an_event_that_is_not_known_are_joined() -> None:
    line = " a-1 [000] d..1. 1.000001: sched_switch: prev_comm=CPU 0/KVM prev_pid=1 ==> next_comm=b next_pid=2"
    whole = read_kvm_trace(line)
    for word in ("==> next_comm", "next_pid", "prev_pid"):
        pd.testing.assert_frame_equal(read_kvm_trace(line.replace(f" {word}", f"\n{word}")), whole)


def test_prose_behind_a_whole_event_is_prose() -> None:
    for prose in ("and then it sleeps for long", "34 exits follow", "rip is in the idle loop"):
        trace = read_kvm_trace(listing(LONG, prose, GOOD))
        assert trace.attrs["passed_over"] == {"lines of other text": 1}
        assert len(trace) == 2


@pytest.mark.parametrize("twin", WRAPPED)
@pytest.mark.parametrize("name", TRACES)
def test_a_wrapped_recording_is_the_same_or_refused(name: str, twin: str) -> None:
    text = (RECORDED / name).read_text()
    same_or_refused(WRAPPED[twin](text), read_kvm_trace(text))


# Listings that lack a kind of event ----------------------------------------------------------------------------------


def test_without_exits_each_write_is_an_arming() -> None:
    lines = [f" a-1 [000] d..1. 1.{ms:03d}000: kvm_msr: msr_write 6e0 = {ms + 7:#x}" for ms in range(0, 40, 4)]
    found = kl.explain(listing(*lines))
    assert found.timers["armed_ns"].tolist() == [1_000_000_000 + ms * 1_000_000 for ms in range(0, 40, 4)]
    assert "10 timers" in found.summary()


def test_without_exits_a_write_that_shows_twice_is_one_arming() -> None:
    lines = [
        line
        for ms in range(0, 40, 4)
        for line in (
            f" a-1 [000] d..1. 1.{ms:03d}000: kvm_apic: apic_write APIC_TMICT = 0x1000",
            f" a-1 [000] d..1. 1.{ms:03d}001: kvm_msr: msr_write 838 = 0x1000",
        )
    ]
    assert len(kl.explain(listing(*lines)).timers) == 10


def test_with_exits_a_write_is_one_arming_as_before() -> None:
    text = (RECORDED / "vmx-6.1-rev1-posted.trace.txt").read_text()
    bare = "".join(line for line in text.splitlines(True) if " kvm_e" not in line)
    assert len(kl.explain(text).timers) == len(kl.explain(bare).timers) == 10
    # The first hrtimer is started before the first write shows whose it is.
    assert kl.explain(bare).timers["delivery"].tolist() == ["not visible"] + ["posted"] * 9


def test_exits_and_entries_alone_are_listed() -> None:
    text = listing(LEAVE, ENTER, LEAVE.replace("40.0001", "41.0001"), ENTER.replace("40.0009", "41.0009"))
    assert kl.explain(text).exits[["Samples", "Avg time"]].to_dict("index") == {"HLT": {"Samples": 2, "Avg time": 800}}
