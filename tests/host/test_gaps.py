"""The longest times out of the guest, event by event. Events are made up."""

from __future__ import annotations

from typing import Any

import pytest

import kvmlab as kl
from kvmlab.host.formats.events import Event
from kvmlab.host.gaps import GapFinder, switched_to

SECOND = 1_000_000_000


def event(us: int, name: str, /, *, pid: int = 900, cpu: int = 2, reason: str | None = None, **fields: Any) -> Event:
    """An event at 1 s and some us, of the vCPU's thread on pCPU 2 unless told otherwise."""
    vcpu, task = fields.pop("vcpu", None), fields.pop("task", "CPU 0/KVM")
    time_ns = SECOND + 1000 * us
    return Event(time_ns / 1e9, time_ns, cpu, task, pid, name, vcpu, reason, fields, None)


def leave(us: int, reason: str | None = "MSR_WRITE", **more: Any) -> Event:
    return event(us, "kvm_exit", reason=reason, **more)


def enter(us: int, **more: Any) -> Event:
    return event(us, "kvm_entry", **more)


def found(*events: Event, count: int = 10, halts: bool = False) -> tuple[list[list[Any]], dict[str, int]]:
    """The rows of the table, None for NA, and its attrs."""
    finder = GapFinder(count, halts)
    for each in events:
        finder.take(each)
    table = finder.table()
    assert list(table.columns) == ["gap_us", "vcpu", "thread", "cpu", "reason", "exit_s", "entry_s", "meanwhile"]
    rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    return rows, dict(table.attrs)


def meanwhile(*events: Event) -> str:
    """What ran in the one gap, from 0 to 1000 us."""
    [[*_, ran]], _ = found(leave(0), *events, enter(1000))
    return ran


def test_every_column_of_a_gap() -> None:
    rows, attrs = found(
        enter(0, vcpu=3),
        leave(10, "EPT_VIOLATION", vcpu=3),
        event(11, "irq_handler_entry", irq=24, name="eth0"),
        enter(35, vcpu=3, cpu=4),
        leave(40, None, pid=901, cpu=5),
        enter(47, pid=901, cpu=5),
        leave(90, pid=901, cpu=5),
    )
    assert rows == [
        [25.0, 3, 900, 2, "EPT_VIOLATION", 1.00001, 1.000035, "irq 24 eth0 (1)"],
        [7.0, None, 901, 5, "", 1.00004, 1.000047, ""],
    ]
    assert attrs == {"gaps": 2, "open": 1}


def test_the_longest_are_kept_and_of_two_alike_the_first() -> None:
    events = []
    for start, length in ((0, 5), (100, 30), (200, 10), (300, 30), (400, 20)):
        events += [leave(start), enter(start + length)]
    for count, begins in ((1, [100]), (2, [100, 300]), (3, [100, 300, 400]), (9, [100, 300, 400, 200, 0])):
        rows, attrs = found(*events, count=count)
        assert [round((row[5] - 1) * 1e6) for row in rows] == begins
        assert attrs == {"gaps": 5, "open": 0}


@pytest.mark.parametrize(("halts", "reasons"), [(False, ["CPUID"]), (True, ["HLT", "CPUID"])])
def test_halts_are_sleep_and_left_out_unless_asked_for(halts: bool, reasons: list[str]) -> None:
    rows, attrs = found(leave(0, "HLT"), enter(50), leave(60, "CPUID"), enter(70), halts=halts)
    assert [row[4] for row in rows] == reasons
    assert attrs["gaps"] == len(reasons)


def test_only_the_threads_own_entries_and_exits_show_its_number() -> None:
    """kvm_wait_lapic_expire may come in the callback of another vCPU's timer."""
    wait = event(5, "kvm_wait_lapic_expire", vcpu=7, delta=1)
    assert found(leave(0), wait, enter(9))[0][0][1] is None
    assert found(leave(0), wait, enter(9, vcpu=1))[0][0][1] == 1
    assert found(leave(0, vcpu=0), enter(9))[0][0][1] == 0


def test_what_ran_meanwhile_is_what_ran_on_that_pcpu() -> None:
    irq = {"irq": 9, "name": "acpi"}
    assert meanwhile(event(1, "irq_handler_entry", **irq), event(2, "irq_handler_entry", pid=0, cpu=3, **irq)) == (
        "irq 9 acpi (1)"
    )
    # Another task's event shows that it ran; an idle CPU's or the vCPU's own does not.
    assert meanwhile(event(1, "sys_enter", pid=33, task="kworker/2:1")) == "kworker/2:1 (1)"
    assert meanwhile(event(1, "sys_enter", pid=1, task="systemd")) == "systemd (1)"
    assert meanwhile(event(1, "cpu_idle", pid=0, task="<idle>"), event(2, "kvm_fpu")) == ""
    # Nor does that of another vCPU that is out of the guest.
    assert meanwhile(leave(1, pid=901, cpu=3), event(2, "kvm_fpu", pid=901)) == ""


