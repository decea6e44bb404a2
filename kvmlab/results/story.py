"""Follow one timer, step by step, in words: the same rules as a run, driven for a single expiry."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace
from typing import Any

from kvmlab import kernels
from kvmlab.engine import execute, setup
from kvmlab.kernels import Kernel
from kvmlab.model.guest_os import write_timer
from kvmlab.model.hrtimer import enqueue_hrtimer, reprogram
from kvmlab.model.machine import (
    AT_ARM,
    AT_HV,
    AT_KICKED,
    AT_OWN,
    AT_POSTED,
    EXITS,
    GUEST,
    LANE_VCPU,
    NEVER,
    TIMER_MODES,
    X_EXTERNAL_INTERRUPT,
    X_MSR_WRITE,
    X_OTHER,
    X_PREEMPTION_TIMER,
    Machine,
    schedule,
)
from kvmlab.model.trace import (
    FAST,
    NAMES,
    T_APIC_TIMER_FN,
    T_BLOCK,
    T_CANCEL_HV_TIMER,
    T_DEVICE,
    T_DONE,
    T_ENTRY,
    T_EXIT,
    T_EXPIRED_AT_ONCE,
    T_EXPIRED_DROPPED,
    T_EXPIRED_PENDING,
    T_EXPIRED_POSTED,
    T_GUEST_HALTS,
    T_HANDLER,
    T_HRTIMER_CANCEL,
    T_HRTIMER_INTERRUPT,
    T_HRTIMER_START,
    T_HV_ERANGE,
    T_HV_EXPIRED,
    T_HV_REFUSED,
    T_INJECT,
    T_KICK,
    T_LOAD,
    T_MIGRATE,
    T_NOHZ_TARGET,
    T_NOTHING_ARMED,
    T_SCHED_OUT,
    T_START_APIC_TIMER,
    T_START_HV_TIMER,
    T_START_SW_TIMER,
    T_SWITCH_TO_HV,
    T_SWITCH_TO_SW,
    T_TARGET_REFUSED,
    T_WAIT,
    T_WAKE_UP,
    T_WRMSR,
)
from kvmlab.model.vcpu import preempt
from kvmlab.model.vmexit import kvm_exit
from kvmlab.scenario import checks
from kvmlab.scenario.costs import Costs, ShiftedLognormal
from kvmlab.scenario.scenario import Guest, Host, Scenario, Workload

PCPUS = ("isolated", "housekeeping")
VCPU_STATES = ("guest", "blocked", "host", "preempted")
HOUSEKEEPING_CPU, ISOLATED_CPU = 0, 1
MAX_DEADLINE_NS = 10**15
AFTER_NS = 100_000
"""A vCPU that is in the host or preempted when its timer expires comes back so much later."""

SENTENCES = {
    T_EXIT: "The vCPU leaves guest mode: {exit}.",
    T_ENTRY: "The vCPU enters guest mode.",
    T_WRMSR: "The host handles the guest's write to its timer.",
    T_START_APIC_TIMER: "What was armed before is forgotten, and who shall fire the timer is decided.",
    T_START_HV_TIMER: "The VMX preemption timer is armed: it counts down while the vCPU is in guest mode.",
    T_HV_REFUSED: "No preemption timer: it is missing, or MWAIT does not exit, or the timer may be posted.",
    T_HV_ERANGE: "The deadline is further away than the preemption timer can count.",
    T_CANCEL_HV_TIMER: "The preemption timer is turned off.",
    T_START_SW_TIMER: "A host hrtimer takes the job.",
    T_HRTIMER_START: "The hrtimer is queued on {cpu}.",
    T_HRTIMER_CANCEL: "The hrtimer is taken off its queue.",
    T_NOHZ_TARGET: "Asked which CPU should take an unpinned timer: {cpu}.",
    T_TARGET_REFUSED: "It would be the first to expire on {cpu}, which can't be reprogrammed from afar: it stays.",
    T_APIC_TIMER_FN: "The hrtimer's callback runs {ns} after the time it was set for.",
    T_HRTIMER_INTERRUPT: "The CPU's event timer fires: the hrtimers that are due are run.",
    T_HV_EXPIRED: "The exit says that the preemption timer has run down: the timer has expired.",
    T_EXPIRED_AT_ONCE: "The deadline has come already: the interrupt is delivered without arming anything.",
    T_EXPIRED_PENDING: "Not posted: the expiry is noted as pending, for the vCPU to find on its way into the guest.",
    T_EXPIRED_DROPPED: "One expiry is pending already: this one is dropped.",
    T_EXPIRED_POSTED: "Posted: the vector is set in the posted-interrupt descriptor and {cpu} is notified. No exit.",
    T_WAIT: "The timer was set early on purpose: {ns} are left to the deadline, and are waited out.",
    T_KICK: "An IPI to {cpu} makes the vCPU leave the guest.",
    T_WAKE_UP: "The blocked vCPU thread is woken.",
    T_INJECT: "The pending expiry becomes an interrupt of the guest.",
    T_BLOCK: "The guest has halted: the vCPU thread goes to sleep.",
    T_SWITCH_TO_SW: "The preemption timer counts in guest mode only, so an hrtimer takes over while the vCPU sleeps.",
    T_SWITCH_TO_HV: "The vCPU runs again: who shall fire the timer is decided again.",
    T_SCHED_OUT: "Another task takes the pCPU for {ns}.",
    T_LOAD: "The scheduler runs the vCPU on {cpu}.",
    T_MIGRATE: "The hrtimer follows the vCPU to its new pCPU.",
    T_HANDLER: "The guest's timer handler starts, {ns} after the deadline.",
    T_GUEST_HALTS: "The guest halts without leaving guest mode.",
    T_DEVICE: "The guest handles a device's interrupt.",
    T_NOTHING_ARMED: "A deadline of 0 disarms the timer: nothing is armed.",
}


NOT_VISIBLE = "not visible"
"""What a story of a recorded timer says of what the recording does not show."""
ARMED = {
    "hv": "the preemption timer is armed",
    "hrtimer": "an hrtimer is armed",
    None: "nothing has to be armed",
    NOT_VISIBLE: "what is armed is not visible",
}
PLACE = {
    "own": "it fires on the vCPU's own pCPU",
    "housekeeping": "it fires on a housekeeping CPU",
    NOT_VISIBLE: "where it fires is not visible",
}
CAME = {
    "posted": "the interrupt is posted",
    "vm_entry": "the interrupt is injected at VM entry",
    "wake_up": "the vCPU is woken",
    "at_arm": "the interrupt is delivered at once",
    NOT_VISIBLE: "how the guest gets it is not visible",
}


@dataclass(frozen=True)
class Step:
    """One step of a story."""

    time_ns: int
    """When, counted from the guest's write."""
    where: str
    """Which CPU does it."""
    function: str
    """The kernel function or tracepoint, or what the guest does."""
    sentence: str
    """What happens."""


