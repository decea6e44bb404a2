"""/dev/kvm from Python: the few ioctls that a bare guest with one vCPU needs (Documentation/virt/kvm/api.rst).

Structures are those of <linux/kvm.h> and <asm/kvm.h>; a test compares their sizes with the headers. Linux on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import fcntl
import mmap
import os
import signal

DEVICE = "/dev/kvm"
API_VERSION = 12
"""What KVM_GET_API_VERSION has answered since Linux 2.6.22; "applications should refuse to run" with another."""
MAX_CPUID_ENTRIES = 256
TSS_ADDRESS = 0x7FFFD000
"""Three pages that KVM needs on Intel (KVM_SET_TSS_ADDR), outside of the guest's memory."""
STOP_SIGNAL = signal.SIGUSR1
"""Sent to a vCPU's thread to end its KVM_RUN; nothing else ever sees it, see `block_stop_signal`."""

# Capabilities.
CAP_IRQCHIP = 0
CAP_TSC_DEADLINE_TIMER = 72
CAP_X86_DISABLE_EXITS = 143
CAP_BINARY_STATS_FD = 203
# What KVM_CAP_X86_DISABLE_EXITS takes.
DISABLE_EXITS_HLT = 1 << 1
DISABLE_EXITS_PAUSE = 1 << 2
# Why KVM_RUN came back.
EXIT_IO = 2
EXIT_NAMES = {
    0: "KVM_EXIT_UNKNOWN",
    1: "KVM_EXIT_EXCEPTION",
    2: "KVM_EXIT_IO",
    5: "KVM_EXIT_HLT",
    6: "KVM_EXIT_MMIO",
    8: "KVM_EXIT_SHUTDOWN",
    9: "KVM_EXIT_FAIL_ENTRY",
    10: "KVM_EXIT_INTR",
    17: "KVM_EXIT_INTERNAL_ERROR",
}


class LiveError(RuntimeError):
    """A live guest is not available, or did not finish; the message is one sentence that says why."""


class Segment(ctypes.Structure):
    """struct kvm_segment."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("selector", ctypes.c_uint16),
        *((name, ctypes.c_uint8) for name in ("type", "present", "dpl", "db", "s", "l", "g", "avl", "unusable", "pad")),
    )


class Dtable(ctypes.Structure):
    """struct kvm_dtable."""

    _fields_ = (("base", ctypes.c_uint64), ("limit", ctypes.c_uint16), ("padding", ctypes.c_uint16 * 3))


class Regs(ctypes.Structure):
    """struct kvm_regs."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14"),
            *("r15", "rip", "rflags"),
        )
    )


