"""What comes at random times: work for a guest, interrupts of devices, and what the host does to a vCPU."""

from __future__ import annotations

from kvmlab.model.draws import exponential, uniform
from kvmlab.model.guest_os import guest_resume, new_work, sleeps
from kvmlab.model.names import NONE, Exit, Lane, State, Stream
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule
from kvmlab.model.vcpu import deliver_device_interrupt, leave_guest_by_irq, move, preempt
from kvmlab.model.vmexit import consume, kvm_exit


def work_arrives(m: Machine, v: int, now: int) -> None:
    """Bring a guest new work: one that sleeps is woken by a device, one that polls sees it by itself."""
    vcpu = m.vcpus[v]
    if vcpu.state == State.GUEST:
        consume(m, v, max(now, vcpu.since))  # the time asleep is not taken off the new burst
    new_work(m, v, now)
    if sleeps(m, v):
        deliver_device_interrupt(m, v, now)
    elif vcpu.state == State.GUEST and not vcpu.in_handler:
        guest_resume(m, v, max(now, vcpu.in_guest_at))


def move_somewhere(m: Machine, v: int, now: int) -> None:
    """Move a vCPU to a free pCPU of its guest's pool, if there is one."""
    program = m.guests[m.vcpus[v].guest]
    first = uniform(m, v, Stream.MOVE) % program.pool_size
    for i in range(program.pool_size):
        cpu = m.pools[program.pool_first + (first + i) % program.pool_size]
        if m.pcpus[cpu].vcpu == NONE:
            move(m, v, cpu, now)
            return


def outside_event(m: Machine, kind: int, v: int, now: int) -> None:
    """Do what comes at random times (its `Lane`: DEVICE to MOVE), and set when the next comes."""
    vcpu = m.vcpus[v]
    program = m.guests[vcpu.guest]
    if kind == Lane.DEVICE:
        deliver_device_interrupt(m, v, now)
        schedule(m, kind, v, now + exponential(m, v, Stream.DEVICE, program.device_gap))
    elif kind == Lane.OTHER:
        if vcpu.state == State.GUEST and now >= vcpu.in_guest_at and not vcpu.idle:
            kvm_exit(m, v, Exit.EPT_MISCONFIG, False, now)
        schedule(m, kind, v, now + exponential(m, v, Stream.OTHER, program.other_gap))
    elif kind == Lane.HOST_IRQ:
        leave_guest_by_irq(m, v, now)
        schedule(m, kind, v, now + exponential(m, v, Stream.HOST_IRQ, program.host_irq_gap))
    elif kind == Lane.PREEMPT:
        preempt(m, v, exponential(m, v, Stream.PREEMPT, program.preempt_ns), now)
        schedule(m, kind, v, now + exponential(m, v, Stream.PREEMPT_GAP, program.preempt_gap))
    else:
        move_somewhere(m, v, now)
        schedule(m, kind, v, now + program.move_gap)