@dataclass(frozen=True, repr=False)
class Story:
    """What became of one timer."""

    kernel: str
    """The kernel, or whose recorded timer it is."""
    backend: str | None
    """What was armed: "hv" (the preemption timer), "hrtimer", or None (nothing)."""
    fires_on: str | None
    """Where it fired: "own" (the vCPU's pCPU), "housekeeping", or None (nowhere)."""
    arm_exit: str | None
    """The exit that the guest's write costs; None where a periodic timer went on by itself."""
    arm_fastpath: bool | None
    """That exit took the fast path; None where a recording does not show it, as below."""
    expiry_exit: str | None
    """The exit that the expiry costs: "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", or None."""
    expiry_fastpath: bool | None
    """That exit took the fast path."""
    delivery: str | None
    """How the guest got it: "posted", "vm_entry", "wake_up", "at_arm" (due when armed), or None (nothing armed)."""
    latency_ns: int | None
    """Deadline -> guest handler, every step taking its mean time; None if nothing was armed."""
    timeline: tuple[Step, ...]
    """The steps with their times."""

    @property
    def steps(self) -> list[tuple[str, str, str]]:
        """The steps as (where, kernel function, sentence)."""
        return [(step.where, step.function, step.sentence) for step in self.timeline]

    def __str__(self) -> str:
        lines = [f"{s.time_ns / 1e3:10.2f} us  {s.where:<22} {s.function:<30} {s.sentence}" for s in self.timeline]
        return "\n".join([f"{self.kernel}: {self.summary()}", *lines])

    __repr__ = __str__

    def summary(self) -> str:
        """The outcome in one sentence."""
        if self.delivery is None:
            return "nothing is armed."
        parts = [ARMED[self.backend], *([PLACE[self.fires_on]] if self.fires_on else []), CAME[self.delivery]]
        if self.delivery == NOT_VISIBLE:
            return f"{', '.join(parts)}."
        cost = (
            f"a{'n' if self.expiry_exit[0] in 'AEIOU' else ''} {self.expiry_exit} exit"
            if self.expiry_exit
            else "no exit"
        )
        return f"{', '.join(parts)}; the expiry costs {cost}."

    def _repr_html_(self) -> str:
        from html import escape

        left = "<td style='text-align:left'>"
        rows = "".join(
            f"<tr><td style='text-align:right'>{s.time_ns / 1e3:.2f}</td>{left}{escape(s.where)}</td>"
            f"{left}<code>{escape(s.function)}</code></td>{left}{escape(s.sentence)}</td></tr>"
            for s in self.timeline
        )
        titles = ("time, us", "where", "function", "what happens")
        head = "".join(f"<th style='text-align:left'>{title}</th>" for title in titles)
        title = f"{escape(self.kernel)}: {escape(self.summary())}"
        return f"<table><caption style='text-align:left'>{title}</caption><tr>{head}</tr>{rows}</table>"


