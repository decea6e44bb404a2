"""What a host is set to, read from text: parameters of its kvm modules, its kernel's and QEMU's command line, a sysctl.

The text may be a colleague's, pasted. It is what these print, one after the other, with a prompt between them or not:

    grep . /sys/module/kvm*/parameters/*
    cat /proc/cmdline
    sysctl kernel.timer_migration
    tr '\\0' ' ' </proc/QEMU_PID/cmdline
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from dataclasses import dataclass, field

from kvmlab.host.formats.lines import open_source
from kvmlab.scenario import checks

MOST_CPUS = 1 << 16
"""CPU numbers in a list are below this; Linux has at most 8192 CPUs (NR_CPUS)."""
ON = {"Y": True, "y": True, "1": True, "N": False, "n": False, "0": False}
"""How the kernel prints a bool (Y, N), and one that is kept as an int."""
QEMU_ON = dict.fromkeys(("on", "yes", "true", "y"), True) | dict.fromkeys(("off", "no", "false", "n"), False)
"""How QEMU takes a switch."""
LOOK = "lines such as /sys/module/kvm/parameters/pi_inject_timer:1, or a kernel's command line"
_PARAMETER = re.compile(
    r"(?:\S*/)?(?P<module>kvm(?:_intel|_amd)?)/parameters/(?P<name>\w+)\s*[:=\s]\s*(?P<value>\S*)\s*"
)
_OPTION = re.compile(r"(?P<module>kvm(?:[_-]intel|[_-]amd)?)\.(?P<name>\w+)(?:=(?P<value>\S*))?")
_TIMER_MIGRATION = re.compile(r"\S*kernel[./]timer_migration\s*[:=\s]\s*(?P<value>\S*)")
_QEMU = re.compile(r"(?:^|[\s/])qemu[\w.-]*\s")
_QEMU_OPTION = re.compile(r"\s--?(?:accel|cpu|enable-kvm|machine|M|m|overcommit|smp)\s")
_CPU_PM = re.compile(r"\s--?overcommit\s+(?:[^\s,]+,)*cpu-pm(?:=([^\s,]*))?(?=[\s,]|$)")
_RELEASE = re.compile(r"\bvmlinu[xz]-(\d+)\.(\d+)")
_CMDLINE = re.compile(r"(?:^|\s)(?:BOOT_IMAGE=|root=|ro\b|rw\b|nohz_full=|isolcpus=|console=|quiet\b)")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@dataclass(frozen=True)
class HostFacts:
    """What a text says of a host; None, and "" where it does not. Made by `read_host_facts`."""

    name: str
    """What was read: a file's name, or "the text"."""
    pi_inject_timer: bool | None = None
    """kvm.pi_inject_timer is on."""
    hv_timer: bool | None = None
    """There is a preemption timer: kvm_intel.preemption_timer; on AMD there is none."""
    apicv: bool | None = None
    """kvm_intel.enable_apicv or kvm_amd.avic: APICv may be active. A VM can still be without it."""
    nohz_full: frozenset[int] | None = None
    """The pCPUs in nohz_full=, which are no housekeeping CPUs for timers; empty: the command line has no such."""
    halt_poll_us: float | None = None
    """kvm.halt_poll_ns in us."""
    min_timer_period_us: float | None = None
    """kvm.min_timer_period_us."""
    ple_window: int | None = None
    """kvm_intel.ple_window, in cycles."""
    timer_migration: bool | None = None
    """sysctl kernel.timer_migration: timers may leave the CPU that arms them."""
    cpu_pm: bool | None = None
    """QEMU's -overcommit cpu-pm: HLT does not exit, nor MWAIT where the host has it. False: not asked for."""
    release: tuple[int, int] | None = None
    """The kernel's release, such as (6, 1), by the name of the image that the command line has."""
    sentences: tuple[str, ...] = field(default=())
    """What was read, and what it means, in sentences."""

    def flags(self) -> dict[str, bool]:
        """Return the facts that a policy looks at, by their names in `explain`."""
        flags = {"pi_inject_timer": self.pi_inject_timer, "hv_timer": self.hv_timer}
        if self.apicv is False:
            flags["apicv_active"] = False
        if self.cpu_pm is not None:
            flags["hlt_in_guest"] = self.cpu_pm
            # A host without MWAIT gives it to no guest.
            flags["mwait_in_guest"] = False if not self.cpu_pm else None
        return {name: value for name, value in flags.items() if value is not None}

    def settings(self) -> dict[str, float]:
        """Return what a scenario's `Host` is to be set to, by the names of its fields."""
        names = ("halt_poll_us", "min_timer_period_us", "ple_window", "timer_migration")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def read_host_facts(text_or_path: str | os.PathLike[str]) -> HostFacts:
    """Read what a host is set to, from text of /sys/module/kvm*/parameters, of /proc/cmdline, of a sysctl and of QEMU.

    - `text_or_path`: the text, or the path of a file that holds it. Lines of other kinds are passed over.

    The parameters are those of arch/x86/kvm/x86.c, vmx/vmx.c and svm/avic.c; that nohz_full= alone takes a CPU out of
    the housekeeping of timers is in kernel/sched/isolation.c (v5.3 to v7.1). QEMU's command line is that of the VM that
    was recorded.

    Returns `HostFacts`. Raises ValueError for a text that has none of them, and for a value that such a parameter
    cannot have, with its name and what is allowed. Raises FileNotFoundError for a Path that does not exist.

    >>> import kvmlab as kl
    >>> kl.read_host_facts("/sys/module/kvm/parameters/pi_inject_timer:1").pi_inject_timer
    True
    """
    parameters: dict[str, str] = {}
    command_line: str | None = None
    migration: str | None = None
    machines: list[bool | None] = []
    with closing(open_source(text_or_path)) as source:
        for _, line in source.lines():
            if found := _PARAMETER.fullmatch(line.strip()):
                parameters[f"{found['module']}.{found['name']}"] = found["value"]
            elif found := _TIMER_MIGRATION.fullmatch(line.strip()):
                migration = found["value"]
            elif _QEMU.search(line) and _QEMU_OPTION.search(line):
                # Before the kernel's: a guest's kernel may have its command line from QEMU.
                machines.append(cpu_pm_of(line))
            elif _CMDLINE.search(line):
                command_line = line.strip()
        name = "the host facts" if source.name.startswith("the text") else os.path.basename(source.name)
    if not parameters and command_line is None and migration is None and not machines:
        raise ValueError(f"{name}: found nothing of what a host is set to; expected {LOOK}")
    # A parameter as it is now goes before what was said at boot.
    options = {**boot_options(command_line or ""), **parameters}
    if migration is not None:
        options["kernel.timer_migration"] = migration
    # Of several VMs nobody says which one was recorded.
    cpu_pm = machines[0] if machines and len(set(machines)) == 1 else None
    return facts_of(options, command_line, name, cpu_pm)


