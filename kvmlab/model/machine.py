"""The state of one simulated host: plain records that compiled and plain Python code read and write alike.

Every table is an array of records (numpy structured arrays for machine code; lists of objects with the same fields for
plain Python), so ``vcpu.pending = 1`` is the same source for both. All times are integers in ns; flags are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from kvmlab.model.queue import settle, take_out

P = ParamSpec("P")
T = TypeVar("T")
STEPS = (
    "external_interrupt", "msr_write", "msr_write_fastpath", "preemption_timer", "preemption_timer_fastpath", "hlt",
    "pause", "other_exit", "exit_transition", "entry_transition", "hrtimer_interrupt", "tick", "post",
    "posted_delivery", "kick", "wake_up", "cstate_exit", "guest_handler", "halt_poll_notice",
)  # fmt: skip
NEVER = 1 << 62
"""A time that does not come."""
NONE = -1
"""The number of no pCPU, no vCPU."""

# Where a vCPU is. The kernel knows IN_GUEST_MODE and the rest; the model tells the rest apart.
GUEST, HOST, BLOCKED, PREEMPTED, DONE = range(5)
# Lanes: one pending event per vCPU and kind, then one per pCPU. The order breaks ties in time.
(
    LANE_HV, LANE_POST, LANE_IPI, LANE_VCPU, LANE_WORK, LANE_DEVICE, LANE_OTHER, LANE_HOST_IRQ, LANE_PREEMPT, LANE_MOVE,
) = range(10)  # fmt: skip
LANE_KINDS = 10
LANE_BITS = 4
"""A vCPU has the lanes from its number << LANE_BITS on; a power of two is quicker to take apart."""
# What a vCPU's LAPIC timer can be set to.
TSC_DEADLINE, ONESHOT, PERIODIC = range(3)
TIMER_MODES = ("tsc_deadline", "oneshot", "periodic")
# How a guest waits.
SPIN, HLT, MWAIT, PAUSE = range(4)
WAITS = ("spin", "hlt", "mwait", "pause")
# Whose hrtimer it is.
APIC_TIMER, SCHED_TICK, BACKGROUND = range(3)
# Where an expiry found the vCPU, and what became of it.
PLACES = ("hv", "own pCPU", "housekeeping posted", "housekeeping kicked", "not in guest", "at arm")
AT_HV, AT_OWN, AT_POSTED, AT_KICKED, AT_NOT_IN_GUEST, AT_ARM = range(6)

EXITS = ("EXTERNAL_INTERRUPT", "HLT", "MSR_WRITE", "PAUSE_INSTRUCTION", "EPT_MISCONFIG", "PREEMPTION_TIMER")
X_EXTERNAL_INTERRUPT, X_HLT, X_MSR_WRITE, X_PAUSE, X_OTHER, X_PREEMPTION_TIMER = range(6)
SVM_EXITS = ("interrupt", "hlt", "msr", "pause", "npf", "")
"""What perf calls the same exits on AMD (there is no preemption timer)."""

(
    C_EXTERNAL_INTERRUPT, C_MSR_WRITE, C_MSR_WRITE_FAST, C_PREEMPTION_TIMER, C_PREEMPTION_TIMER_FAST, C_HLT, C_PAUSE,
    C_OTHER, C_EXIT, C_ENTRY, C_HRTIMER, C_TICK, C_POST, C_POSTED_DELIVERY, C_KICK, C_WAKE_UP, C_CSTATE, C_HANDLER,
    C_POLL_NOTICE,
) = (
    STEPS.index(name)
    for name in (
        "external_interrupt", "msr_write", "msr_write_fastpath", "preemption_timer", "preemption_timer_fastpath", "hlt",
        "pause", "other_exit", "exit_transition", "entry_transition", "hrtimer_interrupt", "tick", "post",
        "posted_delivery", "kick", "wake_up", "cstate_exit", "guest_handler", "halt_poll_notice",
    )
)  # fmt: skip


def record(
    *names: str, floats: tuple[str, ...] = (), words: tuple[str, ...] = (), flags: tuple[str, ...] = ()
) -> np.dtype[np.void]:
    """A record type of int64 fields, float64 ones, words of 32 bits without a sign, and flags or numbers below 128."""
    kinds = ((names, np.int64), (floats, np.float64), (words, np.uint32), (flags, np.int8))
    return np.dtype([(name, kind) for some, kind in kinds for name in some], align=True)


VCPU = record(
    # who and where
    "boot", "pcpu", "cpu", "policy",
    # struct kvm_timer
    "deadline", "hv_deadline", "pending_deadline", "expired_deadline", "advance_ns",
    # interrupts on their way (PIR and IRR taken together), and requests
    "irr_deadline", "posting_deadline", "posted_by",
    # the exit under way
    "exit_at", "exit_start", "in_guest_at", "blocked_ns", "preempted_for",
    # the guest's program
    "guest", "since", "left", "programmed", "next_tick", "next_timer", "timers_left",
    # what was counted
    "armed", "delivered", "cancelled", "lost_ns", "gap_max", "lat_n", "lat_sum", "lat_min", "lat_max",
    # what few guests need
    "move_to", "halted_at", "idle_ns", "work_left", "period", "blocked_at", "halt_poll_ns", "ple_window", "coalesced",
    "hv_armed", "index",
    flags=(
        "state", "facts", "apicv", "mwait", "hlt", "pause_in_guest", "hv_op", "timer_mode", "hv_timer_in_use",
        "pending", "advance_done", "advance_dynamic", "irr", "posting", "device_irr", "ipi_kick", "req_migrate_timer",
        "exit_reason", "exit_fast", "halting", "was_hv", "in_handler", "eoi_done", "handled", "idle", "live",
    ),
)  # fmt: skip

GUEST_PROGRAM = record(
    "tick_ns", "timer_ns", "relative", "busy_ns", "idle_ns", "wait", "nohz_idle", "device_gap", "other_gap",
    "host_irq_gap", "preempt_gap", "preempt_ns", "move_gap", "pool_first", "pool_size",
)  # fmt: skip

PCPU = record(
    "index", "domain", "vcpu", "base", "queued", "irq_until", "irq_end", "fired", "timer_busy_ns", "late_max",
    "queue_max", flags=("housekeeping", "busy"),
)  # fmt: skip

TIMER = record("time", "order", "place", "cpu", "kind", "owner", "period")
"""An hrtimer: its key, its place in the queue of the pCPU `cpu`."""

LANE = record("time", "order", "place")
"""The next event of one vCPU and kind, or of one pCPU: its key, and its place in the queue."""

EXIT = record("count", "fast", "min_ns", "max_ns", "sum_ns", floats=("sum_sq",))

GLOBAL = record(
    "now", "seq", "queued", "handled", "n_vcpus", "n_done", "tsc_khz", "preemption_timer_shift", "timer_migration",
    "min_timer_period_ns", "halt_poll_max_ns", "domains", "hrtimer_pinned", "arm_fastpath", "expiry_fastpath",
    "rearm_after_block", "advance_rule", "nearest_any_cpu", "hv_range_ns", "trace_used", "events",
)  # fmt: skip

STEP = record("time", "cpu", "vcpu", "code", "arg")

HIST_SHIFT = 6
HIST_BINS = 40 << HIST_SHIFT
"""Log-linear histogram: 64 bins a power of two, so a bin is at most 1/64 wide and its middle within 0.8 %."""

STREAM = record(words=("key", "drawn"))
"""A stream of random numbers: what the seed makes of its own number, and how often it has been drawn from."""
STREAMS = len(STEPS) + 8
(S_BUSY, S_IDLE, S_DEVICE, S_OTHER, S_HOST_IRQ, S_PREEMPT_GAP, S_PREEMPT, S_MOVE) = range(len(STEPS), STREAMS)

UNIFORM_BITS = 24
EXPONENTIAL_BITS = 20


class Machine(NamedTuple):
    """All state of one run. `Any`: an array of records, or a list of objects with the same fields."""

    g: Any
    """One GLOBAL record: clock, sequence, kernel machinery, host parameters."""
    vcpus: Any
    """VCPU records."""
    programs: Any
    """GUEST_PROGRAM records, one a guest."""
    pcpus: Any
    """PCPU records."""
    timers: Any
    """TIMER records: a LAPIC timer per vCPU, then a tick per pCPU, then a background timer per pCPU."""
    bases: Any
    """The numbers of the hrtimers queued on each pCPU, pCPU by pCPU (from its `base` on), in heap order (queue.py)."""
    lanes: Any
    """LANE records: the pending events."""
    queue: Any
    """The numbers of the lanes that have an event, in heap order (queue.py)."""
    exits: Any
    """EXIT records, vCPU by vCPU, one a reason."""
    histogram: Any
    """Latency counts, vCPU by vCPU, HIST_BINS each."""
    places: Any
    """Expiries of each vCPU by place, vCPU by vCPU, in the order of PLACES."""
    streams: Any
    """STREAM records: each vCPU's, then each pCPU's, STREAMS each."""
    costs: Any
    """Quantile tables of the costs in ns, one row of 8192 a step (see ShiftedLognormal.table), end to end."""
    exponential: Any
    """Quantile table of the exponential distribution with mean 1 << EXPONENTIAL_BITS, laid out in the same way."""
    housekeeping: Any
    """Numbers of the housekeeping pCPUs, ascending."""
    pools: Any
    """pCPUs on which moving guests may run, end to end."""
    trace: Any
    """The first steps, in order of their making (STEP records)."""


INT = np.dtype(np.int64)
LAYOUT = Machine(
    g=GLOBAL,
    vcpus=VCPU,
    programs=GUEST_PROGRAM,
    pcpus=PCPU,
    timers=TIMER,
    bases=INT,
    lanes=LANE,
    queue=INT,
    exits=EXIT,
    histogram=INT,
    places=INT,
    streams=STREAM,
    costs=INT,
    exponential=INT,
    housekeeping=INT,
    pools=INT,
    trace=STEP,
)
"""What the entries of each table are."""
Numbers = Any
"""An array of int64, or a list of ints."""
TABLE = 8192
BODY = 4096


def seldom(rule: Callable[P, T]) -> Callable[P, T]:
    """Mark a rule that few events need: compiled, it stands apart, where it is in no other's way."""
    rule.seldom = True  # type: ignore[attr-defined]
    return rule


