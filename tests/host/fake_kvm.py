"""A /dev/kvm that exists only here: it notes what is asked of it, and does what a test says in place of a guest."""

from __future__ import annotations

import ctypes
import errno
import itertools
import mmap
import os
import signal
import struct
from types import SimpleNamespace

from kvmlab.host.live import kvm_ioctl

NUMBERS = {
    0x0000AE00: "GET_API_VERSION", 0x0000AE01: "CREATE_VM", 0x0000AE03: "CHECK_EXTENSION",
    0x0000AE04: "GET_VCPU_MMAP_SIZE", 0xC008AE05: "GET_SUPPORTED_CPUID", 0x0000AE41: "CREATE_VCPU",
    0x4020AE46: "SET_USER_MEMORY_REGION", 0x0000AE47: "SET_TSS_ADDR", 0x0000AE60: "CREATE_IRQCHIP",
    0x0000AE80: "RUN", 0x8090AE81: "GET_REGS", 0x4090AE82: "SET_REGS", 0x8138AE83: "GET_SREGS",
    0x4138AE84: "SET_SREGS", 0x4004AE8B: "SET_SIGNAL_MASK", 0x4008AE90: "SET_CPUID2", 0x0000AEA3: "GET_TSC_KHZ",
    0x4068AEA3: "ENABLE_CAP", 0x0000AECE: "GET_STATS_FD",
}  # fmt: skip
"""The ioctls' numbers, as <linux/kvm.h> of x86-64 has them."""
PAGE = 4096
CPUID = [(0, 0x6C65746E), (1, 0x0000_0200), (7, 0x40)]
"""(function, ECX) that this KVM supports."""


class FakeKvm:
    """One KVM with one virtual machine. `guest`: what each KVM_RUN does, called with this, or raised."""

    def __init__(self, folder):
        self.folder = folder
        self.extensions = {0: 1, 72: 1, 143: 0b1110, 203: 0}
        self.api_version = 12
        self.refuses = {}
        self.calls = []
        self.guest = iter(())
        self.regs, self.sregs = kvm_ioctl.Regs(), kvm_ioctl.Sregs(apic_base=0xFEE00900)
        self.cpuid = self.region = self.capability = self.mask = None
        self.stats = []
        self.numbers = itertools.count()
        self.fds = {}
        (folder / "kvm").write_bytes(b"")

    def open(self, name, content=b""):
        path = self.folder / f"{name}-{next(self.numbers)}"
        path.write_bytes(content)
        fd = os.open(path, os.O_RDWR)
        self.fds[fd] = name
        return fd

    def names(self):
        """The ioctls so far, with the file each went to."""
        return [f"{where} {name}" for where, name, _ in self.calls]

    def ioctl(self, fd, number, argument=0):
        name = NUMBERS[int(number)]
        where = self.fds.get(fd, "kvm")
        self.calls.append((where, name, argument))
        if name in self.refuses:
            raise OSError(self.refuses[name], os.strerror(self.refuses[name] or 0))
        return getattr(self, name.lower(), lambda _: 0)(argument) or 0

    def get_api_version(self, _):
        return self.api_version

    def create_vm(self, _):
        return self.open("vm")

    def check_extension(self, capability):
        return self.extensions[capability]

    def create_vcpu(self, _):
        return self.open("vcpu", bytes(3 * PAGE))

    def get_vcpu_mmap_size(self, _):
        return 3 * PAGE

    def get_stats_fd(self, _):
        return self.open("stats", self.stats.pop(0))

    def get_tsc_khz(self, _):
        return 2_500_000

    def enable_cap(self, argument):
        self.capability = (argument.cap, argument.flags, list(argument.args))

    def set_user_memory_region(self, region):
        self.region = region

    def get_supported_cpuid(self, cpuid):
        assert cpuid.nent == 256
        for entry, (function, ecx) in zip(cpuid.entries, CPUID, strict=False):
            entry.function, entry.ecx = function, ecx
        cpuid.entries[len(CPUID)].function = 1  # beyond the end: left over in memory
        cpuid.nent = len(CPUID)

    def set_cpuid2(self, cpuid):
        self.cpuid = [(entry.function, entry.ecx) for entry in cpuid.entries[: cpuid.nent + 1]]

    def get_regs(self, regs):
        ctypes.memmove(ctypes.addressof(regs), ctypes.addressof(self.regs), ctypes.sizeof(regs))

    def set_regs(self, regs):
        ctypes.memmove(ctypes.addressof(self.regs), ctypes.addressof(regs), ctypes.sizeof(regs))

    def get_sregs(self, sregs):
        ctypes.memmove(ctypes.addressof(sregs), ctypes.addressof(self.sregs), ctypes.sizeof(sregs))

    def set_sregs(self, sregs):
        ctypes.memmove(ctypes.addressof(self.sregs), ctypes.addressof(sregs), ctypes.sizeof(sregs))

    def set_signal_mask(self, mask):
        self.mask = (mask.len, mask.sigset)

    def run(self, argument):
        assert argument == 0
        what = next(self.guest)
        if isinstance(what, BaseException):
            raise what
        what(self)

    def memory(self):
        """The guest's memory, as its user maps it."""
        return (ctypes.c_char * self.region.memory_size).from_address(self.region.userspace_addr)

    def leave(self, reason, *words):
        """Write an exit into the page that the vCPU shares: its reason, and the 64-bit words behind it."""
        fd = next(fd for fd, name in self.fds.items() if name == "vcpu")
        with mmap.mmap(fd, PAGE) as page:
            page[8:12] = struct.pack("<I", reason)
            page[32 : 32 + 8 * len(words)] = struct.pack(f"<{len(words)}Q", *words)

    def all_closed(self):
        """Whether none of the files is open any more."""
        return not any(is_open(fd, self.folder) for fd in self.fds)


def is_open(fd, folder):
    """Whether a number is an open file of this folder."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(folder))
    except FileNotFoundError:
        return False


def fake(monkeypatch, folder):
    """Put a fake KVM in place of the machine's, and return it."""
    kvm = FakeKvm(folder)
    monkeypatch.setattr(kvm_ioctl, "DEVICE", str(folder / "kvm"))
    monkeypatch.setattr(kvm_ioctl, "fcntl", SimpleNamespace(ioctl=kvm.ioctl))
    return kvm


def interrupted():
    """What a system call raises that a signal cut short."""
    return InterruptedError(errno.EINTR, "Interrupted system call")


def blocked():
    """The signals that this thread blocks."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())
