"""One recorded timer: what the events of a listing have shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Backend = Literal["hv", "hrtimer"]
Delivery = Literal["posted", "vm_entry", "wake_up", "at_arm"]
VcpuState = Literal["guest", "interrupted", "blocked", "host"]
"""Where an expiry found the vCPU; "interrupted": by this very timer."""


@dataclass
class Timer:
    """One arming of a LAPIC timer. Times are in ns on the listing's clock; what no event showed stays None.

    A timer goes through these states, and each event fills in the fields of the next one:
    armed (`running`) -> fired -> accepted by the virtual APIC -> posted, or brought by a VM entry. A timer that the
    guest re-arms or disarms first is ended (`ended_ns`); one that has expired by the time it is armed is accepted at
    once (`at_arm`). Where the listing lacks a kind of event, a timer skips the state that this event would show.
    """

    vcpu: int
    """Number of the vCPU; -1 where no event has shown it."""
    pid: int
    """The vCPU's thread."""
    armed_ns: int
    """When the guest left guest mode to arm it, or when its callback started this period."""
    pcpu: int
    """Where it was armed."""
    arm_exit: str | None
    """The exit that armed it; None where a periodic timer started its next period by itself."""
    arm_fast: bool | None = None
    """That exit took the fast path (it ran with interrupts off); None where the listing has no flags."""
    value: int | None = None
    """What the guest wrote: TSC cycles for TSC-deadline mode, else the initial count. 0 disarms."""
    msr: int | None = None
    """The MSR that it was written to; TMICT also for xAPIC and for later periods of a periodic timer."""
    backend: Backend | None = None
    """What was armed for it on the host."""
    pinned: bool | None = None
    """The hrtimer was started with HRTIMER_MODE_PINNED."""
    expires: int | None = None
    """The hrtimer's own expiry, on the host's monotonic clock."""
    switched: bool = False
    """An hrtimer took over from the preemption timer because the vCPU blocked."""
    fired_ns: int | None = None
    """When the hrtimer's callback began, or the preemption timer's exit happened."""
    fired_cpu: int | None = None
    """The pCPU on which it fired."""
    late_ns: int | None = None
    """How much later than `expires` the callback ran."""
    vcpu_was: VcpuState | None = None
    """Where the expiry found the vCPU."""
    vcpu_cpu: int | None = None
    """The pCPU of the vCPU at that time."""
    expiry_exit: str | None = None
    """The exit that the expiry cost."""
    expiry_exit_ns: int | None = None
    """When that exit happened; before `fired_ns` is known: the last interrupt exit, which may turn out to be it."""
    expiry_vector: int | None = None
    """The vector of that exit's interrupt."""
    expiry_fast: bool | None = None
    """The preemption timer's exit took the fast path; None where the listing has no flags."""
    accepted_ns: int | None = None
    """When the virtual APIC took the vector."""
    posted: bool = False
    """It was taken in the hrtimer's callback on another pCPU: the interrupt was posted."""
    at_arm: bool = False
    """The deadline had passed when it was armed: the interrupt was delivered at once."""
    entry_ns: int | None = None
    """The VM entry that brought the interrupt."""
    wait_ns: int | None = None
    """When kvm_wait_lapic_expire was traced."""
    delta: int | None = None
    """What that event saw: TSC cycles after the deadline (negative: before)."""
    ended_ns: int | None = None
    """When the guest re-armed, or disarmed, before this one was seen to fire."""

    @property
    def running(self) -> bool:
        """It has not been seen to fire."""
        return self.fired_ns is None

    @property
    def awaits_kick(self) -> bool:
        """It fired elsewhere while the vCPU was in the guest, was not posted, and no exit has followed yet."""
        return self.vcpu_was == "guest" and not self.posted and self.expiry_exit is None

    @property
    def delivery(self) -> Delivery | None:
        """How the guest got its interrupt; None where that was not seen."""
        if self.posted:
            return "posted"
        if self.at_arm:
            return "at_arm"
        if self.accepted_ns is None and self.entry_ns is None:
            return None
        return "wake_up" if self.vcpu_was == "blocked" else "vm_entry"

    def fire(self, ns: int, cpu: int, vcpu_was: VcpuState, vcpu_cpu: int) -> None:
        """Note that it fired on pCPU `cpu`, and where that found the vCPU."""
        self.fired_ns, self.fired_cpu = ns, cpu
        self.vcpu_was, self.vcpu_cpu = vcpu_was, vcpu_cpu

    def note_exit(self, reason: str | None, ns: int | None, vector: int | None) -> None:
        """Note the exit that the expiry cost."""
        self.expiry_exit, self.expiry_exit_ns, self.expiry_vector = reason, ns, vector
