"""The tracker on listings of a few events: xAPIC, events without an owner, and what is not the timer's."""

from __future__ import annotations

import pytest

from kvmlab.host import tracker as tracking
from kvmlab.host.formats.events import Listing
from kvmlab.host.formats.lines import open_source
from kvmlab.host.names import EOI, LVTT, TMICT
from kvmlab.host.timers import Timer
from kvmlab.host.tracker import Tracker, is_pinned

VCPU, IDLE = "kt-7", "<idle>-0"
EXIT = "kvm_exit: vcpu 0 reason {} rip 0x1 info 0 0"
ENTRY = "kvm_entry: vcpu 0"
ACCEPT = "kvm_apic_accept_irq: apicid 0 vec {} (Fixed|edge)"
HRTIMER = "hrtimer=00000000000000aa function=apic_timer_fn"
START = f"hrtimer_start: {HRTIMER} expires=500 softexpires=500 mode=ABS|HARD"
EXPIRE = f"hrtimer_expire_entry: {HRTIMER} now=600"
WRITE = "kvm_msr: msr_write {:x} = 0x{:x}"


def follow(*events: tuple[str, int, str]) -> tuple[list[Timer], Tracker]:
    """The timers in some events: task, CPU, text; one each us from 1 s on, with interrupts off."""
    lines = [f"{task} [{cpu:03d}] d..1. 1.{us:06d}: {text}" for us, (task, cpu, text) in enumerate(events)]
    tracker = Tracker(100)
    return list(tracker.follow(Listing(open_source("\n".join(lines) + "\n")))), tracker


def arm(msr: int = TMICT) -> list[tuple[str, int, str]]:
    """A vCPU on CPU 1 that arms its timer, for which an hrtimer is queued."""
    texts = [EXIT.format("MSR_WRITE"), WRITE.format(msr, 1000), START, ENTRY]
    return [(VCPU, 1, text) for text in texts]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("kvm_apic: apic_write APIC_TMICT = 0xf4240", 1_000_000),
        ("kvm_apic: apic_write APIC_TMICT = 0x0", 0),
    ],
)
def test_an_xapic_arms_by_a_write_to_its_initial_count(text: str, value: int) -> None:
    events = [(VCPU, 1, EXIT.format("APIC_WRITE")), (VCPU, 1, text), (VCPU, 1, ENTRY)]
    [timer], _ = follow(*events)
    assert (timer.arm_exit, timer.msr, timer.value) == ("APIC_WRITE", TMICT, value)
    assert timer.armed_ns == 1_000_000_000


@pytest.mark.parametrize("text", ["apic_read APIC_TMICT = 0x1", "apic_write APIC_EOI = 0x0", "apic_write 0x380 = 0x1"])
def test_other_accesses_to_an_xapic_arm_nothing(text: str) -> None:
    timers, tracker = follow((VCPU, 1, EXIT.format("APIC_WRITE")), (VCPU, 1, f"kvm_apic: {text}"), (VCPU, 1, ENTRY))
    assert timers == []
    assert tracker.threads[7].exits == {"APIC_WRITE": 1}


@pytest.mark.parametrize("text", ["kvm_msr: msr_read 6e0 = 0x1", WRITE.format(EOI, 0)])
def test_other_accesses_to_an_msr_arm_nothing(text: str) -> None:
    timers, _ = follow((VCPU, 1, EXIT.format("MSR_WRITE")), (VCPU, 1, text), (VCPU, 1, ENTRY))
    assert timers == []


