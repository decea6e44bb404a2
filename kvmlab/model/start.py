"""The start of a run: from what a scenario hands over to a machine at time 0.

`plan` says how large the tables have to be, `prepare` fills them, `start` schedules the first events. Whoever runs the
rules (`kvmlab.engine`, a panel in the browser) hands over the small tables that are marked as given in
`kvmlab.model.records`, and makes the others as large as `plan` says, filled with zeros.
"""

from __future__ import annotations

from math import ceil

from kvmlab.model.draws import HIST_BINS, exponential, hash32, start_offset
from kvmlab.model.hrtimer import enqueue_hrtimer, hrtimer_reprogram
from kvmlab.model.lapic import ADVANCE_NS_INIT
from kvmlab.model.names import NEVER, NO_EXIT, NONE, STREAMS, Exit, Handler, Lane, Load, Owner, Place, State, Stream
from kvmlab.model.records import Machine
from kvmlab.model.schedule import lane_of, schedule
from kvmlab.policy import APICV_BIT, HLT_BIT, MWAIT_BIT, PI_INJECT_TIMER_BIT

US = 1e3
"""1 us in ns."""
NS_PER_S = 1e9
PLE_WINDOW_MAX = 4294967295.0
"""kvm_intel.ple_window_max, cycles (KVM_VMX_DEFAULT_PLE_WINDOW_MAX, arch/x86/kvm/x86.h)."""
LOWEST_HV_RANGE_S = 10
"""vmx.c gives the preemption timer up when its 32 bits pass in less than 10 s."""


# Units.


def ns_of(amount: float, unit: float) -> int:
    """Return a time given in a unit of `unit` ns in whole ns, or NEVER for a negative one, which stands for None."""
    return NEVER if amount < 0.0 else round(amount * unit)


def gap_ns(per_second: float) -> int:
    """Return the mean time in ns between things that come `per_second` times a second; NEVER for 0."""
    return NEVER if per_second == 0.0 else round(NS_PER_S / per_second)


# What follows from the host's parameters.


def is_housekeeping(nohz_full: bool, isolated: bool) -> bool:
    """Return housekeeping_cpu(cpu, HK_FLAG_TIMER): False for the isolated pCPUs, if nohz_full= names them."""
    return not (nohz_full and isolated)


def injects_timer(pi_inject_timer: int, nohz_full: bool, isolated: int) -> bool:
    """Return the value of kvm.pi_inject_timer in force.

    `pi_inject_timer`: as set, or -1 for the kernel's choice at its start: on if nohz_full= is given (kvm_lapic_init);
    `isolated`: how many pCPUs are.
    """
    if pi_inject_timer >= 0:
        return pi_inject_timer != 0
    return nohz_full and isolated > 0


def has_hv_timer(amd: bool, preemption_timer: bool, tsc_ghz: float, shift: int) -> bool:
    """Return True if the vendor code can arm a preemption timer that does not wrap too soon (hardware_setup, vmx.c)."""
    slow_enough = int(tsc_ghz * NS_PER_S) >> shift <= 0xFFFFFFFF // LOWEST_HV_RANGE_S
    return not amd and preemption_timer and slow_enough


def hv_range_ns(tsc_khz: int, shift: int) -> int:
    """Return how far the preemption timer reaches, in ns: 2**32 grains of 2**shift TSC cycles."""
    ns = 4294967296.0 * float(1 << shift) * 1e6 / float(tsc_khz)
    return NEVER if ns >= float(NEVER) else ceil(ns)


# Where vCPUs go.


def place_vcpus(pools: list[int], isolated: list[int], taken: list[int]) -> None:
    """Fill the entries of `pools` that are NONE: isolated pCPUs in order, then the others from the highest down.

    `taken`: one entry per pCPU, 0 on entry. An entry stays NONE where no pCPU is left.
    """
    for i in range(len(pools)):
        if pools[i] != NONE:
            taken[pools[i]] = 1
    turn = 0
    for i in range(len(pools)):
        if pools[i] == NONE:
            turn = next_free(isolated, taken, turn)
            if turn < len(isolated) + len(taken):
                cpu = pcpu_in_turn(isolated, len(taken), turn)
                taken[cpu] = 1
                pools[i] = cpu


