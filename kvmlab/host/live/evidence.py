"""Which backend fired a live guest's timers, and on what evidence. Nothing is claimed that was not seen.

What each sign means is in the kernel's source: kvm_hv_timer_state says what was armed; apic_timer_fn is the LAPIC
hrtimer's callback; PREEMPTION_TIMER is the exit of the hv timer. svm.c has no set_hv_timer, so on AMD there is no hv
timer. KVM's counters tell one case from another only where the vCPU did not block, since for the time of a block KVM
moves the timer to an hrtimer, whatever was armed (vmx_pre_block, and vcpu_block from v5.17 on).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kvmlab.host.live import host

INTERPRETED_PER_TIMER = 5
"""The guest needs some 30 instructions per timer; hardware leaves one or two of them to KVM's emulator at most."""


@dataclass(frozen=True)
class Traced:
    """What the traced timers showed."""

    timers: int
    """How many there were."""
    armed: Counter[str] = field(default_factory=Counter)
    """kvm_hv_timer_state: "hv" (1) and "hrtimer" (0)."""
    exits: Counter[str] = field(default_factory=Counter)
    """kvm_exit by reason."""
    fired_on: Counter[int] = field(default_factory=Counter)
    """apic_timer_fn by CPU."""
    ran_on: tuple[int, ...] = ()
    """CPUs on which the vCPU's thread was seen."""
    posted: int = 0
    """kvm_apicv_accept_irq outside of that thread: interrupts posted by the CPU that ran the hrtimer."""


@dataclass(frozen=True)
class Observed:
    """Everything that was seen of one run; settings as the arguments of `measure`."""

    timers: int
    timer_mode: str
    waits_by: str
    hlt_in_guest: bool
    modules: list[str]
    parameters: dict[str, str]
    counters: dict[str, int]
    """By how much KVM's counters grew, by name; {}: not available."""
    traced: Traced | None = None


def read_trace(listing: str, timers: int, tid: int) -> Traced:
    """Count the signs in a listing of trace events (see tracing.py); raise ValueError as `read_kvm_trace` does."""
    from kvmlab.host.formats import read_kvm_trace

    events = read_kvm_trace(listing)
    own = events["pid"] == tid
    states = events["fields"][events["event"] == "kvm_hv_timer_state"]
    return Traced(
        timers,
        armed=Counter("hv" if fields["hv_timer"] else "hrtimer" for fields in states),
        exits=Counter(map(str, events["reason"][events["event"] == "kvm_exit"])),
        fired_on=Counter(map(int, events["cpu"][events["event"] == "hrtimer_expire_entry"])),
        ran_on=tuple(sorted({int(cpu) for cpu in events["cpu"][own]})),
        posted=int(((events["event"] == "kvm_apicv_accept_irq") & ~own).sum()),
    )


def listed(counts: Counter[str] | Counter[int], before: str = "") -> str:
    """Return counts in words: "MSR_WRITE: 10, PREEMPTION_TIMER: 9"."""
    return ", ".join(f"{before}{name}: {count}" for name, count in counts.most_common())


def from_trace(seen: Traced) -> tuple[str | None, list[str]]:
    """Return the backend that the traced timers show, and why."""
    said = []
    if seen.armed:
        said.append(f"kvm_hv_timer_state, {seen.timers} timers traced: armed on {listed(seen.armed)}.")
    if seen.fired_on:
        ran = ", ".join(map(str, seen.ran_on))
        said.append(
            f"apic_timer_fn, the LAPIC hrtimer's callback, ran on {listed(seen.fired_on, 'CPU ')}; vCPU: {ran}."
        )
    if seen.posted:
        said.append(f"kvm_apicv_accept_irq: from there {seen.posted} were posted.")
    if seen.exits:
        said.append(f"kvm_exit: {listed(seen.exits)}.")
    else:
        said.append("No kvm_exit was emitted: this host's exits cannot be told by reason.")
    fired = Counter({"hv": seen.exits["PREEMPTION_TIMER"], "hrtimer": seen.fired_on.total()})
    signs = fired if fired.total() else seen.armed
    return (signs.most_common(1)[0][0] if signs.total() else None), said


def from_modules(seen: Observed) -> tuple[str | None, list[str]]:
    """Return the backend that the loaded modules and their parameters leave, and why."""
    known = [name for name in seen.modules if name in host.VENDORS]
    if not known:
        names = ", ".join(seen.modules) or "none is listed"
        return None, [f"The vendor module is neither kvm_intel nor kvm_amd ({names}): nothing follows from it."]
    if known == ["kvm_amd"]:
        return "hrtimer", ["kvm_amd is loaded: SVM has no preemption timer, so it can only be an hrtimer."]
    if host.is_on(seen.parameters.get("kvm_intel.preemption_timer")) is False:
        return "hrtimer", ["kvm_intel.preemption_timer is N: it can only be an hrtimer."]
    return None, []


def from_counters(seen: Observed) -> tuple[str | None, list[str]]:
    """Return the backend that KVM's counters show: exits per timer beyond interrupts and halts; and why."""
    if not {"exits", "irq_exits", "halt_exits"} <= set(seen.counters):
        return None, ["KVM's counters are not available (KVM_GET_STATS_FD: Linux 5.14)."]
    exits, irqs, halts = (seen.counters[name] for name in ("exits", "irq_exits", "halt_exits"))
    said = [f"KVM counted {exits} exits for {seen.timers} timers, {irqs} of them by interrupts and {halts} by HLT."]
    if seen.hlt_in_guest and halts > seen.timers / 2:
        said.append("hlt_in_guest was granted, and yet HLT exited: this host does not leave it to the guest.")
    emulated = seen.counters.get("insn_emulation", 0)
    if emulated > INTERPRETED_PER_TIMER * seen.timers:
        said.append(
            f"KVM emulated {emulated} instructions: this host interprets the guest's code, so exits are not counted as "
            "hardware would make them, and latencies are the interpreter's."
        )
        return None, said
    if halts > seen.timers / 2:
        said.append("The guest blocked: meanwhile KVM keeps its timer in an hrtimer, whatever was armed.")
        return None, said
    apicv = host.is_on(seen.parameters.get("kvm_intel.enable_apicv"))
    if seen.waits_by == "pause" or "kvm_intel" not in seen.modules or not apicv:
        return None, said
    armings = 1 if seen.timer_mode == "periodic" else seen.timers
    rest = (exits - irqs - halts - armings) / seen.timers
    if -0.1 <= rest <= 0.3:
        said.append("Beside those and the arming there is no exit for each timer: no preemption timer exited.")
        return "hrtimer", said
    if 0.8 <= rest <= 1.3 and irqs < seen.timers / 2:
        said.append("Beside the arming there is one exit per timer that is no interrupt: the preemption timer's.")
        return "hv", said
    return None, said


def judge(seen: Observed) -> tuple[str | None, list[str]]:
    """Return the backend ("hv", "hrtimer", or None: cannot tell), and the evidence, one sentence each.

    A trace decides before the modules, and those before the counters.
    """
    answers = [from_trace(seen.traced)] if seen.traced else []
    answers += [from_modules(seen), from_counters(seen)]
    backend = next((answer for answer, _ in answers if answer), None)
    return backend, [sentence for _, sentences in answers for sentence in sentences]
