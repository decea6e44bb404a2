"""Follow one timer, step by step, in words: the same rules as a run, driven for a single expiry."""

from __future__ import annotations

import functools
from dataclasses import fields, replace

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
    T_DEVICE,
    T_DONE,
    T_EXIT,
    T_GUEST_HALTS,
    T_HANDLER,
    T_HRTIMER_INTERRUPT,
    T_HV_EXPIRED,
    T_HV_REFUSED,
    T_WAKE_UP,
)
from kvmlab.model.vcpu import preempt
from kvmlab.model.vmexit import kvm_exit
from kvmlab.results.story import SENTENCES, Step, Story
from kvmlab.scenario import checks
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.distribution import ShiftedLognormal
from kvmlab.scenario.scenario import Guest, Host, Scenario, Workload

PCPUS = ("isolated", "housekeeping")
"""Where the vCPU may run."""
VCPU_STATES = ("guest", "blocked", "host", "preempted")
"""Where the expiry may find the vCPU."""
HOUSEKEEPING_CPU, ISOLATED_CPU = 0, 1
MAX_DEADLINE_NS = 10**15
AFTER_NS = 100_000
"""A vCPU that is in the host or preempted when its timer expires comes back this much later."""


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
    """Arm one LAPIC timer and follow it to the guest's handler. Every step takes its mean time (costs.toml).

    - `kernel`: a name in `KERNELS`, or a Kernel.
    - `pi_inject_timer`: kvm.pi_inject_timer is on.
    - `apicv_active`: the vCPU takes posted interrupts.
    - `hv_timer`: the host offers the VMX preemption timer.
    - `mwait_in_guest`, `hlt_in_guest`: the instruction does not exit.
    - `pcpu`: the vCPU runs on the "isolated" pCPU or on the "housekeeping" one.
    - `nohz_full`: without it the isolated pCPU counts as a housekeeping CPU for timers.
    - `vcpu_at_expiry`: the expiry finds the vCPU in the "guest", "blocked", in the "host", or "preempted".
    - `timer_mode`: "tsc_deadline", "oneshot" or "periodic"; a period is at least 200 us (kvm.min_timer_period_us).
    - `deadline_ns`: from the guest's write, up to 10**15; 0 disarms.
    - `housekeeping_next_event_ns`: when the housekeeping CPU's own next timer is due, from the guest's write.
    - `timer_migration`: sysctl kernel.timer_migration.
    - `tsc_ghz`, `preemption_timer_shift`: the preemption timer counts once every 2**shift TSC cycles.

    Returns a `Story`: its fields tell the outcome, printed it shows every step. ValueError names what does not fit.

    >>> import kvmlab as kl
    >>> story = kl.follow_timer("v5.13", hlt_in_guest=True)
    >>> story.fires_on, story.expiry_exit, story.delivery
    ('housekeeping', None, 'posted')
    >>> kl.follow_timer("v5.2").expiry_exit
    'PREEMPTION_TIMER'
    """
    scenario = one_timer(
        kernel,
        pi_inject_timer=pi_inject_timer,
        apicv_active=apicv_active,
        hv_timer=hv_timer,
        mwait_in_guest=mwait_in_guest,
        hlt_in_guest=hlt_in_guest,
        pcpu=pcpu,
        nohz_full=nohz_full,
        timer_mode=timer_mode,
        timer_migration=timer_migration,
        tsc_ghz=tsc_ghz,
        preemption_timer_shift=preemption_timer_shift,
    )
    return follow(scenario, vcpu_at_expiry, deadline_ns, housekeeping_next_event_ns)[1]


