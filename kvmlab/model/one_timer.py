"""One timer of one vCPU, from the guest's write to its handler: the machine is driven to where a story begins.

The host has two pCPUs, of which number 0 is a housekeeping CPU; the machine has been prepared, and not been started.
"""

from __future__ import annotations

from kvmlab.model.draws import TABLE
from kvmlab.model.guest_os import write_timer
from kvmlab.model.hrtimer import enqueue_hrtimer, hrtimer_reprogram
from kvmlab.model.loop import run
from kvmlab.model.names import NEVER, Cost, Exit, Handler, Lane, State, TimerMode
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule
from kvmlab.model.vcpu import preempt
from kvmlab.model.vmexit import kvm_exit

HOUSEKEEPING_CPU = 0
"""Its number; the isolated pCPU is the other one."""
AFTER_NS = 100_000
"""A vCPU that is in the host or preempted when its timer expires comes back this much later."""
LONGEST_NS = 1_000 * AFTER_NS
"""How long after the deadline a story may go on."""


def arm_one_timer(m: Machine, deadline_ns: int, next_event_ns: int) -> int:
    """Let the guest write its timer, in guest mode at time 0; return when the host sees it: time 0 of the story.

    `deadline_ns` (0 disarms) and the time of the housekeeping CPU's own next timer, `next_event_ns`, count from there.
    """
    vcpu = m.vcpus[0]
    vcpu.state = State.GUEST
    vcpu.in_handler = Handler.NO
    start = m.costs[Cost.EXIT_TRANSITION * TABLE]
    background = 1 + len(m.pcpus) + HOUSEKEEPING_CPU
    enqueue_hrtimer(m, background, HOUSEKEEPING_CPU, start + next_event_ns)
    hrtimer_reprogram(m, background)
    m.guests[0].timer_ns = deadline_ns
    deadline = deadline_ns
    if vcpu.timer_mode == TimerMode.TSC_DEADLINE:
        deadline += start
    write_timer(m, 0, NEVER if deadline_ns == 0 else deadline, 0)
    return start


def follow_one_timer(m: Machine, found: int, start: int, deadline_ns: int) -> int:
    """Go on to the guest's handler and beyond; return the time reached.

    `found`: where the expiry is to find the vCPU (`State`); `start`, `deadline_ns`: of `arm_one_timer`.
    """
    send_vcpu(m, found, start)
    return run(m, start + deadline_ns + LONGEST_NS)


def send_vcpu(m: Machine, found: int, start: int) -> None:
    """Bring the vCPU to where the expiry is to find it (`found`: a `State`)."""
    vcpu = m.vcpus[0]
    deadline = vcpu.deadline
    if found == State.BLOCKED:
        if vcpu.hlt:
            # It does not exit on HLT, so it was put to sleep by the host (an async page fault does that).
            vcpu.halting = 1
        else:
            vcpu.idle = 1
        return
    if found == State.GUEST or deadline >= NEVER:
        return
    halfway = start + max(0, deadline - start - 2 * vcpu.advance_ns) // 2
    run(m, halfway)
    if found == State.PREEMPTED:
        preempt(m, 0, deadline + AFTER_NS - halfway, halfway)
    elif vcpu.state == State.GUEST:
        kvm_exit(m, 0, Exit.EPT_MISCONFIG, False, max(halfway, vcpu.in_guest_at))
        schedule(m, Lane.VCPU, 0, deadline + AFTER_NS)
