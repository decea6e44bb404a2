"""The state of one simulated host: typed records, one class per table.

A rule reads and writes these fields, in plain Python as attributes of objects, in WebAssembly as numbers in memory; the
layout of that memory is derived from the annotations (`kvmlab.engine.layout`). All times are whole ns, unless a field
says otherwise; a flag is 0 or 1; a count starts at 0. The order of the fields is that of the memory: wide ones first,
so that nothing is padded.

*Given* marks what a scenario hands over. Everything else the rules write: first `plan` and `prepare`
(`kvmlab.model.start`), then those that a field names.
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
    """A LAPIC timer per vCPU, a tick and a background timer per pCPU."""
    bases: int
    """For each pCPU as many as can ever be queued there."""
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
    """Time of the event under way. Written by `run`."""
    seq: int
    """How often anything was scheduled: breaks ties in time, so that nothing depends on a heap's shape; 0: not started.
    Written by `schedule`, `enqueue_hrtimer`, `hrtimer_forward`."""
    queued: int
    """Number of lanes that have an event. Written by `schedule`, `clear`."""
    handled: int
    """The lane whose event is under way: set by `run`; NONE once it has been scheduled again: set by `schedule`."""
    n_vcpus: int
    """Number of vCPUs. Written by `plan`."""
    n_done: int
    """Number of vCPUs whose guest has stopped for good. Written by `finish`."""
    trace_used: int
    """Number of steps in the trace. Written by `write_step`."""
    events: int
    """Number of events handled. Written by `run`."""
    asked: int
    """Which of its 32 inputs the policy was asked about, a bit each (`kvmlab.policy.index`). Under a policy that
    answers these alike, all goes the same way. Written by `kvm_can_post_timer_interrupt`."""


@dataclass(slots=True)
class Machinery:
    """The kernel: its policy and the machinery around it (`kvmlab.kernels.Kernel`, field by field). Given."""

    policy: int
    """The policy's answers for all 32 inputs: bit `kvmlab.policy.index(facts)` is the answer for `facts`."""
    hrtimer_pinned: int
    arm_fastpath: int
    """`kvmlab.kernels.ArmFastpath`."""
    expiry_fastpath: int
    rearm_after_block: int
    advance_rule: int
    """`kvmlab.kernels.AdvanceRule`."""
    tunes_before_wait: int
    hv_expiry_waits: int
    skips_missed_periods: int
    searches_all_cpus: int
    nearest_any_cpu: int
    keeps_first_local: int
    deferred_rearm: int
    halt_poll_ns_shrink: int
    """kvm.halt_poll_ns_shrink."""


@dataclass(slots=True)
class HostSetup:
    """The host's parameters: given (`kvmlab.Host`, field by field), and below what follows from them."""

    seed: int
    trace_steps: int
    """How many steps the trace may hold."""
    hz: int
    """Ticks per second."""
    preemption_timer_shift: int
    """N: the preemption timer counts once every 2**N TSC cycles, a grain."""
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
    """1: the isolated pCPUs are nohz_full too."""
    isolated_domains: int
    """1: they are in the scheduler's domains."""
    amd: int
    """1: the vendor is AMD."""
    apicv: int
    """1: the virtual APIC takes posted interrupts."""
    preemption_timer: int
    """kvm_intel.preemption_timer, a flag."""
    timer_migration: int
    """sysctl kernel.timer_migration, a flag."""
    # worked out by `plan`
    tsc_khz: int
    """Kilocycles of the TSC per second."""
    tick_ns: int
    """Period of the host's tick."""
    background_ns: int
    """Period of a loaded pCPU's own timer, or how long its task sleeps."""
    task_ns: int
    """How long on average that task works between two sleeps; 0: it works all the time, beside a periodic timer."""
    min_timer_period_ns: int
    """Shortest period of a periodic LAPIC timer."""
    halt_poll_max_ns: int
    """kvm.halt_poll_ns; 0: no polling."""
    ple_window_ns: int
    """kvm_intel.ple_window in ns."""
    ple_window_max_ns: int
    """kvm_intel.ple_window_max in ns."""
    hv_range_ns: int
    """What the preemption timer can count: 2**32 grains."""
    has_hv_timer: int
    """1: the vendor code has a set_hv_timer operation."""
    injects_timer: int
    """The value of kvm.pi_inject_timer in force, a flag."""
    # given, in the units of kvmlab.Host, which their names say
    tsc_ghz: float
    housekeeping_timer_us: float
    housekeeping_work_us: float
    min_timer_period_us: float
    """kvm.min_timer_period_us."""
    halt_poll_us: float
    """kvm.halt_poll_ns."""


