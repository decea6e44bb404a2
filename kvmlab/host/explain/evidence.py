"""From recorded timers to evidence: what the kernel answered, and facts that the recording shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from kvmlab.host.explain.counts import count_observations
from kvmlab.host.inference import HOUSEKEEPING, Fact, Observation
from kvmlab.host.names import EOI, HLT_EXITS, MWAIT_EXITS, TMICT, TSC_DEADLINE, is_amd
from kvmlab.host.outcome import is_disarm
from kvmlab.host.threads import Thread
from kvmlab.host.timers import Timer
from kvmlab.host.tracker import Tracker

MAX_PLACES = 100_000
"""Pairs of a vCPU and a pCPU, or of two pCPUs, that are kept apart."""
HV_SURE_NS = 5_000_000_000
"""The preemption timer reaches further than this on any CPU that has one (2**(32+N) cycles, N from 3 on)."""
NO_HV_TIMER = Fact("hv_timer", False, None, "Exits have AMD's names: there is no preemption timer.")


class Evidence:
    """What one recording shows, counted while its timers go by. Complete once the tracker has followed all events."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.answers: Counter[tuple[int, int, str, bool]] = Counter()
        """(thread, pCPU of the vCPU, question, answer) -> how often."""
        self.left: Counter[tuple[int, int]] = Counter()
        """(pCPU that armed, pCPU that fired) of hrtimers that left the vCPU's pCPU."""
        self.pinned: set[bool] = set()
        """Whether hrtimers were pinned; both where some were and some were not."""

    def take(self, timer: Timer) -> None:
        """Count what one timer shows."""
        if max(len(self.answers), len(self.left)) > MAX_PLACES:
            raise ValueError(f"more than {MAX_PLACES} pairs of vCPUs and pCPUs; expected a listing of one host")
        if timer.pinned is not None:
            self.pinned.add(timer.pinned)
        if timer.backend == "hv" and not is_disarm(timer):
            self.answers[timer.pid, timer.pcpu, "can_use_hv_timer", True] += 1
        elif timer.backend == "hrtimer" and timer.arm_exit and armed_near(timer):
            self.answers[timer.pid, timer.pcpu, "can_use_hv_timer", False] += 1
        if timer.vcpu_cpu is None:
            return
        if timer.posted:
            self.answers[timer.pid, timer.vcpu_cpu, "can_post_timer_interrupt", True] += 1
        elif timer.vcpu_was == "guest" and timer.expiry_exit and timer.fired_ns is not None and timer.accepted_ns:
            self.answers[timer.pid, timer.vcpu_cpu, "can_post_timer_interrupt", False] += 1
        if timer.backend is not None and timer.fired_cpu not in (None, timer.pcpu) and timer.vcpu_cpu == timer.pcpu:
            self.left[timer.pcpu, int(timer.fired_cpu or 0)] += 1

    def observations(self, *, whole: bool) -> tuple[list[Observation], list[str]]:
        """Return the answers, and what they rest on; `whole`: no event was lost.

        A kick where others were posted is a race with an exit, and shows nothing. Where no event tells what was armed,
        the counts of exits do, as in a table.
        """
        found = []
        for (pid, cpu, question, answer), count in self.answers.items():
            if question == "can_post_timer_interrupt" and not answer and self.answers[pid, cpu, question, True]:
                continue
            who = self.tracker.name(pid)
            found.append(Observation(who, cpu, question, answer, count, say(who, cpu, question, answer, count)))
        assumed: list[str] = []
        answered = {pid for pid, *_ in self.answers}
        for pid in [pid for pid in self.tracker.threads if pid not in answered]:
            counted, provided = self.counted(pid, whole=whole)
            found += counted
            assumed += provided
        return found, assumed

    def counted(self, pid: int, *, whole: bool) -> tuple[list[Observation], list[str]]:
        """Return what the counts of a thread's exits show, and what that rests on."""
        thread, who = self.tracker.threads[pid], self.tracker.name(pid)
        # Of a listing with the writes it is known which of them arm the timer.
        armed = thread.msr_writes[TSC_DEADLINE] + thread.msr_writes[TMICT] if thread.msr_writes else None
        found, assumed = count_observations(thread.exits, whole=whole, who=who, armed=armed)
        return [replace(each, sentence=f"{who}: {each.sentence}") for each in found], assumed

    def facts(self) -> list[Fact]:
        """Return the facts that the recording shows."""
        facts = []
        threads = self.tracker.threads.values()
        if any(is_amd(thread.exits) for thread in threads):
            facts.append(NO_HV_TIMER)
        for thread in threads:
            facts += thread_facts(thread, thread.name(threads))
        for (armed, fired), count in self.left.items():
            sentence = f"{count} hrtimer{'s' * (count != 1)} armed on pCPU {armed} fired on pCPU {fired}"
            facts.append(Fact(HOUSEKEEPING, False, armed, f"{sentence}: timers leave isolated CPUs only."))
            facts.append(Fact(HOUSEKEEPING, True, fired, f"{sentence}: timers go to housekeeping CPUs only."))
        return facts

    def excluded(self) -> dict[str, str]:
        """Return the policies that the kernel's release excludes, and why: `before` is v5.2, all others are later."""
        if self.pinned == {True}:
            why = "LAPIC hrtimers are pinned, as up to v5.2."
            return dict.fromkeys(("rev1", "rev2", "rev3"), why)
        if False in self.pinned:
            return {"before": "LAPIC hrtimers are not pinned; v5.2 pins them."}
        if self.tracker.modern_exit_format:
            return {"before": "kvm_exit is printed as from v5.10 on."}
        return {}


def armed_near(timer: Timer) -> bool:
    """Return True if the deadline was in reach of any preemption timer, so that its refusal is an answer."""
    if is_disarm(timer) or timer.switched or (timer.value is None and timer.expires is None):
        return False
    if timer.fired_ns is not None:
        return timer.fired_ns - timer.armed_ns < HV_SURE_NS
    return timer.expires is not None and 0 <= timer.expires - timer.armed_ns < HV_SURE_NS


def say(who: str, cpu: int, question: str, answer: bool, count: int) -> str:
    """Return an observation in a sentence."""
    times = f"{count} time{'s' * (count != 1)}"
    if question == "can_use_hv_timer":
        armed = "the preemption timer" if answer else "an hrtimer, not the preemption timer,"
        return f"{who} on pCPU {cpu}: {armed} was armed, {times}."
    if answer:
        return f"{who} on pCPU {cpu}: an expiry on another CPU was posted, {times}."
    return (
        f"{who} on pCPU {cpu}: an expiry on another CPU found it in the guest and was not posted but kicked, {times}."
    )


def thread_facts(thread: Thread, who: str) -> Iterator[Fact]:
    """Yield facts about one vCPU."""
    hlt = sum(thread.exits[name] for name in HLT_EXITS)
    mwait = sum(thread.exits[name] for name in MWAIT_EXITS)
    if hlt:
        yield Fact("hlt_in_guest", False, who, f"{who}: HLT exits ({hlt}).")
    if mwait:
        yield Fact("mwait_in_guest", False, who, f"{who}: MWAIT exits ({mwait}).")
    if thread.apicv:
        yield Fact("apicv_active", True, who, f"{who}: APICv took interrupts (kvm_apicv_accept_irq).")
    elif thread.msr_writes[EOI]:
        yield Fact("apicv_active", False, who, f"{who}: EOI exits ({thread.msr_writes[EOI]}), so APICv is not active.")