def one_timer(
    kernel: str | Kernel,
    *,
    pi_inject_timer: bool,
    apicv_active: bool,
    hv_timer: bool,
    mwait_in_guest: bool,
    hlt_in_guest: bool,
    pcpu: str,
    nohz_full: bool,
    timer_mode: str,
    timer_migration: bool,
    tsc_ghz: float,
    preemption_timer_shift: int,
) -> Scenario:
    """Return a story's host and guest: housekeeping CPU 0, isolated CPU 1. Options as `follow_timer` takes them."""
    host = Host(
        pcpus=2,
        isolated=(ISOLATED_CPU,),
        nohz_full=nohz_full,
        housekeeping="ticking",
        housekeeping_timer_us=1e6,  # its next event decides where a timer goes; those after it need only be few
        apicv=apicv_active,
        preemption_timer=hv_timer,
        pi_inject_timer=checks.flag("pi_inject_timer", pi_inject_timer),
        timer_migration=timer_migration,
        tsc_ghz=tsc_ghz,
        preemption_timer_shift=preemption_timer_shift,
    )
    isolated = checks.choice("pcpu", pcpu, PCPUS) == "isolated"
    guest = Guest(
        pcpus=(ISOLATED_CPU if isolated else HOUSEKEEPING_CPU,),
        hlt_in_guest=hlt_in_guest,
        mwait_in_guest=mwait_in_guest,
        workload=Workload(tick_hz=0, timers=1, timer_mode=timer_mode, waits_by="hlt"),
    )
    return Scenario(host, (guest,), kernel=kernel, costs=mean_costs())  # type: ignore[arg-type]


@functools.cache
def mean_costs() -> Costs:
    """Return costs by which every step takes its mean time, so that a story is the same each time it is told."""
    default = Costs.default()
    means = {field.name: getattr(default, field.name).mean_ns for field in fields(Costs)}
    return replace(default, **{name: ShiftedLognormal(ns, ns, 0) for name, ns in means.items()})


# --- driving the machine ----------------------------------------------------------------------------------------------


def follow(
    scenario: Scenario, vcpu_at_expiry: str, deadline_ns: int, housekeeping_next_event_ns: int
) -> tuple[Machine, Story]:
    """Return the machine after one timer's life, and its story; `scenario` as `one_timer` makes it."""
    checks.choice("vcpu_at_expiry", vcpu_at_expiry, VCPU_STATES)
    deadline_ns = checks.whole("deadline_ns", deadline_ns, 0, MAX_DEADLINE_NS)
    next_event = checks.whole("housekeeping_next_event_ns", housekeeping_next_event_ns, 0, MAX_DEADLINE_NS)
    m = execute.plain_copy(setup.machine(scenario))
    start = arm(m, scenario.guests[0].workload.timer_mode, deadline_ns, next_event)
    vcpu = m.vcpus[0]
    backend = "hv" if vcpu.hv_timer_in_use else "hrtimer" if m.timers[0].cpu >= 0 else None
    place_vcpu(m, vcpu_at_expiry, start, vcpu.deadline)
    execute.run(m, start + deadline_ns + 1_000 * AFTER_NS)
    return m, outcome(m, scenario.kernel.name, backend, tell(m, scenario.kernel, start))


def arm(m: Machine, mode: str, deadline_ns: int, housekeeping_next_event_ns: int) -> int:
    """Let the guest write its timer, in guest mode at time 0; return when the host sees it (time 0 of the story)."""
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


def place_vcpu(m: Machine, state: str, start: int, deadline: int) -> None:
    """See to it that the expiry finds the vCPU where the reader wants it."""
    vcpu = m.vcpus[0]
    if state == "blocked":
        if vcpu.hlt:
            # It does not exit on HLT, so it was put to sleep by the host (an async page fault does that).
            vcpu.halting = 1
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


# --- telling what happened --------------------------------------------------------------------------------------------


def cpu_name(m: Machine, cpu: int) -> str:
    """Return what a story calls a CPU."""
    if cpu == m.vcpus[0].pcpu:
        return "the vCPU's pCPU"
    return "the housekeeping CPU" if cpu == HOUSEKEEPING_CPU else "the other CPU"


def function_name(kernel: Kernel, code: int) -> str:
    """Return the kernel function of a step.

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
    return tuple(sorted(steps, key=order_in_story))


def order_in_story(step: Step) -> tuple[int, int]:
    """Sort by time; at the same time an exit comes first, then the interrupt that runs the callbacks."""
    return step.time_ns, {NAMES[T_EXIT]: 0, NAMES[T_HRTIMER_INTERRUPT]: 1}.get(step.function, 2)


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