def pcpu_in_turn(isolated: list[int], pcpus: int, turn: int) -> int:
    """Return the pCPU that is considered in this turn: the isolated ones first, then all from the highest down."""
    if turn < len(isolated):
        return isolated[turn]
    return pcpus - 1 - (turn - len(isolated))


def next_free(isolated: list[int], taken: list[int], turn: int) -> int:
    """Return the first turn, from `turn` on, whose pCPU is free; the number of turns if there is none."""
    while turn < len(isolated) + len(taken) and taken[pcpu_in_turn(isolated, len(taken), turn)]:
        turn += 1
    return turn


# plan: from what is given to the sizes of the tables.


def plan(m: Machine) -> None:
    """Work out what follows from the given tables, and how large the others have to be (`Machine.sizes`)."""
    plan_host(m)
    for i in range(len(m.guests)):
        plan_guest(m, i)
    place_vcpus(m.pools, m.isolated, m.taken)
    plan_pcpus(m)
    n = m.loop.n_vcpus
    pcpus = len(m.pcpus)
    sizes = m.sizes
    sizes.vcpus = n
    sizes.timers = n + 2 * pcpus
    sizes.lanes = lane_of(m, Lane.TASK, pcpus)  # the last pCPU's stands last
    sizes.queue = sizes.lanes
    sizes.exits = n * len(Exit)
    sizes.histogram = n * HIST_BINS
    sizes.places = n * len(Place)
    sizes.streams = (n + pcpus) * STREAMS
    sizes.trace = m.host.trace_steps


def plan_host(m: Machine) -> None:
    """Work out the host's parameters in ns."""
    host = m.host
    host.tsc_khz = round(host.tsc_ghz * 1e6)
    host.tick_ns = gap_ns(float(host.hz))
    host.background_ns = ns_of(host.housekeeping_timer_us, US)
    host.task_ns = ns_of(host.housekeeping_work_us, US) if host.load == Load.TIMERS else 0
    host.min_timer_period_ns = ns_of(host.min_timer_period_us, US)
    host.halt_poll_max_ns = ns_of(host.halt_poll_us, US)
    host.ple_window_ns = round(float(host.ple_window) / host.tsc_ghz)
    host.ple_window_max_ns = round(PLE_WINDOW_MAX / host.tsc_ghz)
    host.hv_range_ns = hv_range_ns(host.tsc_khz, host.preemption_timer_shift)
    host.has_hv_timer = int(
        has_hv_timer(bool(host.amd), bool(host.preemption_timer), host.tsc_ghz, host.preemption_timer_shift)
    )
    host.injects_timer = int(injects_timer(host.pi_inject_timer, bool(host.nohz_full), len(m.isolated)))


def plan_guest(m: Machine, number: int) -> None:
    """Work out a guest's times in ns, and count its vCPUs."""
    guest = m.guests[number]
    guest.tick_ns = gap_ns(guest.tick_hz)
    guest.timer_ns = ns_of(guest.timer_us, US)
    guest.gap_ns = ns_of(guest.gap_us, US)
    guest.rewrite_ns = ns_of(guest.rewrite_every_us, US)
    guest.rewrite_by_ns = round(guest.rewrite_by_us * US)
    guest.busy_ns = ns_of(guest.busy_us, US)
    guest.idle_ns = ns_of(guest.idle_us, US)
    guest.device_gap = gap_ns(guest.device_irq_hz)
    guest.other_gap = gap_ns(guest.other_exit_hz)
    guest.host_irq_gap = gap_ns(guest.host_irq_hz)
    guest.preempt_gap = gap_ns(guest.preempt_hz)
    guest.preempt_ns = ns_of(guest.preempt_us, US)
    guest.move_gap = ns_of(guest.moves_every_ms * 1e3, US)
    guest.boot = ns_of(guest.boot_us, US)
    m.loop.n_vcpus += guest.vcpus


