"""Which interrupts ended guest mode, event by event. Events are made up."""

from __future__ import annotations

from typing import Any

import pytest

import kvmlab as kl
from kvmlab.host.formats.events import Event
from kvmlab.host.interrupts import InterruptCounter

SECOND = 1_000_000_000
TIMER, KICK, DEVICE = 0x8000_00EC, 0x8000_00FD, 0x8000_0025


def event(name: str, /, *, after: int = 0, cpu: int = 2, reason: str | None = None, **fields: Any) -> Event:
    """An event some ns after 1 s."""
    task = fields.pop("task", "kt")
    return Event(1.0, SECOND + after, cpu, task, 7, name, None, reason, fields, None)


def leave(info: int, *, field: str = "intr_info", reason: str = "EXTERNAL_INTERRUPT", **more: Any) -> Event:
    return event("kvm_exit", reason=reason, **{field: info}, **more)


def old(info: int, **more: Any) -> Event:
    """An exit of a kernel before v5.10."""
    return leave(info, field="info2", **more)


ENTRY = event("kvm_entry")
TICK = event("local_timer_entry", vector=236)
RESCHEDULE = event("reschedule_entry", vector=253)


def rows(*events: Event) -> dict[str, list[Any]]:
    """The table: vector -> the values of its row, in the order of the table."""
    counter = InterruptCounter()
    for each in events:
        counter.take(each)
    table = counter.table()
    assert list(table.columns) == ["exits", "share%", "name", "sender", "handler", "sent_by"]
    assert table.index.name == "vector"
    return dict(zip(table.index, table.to_numpy().tolist(), strict=True))


def test_the_most_frequent_come_first_and_of_two_alike_the_smaller_vector() -> None:
    table = rows(*map(leave, (KICK, DEVICE, TIMER, TIMER, TIMER, 0)))
    assert [(vector, row[0], row[1]) for vector, row in table.items()] == [
        ("0xec", 3, 50),
        ("not shown", 1, pytest.approx(100 / 6)),
        ("0x25", 1, pytest.approx(100 / 6)),
        ("0xfd", 1, pytest.approx(100 / 6)),
    ]
    assert table["not shown"][2:] == ["", "not shown", "", ""]
    assert table["0x25"][2:4] == ["", "a device"]
    assert list(rows(leave(0x8000_0000))) == ["0x0"]
    assert table["0xfd"][2:4] == ["RESCHEDULE_VECTOR", "another CPU"]


def test_the_first_handler_on_that_pcpu_before_the_next_entry_counts() -> None:
    softirq = event("softirq_entry", vec=1, action="TIMER")
    assert rows(leave(TIMER), TICK, softirq, ENTRY)["0xec"][4] == "local_timer"
    assert rows(leave(TIMER), event("kvm_fpu"), softirq, TICK)["0xec"][4] == "softirq TIMER"
    assert rows(leave(TIMER), ENTRY, TICK)["0xec"][4] == ""
    assert rows(leave(TIMER), TICK._replace(cpu=3))["0xec"][4] == ""
    # Events of KVM are no handlers, even where they are called so.
    assert rows(leave(TIMER), event("kvm_some_entry", vector=236))["0xec"][4] == ""


def test_of_several_handlers_the_most_frequent_is_named() -> None:
    irq = event("irq_handler_entry", irq=24, name="eth0")
    other = event("irq_handler_entry", irq=25, name="eth1")
    assert rows(leave(DEVICE), irq, leave(DEVICE), other)["0x25"][4] == "irq 24 eth0"
    table = rows(*(each for handler in (irq, other, other) for each in (leave(DEVICE), handler)))
    assert table["0x25"] == [3, 100, "", "a device", "irq 25 eth1", ""]


@pytest.mark.parametrize(("after", "sent_by"), [(999_999, "vhost on pCPU 5"), (1_000_000, "")])
def test_an_interrupt_arrives_within_a_millisecond(after: int, sent_by: str) -> None:
    ipi = event("ipi_send_cpu", cpu=5, task="vhost")._replace(fields={"cpu": 2})
    assert rows(ipi, leave(KICK, after=after))["0xfd"][5] == sent_by


