"""Listings of trace events: the recordings, the layouts of each tool, the messages of each kernel, and bad input.

Examples in this file are made up after the print formats in the kernel's sources.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from kvmlab.host.formats import read_kvm_trace, read_perf_kvm_stat
from kvmlab.host.formats.events import Listing
from kvmlab.host.formats.lines import open_source
from tests.host.recorded import REPORTS, TRACES
from tests.places import RECORDED
from tests.strategies import few


def only_row(text: str) -> Any:
    """The one event of a listing."""
    trace = read_kvm_trace(text)
    assert len(trace) == 1
    return trace.iloc[0]


# The recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRACES)
def test_a_recorded_trace_is_read_line_by_line(name: str) -> None:
    lines = [line for line in (RECORDED / name).read_text().splitlines() if not line.startswith("#")]
    trace = read_kvm_trace(RECORDED / name)
    assert len(trace) == len(lines) > 50
    assert list(trace.columns) == [
        "time_s",
        "time_ns",
        "cpu",
        "task",
        "pid",
        "event",
        "vcpu",
        "reason",
        "fields",
        "flags",
        "tgid",
    ]
    assert trace["time_ns"].dtype == "int64"
    assert trace["time_ns"].is_monotonic_increasing
    assert (trace["time_ns"] / 1e9).equals(trace["time_s"])
    assert set(trace["cpu"]) <= {0, 1}
    # Every message of the recordings is known: none was left as text, but the marks.
    assert set(trace["event"][[("text" in fields) for fields in trace["fields"]]]) <= {"tracing_mark_write"}
    assert trace["reason"].notna().equals(trace["event"] == "kvm_exit")
    assert (trace["vcpu"].dropna() == 0).all()
    for line, event, time_s in zip(lines, trace["event"], trace["time_s"], strict=True):
        assert f"{time_s:.6f}: " in line
        assert f"{event}: " in line


@pytest.mark.parametrize(
    ("name", "exits", "fired_on"),
    [
        ("rev1-housekeeping-pcpu", {"EXTERNAL_INTERRUPT": 13, "MSR_WRITE": 10}, {0: 10}),
        ("rev1-posted", {"MSR_WRITE": 10}, {0: 10}),
        ("rev2-housekeeping-pcpu", {"MSR_WRITE": 10, "PREEMPTION_TIMER": 10, "EXTERNAL_INTERRUPT": 2}, {}),
        ("rev3-halted-in-guest", {"MSR_WRITE": 10, "EXTERNAL_INTERRUPT": 8}, {1: 8, 0: 2}),
        ("rev3-hv-periodic", {"PREEMPTION_TIMER": 10, "MSR_WRITE": 2}, {}),
        ("rev3-hv-timer", {"MSR_WRITE": 10, "PREEMPTION_TIMER": 10}, {}),
    ],
)
def test_recorded_traces_show_who_fired(name: str, exits: dict[str, int], fired_on: dict[int, int]) -> None:
    trace = read_kvm_trace(RECORDED / f"vmx-6.1-{name}.trace.txt")
    assert trace["reason"].value_counts().to_dict() == exits | {"IO_INSTRUCTION": 1}
    fired = trace[trace["event"] == "hrtimer_expire_entry"]
    fired = fired[[fields["function"] == "apic_timer_fn" for fields in fired["fields"]]]
    assert fired["cpu"].value_counts().to_dict() == fired_on
    marks = trace[trace["event"] == "tracing_mark_write"]
    assert [fields["text"] for fields in marks["fields"]] == ["KT-START", "KT-END"]


def test_fields_of_a_recorded_tracefs_listing() -> None:
    trace = read_kvm_trace(RECORDED / "vmx-6.1-rev1-housekeeping-pcpu.trace.txt")
    rows = {row.event: row for row in reversed(list(trace.itertuples()))}
    assert rows["kvm_exit"].time_ns == 8_273_634_000
    assert (rows["kvm_exit"].task, rows["kvm_exit"].pid, rows["kvm_exit"].cpu) == ("kt", 617, 0)
    assert (rows["kvm_exit"].vcpu, rows["kvm_exit"].reason) == (0, "MSR_WRITE")
    assert rows["kvm_exit"].fields == {"rip": 0x80E9, "info1": 0, "info2": 0, "intr_info": 0, "error_code": 0}
    assert rows["kvm_msr"].fields == {"access": "write", "msr": 0x6E0, "value": 0x8C96BE}
    assert rows["kvm_msr"].vcpu is pd.NA
    assert rows["kvm_hv_timer_state"].fields == {"hv_timer": 0}
    assert rows["kvm_wait_lapic_expire"].fields == {"delta": 7495, "when": "late"}
    assert rows["kvm_apic_accept_irq"].fields == {"apicid": 0, "vector": 236, "delivery": "Fixed", "trigger": "edge"}
    assert rows["local_timer_entry"].fields == {"vector": 236}
    assert rows["kvm_userspace_exit"].fields == {"reason": "KVM_EXIT_IO", "code": 2}
    assert rows["kvm_userspace_exit"].reason is pd.NA
    assert rows["hrtimer_start"].fields == {
        "hrtimer": "0000000048f88669",
        "function": "apic_timer_fn",
        "module": "kvm",
        "expires": 8274632804,
        "softexpires": 8274632804,
        "mode": "ABS|HARD",
        "was_armed": 0,
    }


def test_fields_of_a_recorded_perf_script() -> None:
    trace = read_kvm_trace(RECORDED / "perf-script.no-apicv.txt")
    # Each timer is armed by one write and ended by another, without APICv.
    writes = [fields["msr"] for fields in trace["fields"][trace["event"] == "kvm_msr"] if fields["access"] == "write"]
    assert (writes.count(0x6E0), writes.count(0x80B)) == (10, 10)
    start: Any = trace[trace["event"] == "hrtimer_start"].iloc[0]
    assert (start["task"], start["pid"], start["cpu"]) == ("kt", 535, 1)
    assert start["fields"]["hrtimer"] == "0xffff8880050b2a10"
    assert start["fields"]["function"] == "apic_timer_fn"
    assert start["fields"]["expires"] == 39478333235


# Layouts and generations ---------------------------------------------------------------------------------------------

# Made up: one line of each tool, and of its options.
LAYOUTS = {
    "tracefs": "       CPU 0/KVM-4711    [003] d..1.  8.273633: {}: {}",
    "tracefs 4.x": "     CPU 0/KVM-4711  [003] d..1  8.273633: {}: {}",
    "tracefs without flags": "   CPU 0/KVM-4711 [003]  8.273633: {}: {}",
    "tracefs with tgid": "   CPU 0/KVM-4711    (   4700) [003] d..1.  8.273633: {}: {}",
    "tracefs with unknown tgid": "   CPU 0/KVM-4711    (-------) [003] d..1.  8.273633: {}: {}",
    "trace-cmd": "       CPU 0/KVM-4711  [003]     8.273633: {}:             {}",
    "perf script": "       CPU 0/KVM    4711 [003]     8.273633:              kvm:{}: {}",
    "perf script --ns": "       CPU 0/KVM    4711 [003]     8.273633000:   kvm:{}:  {}",
    "perf script with pid and tid": "       CPU 0/KVM  4700/4711  [003]     8.273633:   kvm:{}: {}",
}
LONG = "info1 0x0000000000000010 info2 0x0000000000000000 intr_info 0x800000ec error_code 0x00000000"
LONG_FIELDS = {"info1": 16, "info2": 0, "intr_info": 0x800000EC, "error_code": 0}

# Made up, after arch/x86/kvm/trace.h of each kernel and libtraceevent's plugin: message, vcpu, reason, fields.
EXITS = {
    "before 5.4": ("reason EXTERNAL_INTERRUPT rip 0xabc info 0 800000ec", None, "EXTERNAL_INTERRUPT"),
    "5.4 to 5.9": ("vcpu 2 reason MSR_WRITE rip 0xabc info 0 800000ec", 2, "MSR_WRITE"),
    "from 5.10": (f"vcpu 2 reason PREEMPTION_TIMER rip 0xabc {LONG}", 2, "PREEMPTION_TIMER"),
    "6.18": (f"vcpu 2 reason HLT rip 0xabc {LONG} requests 0x0000000000000040", 2, "HLT"),
    "svm": (f"vcpu 12 reason interrupt rip 0xabc {LONG}", 12, "interrupt"),
    "svm before 5.4": ("reason npf rip 0xabc info 0 800000ec", None, "npf"),
    "failed entry": (f"vcpu 2 reason INVALID_STATE FAILED_VMENTRY rip 0xabc {LONG}", 2, "INVALID_STATE"),
    "code without a name": (f"vcpu 2 reason 0x4d rip 0xabc {LONG}", 2, "0x4d"),
    "libtraceevent": ("reason EXIT_HLT rip 0xabc info 0 800000ec", None, "EXIT_HLT"),
    "libtraceevent with a symbol": (
        "reason MSR_WRITE rip 0xabc [native_write_msr+0x4] info 0 800000ec",
        None,
        "MSR_WRITE",
    ),
    "libtraceevent without a name": ("reason UNKNOWN (77) rip 0xabc info 0 800000ec", None, "UNKNOWN (77)"),
}
ENTRIES = {
    "before 5.7": ("vcpu 2", {}),
    "from 5.7": ("vcpu 2, rip 0xabc", {"rip": 0xABC}),
    "6.18": ("vcpu 2, rip 0xabc intr_info 0x800000ec error_code 0x00000000", {"rip": 0xABC, "error_code": 0}),
    "6.18 at once": (
        "vcpu 2, rip 0xabc intr_info 0x800000ec error_code 0x00000000[immediate exit]",
        {"rip": 0xABC, "immediate_exit": True},
    ),
    "libtraceevent": (" vcpu 2 rip 0xabc", {"rip": 0xABC}),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("message", "vcpu", "reason"), EXITS.values(), ids=EXITS)
def test_kvm_exit_of_every_kernel_in_every_listing(layout: str, message: str, vcpu: int | None, reason: str) -> None:
    row = only_row(layout.format("kvm_exit", message))
    assert (row["task"], row["pid"], row["cpu"], row["time_ns"]) == ("CPU 0/KVM", 4711, 3, 8_273_633_000)
    assert (row["event"], row["reason"]) == ("kvm_exit", reason)
    assert row["vcpu"] is pd.NA if vcpu is None else row["vcpu"] == vcpu
    assert row["fields"]["rip"] == 0xABC
    if "intr_info" in message:
        assert row["fields"].items() >= LONG_FIELDS.items()
    else:
        assert (row["fields"]["info1"], row["fields"]["info2"]) == (0, 0x800000EC)
    assert row["fields"].get("requests") == (0x40 if "requests" in message else None)
    assert row["fields"].get("flags") == ("FAILED_VMENTRY" if "FAILED" in message else None)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("message", "fields"), ENTRIES.values(), ids=ENTRIES)
def test_kvm_entry_of_every_kernel_in_every_listing(layout: str, message: str, fields: dict[str, object]) -> None:
    row = only_row(layout.format("kvm_entry", message))
    assert (row["event"], row["vcpu"]) == ("kvm_entry", 2)
    assert row["reason"] is pd.NA
    assert row["fields"].items() >= fields.items()
    assert ("immediate_exit" in row["fields"]) == ("immediate" in message)


# Made up, after the print formats of each event.
@pytest.mark.parametrize(
    ("event", "message", "vcpu", "fields"),
    [
        ("kvm_msr", "msr_write 80b = 0x0", None, {"access": "write", "msr": 0x80B, "value": 0}),
        ("kvm_msr", "msr_read 1b = 0x0 (#GP)", None, {"access": "read", "msr": 0x1B, "value": 0, "failed": True}),
        (
            "kvm_apic",
            "apic_write APIC_TMICT = 0xf4240",
            None,
            {"access": "write", "register": "APIC_TMICT", "value": 10**6},
        ),
        ("kvm_hv_timer_state", "vcpu_id 1f hv_timer 1", 31, {"hv_timer": 1}),
        ("kvm_wait_lapic_expire", "vcpu 3: delta -120 (early)", 3, {"delta": -120, "when": "early"}),
        ("kvm_eoi", "apicid 1f vector 236", None, {"apicid": 31, "vector": 236}),
        ("kvm_pv_eoi", "apicid 0 vector 236", None, {"apicid": 0, "vector": 236}),
        ("kvm_inj_virq", "irq 236", None, {"kind": "irq", "vector": 236}),
        ("kvm_inj_virq", "IRQ 0xec [reinjected]", None, {"kind": "IRQ", "vector": 236, "reinjected": True}),
        (
            "kvm_apic_accept_irq",
            "apicid 1 vec 236 (Fixed|edge) (coalesced)",
            None,
            {"apicid": 1, "vector": 236, "delivery": "Fixed", "trigger": "edge", "coalesced": True},
        ),
        (
            "kvm_halt_poll_ns",
            "vcpu 0: halt_poll_ns 20000 (grow 10000)",
            0,
            {"halt_poll_ns": 20000, "change": "grow", "old": 10000},
        ),
        (
            "kvm_vcpu_wakeup",
            "wait time 5000 ns, polling valid",
            None,
            {"how": "wait", "duration_ns": 5000, "polling": "valid"},
        ),
        ("kvm_userspace_exit", "reason restart (4)", None, {"reason": "restart", "code": 4}),
        ("kvm_fpu", "load", None, {"text": "load"}),
        ("kvm_ack_irq", "", None, {"text": ""}),
        ("hrtimer_cancel", "hrtimer=0000000012345678", None, {"hrtimer": "0000000012345678"}),
        (
            "hrtimer_init",
            "hrtimer=00000000abcdef01 clockid=CLOCK_MONOTONIC mode=0x8",
            None,
            {"hrtimer": "00000000abcdef01", "clockid": "CLOCK_MONOTONIC", "mode": "0x8"},
        ),
        (
            "sched_switch",
            "prev_comm=CPU 0/KVM prev_pid=4711 prev_state=S ==> next_comm=7 next_pid=7",
            None,
            {"prev_comm": "CPU 0/KVM", "prev_pid": 4711, "prev_state": "S", "next_comm": "7", "next_pid": 7},
        ),
        ("kvm_avic_ga_log", "vmid=1, vcpuid=0x2", None, {"vmid": 1, "vcpuid": 2}),
        (
            "sched_waking",
            "comm=kt pid=535 target_cpu=001 value=10",
            None,
            {"comm": "kt", "pid": 535, "target_cpu": 1, "value": 10},
        ),
        ("print", "tracing_mark_write: KT-START a=1", None, {"text": "KT-START a=1"}),
        ("tracing_mark_write", "a=1 b: kvm_entry: vcpu 0", None, {"text": "a=1 b: kvm_entry: vcpu 0"}),
    ],
)
def test_messages_of_other_events(event: str, message: str, vcpu: int | None, fields: dict[str, object]) -> None:
    for layout in ("tracefs", "perf script"):
        row = only_row(LAYOUTS[layout].format(event, message))
        assert row["fields"] == fields
        assert row["vcpu"] is pd.NA if vcpu is None else row["vcpu"] == vcpu
        assert row["event"] == ("tracing_mark_write" if event == "print" else event)


def test_what_stands_between_events_is_passed_over() -> None:
    # Made up: the head of a trace-cmd report, overruns of both tools, comments and blank lines.
    event = LAYOUTS["trace-cmd"].format("kvm_entry", "vcpu 0")
    head = "version = 7\nCPU 1 is empty\ncpus=4\n\n# a comment\n##### CPU 2 buffer started ####\n"
    trace = read_kvm_trace(f"{head}{event}\nCPU:3 [LOST 12 EVENTS]\n{event}\nCPU:1 [3 EVENTS DROPPED]\n")
    assert len(trace) == 2
    assert trace.attrs["lost_events"] == 15


def test_a_task_may_have_any_name() -> None:
    names = ["<...>", "kworker/u16:1-ev", "a-b-7", "#hash", "[x] 1", "-"]
    trace = read_kvm_trace("\n".join(f"  {name}-12 [000] .....  1.000000: kvm_fpu: load" for name in names))
    assert trace["task"].tolist() == names
    assert set(trace["pid"]) == {12}


def test_an_empty_listing_is_an_empty_table() -> None:
    trace = read_kvm_trace("# tracer: nop\n#\n# entries-in-buffer/entries-written: 0/0   #P:2\n")
    full = read_kvm_trace(RECORDED / TRACES[0])
    assert len(trace) == 0
    assert trace.dtypes.equals(full.dtypes)


TIMES = st.integers(0, 10**15)
TASKS = st.from_regex(r"[A-Za-z<][A-Za-z0-9_/.:>-]{0,12}( [A-Za-z0-9])?", fullmatch=True)


@few(100)
@given(
    task=TASKS,
    pid=st.integers(0, 4_194_304),
    cpu=st.integers(0, 8191),
    micros=TIMES,
    vcpu=st.integers(0, 4095),
    rip=st.integers(0, 2**64 - 1),
    info=st.integers(0, 2**64 - 1),
    reason=st.sampled_from(["EXTERNAL_INTERRUPT", "npf", "write_dr0", "APIC_WRITE", "0x4d", "UNKNOWN"]),
)
def test_an_exit_reads_back_from_every_listing(
    task: str, pid: int, cpu: int, micros: int, vcpu: int, rip: int, info: int, reason: str
) -> None:
    time = f"{micros // 10**6}.{micros % 10**6:06d}"
    message = (
        f"vcpu {vcpu} reason {reason} rip {rip:#x} info1 {info:#018x} info2 {0:#018x} "
        f"intr_info {info & 0xFFFFFFFF:#010x} error_code {0:#010x}"
    )
    listings = [
        f"{task:>16}-{pid:<7} [{cpu:03d}] d..1. {time:>12}: kvm_exit: {message}",
        f"{task:>16}-{pid:<5} [{cpu:03d}] {time:>12}: kvm_exit:             {message}",
        f"{task:>16} {pid:>5} [{cpu:03d}] {time:>12}: {'kvm:kvm_exit':>26}: {message}",
    ]
    trace = read_kvm_trace("\n".join(listings))
    row: Any
    for row in trace.itertuples():
        assert (row.task, row.pid, row.cpu, row.vcpu, row.reason) == (task, pid, cpu, vcpu, reason)
        assert row.time_ns == micros * 1000
        assert row.time_s == micros * 1000 / 1e9
        assert row.fields["rip"] == rip
        assert row.fields["info1"] == info
        assert row.fields["intr_info"] == info & 0xFFFFFFFF


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_an_exit_cut_off_anywhere_is_refused(layout: str) -> None:
    line = layout.format("kvm_exit", EXITS["from 5.10"][0])
    assert len(read_kvm_trace(line)) == 1
    for end in range(len(line)):
        with pytest.raises(ValueError, match=r"line 1: found .*; expected "):
            read_kvm_trace(line[:end] + "\n")


GOOD = LAYOUTS["tracefs"].format("kvm_entry", "vcpu 0, rip 0x80c1")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("VM-EXIT  Samples  Samples%", r"found 'VM-EXIT  Samples  Samples%'; expected an event.*not a table"),
        (" kt-617 [000] d..1.  8.27: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 [000] d..1.  8273633: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 [000] d..1.  99999999999.000000: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 d..1.  8.273633: kvm_entry: vcpu 0", "expected an event"),
        (" kt [000] d..1.  8.273633: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 [000] d..1.  8.273633: tick_nohz_irq_exit", "expected an event"),
        (
            LAYOUTS["tracefs"].format("kvm_entry", "vcpu 0,"),
            r"found 'kvm_entry: vcpu 0,'; expected a whole message of kvm_entry",
        ),
        (LAYOUTS["tracefs"].format("kvm_entry", "vcpu 99999999999"), "whole message of kvm_entry"),
        (LAYOUTS["tracefs"].format("kvm_exit", "vcpu 0 reason msr rip 0xabc"), "whole message of kvm_exit"),
        (LAYOUTS["tracefs"].format("kvm_exit", "[FAILED TO PARSE] exit_reason=1"), "whole message of kvm_exit"),
        (LAYOUTS["tracefs"].format("kvm_msr", "msr_write 6e0 = "), "whole message of kvm_msr"),
        (LAYOUTS["tracefs"].format("kvm_msr", "msr_write 6e0 = 0x1; import os"), "whole message of kvm_msr"),
        (
            LAYOUTS["tracefs"].format("hrtimer_start", "hrtimer=00 function=f expires=1"),
            "whole message of hrtimer_start",
        ),
        (
            LAYOUTS["tracefs"].format("hrtimer_expire_entry", "hrtimer=00 function=f now="),
            "whole message of hrtimer_exp",
        ),
        (
            LAYOUTS["tracefs"].format("hrtimer_expire_entry", "hrtimer=00 function=f now=1x"),
            "whole message of hrtimer_exp",
        ),
        (LAYOUTS["tracefs"].format("local_timer_entry", "vector="), "whole message of local_timer_entry"),
        (GOOD + "\x00", "not a binary file"),
        (GOOD + "\ud800", "not a binary file"),
        (GOOD + " " * 9000, "a line of at most 8192 bytes"),
        ("CPU:3 [LOST 1", "expected an event"),
        ("VM-EXIT Samples Samples% Time% Min Time Max Time Avg time", "expected an event"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(bad: str, complaint: str) -> None:
    assert len(read_kvm_trace(f"{GOOD}\n{GOOD}")) == 2
    with pytest.raises(ValueError, match=rf"line 2: .*{complaint}"):
        read_kvm_trace(f"{GOOD}\n{bad}\n{GOOD}\n")


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "#!/bin/sh\n", "cpus=4\n"])
def test_a_text_without_events_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: found .*; expected an event.*there is none"):
        read_kvm_trace(text)


def test_a_report_is_not_a_trace() -> None:
    with pytest.raises(ValueError, match=r"line 5: found 'VM-EXIT .*; expected an event.*not a table"):
        read_kvm_trace(RECORDED / REPORTS[0])
    with pytest.raises(
        ValueError, match=r"line 13: found '.*hrtimer_start.*; expected a perf kvm stat table, not a trace"
    ):
        read_perf_kvm_stat(RECORDED / "vmx-6.1-rev1-posted.trace.txt")


@settings(few(100), deadline=2000)
@given(st.text(alphabet=" -[]0a:.", min_size=4000, max_size=8000))
def test_a_hostile_line_takes_no_long_time(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        read_kvm_trace(line + "!\n")


@pytest.mark.parametrize("limit", ["x", -1, 0, 1.5, float("nan"), True, None, [3], 10**400])
def test_a_limit_is_a_number_of_events(limit):
    with pytest.raises(ValueError, match=r"limit: .* is not allowed; it must be an integer from 1 to 1000000000"):
        read_kvm_trace(RECORDED / "perf-script.no-apicv.txt", limit=limit)


@pytest.mark.parametrize("file", [3, ["trace.dat"], b"trace.dat"])
def test_a_file_of_a_report_is_named_by_text(file):
    with pytest.raises(ValueError, match="is not in it; expected one of"):
        read_kvm_trace(RECORDED / "perf-script.no-apicv.txt", file=file)


@pytest.mark.parametrize(
    ("event", "message", "fits"),
    [
        ("kvm_wait_lapic_expire", "vcpu 0: delta {} (late)", (1 << 63) - 1),
        ("hrtimer_expire_entry", "hrtimer=00000000a1b2c3d4 now={} function=apic_timer_fn", (1 << 63) - 1),
    ],
)
def test_a_number_has_64_bits(event, message, fits):
    """One that has more was not printed by the kernel, and fits no table."""
    line = " CPU 0/KVM-81 [005] d..1. 60.000000: {}: {}\n"
    [fields] = read_kvm_trace(line.format(event, message.format(fits)))["fields"]
    assert fits in fields.values()
    with pytest.raises(ValueError, match=rf"line 1: found '{event}: "):
        read_kvm_trace(line.format(event, message.format(fits + 1)))


# Where a listing is, and what it says of itself ----------------------------------------------------------------------

KNOWN = " kt-617 [000] d..1.  8.000001: kvm_entry: vcpu 0"
OTHER = " kt-617 [000] d..1.  8.000002: kvm_fpu: load"


def test_a_listing_knows_its_line_and_what_was_lost_so_far() -> None:
    text = (
        f"# tracer: nop\n{KNOWN}\nCPU:3 [LOST 12 EVENTS]\nprose here too\n\n{OTHER}\nCPU:1 [3 EVENTS DROPPED]\n[...]\n"
    )
    listing = Listing(open_source(text))
    assert (listing.line, listing.lost_events, listing.left_out, listing.notes()) == (0, 0, 0, [])
    places = [(event.event, listing.line, listing.lost_events, listing.left_out) for event in listing]
    assert places == [("kvm_entry", 2, 0, 0), ("kvm_fpu", 6, 12, 0)]
    assert (listing.line, listing.lost_events, listing.left_out) == (8, 15, 1)
    assert listing.passed_over == {"lines of other text": 1, "marks of lines left out": 1}
    assert listing.notes() == [
        "Passed over: lines of other text (1).",
        "Lines were left out in 1 place: events are missing there.",
    ]


def test_every_place_where_lines_were_left_out_is_counted() -> None:
    trace = read_kvm_trace(f"{KNOWN}\n[...]\n{OTHER}\n...\n")
    assert trace.attrs["notes"] == ["Lines were left out in 2 places: events are missing there."]
    assert trace.attrs["passed_over"] == {"marks of lines left out": 2}
    assert read_kvm_trace(KNOWN).attrs == {"lost_events": 0, "passed_over": {}, "notes": []}


def test_as_many_events_are_read_as_the_limit_says() -> None:
    text = f"# a comment\n{KNOWN}\nprose here too\n{OTHER}\n{KNOWN}\n"
    assert len(read_kvm_trace(text, limit=3)) == 3
    assert len(read_kvm_trace(text, limit=10**9)) == 3
    with pytest.raises(ValueError, match=r"the text, line 5: found 'kvm_entry'; expected at most 2 events \(limit=2\)"):
        read_kvm_trace(text, limit=2)
    with pytest.raises(ValueError, match=r"the text, line 4: found 'kvm_fpu'; expected at most 1 events \(limit=1\)"):
        read_kvm_trace(text, limit=1)


def test_a_mark_is_told_from_other_prints() -> None:
    lines = [KNOWN.replace("kvm_entry: vcpu 0", rest) for rest in ("print: tracing_mark_write: A b", "print: A b")]
    trace = read_kvm_trace("\n".join([*lines, KNOWN.replace("kvm_entry: vcpu 0", "my_event: tracing_mark_write: A")]))
    assert trace["event"].tolist() == ["tracing_mark_write", "print", "my_event"]
    assert [fields["text"] for fields in trace["fields"]] == ["A b", "A b", "tracing_mark_write: A"]


def test_pairs_that_were_wrapped_off_are_joined_and_counted() -> None:
    pairs = " kt-617 [000] d..1.  8.000003: sched_switch: prev_comm=a prev_pid=1"
    trace = read_kvm_trace(f"{pairs}\nprev_prio=5\n==> next_comm=b\n\nc=1 is said here\n{KNOWN}\n")
    assert trace["fields"][0] == {"prev_comm": "a", "prev_pid": 1, "prev_prio": 5, "next_comm": "b"}
    assert trace.attrs["notes"] == ["Joined: 2 wrapped lines.", "Passed over: lines of other text (1)."]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            f"{OTHER}\n0x14\n",
            "line 2: found '0x14'; expected a blank line before other text; this may be the end of kvm_fpu",
        ),
        (
            f"{KNOWN}\n{OTHER}\n word\n",
            "line 3: found 'word'; expected .*; this may be the end of kvm_fpu in line 2, wrapped",
        ),
        ("\nprose\n\nmore of it\n\n", "line 4: found 'more of it'; expected an event: .*; there is none"),
        (
            f"{KNOWN}\n kt-617 [000] 8.000003: kvm_entry\n",
            r"line 2: found 'kt-617 \[000\] 8.000003: kvm_entry'; expected",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^the text, {complaint}"):
        read_kvm_trace(text)


def test_a_row_of_the_table_has_what_the_line_says() -> None:
    text = (
        "  CPU 1/KVM-812 ( 800) [005] d..1. 40.000100: kvm_exit: vcpu 1 reason HLT rip 0x2000 info 0 0\n"
        "  kt-7 [006] 40.000200: kvm_userspace_exit: reason restart (4)\n"
        "  kt-7 [006] 40.000300: my_event: vcpu=3 reason=5\n"
        "  kt-7 [006] 40.000400: kvm_hv_timer_state: vcpu_id 1f hv_timer 1\n"
    )
    trace = read_kvm_trace(text)
    assert trace.drop(columns="fields").astype(object).where(trace.notna(), None).to_numpy().tolist() == [
        [40.0001, 40_000_100_000, 5, "CPU 1/KVM", 812, "kvm_exit", 1, "HLT", "d..1.", 800],
        [40.0002, 40_000_200_000, 6, "kt", 7, "kvm_userspace_exit", None, None, None, None],
        [40.0003, 40_000_300_000, 6, "kt", 7, "my_event", None, None, None, None],
        [40.0004, 40_000_400_000, 6, "kt", 7, "kvm_hv_timer_state", 31, None, None, None],
    ]
    assert trace["fields"].tolist() == [
        {"rip": 0x2000, "info1": 0, "info2": 0},
        {"reason": "restart", "code": 4},
        {"vcpu": 3, "reason": 5},
        {"hv_timer": 1},
    ]