def plan_pcpus(m: Machine) -> None:
    """Set which pCPUs are isolated, housekeeping and busy, and where each one's queue of hrtimers begins."""
    for i in range(len(m.isolated)):
        m.pcpus[m.isolated[i]].isolated = 1
    for i in range(len(m.guests)):
        guest = m.guests[i]
        for k in range(guest.pool_size):
            pcpu = m.pcpus[m.pools[guest.pool_first + k]]
            pcpu.used = 1
            pcpu.base += guest.vcpus
    base = 0
    for cpu in range(len(m.pcpus)):
        pcpu = m.pcpus[cpu]
        pcpu.index = cpu
        pcpu.vcpu = NONE
        pcpu.expires_next = NEVER
        pcpu.next_timer = NONE
        pcpu.housekeeping = int(is_housekeeping(bool(m.host.nohz_full), bool(pcpu.isolated)))
        if not m.host.loaded_given:
            pcpu.loaded = 1 - pcpu.isolated
        pcpu.busy = pcpu.loaded if m.host.load != Load.IDLE and m.host.task_ns == 0 else 0
        m.sizes.housekeeping += pcpu.housekeeping
        # At most its own two hrtimers, and those of the vCPUs that may run here: on a housekeeping CPU, anyone's.
        most = 2 + (m.loop.n_vcpus if pcpu.housekeeping else pcpu.base)
        pcpu.base = base
        base += most
    m.sizes.bases = base


# prepare: fill the tables.


def prepare(m: Machine) -> None:
    """Fill the tables that `plan` gave a size to: a machine at time 0, before anything has happened."""
    m.loop.handled = NONE
    prepare_housekeeping(m)
    v = 0
    for number in range(len(m.guests)):
        for i in range(m.guests[number].vcpus):
            prepare_vcpu(m, v, number, m.pools[m.guests[number].pool_first + i])
            v += 1
    prepare_timers(m)
    for i in range(len(m.lanes)):
        m.lanes[i].time = NEVER
    for i in range(len(m.streams)):
        m.streams[i].key = hash32(hash32(m.host.seed) ^ i)


def prepare_housekeeping(m: Machine) -> None:
    """List the housekeeping pCPUs."""
    listed = 0
    for cpu in range(len(m.pcpus)):
        if m.pcpus[cpu].housekeeping:
            m.housekeeping[listed] = cpu
            listed += 1


def prepare_vcpu(m: Machine, v: int, number: int, cpu: int) -> None:
    """Load a vCPU on its pCPU, about to enter its guest, which programs its timer first."""
    vcpu = m.vcpus[v]
    guest = m.guests[number]
    host = m.host
    m.pcpus[cpu].vcpu = v
    vcpu.index = v
    vcpu.guest = number
    vcpu.boot = 1 + (start_offset(host.seed, v, host.tick_ns) if guest.boot == NEVER else guest.boot)
    vcpu.pcpu = cpu
    vcpu.cpu = cpu
    vcpu.state = State.HOST
    vcpu.facts = (
        (host.injects_timer << PI_INJECT_TIMER_BIT)
        | (host.apicv << APICV_BIT)
        | (guest.mwait_in_guest << MWAIT_BIT)
        | (guest.hlt_in_guest << HLT_BIT)
    )
    vcpu.apicv = host.apicv
    vcpu.mwait = guest.mwait_in_guest
    vcpu.hlt = guest.hlt_in_guest
    vcpu.pause_in_guest = guest.pause_in_guest
    vcpu.has_hv_timer = host.has_hv_timer
    vcpu.timer_mode = guest.timer_mode
    vcpu.deadline = NEVER
    vcpu.expired_deadline = NEVER
    vcpu.advance_dynamic = int(host.lapic_timer_advance_ns < 0)
    vcpu.advance_ns = ADVANCE_NS_INIT if host.lapic_timer_advance_ns < 0 else host.lapic_timer_advance_ns
    vcpu.move_to = NONE
    vcpu.exit_reason = NO_EXIT
    vcpu.ple_window = host.ple_window_ns
    prepare_program(m, v)