def mix(x: int) -> int:
    """Scramble 32 bits. Products stay below 2**63, so compiled and plain Python integers agree."""
    x = ((x >> 16) ^ x) * 0x45D9F3B & 0xFFFFFFFF
    x = ((x >> 16) ^ x) * 0x45D9F3B & 0xFFFFFFFF
    return (x >> 16) ^ x


def uniform(m: Machine, vcpu: int, stream: int) -> int:
    """The next UNIFORM_BITS random bits of one vCPU's stream.

    The n-th draw depends on (seed, vCPU, stream, n) alone: two kernels compared on one scenario meet the same world.
    """
    s = m.streams[vcpu * STREAMS + stream]
    s.drawn += 1
    return mix(s.key ^ s.drawn) & ((1 << UNIFORM_BITS) - 1)


def quantile(table: Numbers, first: int, u: int) -> int:
    """Look up UNIFORM_BITS bits in the two-level table that starts at `first`: body by the upper 12, tail by all."""
    high = u >> 12
    if high == BODY - 1:
        return int(table[first + BODY + (u & 0xFFF)])
    return int(table[first + high])


def cost(m: Machine, vcpu: int, step: int) -> int:
    """How long `step` takes this time, in ns."""
    return quantile(m.costs, step * TABLE, uniform(m, vcpu, step))