@functools.cache
def mean_costs() -> Costs:
    """Every step takes its mean time, so that a story is the same each time it is told."""
    default = Costs.default()
    means = {field.name: getattr(default, field.name).mean_ns for field in fields(Costs)}
    return replace(default, **{name: ShiftedLognormal(ns, ns, 0) for name, ns in means.items()})


def story_scenario(kernel: Kernel, options: dict[str, Any]) -> Scenario:
    """The host and guest of a story: housekeeping CPU 0, isolated CPU 1."""
    host = Host(
        pcpus=2,
        isolated=(ISOLATED_CPU,),
        nohz_full=options["nohz_full"],
        housekeeping="ticking",
        housekeeping_timer_us=1e6,  # its next event decides where a timer goes; those after it need only be few
        apicv=options["apicv_active"],
        preemption_timer=options["hv_timer"],
        pi_inject_timer=checks.flag("pi_inject_timer", options["pi_inject_timer"]),
        timer_migration=options["timer_migration"],
        tsc_ghz=options["tsc_ghz"],
        preemption_timer_shift=options["preemption_timer_shift"],
    )
    isolated = checks.choice("pcpu", options["pcpu"], PCPUS) == "isolated"
    guest = Guest(
        pcpus=(ISOLATED_CPU if isolated else HOUSEKEEPING_CPU,),
        hlt_in_guest=options["hlt_in_guest"],
        mwait_in_guest=options["mwait_in_guest"],
        workload=Workload(tick_hz=0, timers=1, timer_mode=options["timer_mode"], waits_by="hlt"),
    )
    return Scenario(host, (guest,), kernel=kernel, costs=mean_costs())


def arm(m: Machine, mode: str, deadline_ns: int, housekeeping_next_event_ns: int) -> int:
    """The guest writes its timer, in guest mode at time 0; return when the host sees it (time 0 of the story)."""
    vcpu = m.vcpus[0]
    vcpu.state = GUEST
    vcpu.exit_reason = -1
    vcpu.in_handler = 0
    start = round(mean_costs().exit_transition.mean_ns)
    enqueue_hrtimer(m, 1 + len(m.pcpus) + HOUSEKEEPING_CPU, HOUSEKEEPING_CPU, start + housekeeping_next_event_ns)
    reprogram(m, HOUSEKEEPING_CPU)
    m.programs[0].timer_ns = deadline_ns
    absolute = deadline_ns + (start if mode == "tsc_deadline" else 0)
    write_timer(m, 0, absolute if deadline_ns else NEVER, 0)
    return start


def put(m: Machine, state: str, start: int, deadline: int) -> None:
    """See to it that the expiry finds the vCPU where the reader wants it."""
    vcpu = m.vcpus[0]
    if state == "blocked":
        if vcpu.hlt:
            vcpu.halting = (
                1  # it does not exit on HLT, so it was put to sleep by the host (an async page fault does that)
            )
        else:
            vcpu.idle = 1
        return
    if state == "guest" or deadline >= NEVER:
        return
    halfway = start + max(0, deadline - start - 2 * vcpu.advance_ns) // 2
    execute.run(m, halfway)
    if state == "preempted":
        preempt(m, 0, deadline + AFTER_NS - halfway, halfway)
    elif vcpu.state == GUEST:
        kvm_exit(m, 0, X_OTHER, False, max(halfway, vcpu.in_guest_at))
        schedule(m, LANE_VCPU, 0, deadline + AFTER_NS)


def cpu_name(m: Machine, cpu: int) -> str:
    """What a story calls a CPU."""
    if cpu == m.vcpus[0].pcpu:
        return "the vCPU's pCPU"
    return "the housekeeping CPU" if cpu == HOUSEKEEPING_CPU else "the other CPU"


def function_name(kernel: Kernel, code: int) -> str:
    """The kernel function of a step.

    Before v5.8 the preemption timer is refused in vmx_set_hv_timer(), and its end has no fast path.
    """
    if code == T_HV_REFUSED and not kernel.expiry_fastpath:
        return "vmx_set_hv_timer"
    if code == T_HV_EXPIRED and kernel.expiry_fastpath:
        return "handle_fastpath_preemption_timer"
    return NAMES[code].split(":")[0]