def test_a_thread_that_moves_takes_its_gap_along() -> None:
    """The pCPU of the row is the one that left the guest."""
    irq = {"irq": 9, "name": "acpi"}
    moved = [event(1, "kvm_vcpu_wakeup", cpu=6), event(2, "irq_handler_entry", pid=0, cpu=6, **irq)]
    rows, _ = found(leave(0), *moved, event(3, "softirq_entry", pid=0, vec=1, action="TIMER]"), enter(9, cpu=6))
    assert [(row[3], row[7]) for row in rows] == [(2, "irq 9 acpi (1)")]


def test_switches_count_for_whom_they_switch_to() -> None:
    to = {"next_comm": "kworker/2:1", "next_pid": 33}
    assert meanwhile(event(1, "sched_switch", **to), event(2, "sched_switch", **to)) == "kworker/2:1 (2)"
    # Not to the thread itself, nor to the idle task.
    back = event(3, "sched_switch", pid=33, next_comm="CPU 0/KVM", next_pid=900)
    assert meanwhile(back, event(4, "sched_switch", next_comm="swapper/2", next_pid=0)) == ""
    # To another vCPU's thread, it is.
    other = event(3, "sched_switch", pid=33, next_comm="CPU 1/KVM", next_pid=901)
    assert meanwhile(other) == "CPU 1/KVM (1)"
    assert meanwhile(event(1, "sched_switch", text="nonsense")) == ""


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({"next_comm": "a b", "next_pid": 7}, ("a b", 7)),
        ({"next_comm": "a b", "next_pid": "many"}, ("a b", None)),
        ({"next_comm": "a", "next_pid": 7, "text": "x:1 [120] R ==> y:2 [120]"}, ("a", 7)),
        ({"text": "x:1 [120] R ==> y:z:22 [120]"}, ("y:z", 22)),
        ({"text": "x:1 [120] R"}, ("", None)),
        ({}, ("", None)),
    ],
)
def test_to_whom_a_switch_goes(fields: dict[str, Any], who: tuple[str, int | None]) -> None:
    assert switched_to(event(0, "sched_switch", **fields)) == who


def task(name: str) -> Event:
    """A sign that a task ran."""
    return event(1, "sys_enter", pid=33, task=name)


def test_the_five_most_frequent_are_named_and_two_hundred_counted() -> None:
    assert meanwhile(*map(task, "abcdefgg")) == "g (2), a (1), b (1), c (1), d (1)"
    many = [task(f"w{number}") for number in range(200)]
    # The 200th still counts, each time; one more does not.
    assert meanwhile(*many, *map(task, ["w200"] * 5), task("w199")).startswith("w199 (2), w0 (1), ")
    assert meanwhile(*many[1:], *map(task, ["w200"] * 5)).startswith("w200 (5), w1 (1), ")


def test_the_number_of_vcpus_out_of_the_guest_has_a_limit() -> None:
    finder = GapFinder(1, halts=False)
    for pid in range(4096):
        finder.take(leave(0, pid=pid))
    finder.take(leave(1, pid=0))  # one of them: its entry was not recorded
    with pytest.raises(ValueError, match=r"^pid 4096: more than 4096 vCPU threads; expected a listing of one host$"):
        finder.take(leave(2, pid=4096))


def test_an_exit_that_follows_an_exit_begins_the_gap() -> None:
    rows, attrs = found(leave(0, "CPUID"), leave(10, "HLT"), leave(20), enter(25), enter(30))
    assert [(row[0], row[4]) for row in rows] == [(5.0, "MSR_WRITE")]
    assert attrs == {"gaps": 1, "open": 0}


LISTED = (
    "kt-7 [001] d..1. 1.{:06d}: kvm_exit: reason {} rip 0x1 info 0 0\nkt-7 [001] d..1. 1.{:06d}: kvm_entry: vcpu 0\n"
)


def test_ten_are_listed_unless_told_otherwise() -> None:
    text = "".join(LISTED.format(100 * n, "HLT" if n < 2 else "CPUID", 100 * n + n + 1) for n in range(13))
    assert kl.longest_gaps(text)["gap_us"].round(3).tolist() == list(range(13, 3, -1))
    assert len(kl.longest_gaps(text, 100_000)) == 11
    assert len(kl.longest_gaps(text, 1)) == 1
    assert len(kl.longest_gaps(text, 100, halts=True)) == 13
    for count in (0, 100_001):
        with pytest.raises(ValueError, match="count"):
            kl.longest_gaps(text, count)


def test_a_listing_without_gaps_has_an_empty_table() -> None:
    table = kl.longest_gaps("kt-7 [001] d..1. 1.000000: kvm_entry: vcpu 0\n")
    assert table.empty
    assert table.attrs == {"gaps": 0, "open": 0}
