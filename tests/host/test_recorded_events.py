"""Interrupts by vector, the longest gaps, rows of a recording by vCPU, VM, thread, time. Listings are made up."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.host.formats import read_kvm_trace
from kvmlab.host.vectors import is_local_timer
from tests.host.recorded import TRACES
from tests.places import RECORDED

MODERN = "info1 0x0000000000000000 info2 0x0000000000000000 intr_info {:#010x} error_code 0x00000000"


def row_of(table: pd.DataFrame, name: object) -> list[Any]:
    """The values of one row."""
    row: Any = table.loc[name]
    return list(row)


def leave(ms: float, info: str, vcpu: int = 0, cpu: int = 2, reason: str = "EXTERNAL_INTERRUPT") -> str:
    number = f"vcpu {vcpu} " if "intr_info" in info else ""
    return (
        f" CPU {vcpu}/KVM-{900 + vcpu} [{cpu:03d}] d..1. {ms:010.6f}: kvm_exit: {number}reason {reason} rip 0x1 {info}"
    )


def enter(ms: float, vcpu: int = 0, cpu: int = 2) -> str:
    return f" CPU {vcpu}/KVM-{900 + vcpu} [{cpu:03d}] d..1. {ms:010.6f}: kvm_entry: vcpu {vcpu}"


def other(ms: float, message: str, cpu: int = 2, task: str = "kworker/2:1-33") -> str:
    return f" {task} [{cpu:03d}] d.h1. {ms:010.6f}: {message}"


def test_exits_by_vector_and_sender() -> None:
    lines = [
        other(1.0, "ipi_send_cpu: cpu=2 callsite=ttwu+0x1 callback=x", cpu=5, task="vhost-77"),
        leave(1.0002, MODERN.format(0x800000FD)),
        other(1.0003, "reschedule_entry: vector=253"),
        enter(1.001),
        leave(2.0, MODERN.format(0x800000EC)),
        other(2.0001, "local_timer_entry: vector=236"),
        enter(2.001),
        leave(3.0, MODERN.format(0x800000EC)),
        enter(3.001),
        leave(4.0, MODERN.format(0x80000025)),
        other(4.0001, "irq_handler_entry: irq=24 name=eth0"),
        enter(4.001),
        leave(5.0, MODERN.format(0x800000F2)),
    ]
    table = kl.exit_interrupts("\n".join(lines))
    assert table["exits"].to_dict() == {"0xec": 2, "0x25": 1, "0xf2": 1, "0xfd": 1}
    assert table["share%"].sum() == pytest.approx(100)
    assert row_of(table, "0xfd")[2:] == [
        "RESCHEDULE_VECTOR",
        "another CPU",
        "reschedule",
        "vhost on pCPU 5",
    ]
    assert row_of(table, "0xec")[2:] == ["LOCAL_TIMER_VECTOR", "this CPU", "local_timer", ""]
    assert row_of(table, "0x25")[2:] == ["", "a device", "irq 24 eth0", ""]
    assert table.loc["0xf2", "name"] == "POSTED_INTR_VECTOR"


def test_the_second_info_of_older_kernels_is_the_interrupt() -> None:
    table = kl.exit_interrupts(
        "\n".join([leave(1, "info 0 800000ef"), enter(2), leave(3, "info 0 800000fd"), enter(4)])
    )
    assert table["exits"].to_dict() == {"0xef": 1, "0xfd": 1}
    assert table.loc["0xef", "name"] == "LOCAL_TIMER_VECTOR, up to v4.14"


def test_the_second_info_of_a_newer_kernel_through_trace_cmd_is_not() -> None:
    # info2 is what was being delivered at the exit: mostly nothing.
    lines = [
        leave(1, "info 0 800000ec"),
        enter(2),
        leave(3, "info 0 0"),
        enter(4),
        leave(5, "info 0 800000ec"),
        enter(6),
    ]
    table = kl.exit_interrupts("\n".join(lines))
    assert table["exits"].to_dict() == {"not shown": 3}
    # The handler's own event shows it still.
    lines[1:1] = [other(1.1, "local_timer_entry: vector=236")]
    lines[4:4] = [other(3.1, "local_timer_entry: vector=236")]
    table = kl.exit_interrupts("\n".join(lines))
    assert table["exits"].to_dict() == {"not shown": 2, "0xec": 1}


def test_amd_shows_no_vector() -> None:
    assert kl.exit_interrupts(leave(1, "info 0 0", reason="EXIT_INTR")).index.tolist() == ["not shown"]
    assert kl.exit_interrupts(enter(1)).empty


def test_the_local_timers_vector_by_release() -> None:
    assert is_local_timer(0xEC, modern=True)
    assert not is_local_timer(0xEF, modern=True)
    assert [vector for vector in range(256) if is_local_timer(vector, modern=False)] == [0xEC, 0xEE, 0xEF]
    assert not is_local_timer(None, modern=False)


def test_an_old_vector_shows_that_the_timer_fired_on_the_vcpus_own_cpu() -> None:
    lines = [
        leave(1.0, "info 0 0", reason="MSR_WRITE"),
        other(1.0001, "kvm_msr: msr_write 6e0 = 0x100", task="CPU 0/KVM-900"),
        enter(1.001),
        leave(2.0, "info 0 {:x}"),
        other(2.0001, "kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)", task="CPU 0/KVM-900"),
        enter(2.001),
    ]
    text = "\n".join(lines)
    assert kl.explain(text.format(0x800000EF)).timers["fires_on"].tolist() == ["own"]
    assert kl.explain(text.format(0x800000FD)).timers["fires_on"].tolist() == ["not visible"]


@pytest.mark.parametrize("name", TRACES)
def test_recorded_interrupts_are_those_that_were_recorded(name: str) -> None:
    text = (RECORDED / name).read_text()
    vectors = [int(found, 16) & 0xFF for found in re.findall(r"EXTERNAL_INTERRUPT .*intr_info (0x\w+)", text)]
    table = kl.exit_interrupts(text)
    assert table["exits"].sum() == len(vectors)
    assert table["exits"].to_dict() == {f"{v:#x}": vectors.count(v) for v in dict.fromkeys(vectors)}


# Gaps ----------------------------------------------------------------------------------------------------------------


SWITCH = "prev_comm={} prev_pid={} prev_state=R ==> next_comm={} next_pid={}"


def gap_listing() -> str:
    lines = [
        leave(1.0, "info 0 0", reason="MSR_WRITE"),
        enter(1.00001),
        leave(2.0, "info 0 0"),
        other(2.0001, "workqueue_execute_start: work struct 00000000aa: function vmstat_update"),
        other(
            2.0002, "sched_switch: prev_comm=CPU 0/KVM prev_pid=900 prev_state=R ==> next_comm=kworker/2:1 next_pid=33"
        ),
        other(
            2.0003, "sched_switch: prev_comm=kworker/2:1 prev_pid=33 prev_state=I ==> next_comm=CPU 0/KVM next_pid=900"
        ),
        other(2.0004, "irq_handler_entry: irq=9 name=acpi", cpu=3),
        enter(2.004),
        leave(3.0, "info 0 0", reason="HLT", vcpu=1, cpu=4),
        enter(3.5, vcpu=1, cpu=4),
        leave(4.0, "info 0 0", reason="EPT_VIOLATION", vcpu=1, cpu=4),
    ]
    return "\n".join(lines)


def test_the_longest_gaps_say_which_exit_when_and_what_ran() -> None:
    gaps = kl.longest_gaps(gap_listing())
    assert gaps["gap_us"].round(3).tolist() == [4000, 10]
    assert gaps["reason"].tolist() == ["EXTERNAL_INTERRUPT", "MSR_WRITE"]
    assert row_of(gaps, 0)[1:4] == [0, 900, 2]
    assert row_of(gaps, 0)[5:7] == [2.0, 2.004]
    assert gaps.loc[0, "meanwhile"] == "work vmstat_update (1), kworker/2:1 (1)"
    assert gaps.loc[1, "meanwhile"] == ""
    assert gaps.attrs == {"gaps": 2, "open": 1}
    assert kl.longest_gaps(gap_listing(), 1, halts=True)["reason"].tolist() == ["HLT"]
    with pytest.raises(ValueError, match="count"):
        kl.longest_gaps(gap_listing(), 0)


def test_a_switch_as_trace_cmd_prints_it_shows_who_ran() -> None:
    text = gap_listing().replace(
        SWITCH.format("CPU 0/KVM", 900, "kworker/2:1", 33), "CPU 0/KVM:900 [9] R ==> a:b:33 [9]"
    )
    assert "a:b (1)" in kl.longest_gaps(text)["meanwhile"][0]


def test_gaps_of_a_recording_are_its_handling_times() -> None:
    path = RECORDED / "vmx-6.1-rev2-housekeeping-pcpu.trace.txt"
    gaps = kl.longest_gaps(path, 1000, halts=True)
    exits = kl.explain(path).exits
    assert len(gaps) == exits["Samples"].sum()
    assert gaps["gap_us"].max() == pytest.approx(exits["Max Time"].max(), abs=0.01)
    pd.testing.assert_frame_equal(kl.longest_gaps(read_kvm_trace(path), 1000, halts=True), gaps)


# Rows ----------------------------------------------------------------------------------------------------------------

TWO = "\n".join(
    [
        leave(1.0, "info 0 0", reason="MSR_WRITE", vcpu=0),
        other(
            1.0001, "hrtimer_start: hrtimer=0xa function=apic_timer_fn expires=5 softexpires=5", task="CPU 0/KVM-900"
        ),
        enter(1.1, vcpu=0),
        leave(1.2, "info 0 0", reason="MSR_WRITE", vcpu=1, cpu=3),
        other(1.3, "hrtimer_start: hrtimer=0xb function=apic_timer_fn expires=5 softexpires=5", 3, "CPU 1/KVM-901"),
        enter(1.4, vcpu=1, cpu=3),
        other(2.0, "hrtimer_expire_entry: hrtimer=0xa function=apic_timer_fn now=6", 0, "<idle>-0"),
        other(2.1, "kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)", 0, "<idle>-0"),
        other(2.2, "hrtimer_expire_exit: hrtimer=0xa", 0, "<idle>-0"),
        other(2.3, "kvm_apicv_accept_irq: apicid 1 vec 99 (Fixed|edge)", 0, "<idle>-0"),
        other(2.4, "hrtimer_expire_entry: hrtimer=0xb function=apic_timer_fn now=6", 0, "<idle>-0"),
        other(2.5, "sched_wakeup: comm=x pid=7 prio=1 target_cpu=001", 0, "<idle>-0"),
    ]
)


def test_rows_of_a_vcpu_come_with_its_timers_callbacks() -> None:
    trace = read_kvm_trace(TWO)
    one = kl.select_events(trace, vcpu=0)
    assert one["time_s"].tolist() == [1.0, 1.0001, 1.1, 2.0, 2.1, 2.2]
    assert kl.explain(one).timers["delivery"].tolist() == ["posted"]
    assert kl.select_events(trace, vcpu=[1])["time_s"].tolist() == [1.2, 1.3, 1.4, 2.4]
    assert kl.select_events(trace, thread=901).equals(kl.select_events(trace, vcpu=1))
    assert kl.select_events(trace, thread=900, vcpu=1).empty
    assert len(kl.select_events(trace)) == len(trace)


def test_rows_by_time_and_pcpu() -> None:
    trace = read_kvm_trace(TWO)
    assert kl.select_events(trace, start_s=1.2, end_s=2.0)["time_s"].tolist() == [1.2, 1.3, 1.4, 2.0]
    assert kl.select_events(trace, cpu=3)["time_s"].tolist() == [1.2, 1.3, 1.4]


def test_rows_of_a_vm() -> None:
    text = re.sub(r"-(90[01]) \[", r"-\1 ( 7\1) [", TWO)
    trace = read_kvm_trace(text)
    assert set(kl.select_events(trace, vm=7901)["pid"]) == {901}
    with pytest.raises(ValueError, match=r"vm=900 is not in the recording; there are: 7900, 7901"):
        kl.select_events(trace, vm=900)
    with pytest.raises(ValueError, match="record-tgid"):
        kl.select_events(read_kvm_trace(TWO), vm=900)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"vcpu": 7}, r"vcpu=7 is not in the recording; there are: 0, 1"),
        ({"thread": [900, 5]}, r"thread=5 is not in the recording; there are: 0, 900, 901"),
        ({"cpu": True}, "cpu=True is not in the recording"),
        ({"cpu": 0.5}, "cpu=0.5 is not in the recording"),
        ({"vcpu": "0x"}, "vcpu='0' is not in the recording|vcpu='x' is not in the recording"),
        ({"thread": float("nan")}, "thread=nan is not in the recording"),
        ({"start_s": -1}, "start_s"),
        ({"end_s": "x"}, "end_s"),
    ],
)
def test_what_the_recording_does_not_have_is_refused(asked: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        kl.select_events(read_kvm_trace(TWO), **asked)
    with pytest.raises(ValueError, match="expected a table of read_kvm_trace"):
        kl.select_events(pd.DataFrame())