@dataclass(slots=True)
class GuestProgram:
    """One guest: given (`kvmlab.Guest` and `kvmlab.Workload`, field by field), and below what follows from that."""

    vcpus: int
    """How many it has."""
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
    rewrites: int
    """How often that timer is written again before it is left to expire."""
    slides: int
    """1: each of these writes sets it one period ahead; 0: it stays where the first one has set it."""
    nohz_idle: int
    """1: an idle vCPU drops its tick."""
    hlt_in_guest: int
    """1: HLT does not exit. The other two alike."""
    mwait_in_guest: int
    pause_in_guest: int
    # worked out by `plan`
    tick_ns: int
    """Period of its tick; NEVER: none."""
    timer_ns: int
    """Period of its additional timer; NEVER: none."""
    gap_ns: int
    """For how long at most it works after its handler before it arms that timer; 0: it arms in the handler."""
    rewrite_ns: int
    """From one write of that timer to the next."""
    rewrite_by_ns: int
    """By how much more each of them moves the deadline, from write to write."""
    busy_ns: int
    """Mean length of a burst of work; 0: none."""
    idle_ns: int
    """Mean length of the idleness after it; 0: it is always busy."""
    device_gap: int
    """Mean time between interrupts of its devices, per vCPU; NEVER: none. The other gaps alike."""
    other_gap: int
    """... other exits."""
    host_irq_gap: int
    """... interrupts for the host on the vCPU's pCPU."""
    preempt_gap: int
    """... other tasks on its pCPU."""
    preempt_ns: int
    """Mean time that such a task takes."""
    move_gap: int
    """Time between moves of a vCPU; NEVER: it does not move."""
    boot: int
    """When its vCPUs first enter the guest; NEVER: each at its own time within a tick of the host."""
    # given, in the units of kvmlab.Workload and kvmlab.Guest, which their names say; -1: None
    tick_hz: float
    timer_us: float
    gap_us: float
    rewrite_every_us: float
    rewrite_by_us: float
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
    """Its number."""
    domain: int
    """Number of the innermost group of pCPUs that it is in (`kvmlab.Host.domains`). Given."""
    vcpu: int
    """The vCPU loaded here, NONE without one. Written by `kvm_arch_vcpu_load`."""
    base: int
    """Where its queue of hrtimers begins in `Machine.bases`."""
    queued: int
    """Number of hrtimers in it. Written by `enqueue_hrtimer`, `__remove_hrtimer`."""
    # struct hrtimer_cpu_base
    expires_next: int
    """What its event timer is set to, and other pCPUs compare with: when, as it knows, its next hrtimer expires; NEVER
    without one. Too early once another pCPU has taken the first timer out. Written by `__hrtimer_reprogram`."""
    next_timer: int
    """The hrtimer that `expires_next` stands for, which may be queued no longer; NONE without one. Written by
    `hrtimer_update_next_event`, `hrtimer_reprogram`."""
    irq_until: int
    """No hrtimer_interrupt() begins here before that time. Written by `hrtimer_interrupt`, as the next two."""
    irq_end: int
    """When the last hrtimer_interrupt() here ended, or will end."""
    shut_until: int
    """Until then `expires_next` is KTIME_MAX for other pCPUs, whose timers are refused."""
    # what was counted: the next three by `switch_hrtimer_base`, the others by `run_hrtimer` and `hrtimer_interrupt`
    offered: int
    """LAPIC timers that other pCPUs wanted to queue here."""
    refused: int
    """Those of them that stayed where they were armed."""
    taken_stale: int
    """Those that were taken though they came before every timer queued here, because `expires_next` was stale."""
    spurious: int
    """Interrupts of the event timer that found no hrtimer due."""
    fired: int
    """LAPIC timers that fired here."""
    timer_busy_ns: int
    """Time spent on them, waiting for deadlines included."""
    late_max: int
    """The longest that one of them had to wait before it was served, ns."""
    queue_max: int
    """Most hrtimers served in one interrupt."""
    # what it is
    housekeeping: Flag
    """housekeeping_cpu(cpu, HK_FLAG_TIMER)."""
    busy: Flag
    """A host task runs here. Where it sleeps by turns written by `run_hrtimer`, `task_sleeps`."""
    isolated: Flag
    """It is one of `Machine.isolated`."""
    loaded: Flag
    """It does what `HostSetup.load` says. Given if `HostSetup.loaded_given`."""
    used: Flag
    """A vCPU may run here."""
    hang_detected: Flag
    """The last hrtimer_interrupt() gave up: `irq_until` holds whatever is queued. Written by `hrtimer_interrupt`."""


