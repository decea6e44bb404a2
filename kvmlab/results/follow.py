"""Follow one timer, step by step, in words: the same rules as a run, driven for a single expiry."""

from __future__ import annotations

import functools
from dataclasses import fields, replace

from kvmlab.engine import setup
from kvmlab.engine.plain import PlainMachine
from kvmlab.kernels import Kernel
from kvmlab.model.names import EXITS, FAST, FUNCTIONS, Exit, Place, State, Trace
from kvmlab.model.one_timer import HOUSEKEEPING_CPU, arm_one_timer, follow_one_timer
from kvmlab.model.records import Machine
from kvmlab.results.story import SENTENCES, Step, Story
from kvmlab.scenario import checks
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.distribution import ShiftedLognormal
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

PCPUS = ("isolated", "housekeeping")
"""Where the vCPU may run."""
VCPU_STATES = tuple(state.name.lower() for state in (State.GUEST, State.BLOCKED, State.HOST, State.PREEMPTED))
"""Where the expiry may find the vCPU."""
ISOLATED_CPU = 1
MAX_DEADLINE_NS = 10**15


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

    Returns a `Story`: its fields tell the outcome, printed it shows every step.
    Raises ValueError that names the option, its value and what is allowed.

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
        apicv=checks.flag("apicv_active", apicv_active),
        preemption_timer=checks.flag("hv_timer", hv_timer),
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
    m = PlainMachine(setup.given(scenario)).state
    start = arm_one_timer(m, deadline_ns, next_event)
    backend = "hv" if m.vcpus[0].hv_timer_in_use else "hrtimer" if m.timers[0].cpu >= 0 else None
    follow_one_timer(m, State[vcpu_at_expiry.upper()], start, deadline_ns)
    return m, outcome(m, scenario.kernel.name, backend, tell(m, scenario.kernel, start))


# --- telling what happened --------------------------------------------------------------------------------------------


CPU_NAMES = {"own": "the vCPU's pCPU", "housekeeping": "the housekeeping CPU", "other": "the other CPU"}
GUEST_NAME = "the guest"
"""What a story calls who does a step."""


def cpu_name(m: Machine, cpu: int) -> str:
    """Return what a story calls a CPU."""
    if cpu == m.vcpus[0].pcpu:
        return CPU_NAMES["own"]
    return CPU_NAMES["housekeeping" if cpu == HOUSEKEEPING_CPU else "other"]


def function_name(kernel: Kernel, code: int) -> str:
    """Return the kernel function of a step.

    Before v5.8 the preemption timer is refused in vmx_set_hv_timer(), and its end has no fast path.
    """
    if code == Trace.HV_REFUSED and not kernel.expiry_fastpath:
        return "vmx_set_hv_timer"
    if code == Trace.HV_EXPIRED and kernel.expiry_fastpath:
        return "handle_fastpath_preemption_timer"
    return FUNCTIONS[code].split(":")[0]


def tell(m: Machine, kernel: Kernel, start: int) -> tuple[Step, ...]:
    """Turn the trace into sentences, up to the guest's handler."""
    steps: list[tuple[int, Step]] = []
    for row in m.trace[: m.loop.trace_used]:
        if row.code == Trace.DONE or (row.code == Trace.HRTIMER_INTERRUPT and row.cpu != m.vcpus[0].pcpu):
            continue
        sentence = SENTENCES[row.code].format(
            exit=EXITS[row.arg & ~FAST] + (" (fast path)" if row.arg & FAST else "") if row.code == Trace.EXIT else "",
            cpu=cpu_name(m, row.arg),
            ns=f"{row.arg / 1e3:.2f} us",
        )
        in_guest = row.code in (Trace.HANDLER, Trace.GUEST_HALTS, Trace.DEVICE)
        where = GUEST_NAME if in_guest else cpu_name(m, row.cpu)
        step = Step(row.time - start, where, function_name(kernel, row.code), sentence)
        steps.append((rank(row.code), step))
        if row.code == Trace.HANDLER:
            break
    return tuple(step for _, step in sorted(steps, key=lambda ranked: (ranked[1].time_ns, ranked[0])))


def rank(code: int) -> int:
    """Return the order of steps at the same time: an exit comes first, then the interrupt that runs the callbacks."""
    return {int(Trace.EXIT): 0, int(Trace.HRTIMER_INTERRUPT): 1}.get(code, 2)


EXPIRY_EXITS: dict[int, Exit] = {
    Place.HV: Exit.PREEMPTION_TIMER,
    Place.OWN: Exit.EXTERNAL_INTERRUPT,
    Place.KICKED: Exit.EXTERNAL_INTERRUPT,
}
"""The exit that an expiry costs, by where it finds the vCPU."""
DELIVERIES: dict[int, str] = {Place.POSTED: "posted", Place.AT_ARM: "at_arm"}
"""How the guest gets the interrupt; from everywhere else at VM entry, woken up or not."""


def outcome(m: Machine, kernel: str, backend: str | None, timeline: tuple[Step, ...]) -> Story:
    """Read off what happened."""
    place = next((i for i, count in enumerate(m.places) if count), None)
    own = m.pcpus[m.vcpus[0].pcpu].fired > 0 or place == Place.HV
    elsewhere = any(cpu.fired for cpu in m.pcpus)
    reason = EXPIRY_EXITS.get(place or 0)
    woken = any(step.function == FUNCTIONS[Trace.WAKE_UP] for step in timeline)
    delivery = DELIVERIES.get(place or 0, "wake_up" if woken else "vm_entry")
    return Story(
        kernel=kernel,
        backend=backend,
        fires_on="own" if own else "housekeeping" if elsewhere else None,
        arm_exit=EXITS[Exit.MSR_WRITE],
        arm_fastpath=bool(m.exits[Exit.MSR_WRITE].fast),
        expiry_exit=None if place is None or reason is None else EXITS[reason],
        expiry_fastpath=bool(m.exits[Exit.PREEMPTION_TIMER].fast),
        delivery=None if place is None else delivery,
        latency_ns=int(m.vcpus[0].lat_max) if m.vcpus[0].lat_n else None,
        timeline=timeline,
    )