def exponential(m: Machine, vcpu: int, stream: int, mean_ns: int) -> int:
    """An exponentially distributed time in ns, at least 1."""
    return 1 + ((mean_ns * quantile(m.exponential, 0, uniform(m, vcpu, stream))) >> EXPONENTIAL_BITS)


def lane_of(m: Machine, kind: int, owner: int) -> int:
    """The number of a lane: a vCPU's stand together, the pCPUs' behind them."""
    if kind == LANE_KINDS:
        return int((m.g[0].n_vcpus << LANE_BITS) + owner)
    return (owner << LANE_BITS) + kind


def schedule(m: Machine, kind: int, owner: int, time: int) -> None:
    """Set when the lane's next event comes; NEVER clears it. Order: time, then kind, then sequence.

    The lane whose event is being handled stands in the queue until that is done, so that a new event only moves it.
    """
    g = m.g[0]
    i = lane_of(m, kind, owner)
    lane = m.lanes[i]
    place = lane.place
    if i == g.handled:
        if time == NEVER:
            return
        g.handled = NONE
    elif lane.time == time:
        return
    elif time == NEVER:
        clear(m, i)
        return
    elif lane.time == NEVER:
        place = g.queued
        g.queued += 1
    lane.time = time
    g.seq += 1
    lane.order = (kind << 48) | g.seq
    settle(m.lanes, m.queue, 0, g.queued, place, i)


def clear(m: Machine, i: int) -> None:
    """Take lane `i` out of the queue."""
    g = m.g[0]
    m.lanes[i].time = NEVER
    g.queued -= 1
    take_out(m.lanes, m.queue, 0, g.queued + 1, i)


def scheduled(m: Machine, kind: int, owner: int) -> int:
    """When the lane's next event comes, or NEVER."""
    i = lane_of(m, kind, owner)
    return NEVER if i == m.g[0].handled else int(m.lanes[i].time)


@seldom
def write_step(m: Machine, time: int, cpu: int, vcpu: int, code: int, arg: int) -> None:
    """Write one step into the trace, in which there is room."""
    g = m.g[0]
    step = m.trace[g.trace_used]
    step.time = time
    step.cpu = cpu
    step.vcpu = vcpu
    step.code = code
    step.arg = arg
    g.trace_used += 1


def note(m: Machine, time: int, cpu: int, vcpu: int, code: int, arg: int) -> None:
    """Write one step into the trace while there is room."""
    if m.g[0].trace_used < len(m.trace):
        write_step(m, time, cpu, vcpu, code, arg)


def histogram_bin(ns: int) -> int:
    """The bin of a latency: its leading HIST_SHIFT + 1 bits."""
    shift = 0
    while (ns >> shift) >= (2 << HIST_SHIFT):
        shift += 1
    return min((shift << HIST_SHIFT) + (ns >> shift), HIST_BINS - 1)


def histogram_edges(index: int) -> tuple[int, int]:
    """The latencies that fall into a bin: from, and up to but not including, in ns."""
    if index < 2 << HIST_SHIFT:
        return index, index + 1
    shift = (index >> HIST_SHIFT) - 1
    low = (index - (shift << HIST_SHIFT)) << shift
    return low, low + (1 << shift)