def prepare_program(m: Machine, v: int) -> None:
    """Let the guest boot: it is in an interrupt handler, at whose end it programs its timer."""
    vcpu = m.vcpus[v]
    guest = m.guests[vcpu.guest]
    vcpu.in_handler = Handler.DEVICE
    vcpu.eoi_done = 1
    vcpu.idle = int(guest.idle_ns > 0 and guest.busy_ns == 0)
    vcpu.work_left = NEVER
    vcpu.halted_at = NEVER
    vcpu.programmed = NEVER
    vcpu.idle_ns = vcpu.boot
    vcpu.next_tick = NEVER if guest.tick_ns == NEVER else vcpu.boot + guest.tick_ns
    vcpu.next_timer = NEVER if guest.timer_ns == NEVER else vcpu.boot + guest.timer_ns
    vcpu.timers_left = guest.timers
    vcpu.rewrites_left = guest.rewrites
    vcpu.acts_at = vcpu.boot + guest.rewrite_ns if guest.rewrites > 0 else NEVER


def ticks(m: Machine, cpu: int) -> bool:
    """Return True if the host's tick runs on `cpu`: not under nohz_full=, and not where nothing ever runs.

    One housekeeping CPU keeps its tick even when idle, as timekeeper for the nohz_full ones.
    """
    pcpu = m.pcpus[cpu]
    if not pcpu.housekeeping:
        return False
    timekeeper = cpu == m.housekeeping[0] and len(m.housekeeping) < len(m.pcpus)
    return bool(pcpu.used) or bool(pcpu.busy) or timekeeper


def prepare_timers(m: Machine) -> None:
    """Set up the hrtimers: ticks at multiples of the period on all pCPUs, background timers spread over theirs."""
    n = m.loop.n_vcpus
    count = len(m.pcpus)
    for v in range(n):
        prepare_timer(m, v, Owner.APIC_TIMER, v, NEVER, NEVER)
    for cpu in range(count):
        tick = m.host.tick_ns
        prepare_timer(m, n + cpu, Owner.SCHED_TICK, cpu, tick, tick if ticks(m, cpu) else NEVER)
        first = NEVER
        if m.pcpus[cpu].loaded and m.host.load == Load.TIMERS:
            first = 1 + start_offset(m.host.seed, n + cpu, m.host.background_ns)
        prepare_timer(m, n + count + cpu, Owner.BACKGROUND, cpu, m.host.background_ns, first)


def prepare_timer(m: Machine, i: int, kind: int, owner: int, period: int, first: int) -> None:
    """Set up one hrtimer, not queued yet; `first`: when the host arms it."""
    timer = m.timers[i]
    timer.cpu = NONE
    timer.base = NONE
    timer.kind = kind
    timer.owner = owner
    timer.period = period
    timer.time = first


# start: the first events.


def start_at_random(m: Machine, kind: int, v: int, stream: int, mean_ns: int) -> None:
    """Set when something that comes at random first comes, if it comes at all."""
    if mean_ns != NEVER:
        schedule(m, kind, v, exponential(m, v, stream, mean_ns))


def start(m: Machine) -> None:
    """Let time begin: the host's timers run, and every vCPU will enter its guest when that boots."""
    for i in range(len(m.timers)):
        timer = m.timers[i]
        if timer.time != NEVER:
            enqueue_hrtimer(m, i, timer.owner, timer.time)
            hrtimer_reprogram(m, i)
    for v in range(len(m.vcpus)):
        vcpu = m.vcpus[v]
        program = m.guests[vcpu.guest]
        schedule(m, Lane.VCPU, v, vcpu.boot)
        start_at_random(m, Lane.DEVICE, v, Stream.DEVICE, program.device_gap)
        start_at_random(m, Lane.OTHER, v, Stream.OTHER, program.other_gap)
        start_at_random(m, Lane.HOST_IRQ, v, Stream.HOST_IRQ, program.host_irq_gap)
        start_at_random(m, Lane.PREEMPT, v, Stream.PREEMPT_GAP, program.preempt_gap)
        if program.move_gap != NEVER:
            schedule(m, Lane.MOVE, v, program.move_gap + v)
        if program.idle_ns > 0 and program.busy_ns > 0:
            vcpu.work_left = exponential(m, v, Stream.BUSY, program.busy_ns)
