"""The tracker on listings of a few events: xAPIC, events without an owner, and what is not the timer's."""

from __future__ import annotations

from typing import Any

import pytest

from kvmlab.host import tracker as tracking
from kvmlab.host.formats.events import Event, Listing
from kvmlab.host.formats.lines import open_source
from kvmlab.host.names import EOI, LVTT, TMICT, TSC_DEADLINE
from kvmlab.host.threads import Span
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
    [
        (None, None),
        ("", None),
        ("ABS|HARD", False),
        ("ABS|PINNED|HARD", True),
        ("0xa", True),
        ("0x9", False),
        ("0x8", False),
    ],
)
def test_the_mode_of_an_hrtimer_is_words_or_a_number(mode: str | None, pinned: bool | None) -> None:
    assert is_pinned(mode) is pinned


# Whole timers: each field by hand ------------------------------------------------------------------------------------

HV = "kvm_hv_timer_state: vcpu_id 0 hv_timer {}"
IRQ = (
    "kvm_exit: vcpu 0 reason EXTERNAL_INTERRUPT rip 0x1 info1 0x0000000000000000 info2 0x0000000000000000 "
    "intr_info 0x800000{:02x} error_code 0x00000000"
)
WAIT = "kvm_wait_lapic_expire: vcpu 0: delta {} ({})"
APICV = "kvm_apicv_accept_irq: apicid 0 vec {} (Fixed|edge)"
CALLBACK_ENDS = "hrtimer_expire_exit: hrtimer=00000000000000aa"


def ns(us: int) -> int:
    """The time of the event number `us` of `follow`."""
    return 1_000_000_000 + 1000 * us


def on_cpu_1(*texts: str) -> list[tuple[str, int, str]]:
    """Events of the vCPU's thread on pCPU 1."""
    return [(VCPU, 1, text) for text in texts]


def follow_at(*events: tuple[int, str, int, str], flags: str = "d..1. ") -> tuple[list[Timer], Tracker]:
    """The timers in some events: ns after 1 s, task, CPU, text."""
    lines = [f"{task} [{cpu:03d}] {flags}1.{after:09d}: {text}" for after, task, cpu, text in events]
    tracker = Tracker(100)
    return list(tracker.follow(Listing(open_source("\n".join(lines) + "\n")))), tracker


def armed(**seen: Any) -> Timer:
    """The timer that `arm` arms as the first events of a listing, and what else was seen of it."""
    known = {"arm_fast": True, "value": 1000, "msr": TMICT, "backend": "hrtimer", "pinned": False, "expires": 500}
    return Timer(0, 7, ns(0), 1, "MSR_WRITE", **(known | seen))


@pytest.mark.parametrize(("flags", "fast"), [("d..1. ", True), ("...1. ", False), ("", None)])
def test_a_preemption_timer_from_its_arming_to_the_entry(flags: str, fast: bool | None) -> None:
    texts = [EXIT.format("MSR_WRITE"), WRITE.format(TSC_DEADLINE, 1000), HV.format(1), ENTRY]
    texts += [EXIT.format("PREEMPTION_TIMER"), ACCEPT.format(236), WAIT.format(-120, "early"), ENTRY]
    events = [(1000 * us, VCPU, 1 if us < 4 else 2, text) for us, text in enumerate(texts)]
    timers, tracker = follow_at(*events, flags=flags)
    assert timers == [
        Timer(
            0, 7, ns(0), 1, "MSR_WRITE", arm_fast=fast, value=1000, msr=TSC_DEADLINE, backend="hv",
            fired_ns=ns(4), fired_cpu=2, vcpu_was="interrupted", vcpu_cpu=2,
            expiry_exit="PREEMPTION_TIMER", expiry_exit_ns=ns(4), expiry_fast=fast,
            accepted_ns=ns(5), entry_ns=ns(7), wait_ns=ns(6), delta=-120,
        )
    ]  # fmt: skip
    # 120 cycles before its deadline of 1000 the TSC is at 880.
    assert tracker.threads[7].first_tsc == tracker.threads[7].last_tsc == (ns(6), 880)
    assert tracker.length_ns == 7000
    assert tracker.name(7) == "vCPU 0"
    assert tracker.timeline.spans == [
        Span(ns(0), ns(3), ("vCPU", 7), "MSR_WRITE"),
        Span(ns(3), ns(4), ("vCPU", 7), "guest"),
        Span(ns(4), ns(7), ("vCPU", 7), "PREEMPTION_TIMER"),
    ]


