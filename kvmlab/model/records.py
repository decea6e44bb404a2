"""The state of one simulated host: typed records, one class per table.

A rule reads and writes these fields, in plain Python as attributes of objects, in WebAssembly as numbers in memory; the
layout of that memory is derived from the annotations (`kvmlab.engine.layout`). All times are whole ns, unless a field
says otherwise; a flag is 0 or 1. The order of the fields is that of the memory: wide ones first, so that nothing is
padded.

*Given* marks what a scenario hands over; everything else the rules work out, starting with `kvmlab.model.start`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol

Flag = Annotated[int, "int8"]
"""0 or 1, or another number from -128 to 127."""
Word = Annotated[int, "uint32"]
"""A number of 32 bits without a sign."""


class Entry(Protocol):
    """What a heap can hold (`kvmlab.model.heap`): it is sorted by (time, order), and knows its place in its heap."""

    time: int
    order: int
    place: int


@dataclass(slots=True)
class Sizes:
    """How many entries the tables need that are not given, one field per table. Written by `plan`."""

    vcpus: int
    timers: int
    bases: int
    lanes: int
    queue: int
    exits: int
    histogram: int
    places: int
    streams: int
    housekeeping: int
    trace: int


@dataclass(slots=True)
class Loop:
    """What the event loop itself keeps."""

    now: int
    """Time of the event under way."""
    seq: int
    """How often anything was scheduled: breaks ties in time, so that nothing depends on a heap's shape."""
    queued: int
    """Number of lanes that have an event."""
    handled: int
    """The lane whose event is under way, NONE if it has been scheduled again (see `schedule`)."""
    n_vcpus: int
    n_done: int
    """vCPUs whose guest has stopped for good."""
    trace_used: int
    """Number of steps in the trace."""
    events: int
    """Number of events handled."""


@dataclass(slots=True)
class Machinery:
    """The kernel: its policy and the machinery around it (`kvmlab.kernels.Kernel`, field by field). Given."""

    policy: int
    """The policy's answers for all 32 inputs: bit `kvmlab.policy.index(facts)` is the answer for `facts`."""
    hrtimer_pinned: int
    arm_fastpath: int
    expiry_fastpath: int
    rearm_after_block: int
    advance_rule: int
    nearest_any_cpu: int


@dataclass(slots=True)
class HostSetup:
    """The host's parameters: given (`kvmlab.Host`, field by field), and below what follows from them."""

    seed: int
    trace_steps: int
    """How many steps the trace may hold."""
    hz: int
    preemption_timer_shift: int
    lapic_timer_advance_ns: int
    """kvm.lapic_timer_advance_ns; -1: adaptive."""
    pi_inject_timer: int
    """kvm.pi_inject_timer; -1: as the kernel sets it at start."""
    ple_window: int
    """kvm_intel.ple_window, cycles."""
    load: int
    """What the loaded pCPUs do (`Load`)."""
    loaded_given: int
    """1: `Pcpu.loaded` is given; 0: all pCPUs that are not isolated are loaded."""
    nohz_full: int
    isolated_domains: int
    amd: int
    """1: the vendor is AMD."""
    apicv: int
    preemption_timer: int
    timer_migration: int
    # worked out by `plan`
    tsc_khz: int
    tick_ns: int
    """The host's tick."""
    background_ns: int
    """Period of a loaded pCPU's own timer."""
    min_timer_period_ns: int
    halt_poll_max_ns: int
    hv_range_ns: int
    """What the preemption timer can count: 2**32 grains."""
    has_hv_timer: int
    injects_timer: int
    """The value of kvm.pi_inject_timer in force."""
    # given, in the units of kvmlab.Host
    tsc_ghz: float
    housekeeping_timer_us: float
    min_timer_period_us: float
    halt_poll_us: float


@dataclass(slots=True)
class GuestProgram:
    """One guest: given (`kvmlab.Guest` and `kvmlab.Workload`, field by field), and below what follows from that."""

    vcpus: int
    pool_first: int
    """Where its pCPUs begin in `Machine.pools`."""
    pool_size: int
    """How many they are: one per vCPU, or the pool in which its vCPUs move."""
    timers: int
    """Timer interrupts after which each vCPU stops; -1: never."""
    timer_mode: int
    """`TimerMode`."""
    wait: int
    """`Wait`."""
    relative: int
    """1: the additional timer is armed again one period after its handler, not after its last deadline."""
    nohz_idle: int
    hlt_in_guest: int
    mwait_in_guest: int
    pause_in_guest: int
    # worked out by `plan`
    tick_ns: int
    """Period of its tick; NEVER: none."""
    timer_ns: int
    """Period of its additional timer; NEVER: none."""
    busy_ns: int
    idle_ns: int
    device_gap: int
    """Mean time between interrupts of its devices, per vCPU; NEVER: none. The other gaps alike."""
    other_gap: int
    host_irq_gap: int
    preempt_gap: int
    preempt_ns: int
    move_gap: int
    boot: int
    """When its vCPUs first enter the guest; NEVER: each at its own time within a tick of the host."""
    # given, in the units of kvmlab.Workload and kvmlab.Guest; -1: None
    tick_hz: float
    timer_us: float
    busy_us: float
    idle_us: float
    device_irq_hz: float
    other_exit_hz: float
    host_irq_hz: float
    preempt_hz: float
    preempt_us: float
    moves_every_ms: float
    boot_us: float