def tell(m: Machine, kernel: Kernel, start: int) -> tuple[Step, ...]:
    """Turn the trace into sentences, up to the guest's handler."""
    steps = []
    for row in m.trace[: m.g[0].trace_used]:
        if row.code == T_DONE or (row.code == T_HRTIMER_INTERRUPT and row.cpu != m.vcpus[0].pcpu):
            continue
        sentence = SENTENCES[row.code].format(
            exit=EXITS[row.arg & ~FAST] + (" (fast path)" if row.arg & FAST else "") if row.code == T_EXIT else "",
            cpu=cpu_name(m, row.arg),
            ns=f"{row.arg / 1e3:.2f} us",
        )
        in_guest = row.code in (T_HANDLER, T_GUEST_HALTS, T_DEVICE)
        where = "the guest" if in_guest else cpu_name(m, row.cpu)
        steps.append(Step(row.time - start, where, function_name(kernel, row.code), sentence))
        if row.code == T_HANDLER:
            break
    return tuple(sorted(steps, key=place_in_story))


def place_in_story(step: Step) -> tuple[int, int]:
    """By time; at the same time an exit comes first, then the interrupt that runs the callbacks."""
    return step.time_ns, {NAMES[T_EXIT]: 0, NAMES[T_HRTIMER_INTERRUPT]: 1}.get(step.function, 2)


def follow_timer(
    kernel: str | Kernel,
    *,
    pi_inject_timer: bool = True,
    apicv_active: bool = True,
    hv_timer: bool = True,
    mwait_in_guest: bool = False,
    hlt_in_guest: bool = False,
    pcpu: str = "isolated",
    nohz_full: bool = True,
    vcpu_at_expiry: str = "guest",
    timer_mode: str = "tsc_deadline",
    deadline_ns: int = 2_000_000,
    housekeeping_next_event_ns: int = 1_000_000,
    timer_migration: bool = True,
    tsc_ghz: float = 2.5,
    preemption_timer_shift: int = 5,
) -> Story:
    """Arm one LAPIC timer and follow it to the guest's handler.

    `deadline_ns` and `housekeeping_next_event_ns` count from the guest's write; a deadline of 0 disarms. Without
    `nohz_full` the isolated pCPU counts as a housekeeping CPU for timers. Every step takes its mean time (costs.toml).
    A periodic timer's period is at least 200 us (kvm.min_timer_period_us).
    ValueError names what does not fit.
    """
    options = dict(locals())
    chosen = kernels.find(options.pop("kernel"))
    return follow(chosen, options)[1]


def follow(kernel: Kernel, options: dict[str, Any]) -> tuple[Machine, Story]:
    """The machine after one timer's life, and its story; `options` as `follow_timer` takes them."""
    checks.choice("vcpu_at_expiry", options["vcpu_at_expiry"], VCPU_STATES)
    checks.choice("timer_mode", options["timer_mode"], TIMER_MODES)
    deadline_ns = checks.whole("deadline_ns", options["deadline_ns"], 0, MAX_DEADLINE_NS)
    next_event = checks.whole("housekeeping_next_event_ns", options["housekeeping_next_event_ns"], 0, MAX_DEADLINE_NS)
    m = execute.plain_copy(setup.machine(story_scenario(kernel, options)))
    start = arm(m, options["timer_mode"], deadline_ns, next_event)
    vcpu = m.vcpus[0]
    backend = "hv" if vcpu.hv_timer_in_use else "hrtimer" if m.timers[0].cpu >= 0 else None
    deadline = vcpu.deadline
    put(m, options["vcpu_at_expiry"], start, deadline)
    execute.run(m, start + deadline_ns + 1_000 * AFTER_NS)
    return m, outcome(m, kernel.name, backend, tell(m, kernel, start))


def outcome(m: Machine, kernel: str, backend: str | None, timeline: tuple[Step, ...]) -> Story:
    """Read off what happened."""
    place = next((i for i, count in enumerate(m.places) if count), None)
    own = m.pcpus[m.vcpus[0].pcpu].fired > 0 or place == AT_HV
    elsewhere = any(cpu.fired for cpu in m.pcpus)
    reason = {AT_HV: X_PREEMPTION_TIMER, AT_OWN: X_EXTERNAL_INTERRUPT, AT_KICKED: X_EXTERNAL_INTERRUPT}.get(place or 0)
    woken = any(step.function == NAMES[T_WAKE_UP] for step in timeline)
    delivery = {AT_POSTED: "posted", AT_ARM: "at_arm"}.get(place or 0, "wake_up" if woken else "vm_entry")
    return Story(
        kernel=kernel,
        backend=backend,
        fires_on="own" if own else "housekeeping" if elsewhere else None,
        arm_exit=EXITS[X_MSR_WRITE],
        arm_fastpath=bool(m.exits[X_MSR_WRITE].fast),
        expiry_exit=None if place is None or reason is None else EXITS[reason],
        expiry_fastpath=bool(m.exits[X_PREEMPTION_TIMER].fast),
        delivery=None if place is None else delivery,
        latency_ns=int(m.vcpus[0].lat_max) if m.vcpus[0].lat_n else None,
        timeline=timeline,
    )
