"""What the rules give numbers to: states, lanes, places, exits, costs, steps of a trace.

A rule stores and compares the number; a table or a trace shows the name or the label. Each name stands here only.
"""

from __future__ import annotations

from enum import IntEnum

NEVER = 1 << 62
"""A time that does not come."""
NONE = -1
"""The number of no pCPU, no vCPU."""


class Labelled(IntEnum):
    """Numbers from 0 in the order in which they are listed, each with the text that people read."""

    label: str

    def __new__(cls, label: str) -> Labelled:
        """Number the next member."""
        member = int.__new__(cls, len(cls.__members__))
        member._value_ = len(cls.__members__)
        member.label = label
        return member


def labels(names: type[Labelled]) -> tuple[str, ...]:
    """Return the labels of an enumeration by number.

    >>> labels(Wait)
    ('spin', 'hlt', 'mwait', 'pause')
    """
    return tuple(member.label for member in names)


class State(IntEnum):
    """Where a vCPU is. The kernel knows IN_GUEST_MODE and the rest; the model tells the rest apart."""

    GUEST = 0
    HOST = 1
    BLOCKED = 2
    PREEMPTED = 3
    DONE = 4


class Lane(IntEnum):
    """What a pending event is about: PCPU and TASK once per pCPU, the others once per vCPU. Ties go by this order."""

    HV = 0
    """The preemption timer reaches zero."""
    POST = 1
    """The deadline that a housekeeping CPU waits for has come: the interrupt is posted."""
    IPI = 2
    """A kick or a notification arrives."""
    VCPU = 3
    """The guest, or the host on behalf of the vCPU, comes to the end of what it does."""
    WORK = 4
    """The guest's idleness ends."""
    DEVICE = 5
    """A device of the guest raises an interrupt."""
    OTHER = 6
    """The guest does something else that exits."""
    HOST_IRQ = 7
    """The host takes an interrupt of its own on the vCPU's pCPU."""
    PREEMPT = 8
    """Another task takes the pCPU."""
    MOVE = 9
    """The scheduler moves the vCPU."""
    PCPU = 10
    """The pCPU's event timer fires: hrtimer_interrupt()."""
    TASK = 11
    """The host task that sleeps and works by turns on a pCPU has done its work."""


LANE_BITS = 4
"""A vCPU has the lanes from its number << LANE_BITS on; a power of two is quicker to take apart."""


class TimerMode(Labelled):
    """What a vCPU's LAPIC timer can be set to."""

    TSC_DEADLINE = "tsc_deadline"
    ONESHOT = "oneshot"
    PERIODIC = "periodic"


class Wait(Labelled):
    """How an idle guest waits."""

    SPIN = "spin"
    HLT = "hlt"
    MWAIT = "mwait"
    PAUSE = "pause"


class Load(Labelled):
    """What the host's loaded pCPUs do."""

    IDLE = "idle"
    TICKING = "ticking"
    TIMERS = "timers"


class Owner(IntEnum):
    """Whose hrtimer it is."""

    APIC_TIMER = 0
    SCHED_TICK = 1
    BACKGROUND = 2


class Place(Labelled):
    """Where an expiry found the vCPU, and what became of it."""

    HV = "hv"
    OWN = "own pCPU"
    POSTED = "housekeeping posted"
    KICKED = "housekeeping kicked"
    NOT_IN_GUEST = "not in guest"
    AT_ARM = "at arm"


class Handler(IntEnum):
    """Which interrupt handler the guest is in."""

    NO = 0
    TIMER = 1
    DEVICE = 2


class Exit(Labelled):
    """Reasons of a VM exit, as VMX names them; the label is what perf calls the same exit on AMD (SVM)."""

    EXTERNAL_INTERRUPT = "interrupt"
    HLT = "hlt"
    MSR_WRITE = "msr"
    PAUSE_INSTRUCTION = "pause"
    EPT_MISCONFIG = "npf"
    PREEMPTION_TIMER = ""
    """AMD has none."""


NO_EXIT = -1
"""The exit reason of a vCPU that has not entered its guest yet."""