@dataclass(slots=True)
class Timer:
    """A host hrtimer: its key, and its place in the queue of the pCPU `cpu`.

    `prepare` says what it is; `enqueue_hrtimer`, `hrtimer_forward` and `__remove_hrtimer` write the rest.
    """

    time: int
    """When it expires, or last did. At the start: when the host first arms it, NEVER if it does not."""
    order: int
    """Breaks ties in time: the `Loop.seq` at which it was queued."""
    place: int
    """Its place in the heap of its pCPU. Written by `kvmlab.model.heap`."""
    cpu: int
    """The pCPU that it is queued on, NONE if it is not."""
    base: int
    """The pCPU that it was last queued on (timer->base), NONE before the first time."""
    kind: int
    """Whose it is (`Owner`)."""
    owner: int
    """The vCPU, or for a tick and a background timer the pCPU."""
    period: int
    """Of a tick or a background timer; NEVER for a LAPIC timer."""


@dataclass(slots=True)
class LaneEntry:
    """The next event of one lane: its key, and its place in the queue. Written by `schedule`."""

    time: int
    """When it comes; NEVER: it is not queued."""
    order: int
    """Breaks ties in time: by kind of lane, then by sequence."""
    place: int
    """Its place in the heap. Written by `kvmlab.model.heap`."""


@dataclass(slots=True)
class ExitCount:
    """Exits of one vCPU for one reason. Written by `kvm_entry`."""

    count: int
    fast: int
    """Those of them that took the fast path."""
    min_ns: int
    """Shortest host time from kvm_exit to kvm_entry, as perf counts it."""
    max_ns: int
    """Longest."""
    sum_ns: int
    """Sum."""
    sum_sq: float
    """Sum of squares, in ns**2."""


@dataclass(slots=True)
class RandomStream:
    """A stream of random numbers: the n-th depends on the key and n alone."""

    key: Word
    """What the seed makes of the stream's own number. Written by `prepare`."""
    drawn: Word
    """How often it has been drawn from. Written by `uniform`."""