def test_an_hrtimer_that_interrupts_its_own_vcpu() -> None:
    later = on_cpu_1(IRQ.format(0xEC), EXPIRE, CALLBACK_ENDS, ACCEPT.format(236), ENTRY)
    timers, tracker = follow(*arm(), *later)
    fired = {"fired_ns": ns(5), "fired_cpu": 1, "late_ns": 100, "vcpu_was": "interrupted", "vcpu_cpu": 1}
    cost = {"expiry_exit": "EXTERNAL_INTERRUPT", "expiry_exit_ns": ns(4), "expiry_vector": 0xEC}
    assert timers == [armed(**fired, **cost, accepted_ns=ns(7), entry_ns=ns(8))]
    assert tracker.modern_exit_format
    assert tracker.threads[7].exits == {"MSR_WRITE": 1, "EXTERNAL_INTERRUPT": 1}
    # The callback's span ends with its last event, the vCPU's with the listing.
    assert tracker.timeline.spans == [
        Span(ns(0), ns(3), ("vCPU", 7), "MSR_WRITE"),
        Span(ns(3), ns(4), ("vCPU", 7), "guest"),
        Span(ns(5), ns(6), ("pCPU", 1), "hrtimer"),
        Span(ns(4), ns(8), ("vCPU", 7), "EXTERNAL_INTERRUPT"),
    ]


def test_an_hrtimer_that_posts() -> None:
    waits = WAIT.format(7, "late")
    later = [(IDLE, 0, text) for text in (EXPIRE, waits, APICV.format(236), APICV.format(99), CALLBACK_ENDS)]
    timers, tracker = follow(*arm(TSC_DEADLINE), *later, (IDLE, 0, "kvm_fpu: load"), (VCPU, 1, EXIT.format("HLT")))
    fired = {"fired_ns": ns(4), "fired_cpu": 0, "late_ns": 100, "vcpu_was": "guest", "vcpu_cpu": 1}
    posted = {"accepted_ns": ns(6), "posted": True, "wait_ns": ns(5), "delta": 7}
    assert timers == [armed(msr=TSC_DEADLINE, **fired, **posted)]
    thread = tracker.threads[7]
    assert (thread.vector, thread.apicv) == (236, True)
    assert thread.last_tsc == (ns(5), 1007)
    assert tracker.timeline.spans == [
        Span(ns(0), ns(3), ("vCPU", 7), "MSR_WRITE"),
        Span(ns(4), ns(8), ("pCPU", 0), "hrtimer"),
        Span(ns(6), ns(6), ("pCPU", 0), "post", 0),
        Span(ns(6), ns(6), ("vCPU", 7), "handler", 0),
        Span(ns(3), ns(10), ("vCPU", 7), "guest"),
    ]
    assert not tracker.host_hrtimers


def test_the_last_span_ends_with_the_listing() -> None:
    _, tracker = follow((VCPU, 1, ENTRY), (IDLE, 0, "kvm_fpu: load"), (IDLE, 0, "kvm_fpu: load"))
    assert tracker.timeline.spans == [Span(ns(0), ns(2), ("vCPU", 7), "guest")]