@pytest.mark.parametrize(
    ("slept_ns", "found"),
    [(3000, "blocked"), (0, "host")],  # asleep when it fired, or only afterwards; times are to within 2 us
)
def test_a_wake_up_shows_that_the_expiry_found_the_vcpu_blocked(slept_ns: int, found: str) -> None:
    """A PAUSE exit does not show by itself that the thread sleeps; kvm_vcpu_wakeup does."""
    wakeup = f"kvm_vcpu_wakeup: wait time {slept_ns} ns, polling valid"
    later = [(IDLE, 2, "kvm_fpu: load")] * 3
    events = [*arm(), (VCPU, 1, EXIT.format("PAUSE_INSTRUCTION")), (IDLE, 0, EXPIRE), *later, (VCPU, 1, wakeup)]
    [timer], _ = follow(*events)
    assert (timer.fired_cpu, timer.vcpu_was) == (0, found)


def test_a_wake_up_of_another_thread_is_passed_over() -> None:
    [timer], tracker = follow(*arm(), (IDLE, 0, "kvm_vcpu_wakeup: wait time 9000 ns, polling valid"))
    assert timer.running
    assert set(tracker.threads) == {7}


def test_an_hrtimer_that_nobody_is_known_to_arm_is_the_hosts() -> None:
    """Neither an unknown thread nor a vCPU in the guest queues a LAPIC timer."""
    timers, tracker = follow((IDLE, 0, START), (VCPU, 1, ENTRY), (VCPU, 1, START), (IDLE, 0, EXPIRE))
    assert timers == []
    assert not tracker.hrtimers
    assert not tracker.callbacks
    # It is a LAPIC timer, so it does not count as one of the host's own.
    assert not tracker.host_hrtimers


def test_a_second_callback_of_one_timer_changes_nothing() -> None:
    [timer], _ = follow(*arm(), (IDLE, 0, EXPIRE), (IDLE, 3, EXPIRE))
    assert (timer.fired_ns, timer.fired_cpu) == (1_000_004_000, 0)


def test_a_vector_taken_while_the_vcpu_is_in_the_guest_is_another_devices() -> None:
    [timer], tracker = follow(*arm(), (VCPU, 1, ACCEPT.format(236)), (IDLE, 3, ACCEPT.format(236)))
    assert timer.accepted_ns is None
    assert tracker.sees_accept


def test_a_vector_that_is_not_the_timers_is_passed_over() -> None:
    lvtt = [(VCPU, 1, EXIT.format("MSR_WRITE")), (VCPU, 1, WRITE.format(LVTT, 236)), (VCPU, 1, ENTRY)]
    fires = [(VCPU, 1, EXIT.format("EXTERNAL_INTERRUPT")), (VCPU, 1, EXPIRE)]
    other, own = ((VCPU, 1, ACCEPT.format(vector)) for vector in (49, 236))
    for accepts, accepted_ns in (([other], None), ([other, own], 1_000_010_000)):
        [timer], _ = follow(*lvtt, *arm(), *fires, *accepts, (VCPU, 1, ENTRY))
        assert timer.vcpu_was == "interrupted"
        assert timer.accepted_ns == accepted_ns
        assert timer.delivery == ("vm_entry" if accepted_ns else None)


def test_a_wait_of_no_known_thread_is_passed_over() -> None:
    wait = "kvm_wait_lapic_expire: vcpu 0: delta -120 (early)"
    [timer], _ = follow(*arm(), (IDLE, 0, wait), (VCPU, 1, wait))
    assert timer.delta is None


def test_the_number_of_lapic_timers_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "MAX_THREADS", 2)
    starts = [(VCPU, 1, START.replace("aa", f"{number:02x}")) for number in range(3)]
    with pytest.raises(ValueError, match="more than 2 LAPIC timers; expected a listing of one host"):
        follow((VCPU, 1, EXIT.format("MSR_WRITE")), *starts)


@pytest.mark.parametrize(
    ("mode", "pinned"),
    [(None, None), ("", None), ("ABS|HARD", False), ("ABS|PINNED|HARD", True), ("0xa", True), ("0x8", False)],
)
def test_the_mode_of_an_hrtimer_is_words_or_a_number(mode: str | None, pinned: bool | None) -> None:
    assert is_pinned(mode) is pinned