class Cost(IntEnum):
    """Steps that take time. In lower case these are the fields of `kvmlab.Costs`, in the same order."""

    EXTERNAL_INTERRUPT = 0
    MSR_WRITE = 1
    MSR_WRITE_FASTPATH = 2
    PREEMPTION_TIMER = 3
    PREEMPTION_TIMER_FASTPATH = 4
    HLT = 5
    PAUSE = 6
    OTHER_EXIT = 7
    EXIT_TRANSITION = 8
    ENTRY_TRANSITION = 9
    HRTIMER_INTERRUPT = 10
    TICK = 11
    POST = 12
    POSTED_DELIVERY = 13
    KICK = 14
    WAKE_UP = 15
    CSTATE_EXIT = 16
    GUEST_HANDLER = 17
    HALT_POLL_NOTICE = 18
    SEARCHED_CPU = 19


class Stream(IntEnum):
    """Streams of random numbers of a vCPU beside those of the costs (a cost's stream has the cost's number).

    The first has the number of SEARCHED_CPU, which only pCPUs draw.
    """

    BUSY = 19
    IDLE = 20
    DEVICE = 21
    OTHER = 22
    HOST_IRQ = 23
    PREEMPT_GAP = 24
    PREEMPT = 25
    MOVE = 26


STREAMS = Stream.MOVE + 1
"""How many streams each vCPU and each pCPU has."""


class Trace(Labelled):
    """What a run writes into its trace: a kernel function or tracepoint each."""

    EXIT = "kvm_exit"
    ENTRY = "kvm_entry"
    WRMSR = "kvm_set_lapic_tscdeadline_msr"
    START_APIC_TIMER = "start_apic_timer"
    START_HV_TIMER = "start_hv_timer"
    HV_REFUSED = "kvm_can_use_hv_timer: no"
    HV_ERANGE = "vmx_set_hv_timer: -ERANGE"
    CANCEL_HV_TIMER = "cancel_hv_timer"
    START_SW_TIMER = "start_sw_timer"
    HRTIMER_START = "hrtimer_start"
    HRTIMER_CANCEL = "hrtimer_cancel"
    NOHZ_TARGET = "get_nohz_timer_target"
    TARGET_REFUSED = "switch_hrtimer_base: refused"
    APIC_TIMER_FN = "apic_timer_fn"
    HRTIMER_INTERRUPT = "hrtimer_interrupt"
    HV_EXPIRED = "handle_preemption_timer"
    EXPIRED_AT_ONCE = "apic_timer_expired: at once"
    EXPIRED_PENDING = "apic_timer_expired: pending"
    EXPIRED_DROPPED = "apic_timer_expired: dropped"
    EXPIRED_POSTED = "apic_timer_expired: posted"
    WAIT = "kvm_wait_lapic_expire"
    KICK = "kvm_vcpu_kick"
    WAKE_UP = "kvm_vcpu_wake_up"
    INJECT = "kvm_inject_apic_timer_irqs"
    BLOCK = "kvm_vcpu_block"
    SWITCH_TO_SW = "kvm_lapic_switch_to_sw_timer"
    SWITCH_TO_HV = "kvm_lapic_switch_to_hv_timer"
    SCHED_OUT = "kvm_sched_out"
    LOAD = "kvm_arch_vcpu_load"
    MIGRATE = "kvm_migrate_apic_timer"
    HANDLER = "guest handler"
    GUEST_HALTS = "guest halts in guest mode"
    DEVICE = "device interrupt"
    NOTHING_ARMED = "nothing armed"
    DONE = "vcpu done"


FAST = 1 << 8
"""Set in the argument of kvm_exit and kvm_entry when the exit takes the fast path; the rest is the reason."""

EXITS = tuple(reason.name for reason in Exit)
"""The names of the exits, as VMX has them."""
SVM_EXITS = labels(Exit)
"""The same on AMD, as perf prints them."""
PLACES = labels(Place)
TIMER_MODES = labels(TimerMode)
WAITS = labels(Wait)
LOADS = labels(Load)
STEPS = tuple(step.name.lower() for step in Cost)
"""The steps that take time, under the names that `kvmlab.Costs` has for them."""
FUNCTIONS = labels(Trace)
"""What the steps of a trace are called."""