@dataclass(slots=True)
class Pcpu:
    """A physical CPU."""

    index: int
    domain: int
    """Number of the innermost group of pCPUs that it is in (`kvmlab.Host.domains`). Given."""
    vcpu: int
    """The vCPU loaded here, NONE without one. Written by `kvm_arch_vcpu_load`."""
    base: int
    """Where its queue of hrtimers begins in `Machine.bases`."""
    queued: int
    """Number of hrtimers in it."""
    irq_until: int
    """No hrtimer_interrupt() begins here before that time. Written by `hrtimer_interrupt`."""
    irq_end: int
    """When the last hrtimer_interrupt() here ended, or will end."""
    fired: int
    """LAPIC timers that fired here."""
    timer_busy_ns: int
    """Time spent on them, waiting for deadlines included."""
    late_max: int
    """The longest that one of them had to wait before it was served."""
    queue_max: int
    """Most hrtimers served in one interrupt."""
    housekeeping: Flag
    """housekeeping_cpu(cpu, HK_FLAG_TIMER)."""
    busy: Flag
    """A host task runs here all the time."""
    isolated: Flag
    loaded: Flag
    """It does what `HostSetup.load` says. Given if `HostSetup.loaded_given`."""
    used: Flag
    """A vCPU may run here."""


@dataclass(slots=True)
class Timer:
    """A host hrtimer: its key, and its place in the queue of the pCPU `cpu`."""

    time: int
    """When it expires, or last did. At the start: when the host first arms it, NEVER if it does not."""
    order: int
    """Breaks ties in time."""
    place: int
    """Its place in the heap of its pCPU."""
    cpu: int
    """The pCPU that it is queued on, NONE if it is not."""
    kind: int
    """Whose it is (`Owner`)."""
    owner: int
    """The vCPU, or for a tick and a background timer the pCPU."""
    period: int


@dataclass(slots=True)
class LaneEntry:
    """The next event of one lane: its key, and its place in the queue."""

    time: int
    """When it comes; NEVER: it is not queued."""
    order: int
    """Breaks ties in time: by kind of lane, then by sequence."""
    place: int


@dataclass(slots=True)
class ExitCount:
    """Exits of one vCPU for one reason: host time from kvm_exit to kvm_entry, as perf counts it."""

    count: int
    fast: int
    """Those that took the fast path."""
    min_ns: int
    max_ns: int
    sum_ns: int
    sum_sq: float
    """Sum of squares, in ns**2."""


@dataclass(slots=True)
class RandomStream:
    """A stream of random numbers: the n-th depends on the key and n alone."""

    key: Word
    """What the seed makes of the stream's own number."""
    drawn: Word
    """How often it has been drawn from."""


@dataclass(slots=True)
class TraceStep:
    """One step of the trace."""

    time: int
    cpu: int
    """The pCPU that does it."""
    vcpu: int
    """The vCPU that it is about, NONE without one."""
    code: int
    """`Trace`."""
    arg: int
    """The number that goes with it: a time, a pCPU, an exit reason."""