@dataclass(slots=True)
class TraceStep:
    """One step of the trace. Written by `write_step`."""

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
    """A vCPU: what struct kvm_vcpu and its LAPIC hold, the exit under way, the guest's program, the counts.

    *Set up* marks what `prepare` writes once. Times are absolute, unless a field says "how long". A story
    (`kvmlab.model.one_timer`) begins with a vCPU that it puts in its place itself.
    """

    boot: int
    """When it first enters the guest. Set up."""
    pcpu: int
    """The pCPU that it is loaded on. Written by `kvm_arch_vcpu_load`."""
    cpu: int
    """vcpu->cpu: as `pcpu`, but for a moment stale while it moves. Written by `kvm_arch_vcpu_load`."""
    # struct kvm_timer
    deadline: int
    """When the armed timer expires; NEVER: none is armed. Written by `start_apic_timer`, `set_target_expiration`,
    `advance_periodic_target_expiration`, `timer_is_spent`."""
    hv_deadline: int
    """When the preemption timer is to reach zero: the deadline less the advance. Written by `vmx_set_hv_timer`."""
    pending_deadline: int
    """The deadline of the expiry that is pending. Written by `apic_timer_expired`."""
    expired_deadline: int
    """apic_timer.expired_tscdeadline: what `kvm_wait_lapic_expire` waits for, and clears; NEVER: nothing. Written by
    `apic_timer_expired`."""
    advance_ns: int
    """apic_timer.timer_advance_ns: how long before its deadline a timer is armed. Written by
    `adjust_lapic_timer_advance`."""
    # interrupts on their way (PIR and IRR taken together), and requests
    irr_deadline: int
    """The deadline of the timer interrupt that is pending in the virtual APIC. Written by `set_irr`."""
    posting_deadline: int
    """The deadline of the interrupt that a housekeeping CPU is about to post. Written by `apic_timer_expired`."""
    posted_by: int
    """That housekeeping CPU. Written by `apic_timer_expired`."""
    # the exit under way
    exit_at: int
    """When the vCPU left the guest. Written by `kvm_exit`."""
    exit_start: int
    """When the host began to handle the exit: tracepoint kvm_exit. Written by `kvm_exit`."""
    in_guest_at: int
    """When it is, or will be, back in the guest. Written by `vcpu_enter_guest`."""
    blocked_ns: int
    """How long it slept within this exit. Written by `vcpu_unblock`, cleared by `kvm_exit`."""
    preempted_for: int
    """How long another task will take the pCPU at the next chance; 0: none. Written by `preempt`, served and cleared by
    `vcpu_enter_guest`."""
    search_ns: int
    """How long searches for a target took that its thread has still to spend. Written by `hrtimer_start`; spent and
    cleared by `vcpu_enter_guest`, cleared by `vcpu_block`."""
    # the guest's program, written by `kvmlab.model.guest_os`
    guest: int
    """The number of its guest. Set up."""
    since: int
    """Up to when guest time has been taken off `left` or `work_left`. Written by `consume`, `guest_resume`,
    `take_interrupt`."""
    left: int
    """How long the handler has still to run. Written by `take_interrupt`, `consume`."""
    programmed: int
    """The deadline that the guest believes its timer is set to; NEVER: none. Written by `write_timer`,
    `timer_handled`."""
    next_tick: int
    """When its tick is due; NEVER: it has none. Written by `timer_handled`, `new_work`."""
    next_timer: int
    """When its additional timer is due; NEVER: it has none. Written by `timer_handled`."""
    acts_at: int
    """When the guest, which works until then, writes its additional timer by itself; NEVER: it does not. Written by
    `timer_is_due_again`, `writes_again`."""
    rewrites_left: int
    """How often it will write that timer again before it leaves it to expire. Written as `acts_at`."""
    timers_left: int
    """Timer interrupts until it stops; -1: it does not. Written by `timer_handled`."""
    # what was counted: armed = delivered + cancelled + coalesced + what is still due
    armed: int
    """Timers armed, each period of a periodic one. Written by `start_apic_timer`,
    `advance_periodic_target_expiration`."""
    delivered: int
    """Timer interrupts whose handler has begun. Written by `take_interrupt`."""
    cancelled: int
    """Timers that were written again before they were delivered. Written by `start_apic_timer`."""
    lost_ns: int
    """Guest time lost to exits, the time asleep excluded. Written by `count_gap`."""
    gap_max: int
    """The longest single gap, ns. Written by `count_gap`."""
    lat_n: int
    """Latencies, each how long from a deadline to its handler. This and the next three written by `record_latency`."""
    lat_sum: int
    """Their sum, ns."""
    lat_min: int
    """The shortest, ns; below 0: the interrupt came early."""
    lat_max: int
    """The longest, ns."""
    # what few guests need
    move_to: int
    """The pCPU where the scheduler wants it, NONE without a wish. Written by `move`, `move_if_asked`."""
    halted_at: int
    """Since when it has halted in guest mode; NEVER: it has not. Written by `guest_resume`; cleared by `kvm_exit`,
    `take_interrupt`."""
    idle_ns: int
    """How long its guest had nothing to do. Written where `halted_at` is cleared, and by `vcpu_unblock`."""
    work_left: int
    """How long the burst of work has still to run; NEVER: the guest is always busy. Written by `start`, `new_work`,
    `consume`."""
    period: int
    """How long the period of a periodic timer is. Written by `set_target_expiration`."""
    blocked_at: int
    """When it last blocked. Written by `vcpu_block`."""
    polled_ns: int
    """How long its thread polled for the end of blocks, on the pCPU. Written by `vcpu_unblock`."""
    away_ns: int
    """How long its thread was off the pCPU: asleep, on its way back, or preempted. Written by `vcpu_unblock`,
    `vcpu_enter_guest`."""
    halt_poll_ns: int
    """How long the next block polls before it sleeps. Written by `adjust_halt_poll`."""
    ple_window: int
    """How long it may spin with PAUSE before it exits, ns. Written by `grow_ple_window`, `vmx_sched_in`."""
    coalesced: int
    """Expiries that fell together with another. Written by `apic_timer_expired`, `set_irr`."""
    hv_armed: int
    """How often the preemption timer was armed. Written by `start_hv_timer`."""
    index: int
    """Its number. Set up."""
    state: Flag
    """`State`. Written by `kvm_exit`, `vcpu_enter_guest`, `vcpu_block`, `vcpu_unblock`, `vcpu_runs`, `finish`."""
    facts: Flag
    """What the policy may look at, packed as `kvmlab.policy.index` does, without the pCPU's own bit. Set up."""
    apicv: Flag
    """kvm_vcpu_apicv_active(). Set up, as the next five."""
    mwait: Flag
    """kvm_mwait_in_guest()."""
    hlt: Flag
    """kvm_hlt_in_guest()."""
    pause_in_guest: Flag
    """kvm_pause_in_guest()."""
    has_hv_timer: Flag
    """The vendor code has a set_hv_timer operation."""
    timer_mode: Flag
    """`TimerMode`."""
    hv_timer_in_use: Flag
    """apic_timer.hv_timer_in_use. Written by `start_hv_timer`, `cancel_hv_timer`."""
    pending: Flag
    """apic_timer.pending: an expiry waits to be injected at VM entry. Set by `apic_timer_expired`, cleared by
    `kvm_inject_apic_timer_irqs`, `start_apic_timer`."""
    advance_done: Flag
    """The advance is tuned (up to v5.7). Written by `adjust_lapic_timer_advance`."""
    advance_dynamic: Flag
    """The advance is tuned at all. Set up."""
    irr: Flag
    """The timer's vector is pending in the virtual APIC. Set by `set_irr`, cleared by `take_interrupt`."""
    posting: Flag
    """A housekeeping CPU is about to post. Set by `apic_timer_expired`, cleared by `vmx_deliver_posted_interrupt`."""
    device_irr: Flag
    """A device's vector is pending too. Set by `deliver_device_interrupt`, cleared by `take_interrupt`."""
    ipi_kick: Flag
    """The IPI on its way is a kick, not a notification. Set by `kvm_vcpu_kick`, cleared by `ipi_arrives`."""
    req_migrate_timer: Flag
    """KVM_REQ_MIGRATE_TIMER. Set by `kvm_arch_vcpu_load`, served and cleared by `vcpu_enter_guest`."""
    exit_reason: Flag
    """`Exit`, or NO_EXIT before the first. Written by `kvm_exit`."""
    exit_fast: Flag
    """The exit under way takes the fast path. Written by `kvm_exit`; cleared by `leave_fastpath`."""
    halting: Flag
    """The guest has executed HLT, and the host has not let it go on yet. Set by `waits`, cleared by `vcpu_unblock`,
    `vcpu_enter_guest`."""
    was_hv: Flag
    """The preemption timer was in use when the vCPU blocked. Written by `kvm_lapic_switch_to_sw_timer`."""
    in_handler: Flag
    """`Handler`. Written by `take_interrupt`, `handler_ends`."""
    eoi_done: Flag
    """The handler has written its EOI, or need not. Written by `take_interrupt`, `handler_ends`."""
    handled: Flag
    """The handler has done its work. Written by `timer_handled`, cleared by `take_interrupt`."""
    idle: Flag
    """The guest has nothing to do. Written by `work_ends`, `new_work`."""
    live: Flag
    """A timer is armed and has not expired. Set by `start_apic_timer`, `advance_periodic_target_expiration`; cleared by
    `apic_timer_expired`, `start_apic_timer`."""


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
    """vCPU by vCPU, one per `Exit`."""
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