def test_an_hrtimer_that_kicks_its_vcpu_out_of_the_guest() -> None:
    kicked = on_cpu_1(IRQ.format(0xFD), ACCEPT.format(236), ENTRY, IRQ.format(0x25))
    timers, tracker = follow(*arm(), (IDLE, 0, EXPIRE), (IDLE, 0, CALLBACK_ENDS), *kicked)
    fired = {"fired_ns": ns(4), "fired_cpu": 0, "late_ns": 100, "vcpu_was": "guest", "vcpu_cpu": 1}
    cost = {"expiry_exit": "EXTERNAL_INTERRUPT", "expiry_exit_ns": ns(6), "expiry_vector": 0xFD}
    assert timers == [armed(**fired, **cost, accepted_ns=ns(7), entry_ns=ns(8))]
    assert not tracker.threads[7].apicv


def test_an_hrtimer_that_wakes_a_halted_vcpu() -> None:
    later = on_cpu_1(ACCEPT.format(236), ENTRY)
    halted = [(VCPU, 1, EXIT.format("HLT")), (IDLE, 1, EXPIRE), (IDLE, 1, CALLBACK_ENDS)]
    [timer], _ = follow(*arm(), *halted, *later)
    fired = {"fired_ns": ns(5), "fired_cpu": 1, "late_ns": 100, "vcpu_was": "blocked", "vcpu_cpu": 1}
    assert timer == armed(**fired, accepted_ns=ns(7), entry_ns=ns(8))
    assert timer.delivery == "wake_up"


@pytest.mark.parametrize(("flags", "fast"), [("d..1. ", True), ("...1. ", False), ("", None)])
def test_a_deadline_that_has_passed_when_it_is_armed(flags: str, fast: bool | None) -> None:
    texts = [EXIT.format("MSR_WRITE"), WRITE.format(TSC_DEADLINE, 1000), ACCEPT.format(236), ENTRY]
    timers, tracker = follow_at(*((1000 * us, VCPU, 1, text) for us, text in enumerate(texts)), flags=flags)
    at = {"fired_ns": ns(2), "accepted_ns": ns(2), "vcpu_was": "host", "vcpu_cpu": 1, "at_arm": True}
    assert timers == [
        Timer(0, 7, ns(0), 1, "MSR_WRITE", arm_fast=fast, value=1000, msr=TSC_DEADLINE, entry_ns=ns(3), **at)
    ]
    assert not tracker.threads[7].apicv


def test_the_fast_path_ends_where_the_interrupt_is_injected_the_long_way() -> None:
    lines = ["d..1. 1.000000: " + EXIT.format("MSR_WRITE"), "d..1. 1.000001: " + WRITE.format(TSC_DEADLINE, 1000)]
    lines += ["...1. 1.000002: " + ACCEPT.format(236)]
    [timer] = Tracker(9).follow(Listing(open_source("".join(f"{VCPU} [001] {line}\n" for line in lines))))
    assert timer.arm_fast is False


@pytest.mark.parametrize(
    ("left", "seen"),
    [
        (EXIT.format("HLT"), {"vcpu_was": "blocked"}),
        (EXIT.format("CPUID"), {"vcpu_was": "host"}),
        (
            IRQ.format(0xEC),
            {
                "vcpu_was": "interrupted",
                "fired_cpu": 1,
                "expiry_exit": "EXTERNAL_INTERRUPT",
                "expiry_exit_ns": ns(4),
                "expiry_vector": 0xEC,
            },
        ),
        (
            IRQ.format(0xFD),
            {
                "vcpu_was": "guest",
                "expiry_exit": "EXTERNAL_INTERRUPT",
                "expiry_exit_ns": ns(4),
                "expiry_vector": 0xFD,
            },
        ),
    ],
    ids=["halted", "in the host", "its own interrupt", "a kick"],
)
def test_an_expiry_whose_callback_is_not_in_the_listing(left: str, seen: dict[str, Any]) -> None:
    timers, _ = follow(*arm(), *on_cpu_1(left, ACCEPT.format(236), ENTRY))
    assert timers == [armed(vcpu_cpu=1, accepted_ns=ns(5), entry_ns=ns(6), **seen)]