class Sregs(ctypes.Structure):
    """struct kvm_sregs."""

    _fields_ = (
        *((name, Segment) for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")),
        *((name, Dtable) for name in ("gdt", "idt")),
        *((name, ctypes.c_uint64) for name in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apic_base")),
        ("interrupt_bitmap", ctypes.c_uint64 * 4),
    )


class MemoryRegion(ctypes.Structure):
    """struct kvm_userspace_memory_region."""

    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("guest_phys_addr", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
        ("userspace_addr", ctypes.c_uint64),
    )


class EnableCap(ctypes.Structure):
    """struct kvm_enable_cap."""

    _fields_ = (
        ("cap", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("args", ctypes.c_uint64 * 4),
        ("pad", ctypes.c_uint8 * 64),
    )


class CpuidEntry(ctypes.Structure):
    """struct kvm_cpuid_entry2."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("function", "index", "flags", "eax", "ebx", "ecx", "edx")),
        ("padding", ctypes.c_uint32 * 3),
    )


class Cpuid(ctypes.Structure):
    """struct kvm_cpuid2 with room for MAX_CPUID_ENTRIES."""

    _fields_ = (
        ("nent", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("entries", CpuidEntry * MAX_CPUID_ENTRIES),
    )


class SignalMask(ctypes.Structure):
    """struct kvm_signal_mask with a kernel sigset_t (one bit per signal, the first for signal 1)."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("len", ctypes.c_uint32), ("sigset", ctypes.c_uint64))


class RunIo(ctypes.Structure):
    """The part of struct kvm_run for KVM_EXIT_IO."""

    _fields_ = (
        ("direction", ctypes.c_uint8),
        ("size", ctypes.c_uint8),
        ("port", ctypes.c_uint16),
        ("count", ctypes.c_uint32),
        ("data_offset", ctypes.c_uint64),
    )


class RunDetail(ctypes.Union):
    """The union in struct kvm_run, as far as it is read here."""

    _fields_ = (("io", RunIo), ("words", ctypes.c_uint64 * 4))


class RunPage(ctypes.Structure):
    """The head of struct kvm_run, which the vCPU and its user share."""

    _fields_ = (
        ("request_interrupt_window", ctypes.c_uint8),
        ("immediate_exit", ctypes.c_uint8),
        ("padding1", ctypes.c_uint8 * 6),
        ("exit_reason", ctypes.c_uint32),
        ("ready_for_interrupt_injection", ctypes.c_uint8),
        ("if_flag", ctypes.c_uint8),
        ("flags", ctypes.c_uint16),
        ("cr8", ctypes.c_uint64),
        ("apic_base", ctypes.c_uint64),
        ("detail", RunDetail),
    )


def request(number: int, *, reads: bool = False, writes: bool = False, size: int = 0) -> int:
    """Return the number of a KVM ioctl, as _IO, _IOR (`reads`), _IOW (`writes`), _IOWR of <asm-generic/ioctl.h> do."""
    return (reads << 31) | (writes << 30) | (size << 16) | (0xAE << 8) | number


class Ioctl(enum.IntEnum):
    """The ioctls that are used, by the header's names without KVM_."""

    GET_API_VERSION = request(0x00)
    CREATE_VM = request(0x01)
    CHECK_EXTENSION = request(0x03)
    GET_VCPU_MMAP_SIZE = request(0x04)
    GET_SUPPORTED_CPUID = request(0x05, reads=True, writes=True, size=8)
    CREATE_VCPU = request(0x41)
    SET_USER_MEMORY_REGION = request(0x46, writes=True, size=ctypes.sizeof(MemoryRegion))
    SET_TSS_ADDR = request(0x47)
    CREATE_IRQCHIP = request(0x60)
    RUN = request(0x80)
    GET_REGS = request(0x81, reads=True, size=ctypes.sizeof(Regs))
    SET_REGS = request(0x82, writes=True, size=ctypes.sizeof(Regs))
    GET_SREGS = request(0x83, reads=True, size=ctypes.sizeof(Sregs))
    SET_SREGS = request(0x84, writes=True, size=ctypes.sizeof(Sregs))
    SET_SIGNAL_MASK = request(0x8B, writes=True, size=4)
    SET_CPUID2 = request(0x90, writes=True, size=8)
    GET_TSC_KHZ = request(0xA3)
    ENABLE_CAP = request(0xA3, writes=True, size=ctypes.sizeof(EnableCap))
    GET_STATS_FD = request(0xCE)


def call(fd: int, number: Ioctl, argument: int | ctypes.Structure = 0) -> int:
    """Issue an ioctl, again where a signal cut it short; raise LiveError with its name and the kernel's answer."""
    while True:
        try:
            return int(fcntl.ioctl(fd, number, argument))
        except InterruptedError:
            continue
        except OSError as error:
            answer = errno.errorcode.get(error.errno or 0, str(error.errno))
            raise LiveError(f"KVM_{number.name} was refused with {answer} ({error.strerror})") from None


def open_device() -> int:
    """Open /dev/kvm; raise LiveError that says what is missing."""
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LiveError(f"{DEVICE}: there is no such device: KVM is not loaded, or the host gives none") from None
    except PermissionError:
        raise LiveError(f"{DEVICE}: no permission: the user has to be in the group of the device, often kvm") from None
    except OSError as error:
        raise LiveError(f"{DEVICE}: it cannot be opened: {error.strerror}") from None
    try:
        if (version := call(fd, Ioctl.GET_API_VERSION)) != API_VERSION:
            raise LiveError(f"{DEVICE}: its API version is {version}, not {API_VERSION}")
    except LiveError:
        os.close(fd)
        raise
    return fd


class Vm(contextlib.AbstractContextManager["Vm"]):
    """A virtual machine with an in-kernel irqchip, some memory at address 0, and one vCPU. Close it, or use `with`.

    `disable_exits`: bits for KVM_CAP_X86_DISABLE_EXITS; LiveError if this host refuses one.
    """

    def __init__(self, memory_size: int, disable_exits: int = 0) -> None:
        """Open /dev/kvm and set up the virtual machine; on an error everything is closed again."""
        with contextlib.ExitStack() as opened:
            self.kvm = open_device()
            opened.callback(os.close, self.kvm)
            self.fd = call(self.kvm, Ioctl.CREATE_VM)
            opened.callback(os.close, self.fd)
            if not self.extension(CAP_IRQCHIP):
                raise LiveError(f"{DEVICE}: this KVM has no in-kernel LAPIC (KVM_CAP_IRQCHIP)")
            self.disable_exits(disable_exits)
            call(self.fd, Ioctl.SET_TSS_ADDR, TSS_ADDRESS)
            call(self.fd, Ioctl.CREATE_IRQCHIP)
            self.memory = mmap.mmap(-1, memory_size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            opened.callback(close_map, self.memory)
            address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
            call(self.fd, Ioctl.SET_USER_MEMORY_REGION, MemoryRegion(0, 0, 0, memory_size, address))
            self.vcpu = call(self.fd, Ioctl.CREATE_VCPU, 0)
            opened.callback(os.close, self.vcpu)
            self.page = mmap.mmap(self.vcpu, call(self.kvm, Ioctl.GET_VCPU_MMAP_SIZE))
            opened.callback(close_map, self.page)
            self.run = RunPage.from_buffer(self.page)
            self.opened = opened.pop_all()

    def __exit__(self, *exception: object) -> None:
        """Close everything; the kernel then frees the virtual machine."""
        if hasattr(self, "run"):
            del self.run
        self.opened.close()

    def extension(self, capability: int) -> int:
        """Return the answer of KVM_CHECK_EXTENSION: 0 if this KVM lacks the capability."""
        return call(self.fd, Ioctl.CHECK_EXTENSION, capability)

    def disable_exits(self, bits: int) -> None:
        """Let HLT or PAUSE not exit (DISABLE_EXITS_*). To be called before any vCPU exists."""
        allowed = self.extension(CAP_X86_DISABLE_EXITS)
        if bits & ~allowed:
            raise LiveError(
                f"KVM_CAP_X86_DISABLE_EXITS: this host allows {allowed:#x} and refuses {bits & ~allowed:#x} "
                f"({DISABLE_EXITS_HLT:#x} is HLT, {DISABLE_EXITS_PAUSE:#x} is PAUSE)"
            )
        if bits:
            call(self.fd, Ioctl.ENABLE_CAP, EnableCap(cap=CAP_X86_DISABLE_EXITS, args=(bits, 0, 0, 0)))

    def set_cpuid(self, *, leaf1_ecx: int) -> None:
        """Give the vCPU the CPUID that KVM supports, and also these bits of CPUID.1:ECX."""
        cpuid = Cpuid(nent=MAX_CPUID_ENTRIES)
        call(self.kvm, Ioctl.GET_SUPPORTED_CPUID, cpuid)
        for entry in cpuid.entries[: cpuid.nent]:
            if entry.function == 1:
                entry.ecx |= leaf1_ecx
        call(self.vcpu, Ioctl.SET_CPUID2, cpuid)

    @property
    def tsc_khz(self) -> int:
        """Frequency of the guest's TSC in kHz."""
        return call(self.vcpu, Ioctl.GET_TSC_KHZ)

    @property
    def regs(self) -> Regs:
        """The vCPU's general registers."""
        regs = Regs()
        call(self.vcpu, Ioctl.GET_REGS, regs)
        return regs

    @regs.setter
    def regs(self, regs: Regs) -> None:
        call(self.vcpu, Ioctl.SET_REGS, regs)

    @property
    def sregs(self) -> Sregs:
        """The vCPU's segments, tables and control registers."""
        sregs = Sregs()
        call(self.vcpu, Ioctl.GET_SREGS, sregs)
        return sregs

    @sregs.setter
    def sregs(self, sregs: Sregs) -> None:
        call(self.vcpu, Ioctl.SET_SREGS, sregs)

    def let_signals_in(self) -> None:
        """Let STOP_SIGNAL end KVM_RUN, for which this thread has it blocked elsewhere (`block_stop_signal`)."""
        others = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - {STOP_SIGNAL}
        call(self.vcpu, Ioctl.SET_SIGNAL_MASK, SignalMask(8, sum(1 << (number - 1) for number in others)))

    def enter(self) -> bool:
        """Run the guest (KVM_RUN) until it wants something; return False if it was stopped.

        `immediate_exit` and STOP_SIGNAL stop it.
        """
        while not self.run.immediate_exit:
            try:
                fcntl.ioctl(self.vcpu, Ioctl.RUN, 0)
            except InterruptedError:
                continue
            except OSError as error:
                raise LiveError(f"KVM_RUN was refused: {error.strerror}; {self.why()}") from None
            return True
        return False

    def why(self) -> str:
        """Return the last exit to user space, for an error."""
        reason = int(self.run.exit_reason)
        words = ", ".join(hex(word) for word in self.run.detail.words)
        return f"the last exit to user space was {EXIT_NAMES.get(reason, reason)} ({words})"


def block_stop_signal() -> None:
    """Block STOP_SIGNAL in this thread. KVM_RUN alone lets it in, and is ended by it; no handler is needed or run."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {STOP_SIGNAL})


def close_map(mapping: mmap.mmap) -> None:
    """Unmap, or leave it to the garbage collector while a ctypes view of it lives."""
    with contextlib.suppress(BufferError):
        mapping.close()
