"""One live guest: set up, run in a thread of its own, stopped when it takes too long. Linux on x86-64 only."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvmlab.host.live import counters, guest_code, tracing
from kvmlab.host.live.guest_code import CODE_SELECTOR, DATA_SELECTOR, LVTT_MODES, PORT_DONE, SAMPLE_BYTES
from kvmlab.host.live.kvm_ioctl import (
    CAP_BINARY_STATS_FD,
    CAP_TSC_DEADLINE_TIMER,
    DEVICE,
    DISABLE_EXITS_HLT,
    DISABLE_EXITS_PAUSE,
    EXIT_IO,
    STOP_SIGNAL,
    Ioctl,
    LiveError,
    Regs,
    Segment,
    Vm,
    block_stop_signal,
    call,
)

CPUID_1_ECX_X2APIC = 1 << 21
CPUID_1_ECX_TSC_DEADLINE = 1 << 24
X2APIC_ENABLED = 1 << 10
"""IA32_APIC_BASE.EXTD."""
CR0 = 0x80010031
"""PG, WP, NE, ET, PE."""
CR4_PAE = 1 << 5
EFER_LONG_MODE = 0x500
"""LME, LMA."""
RFLAGS = 0x2
"""Interrupts off."""
GRACE_S = 5.0
"""How long a guest that was told to stop may take for it."""


@dataclass(frozen=True)
class Settings:
    """What the guest does; as the arguments of `measure`."""

    timers: int
    """Timers that are measured."""
    period_ns: int
    timer_mode: str
    waits_by: str
    hlt_in_guest: bool
    pause_in_guest: bool
    pcpu: int | None
    """The CPU to run on; None: wherever the thread may."""
    traced_timers: int
    """Additional timers that are traced."""


@dataclass
class Measured:
    """What the guest's thread hands over."""

    tsc_khz: int
    """Frequency of the guest's TSC."""
    samples: npt.NDArray[np.uint64]
    """Shape (timers, 2): RDTSC in the handler, deadline."""
    counters: dict[str, int]
    """By how much KVM's counters grew; {} where they are not available."""
    listing: str = ""
    """Trace events, as tracefs lists them."""
    tid: int = 0
    """The vCPU's thread."""
    refused: str = ""
    """Why there is no trace."""


def prepare(vm: Vm) -> None:
    """Lay out the guest's memory, and put its vCPU into 64-bit mode with an x2APIC."""
    deadline = CPUID_1_ECX_TSC_DEADLINE if vm.extension(CAP_TSC_DEADLINE_TIMER) else 0
    vm.set_cpuid(leaf1_ecx=CPUID_1_ECX_X2APIC | deadline)
    for address, part in guest_code.memory_parts(len(vm.memory)).items():
        vm.memory[address : address + len(part)] = part
    sregs = vm.sregs
    flat = {"base": 0, "limit": 0xFFFFFFFF, "present": 1, "dpl": 0, "s": 1, "g": 1, "unusable": 0}
    sregs.cs = Segment(selector=CODE_SELECTOR, type=11, l=1, db=0, **flat)
    data = Segment(selector=DATA_SELECTOR, type=3, l=0, db=1, **flat)
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data
    sregs.gdt.base, sregs.gdt.limit = guest_code.GDT, 8 * len(guest_code.DESCRIPTORS) - 1
    sregs.idt.base, sregs.idt.limit = guest_code.IDT, guest_code.PAGE - 1
    sregs.cr3, sregs.cr4, sregs.cr0, sregs.efer = guest_code.PML4, CR4_PAE, CR0, EFER_LONG_MODE
    sregs.apic_base |= X2APIC_ENABLED
    vm.sregs = sregs


def first_registers(settings: Settings, tsc_khz: int) -> Regs:
    """Return what the guest's code expects in its registers (see guest_code.LISTING)."""
    _, labels = guest_code.assembled()
    return Regs(
        rip=labels["start"],
        rflags=RFLAGS,
        rsp=guest_code.STACK_TOP,
        r8=settings.period_ns * tsc_khz // 1_000_000,
        r10=guest_code.SAMPLES,
        r11=settings.timers,
        r12=settings.period_ns // guest_code.BUS_CYCLE_NS,
        rbp=LVTT_MODES[settings.timer_mode] | guest_code.TIMER_VECTOR,
        rdi=labels[f"arm_{settings.timer_mode}"],
        rsi=labels[f"wait_{settings.waits_by}"],
    )