@pytest.mark.parametrize(
    ("accept", "entry_ns"),
    [([], None), ([(VCPU, 1, ACCEPT.format(236))], ns(8))],
)
def test_an_entry_brings_the_interrupt_only_once_it_was_accepted(
    accept: list[tuple[str, int, str]], entry_ns: int | None
) -> None:
    """In a listing that shows what the virtual APIC takes."""
    seen = on_cpu_1(EXIT.format("CPUID"), ACCEPT.format(99), ENTRY)
    # The first accept, of any vector, shows that such events are traced; it is of no timer.
    events = [*seen, *arm()[:1], *arm()[2:3], (IDLE, 0, EXPIRE), (IDLE, 0, CALLBACK_ENDS), *accept, (VCPU, 1, ENTRY)]
    [timer], _ = follow(*events, (VCPU, 1, EXIT.format("HLT")), (VCPU, 1, ENTRY))
    assert timer.entry_ns == entry_ns


def test_without_events_of_the_virtual_apic_the_next_entry_brings_the_interrupt() -> None:
    interrupt = on_cpu_1(IRQ.format(0xEC), EXPIRE, ENTRY, EXIT.format("HLT"), ENTRY)
    [timer], _ = follow(*arm(), *interrupt)
    assert (timer.accepted_ns, timer.entry_ns) == (None, ns(6))


def test_a_timer_that_is_armed_anew_has_ended() -> None:
    timers, _ = follow(*arm(), *arm())
    assert [(timer.armed_ns, timer.ended_ns) for timer in timers] == [(ns(0), ns(5)), (ns(4), None)]
    assert timers[0] == armed(ended_ns=ns(5))


def test_a_timer_that_has_fired_is_over_when_the_next_fires() -> None:
    fires = on_cpu_1(IRQ.format(0xEC), EXPIRE, ACCEPT.format(236), ENTRY)
    tracker = Tracker(100)
    lines = [f"{VCPU} [001] d..1. 1.{us:06d}: {text}\n" for us, (_, _, text) in enumerate([*arm(), *fires] * 2)]
    # What is yielded while the listing goes on, and the rest at its end.
    timers = [(timer.fired_ns, tracker.last_ns) for timer in tracker.follow(Listing(open_source("".join(lines))))]
    assert timers == [(ns(5), ns(13)), (ns(13), ns(15))]


@pytest.mark.parametrize(
    ("states", "backend", "switched"),
    [
        ([1], "hv", False),
        ([0], "hrtimer", False),
        ([1, 0], "hv", True),
        ([0, 1], "hv", False),
        ([0, 0], "hrtimer", False),
    ],
)
def test_which_timer_an_exit_uses(states: list[int], backend: str, switched: bool) -> None:
    """From the preemption timer to an hrtimer within one exit: the vCPU blocks, and the first is what it chose."""
    hv = [HV.format(state) for state in states]
    [timer], _ = follow(*on_cpu_1(EXIT.format("MSR_WRITE"), WRITE.format(TSC_DEADLINE, 9), *hv, ENTRY))
    assert (timer.backend, timer.switched) == (backend, switched)


@pytest.mark.parametrize(("state", "backend", "switched"), [(1, "hv", True), (0, "hrtimer", False)])
def test_a_vcpu_that_halts_gets_an_hrtimer_instead(state: int, backend: str, switched: bool) -> None:
    texts = [EXIT.format("MSR_WRITE"), WRITE.format(TSC_DEADLINE, 9), HV.format(state), ENTRY]
    timers, tracker = follow(*on_cpu_1(*texts, EXIT.format("HLT"), START.replace("ABS", "ABS|PINNED")))
    seen = {"arm_fast": True, "value": 9, "msr": TSC_DEADLINE, "expires": 500, "pinned": True}
    assert timers == [Timer(0, 7, ns(0), 1, "MSR_WRITE", backend=backend, switched=switched, **seen)]
    assert tracker.hrtimers == {"00000000000000aa": tracker.threads[7]}


