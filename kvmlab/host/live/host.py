"""What the host shows of itself: KVM's modules and their parameters, isolated CPUs, the kernel. Reads sysfs and /proc.

`root` is "/" but for tests. Nothing here needs /dev/kvm, or Linux; where there is nothing to read, it is left out.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

from kvmlab.scenario.files import cpu_list

ROOT = Path("/")
VENDORS = {"kvm_intel": "intel", "kvm_amd": "amd"}
"""Modules whose timers kvmlab knows; any other (a paravirtual KVM, say) is named, and nothing is concluded from it."""
OF_INTEREST = {
    "kvm": (
        *("pi_inject_timer", "lapic_timer_advance", "lapic_timer_advance_ns", "min_timer_period_us"),
        *("halt_poll_ns", "mitigate_smt_rsb"),
    ),
    "kvm_intel": ("preemption_timer", "enable_apicv", "ple_gap", "ple_window", "nested"),
    "kvm_amd": ("avic", "nested", "pause_filter_count"),
}
"""Parameters that a LAPIC timer depends on."""


def unfit() -> str | None:
    """Return why this machine cannot run a live guest at all, or None."""
    if not sys.platform.startswith("linux"):
        return f"a live guest needs Linux with KVM; this is {platform.system() or sys.platform}"
    if platform.machine() != "x86_64":
        return f"a live guest needs an x86-64 machine; this is {platform.machine()}"
    return None


def text(path: Path) -> str | None:
    """Return the content of a small file, stripped; None if it is not there or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def vendor_modules(root: Path = ROOT) -> list[str]:
    """Return KVM's vendor modules that are loaded (or built in with parameters), by name."""
    return sorted(path.name for path in root.glob("sys/module/kvm_*") if path.is_dir())


def parameters(root: Path = ROOT) -> dict[str, str]:
    """Return module parameters that concern a LAPIC timer, as sysfs shows them: "kvm.pi_inject_timer" -> "N"."""
    found = {}
    for module, names in OF_INTEREST.items():
        for name in names:
            value = text(root / "sys/module" / module / "parameters" / name)
            if value is not None:
                found[f"{module}.{name}"] = value
    return found


def is_on(value: str | None) -> bool | None:
    """Return a boolean parameter as a bool; None if it could not be read."""
    return None if value is None else value.upper() in ("Y", "1")


def cpus(path: Path) -> tuple[int, ...]:
    """Return the CPU list in a file of sysfs; () where it holds none ("(null)"), or is not there."""
    value = text(path) or ""
    return () if value == "(null)" else cpu_list(path.name, value)


def isolated(root: Path = ROOT) -> tuple[int, ...]:
    """Return the CPUs of isolcpus= and of isolated partitions."""
    return cpus(root / "sys/devices/system/cpu/isolated")


def nohz_full(root: Path = ROOT) -> tuple[int, ...]:
    """Return the CPUs of nohz_full=."""
    return cpus(root / "sys/devices/system/cpu/nohz_full")


def is_guest(root: Path = ROOT) -> bool:
    """Return True if the host is a guest itself (the CPU flag "hypervisor")."""
    flags = re.search(r"^flags\s*:(.*)$", text(root / "proc/cpuinfo") or "", flags=re.M)
    return bool(flags and "hypervisor" in flags[1].split())


def timer_migration(root: Path = ROOT) -> bool:
    """Return the sysctl kernel.timer_migration; True where it cannot be read, as is the kernel's default."""
    return text(root / "proc/sys/kernel/timer_migration") != "0"


def release() -> str:
    """Return the running kernel's release."""
    return platform.release()


def online(root: Path = ROOT) -> tuple[int, ...]:
    """Return the CPUs that are online. A process is not given the isolated ones by itself, but may move there."""
    return cpus(root / "sys/devices/system/cpu/online") or tuple(range(os.cpu_count() or 1))