def move_to(cpu: int) -> None:
    """Bind this thread to a CPU; raise LiveError if it may not run there."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        raise LiveError(f"pcpu: this process may not run on CPU {cpu}: {error.strerror}") from None


class GuestThread(threading.Thread):
    """Runs one guest; `result` or `error` is set when it has ended. It never outlives `stop` by much."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="kvmlab-vcpu", daemon=True)
        self.settings = settings
        self.result: Measured | None = None
        self.error: Exception | None = None
        self.fired = 0
        """Timers that had fired when the guest stopped."""
        self.vm: Vm | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        """Do the thread's work."""
        try:
            block_stop_signal()
            bits = DISABLE_EXITS_HLT * self.settings.hlt_in_guest | DISABLE_EXITS_PAUSE * self.settings.pause_in_guest
            if self.settings.pcpu is not None:
                move_to(self.settings.pcpu)
            with Vm(guest_code.memory_size(self.settings.timers + self.settings.traced_timers), bits) as vm:
                self.measure(vm)
        except Exception as error:  # handed to the thread that waits
            self.error = error
        finally:
            self.vm = None

    def stop(self) -> bool:
        """Make the guest stop; return False if it does not. Its thread blocks the signal, except within KVM_RUN."""
        self.stopping.set()
        if vm := self.vm:
            with contextlib.suppress(AttributeError, ProcessLookupError):  # it has just ended
                vm.run.immediate_exit = 1
                signal.pthread_kill(self.ident or 0, STOP_SIGNAL)
        self.join(GRACE_S)
        return not self.is_alive()

    def measure(self, vm: Vm) -> None:
        """Run the timers that are measured, then those that are traced."""
        if self.settings.timer_mode == "tsc_deadline" and not vm.extension(CAP_TSC_DEADLINE_TIMER):
            raise LiveError(f"{DEVICE}: this KVM has no TSC-deadline mode; timer_mode 'oneshot' may do")
        prepare(vm)
        tsc_khz = vm.tsc_khz
        vm.regs = first_registers(self.settings, tsc_khz)
        vm.let_signals_in()
        self.vm = vm
        with stats(vm) as counted:
            before = counted.read() if counted else {}
            self.run_timers(vm)
            grown = counted.since(before) if counted else {}
        samples = guest_code.samples(bytes(vm.memory), self.settings.timers)
        self.result = Measured(tsc_khz, samples, grown)
        if self.settings.traced_timers:
            self.trace(vm, self.result)

    def run_timers(self, vm: Vm) -> None:
        """Enter the guest until it says that its timers have fired."""
        if self.stopping.is_set() or not vm.enter():
            self.fired = (vm.regs.r10 - guest_code.SAMPLES) // SAMPLE_BYTES
            raise LiveError("the guest was stopped")
        if vm.run.exit_reason != EXIT_IO or vm.run.detail.io.port != PORT_DONE:
            raise LiveError(f"the guest ended before its timers had fired, at rip {vm.regs.rip:#x}; {vm.why()}")

    def trace(self, vm: Vm, result: Measured) -> None:
        """Run some additional timers with trace events on, where tracefs lets us."""
        root = tracing.tracefs()
        if root is None:
            result.refused = (
                "There is no trace: tracefs is not mounted, or this user may not write to it (mostly, root may)."
            )
            return
        regs = vm.regs
        regs.r11, regs.r13 = self.settings.traced_timers, 0
        vm.regs = regs
        result.tid = threading.get_native_id()
        try:
            with tracing.Trace(root, result.tid) as trace:
                self.run_timers(vm)
            result.listing = trace.listing
        except OSError as error:
            result.refused = f"There is no trace: tracefs refused ({error.strerror})."


@contextlib.contextmanager
def stats(vm: Vm) -> Iterator[counters.Counters | None]:
    """Yield the vCPU's counters, or None before Linux 5.14."""
    if not vm.extension(CAP_BINARY_STATS_FD):
        yield None
        return
    fd = call(vm.vcpu, Ioctl.GET_STATS_FD)
    try:
        yield counters.describe(fd)
    finally:
        os.close(fd)


def run_guest(settings: Settings, timeout_s: float) -> Measured:
    """Run a guest to its end; raise LiveError if it is not available, or takes longer than `timeout_s` seconds."""
    thread = GuestThread(settings)
    thread.start()
    try:
        thread.join(timeout_s)
    finally:
        in_time = not thread.is_alive()
        stopped = in_time or thread.stop()
    if not in_time:
        state = "and was stopped" if stopped else "and does not stop: its thread is left behind"
        raise LiveError(
            f"the guest did not finish: {thread.fired} of {settings.timers} timers had fired "
            f"after {timeout_s:g} s (timeout_s), {state}"
        )
    if thread.error:
        raise thread.error
    assert thread.result is not None
    return thread.result