def test_the_periods_of_an_hrtimer() -> None:
    """The callback queues the next period; that one is nobody's write."""
    again = START.replace("expires=500", "expires=900").replace("ABS", "ABS|PINNED")
    callback = [(IDLE, 3, EXPIRE), (IDLE, 3, again), (IDLE, 3, CALLBACK_ENDS)]
    timers, _ = follow(*arm(), *callback, (IDLE, 2, EXPIRE.replace("600", "930")))
    fired = {"fired_ns": ns(4), "fired_cpu": 3, "late_ns": 100, "vcpu_was": "guest", "vcpu_cpu": 1}
    second = {"fired_ns": ns(7), "fired_cpu": 2, "late_ns": 30, "vcpu_was": "guest", "vcpu_cpu": 1}
    assert timers == [
        armed(**fired),
        Timer(0, 7, ns(5), 3, None, msr=TMICT, backend="hrtimer", expires=900, pinned=True, **second),
    ]


def test_a_period_that_is_queued_once_more_is_over() -> None:
    timers, _ = follow(*arm(), (IDLE, 3, EXPIRE), (IDLE, 3, START), (IDLE, 3, START))
    assert [(timer.armed_ns, timer.fired_ns, timer.ended_ns) for timer in timers] == [
        (ns(5), None, ns(6)),
        (ns(0), ns(4), None),
        (ns(6), None, None),
    ]


def test_the_periods_of_a_preemption_timer() -> None:
    texts = [EXIT.format("MSR_WRITE"), WRITE.format(TMICT, 9), HV.format(1), ENTRY]
    expiry = [EXIT.format("PREEMPTION_TIMER"), HV.format(1), ACCEPT.format(236), ENTRY]
    timers, _ = follow(*on_cpu_1(*texts, *expiry))
    fired = {"fired_ns": ns(4), "fired_cpu": 1, "vcpu_was": "interrupted", "vcpu_cpu": 1, "expiry_fast": True}
    cost = {"expiry_exit": "PREEMPTION_TIMER", "expiry_exit_ns": ns(4), "accepted_ns": ns(6), "entry_ns": ns(7)}
    assert timers == [
        Timer(0, 7, ns(0), 1, "MSR_WRITE", arm_fast=True, value=9, msr=TMICT, backend="hv", **fired, **cost),
        Timer(0, 7, ns(5), 1, None, msr=TMICT, backend="hv"),
    ]


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        ([EXIT.format("PREEMPTION_TIMER"), HV.format(0)], 1),  # no longer in use: no period follows
        ([EXIT.format("CPUID"), HV.format(1)], 1),  # another exit: the vCPU was loaded elsewhere
        ([EXIT.format("PREEMPTION_TIMER"), HV.format(1), HV.format(1)], 2),  # one period for one expiry
    ],
)
def test_no_period_follows_without_an_expiry(texts: list[str], count: int) -> None:
    armed_first = [EXIT.format("MSR_WRITE"), WRITE.format(TMICT, 9), HV.format(1), ENTRY]
    timers, _ = follow(*on_cpu_1(*armed_first, *texts))
    assert len(timers) == count


def test_an_exit_of_the_preemption_timer_does_not_fire_an_hrtimer() -> None:
    [timer], _ = follow(*arm(), *on_cpu_1(EXIT.format("PREEMPTION_TIMER"), ENTRY))
    assert timer == armed()


