"""The story of a recorded timer, in the sentences of the simulator's stories."""

from __future__ import annotations

from collections.abc import Iterator

from kvmlab.host.outcome import backend_of, delivery_of, fires_on, is_disarm, latency_ns
from kvmlab.host.timers import Timer
from kvmlab.model.names import Trace
from kvmlab.results.story import SENTENCES, Step, Story

OWN = "the vCPU's pCPU"


def story_of(title: str, timer: Timer, tsc_ghz: float | None) -> Story:
    """Return the story of a timer, under `title`. `tsc_ghz`: frequency of the guest's TSC, None where not known."""
    return Story(
        kernel=title,
        backend=backend_of(timer),
        fires_on=fires_on(timer),
        arm_exit=timer.arm_exit,
        arm_fastpath=timer.arm_fast,
        expiry_exit=timer.expiry_exit,
        expiry_fastpath=timer.expiry_fast if timer.expiry_exit == "PREEMPTION_TIMER" else False,
        delivery=delivery_of(timer),
        latency_ns=latency_ns(timer, tsc_ghz),
        timeline=tuple(sorted(steps(timer), key=lambda step: step.time_ns)),
    )


def steps(timer: Timer) -> Iterator[Step]:
    """Yield the steps that were seen, with times from the exit that armed the timer."""
    fires = OWN if fires_on(timer) == "own" else f"pCPU {timer.fired_cpu}"
    yield from arming_steps(timer)
    yield from firing_steps(timer, fires)
    if timer.posted:
        yield from posting_steps(timer, fires)
    else:
        yield from injecting_steps(timer)
    yield from step(
        timer, timer.ended_ns, OWN, "start_apic_timer", "The guest writes its timer again: this one is forgotten."
    )


def step(timer: Timer, time_ns: int | None, where: str, function: str, sentence: str) -> Iterator[Step]:
    """Yield one step, if its time was seen."""
    if time_ns is not None:
        yield Step(time_ns - timer.armed_ns, where, function, sentence)


def arming_steps(timer: Timer) -> Iterator[Step]:
    """Yield how the timer was armed."""
    if timer.arm_exit:
        yield from step(timer, timer.armed_ns, OWN, "kvm_exit", SENTENCES[Trace.EXIT].format(exit=timer.arm_exit))
        yield from step(timer, timer.armed_ns, OWN, "write to the timer", SENTENCES[Trace.WRMSR])
    yield from step(timer, timer.armed_ns, OWN, *armed(timer))
    if timer.switched:
        yield from step(timer, timer.armed_ns, OWN, "kvm_lapic_switch_to_sw_timer", SENTENCES[Trace.SWITCH_TO_SW])


def armed(timer: Timer) -> tuple[str, str]:
    """Return what was armed: function and sentence."""
    if is_disarm(timer):
        return "start_apic_timer", SENTENCES[Trace.NOTHING_ARMED]
    if timer.at_arm:
        return "start_apic_timer", SENTENCES[Trace.EXPIRED_AT_ONCE]
    if timer.backend == "hv":
        return "start_hv_timer", SENTENCES[Trace.START_HV_TIMER]
    if timer.backend == "hrtimer":
        return "hrtimer_start", "A host hrtimer takes the job; on which CPU it waits shows when it fires."
    return "start_apic_timer", "The timer is armed; who shall fire it is not in the recording."


def firing_steps(timer: Timer, fires: str) -> Iterator[Step]:
    """Yield how it fired, on the CPU `fires`, and the exit that this cost."""
    if timer.expiry_exit:
        reason = SENTENCES[Trace.EXIT].format(exit=timer.expiry_exit)
        yield from step(timer, timer.expiry_exit_ns, OWN, "kvm_exit", reason)
    if timer.fired_ns is not None and timer.backend == "hrtimer":
        ns = "some time" if timer.late_ns is None else f"{timer.late_ns / 1e3:.2f} us"
        yield from step(timer, timer.fired_ns, fires, "apic_timer_fn", SENTENCES[Trace.APIC_TIMER_FN].format(ns=ns))


def posting_steps(timer: Timer, fires: str) -> Iterator[Step]:
    """Yield how the interrupt was posted: the CPU that fires it waits, and posts at the deadline."""
    yield from waiting_steps(timer, fires)
    sentence = SENTENCES[Trace.EXPIRED_POSTED].format(cpu=OWN)
    yield from step(timer, timer.accepted_ns, fires, "apic_timer_expired", sentence)


def injecting_steps(timer: Timer) -> Iterator[Step]:
    """Yield how the vCPU's own thread gave the guest its interrupt."""
    if timer.at_arm:
        yield from step(timer, timer.accepted_ns, OWN, "apic_timer_expired", SENTENCES[Trace.EXPIRED_AT_ONCE])
    else:
        yield from step(timer, timer.accepted_ns, OWN, "kvm_apic_inject_pending_timer_irqs", SENTENCES[Trace.INJECT])
    yield from waiting_steps(timer, OWN)
    yield from step(timer, timer.entry_ns, OWN, "kvm_entry", SENTENCES[Trace.ENTRY])


def waiting_steps(timer: Timer, where: str) -> Iterator[Step]:
    """Yield what kvm_wait_lapic_expire() saw, and waited for, where that was traced."""
    if timer.delta is None:
        return
    if timer.delta < 0:
        sentence = SENTENCES[Trace.WAIT].format(ns=f"{-timer.delta} TSC cycles")
    else:
        sentence = f"The deadline was {timer.delta} TSC cycles ago: nothing is left to wait for."
    yield from step(timer, timer.wait_ns, where, "kvm_wait_lapic_expire", sentence)