def cpu_pm_of(qemu: str) -> bool | None:
    """Return whether a command line of QEMU lets HLT and MWAIT stay in the guest; None for a value that it refuses."""
    *_, said = ["off", *_CPU_PM.findall(qemu)]
    return QEMU_ON.get(said or "on")


def boot_options(command_line: str) -> dict[str, str]:
    """Return the parameters of kvm's modules that a command line sets; an option without a value is on."""
    options = [_OPTION.fullmatch(word) for word in command_line.split()]
    return {f"{each['module'].replace('-', '_')}.{each['name']}": each["value"] or "1" for each in options if each}


def facts_of(parameters: dict[str, str], command_line: str | None, name: str, cpu_pm: bool | None = None) -> HostFacts:
    """Return what parameters (module.name -> value) and a command line say; None: there is no command line."""
    amd = any(each.startswith("kvm_amd.") for each in parameters)
    poll = number("kvm.halt_poll_ns", parameters)
    window = number("kvm_intel.ple_window", parameters)
    isolated, sentence = (None, "") if command_line is None else isolated_cpus(command_line)
    shown = ("kvm.pi_inject_timer", "kvm_intel.preemption_timer", "kvm_intel.enable_apicv", "kvm_amd.avic")
    said = [f"{name} says {each}={parameters[each]}." for each in shown if each in parameters]
    hv_timer = switch("kvm_intel.preemption_timer", parameters)
    apicv = switch("kvm_intel.enable_apicv", parameters)
    migration = switch("kernel.timer_migration", parameters)
    if migration is not None:
        stay = "" if migration else ": no timer leaves the CPU that arms it"
        said.append(f"{name} says kernel.timer_migration={parameters['kernel.timer_migration']}{stay}.")
    if cpu_pm is not None:
        way = (
            "with cpu-pm=on, so HLT does not exit, nor does MWAIT where the host has it"
            if cpu_pm
            else ("without cpu-pm=on, so HLT and MWAIT exit")
        )
        said.append(f"{name}: QEMU was started {way}.")
    release = _RELEASE.search(command_line or "")
    return HostFacts(
        name=name,
        pi_inject_timer=switch("kvm.pi_inject_timer", parameters),
        hv_timer=False if amd else hv_timer,
        apicv=switch("kvm_amd.avic", parameters) if amd else apicv,
        nohz_full=isolated,
        halt_poll_us=None if poll is None else poll / 1000,
        min_timer_period_us=number("kvm.min_timer_period_us", parameters),
        ple_window=None if window is None else int(window),
        timer_migration=migration,
        cpu_pm=cpu_pm,
        release=(int(release[1]), int(release[2])) if release else None,
        sentences=(*said, *([f"{name}: {sentence}"] if sentence else [])),
    )


def switch(name: str, parameters: dict[str, str]) -> bool | None:
    """Return a parameter that is on or off; None where it is not there, or left to the kernel (-1)."""
    value = parameters.get(name)
    if value is None or value in ("-1", "auto"):
        return None
    if value not in ON:
        raise checks.refusal(name, value, "Y, N, 1 or 0")
    return ON[value]


def number(name: str, parameters: dict[str, str]) -> float | None:
    """Return a parameter that is a whole number; None where it is not there."""
    value = parameters.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"\d{1,10}", value):
        raise checks.refusal(name, value, "a whole number")
    return float(value)


def isolated_cpus(command_line: str) -> tuple[frozenset[int] | None, str]:
    """Return the CPUs that a command line takes out of the housekeeping of timers, and how it says so.

    None where it uses a form whose meaning differs by release or machine.
    """
    options = dict(word.partition("=")[::2] for word in command_line.split() if "=" in word)
    if (cpus := options.get("nohz_full")) is not None:
        found = cpu_list(cpus)
        return found, f"nohz_full={cpus}" + (" is a list that depends on the machine." if found is None else ".")
    if "nohz" in options.get("isolcpus", "").split(","):
        return None, "isolcpus=nohz,... is the same as nohz_full= in some releases only."
    return frozenset(), "the command line has no nohz_full=, so every pCPU is a housekeeping CPU for timers."


def cpu_list(text: str) -> frozenset[int] | None:
    """Return the CPUs of a list as the kernel writes it; None for a form that depends on the machine (all, N, :1/2)."""
    cpus: set[int] = set()
    for part in text.split(","):
        ends = _RANGE.fullmatch(part)
        if not ends or int(ends[2] or ends[1]) >= MOST_CPUS:
            return None
        cpus.update(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return frozenset(cpus)