def test_hrtimers_of_the_host_are_counted_by_cpu() -> None:
    tick = "hrtimer_expire_entry: hrtimer=00000000000000bb function=tick_nohz_handler now=600"
    ends = CALLBACK_ENDS.replace("aa", "bb")
    timers, tracker = follow((IDLE, 0, tick), (IDLE, 0, ends), (IDLE, 3, tick), (IDLE, 3, tick))
    assert timers == []
    assert tracker.host_hrtimers == {0: 1, 3: 2}
    assert tracker.events == {"hrtimer_expire_entry": 3, "hrtimer_expire_exit": 1}
    # No vCPU's callback: these spans stay as short as an event.
    assert [(span.start_ns, span.end_ns, span.lane) for span in tracker.timeline.spans] == [
        (ns(us), ns(us), ("pCPU", cpu)) for us, cpu in ((0, 0), (2, 3), (3, 3))
    ]


def test_an_hrtimer_of_the_host_is_nobodys_arming() -> None:
    other = START.replace("apic_timer_fn", "hrtimer_wakeup")
    timers, tracker = follow(*on_cpu_1(EXIT.format("MSR_WRITE"), other, ENTRY))
    assert timers == []
    assert not tracker.hrtimers


def test_a_callback_is_over_with_the_first_event_that_it_does_not_leave() -> None:
    """A vector taken on that pCPU later is not the timer's post."""
    later = [(IDLE, 0, text) for text in (EXPIRE, "kvm_fpu: load", APICV.format(236))]
    [timer], tracker = follow(*arm(), *later)
    assert timer.accepted_ns is None
    assert not tracker.callbacks
    assert not tracker.threads[7].apicv


def test_a_vector_that_the_host_takes_behind_a_callback_is_no_post() -> None:
    """The callback has ended, and what follows at once on that pCPU may be another guest's."""
    timers, tracker = follow(*arm(), (IDLE, 0, EXPIRE), (IDLE, 0, CALLBACK_ENDS), (IDLE, 0, APICV.format(49)))
    assert [(timer.posted, timer.accepted_ns) for timer in timers] == [(False, None)]
    assert tracker.threads[7].vector is None


def test_only_a_write_shows_the_vector_and_its_low_eight_bits_are_it() -> None:
    lvtt = WRITE.format(LVTT, 0x400EC)
    _, tracker = follow(*on_cpu_1(EXIT.format("MSR_WRITE"), lvtt, "kvm_msr: msr_read 832 = 0x31", lvtt, ENTRY))
    thread = tracker.threads[7]
    assert thread.vector == 0xEC
    assert thread.msr_writes == {LVTT: 2}


def test_the_tsc_is_read_first_and_last_where_a_deadline_is_known() -> None:
    texts = [EXIT.format("MSR_WRITE"), WRITE.format(TSC_DEADLINE, 1000), HV.format(1), ENTRY]
    texts += [EXIT.format("PREEMPTION_TIMER"), ACCEPT.format(236), WAIT.format(20, "late"), WAIT.format(99, "late")]
    again = [text.replace("0x3e8", "0xbb8") for text in texts]
    timers, tracker = follow(*on_cpu_1(*texts, *again))
    assert [timer.delta for timer in timers] == [20, 20]
    assert (tracker.threads[7].first_tsc, tracker.threads[7].last_tsc) == ((ns(6), 1020), (ns(14), 3020))
    # A count is not a deadline.
    counted = [text.replace("6e0", "838") for text in texts]
    _, tracker = follow(*on_cpu_1(*counted))
    assert tracker.threads[7].first_tsc is None


# Events missing, and limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "after", "armed_ns"),
    [
        (WRITE.format(TMICT, 1000), 100_000, [0]),  # shown twice: one write
        (WRITE.format(TMICT, 1000), 100_001, [0, 100_001]),
        (WRITE.format(TMICT, 1001), 1000, [0, 1000]),
        (WRITE.format(TSC_DEADLINE, 1000), 1000, [0]),  # the first, of the initial count, may be shown twice
    ],
)
def test_two_writes_without_exits_between_them(second: str, after: int, armed_ns: list[int]) -> None:
    """The x2APIC's initial count shows as kvm_apic and as kvm_msr."""
    first = "kvm_apic: apic_write APIC_TMICT = 0x3e8"
    timers, _ = follow_at((0, VCPU, 1, first), (after, VCPU, 1, second))
    assert [timer.armed_ns - ns(0) for timer in timers] == armed_ns
    assert [timer.arm_exit for timer in timers] == [None] * len(armed_ns)