def test_who_sent_an_interrupt() -> None:
    waking = event("sched_waking", cpu=6, task="ksoftirqd", target_cpu=2)
    assert rows(waking, leave(KICK))["0xfd"][5] == "ksoftirqd on pCPU 6"
    # To another pCPU, or to the CPU itself, it is not the sender.
    assert rows(waking._replace(fields={"target_cpu": 3}), leave(KICK))["0xfd"][5] == ""
    assert rows(waking._replace(cpu=2), leave(KICK))["0xfd"][5] == ""
    # The pCPU of another kind of event is not one that something is sent to.
    assert rows(event("cpu_idle", cpu=6)._replace(fields={"cpu": 2}), leave(KICK))["0xfd"][5] == ""
    # What has arrived once does not arrive again.
    assert rows(waking, leave(TIMER), ENTRY, leave(KICK))["0xfd"][5] == ""
    # An exit of another kind takes nothing.
    assert rows(waking, leave(0, reason="HLT"), ENTRY, leave(KICK))["0xfd"][5] == "ksoftirqd on pCPU 6"
    # The most frequent is named.
    seen = [each for task in ("a", "b", "b") for each in (waking._replace(task=task), leave(KICK))]
    assert rows(*seen)["0xfd"][5] == "b on pCPU 6"


def test_a_handler_shows_the_vector_where_the_exit_does_not() -> None:
    amd = leave(0, field="info1", reason="interrupt")
    assert rows(amd, TICK, ENTRY, amd, RESCHEDULE, ENTRY, amd, ENTRY) == {
        "not shown": [1, pytest.approx(100 / 3), "", "not shown", "", ""],
        "0xec": [1, pytest.approx(100 / 3), "LOCAL_TIMER_VECTOR", "this CPU", "local_timer", ""],
        "0xfd": [1, pytest.approx(100 / 3), "RESCHEDULE_VECTOR", "another CPU", "reschedule", ""],
    }
    # The first of several, and only of an event that begins something.
    assert list(rows(amd, TICK, RESCHEDULE)) == ["0xec"]
    assert list(rows(amd, event("local_timer_exit", vector=236))) == ["not shown"]
    # A vector that the exit shows is not doubted.
    assert list(rows(leave(KICK), TICK)) == ["0xfd"]
    assert list(rows(old(KICK), TICK)) == ["0xfd"]


def test_the_second_info_that_turns_out_to_be_something_else_is_counted_as_not_shown() -> None:
    waking = event("sched_waking", cpu=6, task="vhost", target_cpu=2)
    irq = event("irq_handler_entry", irq=24, name="eth0")
    seen = [waking, old(KICK), RESCHEDULE, old(TIMER), irq, waking, old(TIMER), irq]
    assert list(rows(*seen)) == ["0xec", "0xfd"]
    assert rows(*seen, old(0)) == {"not shown": [4, 100, "", "not shown", "irq 24 eth0", "vhost on pCPU 6"]}


def test_exits_of_two_pcpus_are_told_apart_and_the_last_counts_without_an_entry() -> None:
    first, second = leave(TIMER), leave(KICK, cpu=3)
    table = rows(first, second, RESCHEDULE._replace(cpu=3), TICK, ENTRY)
    assert {vector: (row[0], row[4]) for vector, row in table.items()} == {
        "0xec": (1, "local_timer"),
        "0xfd": (1, "reschedule"),
    }
    assert rows(leave(0, reason="HLT"), TICK, ENTRY) == {}


def test_a_thousand_handlers_and_senders_are_counted() -> None:
    """Of those that are counted each time counts; one more is not."""
    names = [f"n{number}" for number in range(1000)]
    for last, most in ((["n999"] * 2 + ["n1000"] * 4, "n999"), (["n0"] * 4, "n0")):
        seen = []
        for name in [*names, *last]:
            seen.append(event("sched_waking", cpu=6, task=name, target_cpu=2))
            seen += [leave(KICK), event("workqueue_execute_start", function=name)]
        assert rows(*seen)["0xfd"][4:] == [f"work {most}", f"{most} on pCPU 6"]
    # One less, and the thousand and first is the thousandth.
    seen = []
    for name in [*names[1:], *["n1000"] * 2]:
        seen += [leave(KICK), event("workqueue_execute_start", function=name)]
    assert rows(*seen)["0xfd"][4] == "work n1000"


def test_a_listing_without_interrupts_has_an_empty_table() -> None:
    table = kl.exit_interrupts("kt-7 [001] d..1. 1.000000: kvm_entry: vcpu 0\n")
    assert table.empty
    assert list(table.columns) == ["exits", "share%", "name", "sender", "handler", "sent_by"]