@dataclass(slots=True)
class Vcpu:
    """A vCPU: what struct kvm_vcpu and its LAPIC hold, the exit under way, the guest's program, the counts."""

    boot: int
    """When it first enters the guest."""
    pcpu: int
    """The pCPU that it is loaded on. Written by `kvm_arch_vcpu_load`."""
    cpu: int
    """vcpu->cpu: as `pcpu`, but for a moment stale while it moves."""
    # struct kvm_timer
    deadline: int
    """When the armed timer expires; NEVER: none is armed. Written by `start_apic_timer`."""
    hv_deadline: int
    """When the preemption timer is to reach zero: the deadline less the advance. Written by `vmx_set_hv_timer`."""
    pending_deadline: int
    """The deadline of the expiry that is pending."""
    expired_deadline: int
    """apic_timer.expired_tscdeadline: what `kvm_wait_lapic_expire` waits for; NEVER: nothing."""
    advance_ns: int
    """apic_timer.timer_advance_ns. Tuned by `adjust_lapic_timer_advance`."""
    # interrupts on their way (PIR and IRR taken together), and requests
    irr_deadline: int
    """The deadline of the timer interrupt that is pending in the virtual APIC."""
    posting_deadline: int
    """The deadline of the interrupt that a housekeeping CPU is about to post."""
    posted_by: int
    """That housekeeping CPU."""
    # the exit under way
    exit_at: int
    """When the vCPU left the guest."""
    exit_start: int
    """When the host began to handle the exit: kvm_exit."""
    in_guest_at: int
    """When it is, or will be, back in the guest."""
    blocked_ns: int
    """Time asleep within this exit."""
    preempted_for: int
    """For how long another task will take the pCPU at the next chance; 0: none."""
    # the guest's program
    guest: int
    """The number of its guest."""
    since: int
    """Up to when guest time has been taken off `left` or `work_left` (see `consume`)."""
    left: int
    """What is left of the handler."""
    programmed: int
    """The deadline that the guest believes its timer is set to; NEVER: none."""
    next_tick: int
    next_timer: int
    timers_left: int
    """Timer interrupts until it stops; -1: it does not."""
    # what was counted
    armed: int
    delivered: int
    cancelled: int
    lost_ns: int
    """Guest time lost to exits, the time asleep excluded."""
    gap_max: int
    """The longest single gap."""
    lat_n: int
    """Timer interrupts handled; the latencies are from deadline to handler."""
    lat_sum: int
    lat_min: int
    lat_max: int
    # what few guests need
    move_to: int
    """Where the scheduler wants it, NONE without a wish."""
    halted_at: int
    """Since when it has halted in guest mode; NEVER: it has not."""
    idle_ns: int
    """Time that its guest had nothing to do."""
    work_left: int
    """What is left of the burst of work; NEVER: the guest is always busy."""
    period: int
    """Of a periodic timer."""
    blocked_at: int
    halt_poll_ns: int
    """How long the next block polls before it sleeps."""
    ple_window: int
    """For how long it may spin with PAUSE before it exits."""
    coalesced: int
    """Expiries that fell together with another."""
    hv_armed: int
    """How often the preemption timer was armed."""
    index: int
    state: Flag
    """`State`."""
    facts: Flag
    """What the policy may look at, packed as `kvmlab.policy.index` does, without the pCPU's own bit."""
    apicv: Flag
    mwait: Flag
    """kvm_mwait_in_guest()."""
    hlt: Flag
    """kvm_hlt_in_guest()."""
    pause_in_guest: Flag
    has_hv_timer: Flag
    """The vendor code has a set_hv_timer operation."""
    timer_mode: Flag
    """`TimerMode`."""
    hv_timer_in_use: Flag
    pending: Flag
    """apic_timer.pending: an expiry waits to be injected at VM entry."""
    advance_done: Flag
    """The advance is tuned (up to v5.7)."""
    advance_dynamic: Flag
    irr: Flag
    """The timer's vector is pending in the virtual APIC."""
    posting: Flag
    """A housekeeping CPU is about to post."""
    device_irr: Flag
    ipi_kick: Flag
    """The IPI on its way is a kick, not a notification."""
    req_migrate_timer: Flag
    """KVM_REQ_MIGRATE_TIMER."""
    exit_reason: Flag
    """`Exit`, or NO_EXIT."""
    exit_fast: Flag
    """The exit under way takes the fast path."""
    halting: Flag
    """The guest has executed HLT, and the host has not let it go on yet."""
    was_hv: Flag
    """The preemption timer was in use when the vCPU blocked."""
    in_handler: Flag
    """`Handler`."""
    eoi_done: Flag
    handled: Flag
    """The handler has done its work."""
    idle: Flag
    """The guest has nothing to do."""
    live: Flag
    """A timer is armed and has not expired."""


class Machine(NamedTuple):
    """All state of one run: the tables that the rules work on. See each record for what its fields mean."""

    sizes: Sizes
    loop: Loop
    kernel: Machinery
    host: HostSetup
    guests: list[GuestProgram]
    pools: list[int]
    """The pCPUs of each guest, end to end; NONE where `plan` is to choose one. Given."""
    isolated: list[int]
    """The isolated pCPUs, in the order in which vCPUs are placed on them. Given."""
    taken: list[int]
    """Scratch of `place_vcpus`: one entry per pCPU."""
    pcpus: list[Pcpu]
    costs: list[int]
    """Quantile tables of the costs in ns, one of `TABLE` entries per `Cost`, end to end (`draws`). Given."""
    exponential: list[int]
    """Quantile table of the exponential distribution, its mean 1 << EXPONENTIAL_BITS, laid out alike. Given."""
    vcpus: list[Vcpu]
    timers: list[Timer]
    """The LAPIC timer of each vCPU, then the tick of each pCPU, then the background timer of each pCPU."""
    bases: list[int]
    """Numbers of the hrtimers queued on each pCPU, pCPU by pCPU (from `Pcpu.base` on), in heap order."""
    lanes: list[LaneEntry]
    """The pending events: those of each vCPU, then one per pCPU."""
    queue: list[int]
    """Numbers of the lanes that have an event, in heap order."""
    exits: list[ExitCount]
    """Vcpu by vCPU, one per `Exit`."""
    histogram: list[int]
    """Latencies, vCPU by vCPU, HIST_BINS bins each (`histogram_bin`)."""
    places: list[int]
    """Expiries, vCPU by vCPU, one per `Place`."""
    streams: list[RandomStream]
    """STREAMS of each vCPU, then of each pCPU."""
    housekeeping: list[int]
    """Numbers of the housekeeping pCPUs, ascending."""
    trace: list[TraceStep]
    """The first steps, in the order in which they were made."""