def test_two_deadlines_without_exits_between_them_are_two_timers() -> None:
    timers, _ = follow(*on_cpu_1(WRITE.format(TSC_DEADLINE, 1000), WRITE.format(TSC_DEADLINE, 1000)))
    assert [(timer.armed_ns, timer.ended_ns) for timer in timers] == [(ns(0), ns(1)), (ns(1), None)]


def test_two_counts_of_an_xapic_without_exits_between_them_are_two_timers() -> None:
    write = "kvm_apic: apic_write APIC_TMICT = 0x3e8"
    timers, _ = follow_at((0, VCPU, 1, write), (200_000, VCPU, 1, write))
    assert [(timer.armed_ns, timer.ended_ns) for timer in timers] == [(ns(0), ns(200)), (ns(200), None)]


def test_two_hrtimers_without_exits_between_them_are_two_timers() -> None:
    write = WRITE.format(TMICT, 1000)
    timers, _ = follow(*on_cpu_1(write, START, START))
    assert [timer.expires for timer in timers] == [None, 500, 500]


@pytest.mark.parametrize(("after", "found"), [(999_999, "interrupted"), (1_000_000, "host")])
def test_an_interrupt_is_taken_well_within_a_millisecond(after: int, found: str) -> None:
    texts = [(1000 * us, *event) for us, event in enumerate(arm())]
    [timer], _ = follow_at(*texts, (10_000, VCPU, 1, IRQ.format(0xEC)), (10_000 + after, VCPU, 1, EXPIRE))
    assert timer.vcpu_was == found
    assert timer.expiry_exit == ("EXTERNAL_INTERRUPT" if found == "interrupted" else None)
    assert timer.expiry_exit_ns == (ns(10) if found == "interrupted" else None)


@pytest.mark.parametrize(
    ("left", "task", "cpu"),
    [
        (IRQ.format(0xEC), VCPU, 2),  # on another pCPU than the exit
        (IRQ.format(0xEC), "kt-8", 1),  # in another task
        (EXIT.format("CPUID"), VCPU, 1),  # out of the guest for another reason
    ],
)
def test_what_did_not_interrupt_the_guest(left: str, task: str, cpu: int) -> None:
    [timer], _ = follow(*arm(), (VCPU, 1, left), (task, cpu, EXPIRE))
    assert (timer.vcpu_was, timer.expiry_exit, timer.expiry_exit_ns, timer.expiry_vector) == ("host", None, None, None)


@pytest.mark.parametrize(("slept_ns", "found"), [(3000, "blocked"), (2999, "host")])
def test_a_sleep_may_seem_to_begin_two_us_late(slept_ns: int, found: str) -> None:
    """Fired at 10 us, woken at 15 us: a sleep of 3 us began at 12 us."""
    texts = [(1000 * us, *event) for us, event in enumerate([*arm(), (VCPU, 1, EXIT.format("CPUID"))])]
    wakeup = f"kvm_vcpu_wakeup: wait time {slept_ns} ns, polling valid"
    [timer], _ = follow_at(*texts, (10_000, IDLE, 0, EXPIRE), (15_000, VCPU, 1, wakeup))
    assert timer.vcpu_was == found


def test_a_wake_up_changes_nothing_where_the_vcpu_was_in_the_guest() -> None:
    wakeup = "kvm_vcpu_wakeup: wait time 9000 ns, polling valid"
    [timer], _ = follow(*arm(), (IDLE, 0, EXPIRE), (VCPU, 1, EXIT.format("CPUID")), (VCPU, 1, wakeup))
    assert timer.vcpu_was == "guest"
    [timer], _ = follow(*arm()[:2], (VCPU, 1, ACCEPT.format(236)), (VCPU, 1, wakeup))
    assert (timer.at_arm, timer.vcpu_was) == (True, "blocked")


def test_a_listing_may_go_back_by_ten_ms() -> None:
    back = [
        (20_000_000, VCPU, 1, ENTRY),
        (10_000_000, IDLE, 0, "kvm_fpu: load"),
        (20_000_000, IDLE, 0, "kvm_fpu: load"),
    ]
    _, tracker = follow_at(*back)
    assert (tracker.first_ns, tracker.last_ns, tracker.length_ns) == (ns(20_000), ns(20_000), 0)
    message = r"^kvm_fpu at 1\.010000 s: the event before it is at 1\.020000 s; expected one listing, in order of time$"
    with pytest.raises(ValueError, match=message):
        follow_at((20_000_000, VCPU, 1, ENTRY), (9_999_999, IDLE, 0, "kvm_fpu: load"))


def test_a_time_in_which_nothing_passed_is_no_span() -> None:
    _, tracker = follow_at((0, VCPU, 1, ENTRY), (0, VCPU, 1, EXIT.format("HLT")), (5, VCPU, 1, ENTRY))
    assert tracker.timeline.spans == [Span(ns(0), ns(0) + 5, ("vCPU", 7), "HLT")]


def test_a_listing_without_events_has_no_length() -> None:
    tracker = Tracker(1)
    assert list(tracker.follow([])) == []
    assert (tracker.length_ns, tracker.sees_accept, tracker.modern_exit_format) == (0, False, False)


def event(name: str, *, pid: int = 7, reason: str | None = None, **fields: Any) -> Event:
    """An event at 1 s on pCPU 1."""
    return Event(1.0, ns(0), 1, "kt", pid, name, 0, reason, fields, None)


def test_the_numbers_of_threads_reasons_and_kinds_of_event_have_limits() -> None:
    tracker = Tracker(1)
    for pid in range(4096):
        tracker.take(event("kvm_entry", pid=pid))
    with pytest.raises(ValueError, match=r"^pid 4096: more than 4096 vCPU threads; expected a listing of one host$"):
        tracker.take(event("kvm_entry", pid=4096))
    tracker = Tracker(1)
    for number in range(1000):
        tracker.take(event("kvm_exit", reason=f"R{number}"))
    with pytest.raises(ValueError, match=r"^kvm_exit reason 'R1000': expected at most 1000 different reasons$"):
        tracker.take(event("kvm_exit", reason="R1000"))
    tracker = Tracker(1)
    for number in range(10_000):
        tracker.take(event(f"e{number}"))
    with pytest.raises(ValueError, match=r"^last: expected at most 10000 different events$"):
        tracker.take(event("last"))


def test_of_a_thousand_msrs_writes_are_counted() -> None:
    tracker = Tracker(1)
    for msr in range(0x10000, 0x10000 + 1001):
        tracker.take(event("kvm_msr", access="write", msr=msr, value=1))
    assert tracker.threads[7].msr_writes == dict.fromkeys(range(0x10000, 0x10000 + 1000), 1)


def test_a_msr_without_a_number_is_passed_over() -> None:
    tracker = Tracker(1)
    tracker.take(event("kvm_msr", access="write", msr="6e0", value=1))
    tracker.take(event("kvm_msr", access="write", msr=TSC_DEADLINE, value="many"))
    assert tracker.threads == {}


def test_a_thread_keeps_the_number_that_an_event_has_shown() -> None:
    """kvm_exit of old kernels does not show it."""
    _, tracker = follow((VCPU, 1, "kvm_entry: vcpu 3"), (VCPU, 1, "kvm_exit: reason HLT rip 0x1 info 0 0"))
    assert tracker.threads[7].vcpu == 3
    _, tracker = follow((VCPU, 1, "kvm_exit: reason HLT rip 0x1 info 0 0"))
    assert tracker.name(7) == "vCPU ? (thread 7)"
