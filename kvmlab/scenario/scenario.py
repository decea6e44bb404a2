"""What is simulated: a host, its guests and what they do. Checked when built; errors name the field and the limit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, fields, replace
from typing import Any

from kvmlab import kernels
from kvmlab.kernels import Kernel
from kvmlab.model.machine import TIMER_MODES, WAITS
from kvmlab.scenario import checks
from kvmlab.scenario.costs import Costs

MAX_PCPUS = 8192
HOUSEKEEPING_LOADS = ("idle", "ticking", "timers")
REARMS = ("absolute", "relative")


def store(self: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass while it is being built."""
    for name, value in values.items():
        object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Host:
    """A host: its pCPUs, which of them are isolated, and KVM's module parameters."""

    pcpus: int = 8
    """Number of pCPUs."""
    isolated: tuple[int, ...] = (2, 3, 4, 5, 6, 7)
    """pCPUs kept free for vCPUs; the others are housekeeping CPUs. At least one must be left."""
    nohz_full: bool = True
    """The isolated pCPUs are given by nohz_full=: no tick there, and timers leave them. False: isolcpus= alone, so that
    for timers every pCPU is a housekeeping CPU."""
    isolated_domains: bool = True
    """The isolated pCPUs keep their scheduler domains; False with isolcpus=domain."""
    domains: tuple[tuple[int, ...], ...] = ()
    """pCPUs that share a last-level cache or a NUMA node; (): one domain. The whole host is the outer domain."""
    hz: int = 250
    """CONFIG_HZ of the host: ticks a second."""
    housekeeping: str = "ticking"
    """What the housekeeping CPUs do: "idle" (their tick stops, but for the timekeeper's), "ticking" (a task runs, with
    the host's tick), "timers" (the same, and a timer of its own every `housekeeping_timer_us`)."""
    housekeeping_timer_us: float = 100.0
    """Period in us of a housekeeping CPU's own timer."""
    loaded: tuple[int, ...] | None = None
    """The pCPUs that do what `housekeeping` says; None: all that are not isolated."""
    vendor: str = "intel"
    """"intel" or "amd"; AMD has no preemption timer."""
    apicv: bool = True
    """APICv (AVIC on AMD) is active: posted interrupts can be taken, EOI does not exit."""
    preemption_timer: bool = True
    """kvm_intel.preemption_timer: the hv timer may be used."""
    preemption_timer_shift: int = 5
    """The preemption timer counts once every 2**N TSC cycles (IA32_VMX_MISC[4:0])."""
    tsc_ghz: float = 2.5
    """TSC frequency in GHz."""
    pi_inject_timer: bool | None = None
    """kvm.pi_inject_timer; None: as the kernel sets it at start, on if nohz_full= is given."""
    timer_migration: bool = True
    """sysctl kernel.timer_migration: unpinned timers may leave the CPU that arms them."""
    lapic_timer_advance_ns: int | None = None
    """Timer advance in ns: None is adaptive from 1000 ns, 0 is off."""
    min_timer_period_us: float = 200.0
    """kvm.min_timer_period_us: shorter periodic timers are slowed to it."""
    halt_poll_us: float = 200.0
    """kvm.halt_poll_ns in us: how long a halted vCPU may poll before it sleeps; 0 turns polling off."""
    ple_window: int = 4096
    """kvm_intel.ple_window in cycles: a guest that spins with PAUSE for longer exits."""

    def __post_init__(self) -> None:
        count = checks.whole("pcpus", self.pcpus, 1, MAX_PCPUS)
        isolated = checks.cpus("isolated", self.isolated, count)
        if len(isolated) == count:
            raise ValueError(
                f"isolated: {isolated} leaves no housekeeping CPU of {count}; allowed: at most {count - 1}"
            )
        groups = checks.several("domains", self.domains, "groups of CPU numbers, such as ((0, 1), (2, 3))")
        domains = tuple(checks.cpus("domains", domain, count) for domain in groups)
        if domains and sorted(itertools.chain(*domains)) != list(range(count)):
            raise ValueError(
                f"domains: {domains} does not fit; allowed: every pCPU from 0 to {count - 1} in one of them"
            )
        store(
            self,
            pcpus=count,
            isolated=isolated,
            domains=domains,
            loaded=None if self.loaded is None else checks.cpus("loaded", self.loaded, count),
            hz=checks.whole("hz", self.hz, 1, 10_000),
            housekeeping=checks.choice("housekeeping", self.housekeeping, HOUSEKEEPING_LOADS),
            housekeeping_timer_us=checks.number("housekeeping_timer_us", self.housekeeping_timer_us, 5, 1e6, "us"),
            vendor=checks.choice("vendor", self.vendor, ("intel", "amd")),
            preemption_timer_shift=checks.whole("preemption_timer_shift", self.preemption_timer_shift, 0, 31),
            tsc_ghz=checks.number("tsc_ghz", self.tsc_ghz, 0.1, 10, "GHz"),
            min_timer_period_us=checks.number("min_timer_period_us", self.min_timer_period_us, 0, 1e6, "us"),
            halt_poll_us=checks.number("halt_poll_us", self.halt_poll_us, 0, 1e6, "us"),
            ple_window=checks.whole("ple_window", self.ple_window, 128, 1 << 31),
        )
        for name in ("nohz_full", "isolated_domains", "apicv", "preemption_timer", "timer_migration"):
            store(self, **{name: checks.flag(name, getattr(self, name))})
        if self.pi_inject_timer is not None:
            store(self, pi_inject_timer=checks.flag("pi_inject_timer", self.pi_inject_timer))
        if self.lapic_timer_advance_ns is not None:
            advance = checks.whole("lapic_timer_advance_ns", self.lapic_timer_advance_ns, 0, 1_000_000)
            store(self, lapic_timer_advance_ns=advance)

    @property
    def loaded_cpus(self) -> tuple[int, ...]:
        """The pCPUs that do what `housekeeping` says."""
        if self.loaded is not None:
            return self.loaded
        isolated = set(self.isolated)
        return tuple(cpu for cpu in range(self.pcpus) if cpu not in isolated)

    @property
    def timer_housekeeping(self) -> tuple[int, ...]:
        """housekeeping_cpu(cpu, HK_FLAG_TIMER): all pCPUs without nohz_full=, else those that are not isolated."""
        isolated = set(self.isolated) if self.nohz_full else set()
        return tuple(cpu for cpu in range(self.pcpus) if cpu not in isolated)

    @property
    def injects_timer(self) -> bool:
        """The value of kvm.pi_inject_timer in force."""
        if self.pi_inject_timer is None:
            return bool(self.nohz_full and self.isolated)
        return self.pi_inject_timer

    @property
    def has_hv_timer(self) -> bool:
        """The vendor code can arm a preemption timer that does not wrap too soon.

        vmx.c gives it up when 2**32 counts pass in less than 10 s.
        """
        slow_enough = int(self.tsc_ghz * 1e9) >> self.preemption_timer_shift <= 0xFFFFFFFF // 10
        return self.vendor == "intel" and self.preemption_timer and slow_enough


@dataclass(frozen=True)
class Workload:
    """What each vCPU of a guest does."""

    tick_hz: float = 250.0
    """The guest's tick, 1/s; 0: none."""
    timer_us: float | None = None
    """Period in us of a further timer, as cyclictest has; None: none."""
    rearm: str = "absolute"
    """That timer's next deadline: one period after the last deadline ("absolute") or after its handler ("relative")."""
    timers: int | None = None
    """The guest stops after so many timer interrupts; None: never."""
    timer_mode: str = "tsc_deadline"
    """LAPIC timer mode: "tsc_deadline", "oneshot" or "periodic" (one period, so either a tick or a timer)."""
    busy_us: float = 0.0
    """Mean length in us of a burst of work, exponentially distributed; 0 with idle_us > 0: the guest only waits."""
    idle_us: float = 0.0
    """Mean length in us of the idleness between bursts; 0: the guest is always busy."""
    waits_by: str = "hlt"
    """How an idle guest waits: "hlt", "mwait", "pause" or "spin". Without mwait_in_guest, "mwait" means HLT."""
    nohz_idle: bool = True
    """An idle guest that waits by HLT or MWAIT stops its tick (and pays a write for it, and one to start it again)."""
    device_irq_hz: float = 0.0
    """Interrupts a second from devices of the guest, at random times."""
    other_exit_hz: float = 0.0
    """Other exits a second that the guest causes while it works (EPT_MISCONFIG: a device's doorbell), at random."""
    host_irq_hz: float = 0.0
    """Interrupts a second that the host itself takes on the vCPU's pCPU, at random times."""

    def __post_init__(self) -> None:
        store(
            self,
            tick_hz=checks.rate("tick_hz", self.tick_hz, 100_000),
            rearm=checks.choice("rearm", self.rearm, REARMS),
            timer_mode=checks.choice("timer_mode", self.timer_mode, TIMER_MODES),
            busy_us=checks.number("busy_us", self.busy_us, 0, 1e8, "us"),
            idle_us=checks.number("idle_us", self.idle_us, 0, 1e8, "us"),
            waits_by=checks.choice("waits_by", self.waits_by, WAITS),
            nohz_idle=checks.flag("nohz_idle", self.nohz_idle),
        )
        for name in ("device_irq_hz", "other_exit_hz", "host_irq_hz"):
            store(self, **{name: checks.rate(name, getattr(self, name), 1e6)})
        if self.timer_us is not None:
            store(self, timer_us=checks.number("timer_us", self.timer_us, 10, 1e8, "us"))
        if self.timers is not None:
            store(self, timers=checks.whole("timers", self.timers, 1, 1 << 40))
        if self.timer_mode == "periodic" and self.tick_hz and self.timer_us:
            raise ValueError(
                f"timer_mode: 'periodic' has one period, but tick_hz is {self.tick_hz:g} and timer_us is "
                f"{self.timer_us:g}; allowed: one of the two"
            )


@dataclass(frozen=True)
class Guest:
    """A virtual machine."""

    vcpus: int = 1
    """Number of vCPUs."""
    pcpus: tuple[int, ...] | None = None
    """pCPU of each vCPU; with `moves_every_ms` the pool in which they move. None: the free isolated pCPUs in order,
    then the free housekeeping CPUs from the highest down."""
    workload: Workload = field(default_factory=Workload)
    """What each vCPU does."""
    hlt_in_guest: bool = False
    """HLT does not exit (KVM_CAP_X86_DISABLE_EXITS)."""
    mwait_in_guest: bool = False
    """MWAIT does not exit."""
    pause_in_guest: bool = False
    """PAUSE does not exit."""
    moves_every_ms: float | None = None
    """The scheduler moves each vCPU to another free pCPU of the pool so often; None: never."""
    boot_us: float | None = None
    """When the vCPUs first enter the guest, us; None: each at its own time within one tick of the host, by the seed."""
    preempt_hz: float = 0.0
    """How often a second another host task takes the pCPU, at random times."""
    preempt_us: float = 100.0
    """For how long on average, us."""
    name: str = "guest"
    """What tables and plots call it."""

    def __post_init__(self) -> None:
        count = checks.whole("vcpus", self.vcpus, 1, MAX_PCPUS)
        store(
            self,
            vcpus=count,
            workload=checks.instance("workload", self.workload, Workload),
            preempt_hz=checks.rate("preempt_hz", self.preempt_hz, 1e5),
            preempt_us=checks.number("preempt_us", self.preempt_us, 0.001, 1e7, "us"),
            name=checks.instance("name", self.name, str),
        )
        for name in ("hlt_in_guest", "mwait_in_guest", "pause_in_guest"):
            store(self, **{name: checks.flag(name, getattr(self, name))})
        if self.pcpus is not None:
            store(self, pcpus=checks.cpus("pcpus", self.pcpus, MAX_PCPUS))
            if len(self.pcpus) < count:
                raise ValueError(f"vcpus: {count} do not fit on pcpus {self.pcpus}; allowed: one vCPU a pCPU")
        if self.boot_us is not None:
            store(self, boot_us=checks.number("boot_us", self.boot_us, 0, 1e9, "us"))
        if self.moves_every_ms is not None:
            store(self, moves_every_ms=checks.number("moves_every_ms", self.moves_every_ms, 0.01, 1e6, "ms"))


@dataclass(frozen=True)
class Scenario:
    """One host with its guests, a kernel, and for how long to simulate."""

    host: Host
    """The host."""
    guests: tuple[Guest, ...]
    """The guests, or one guest."""
    kernel: Kernel = field(kw_only=True, default="v5.18")  # type: ignore[assignment]
    """The kernel, or its name in `KERNELS`."""
    duration_s: float = field(kw_only=True, default=1.0)
    """Simulated time in s (less if every guest stops before)."""
    seed: int = field(kw_only=True, default=0)
    """Seed of all that is random: one seed, one result."""
    costs: Costs = field(kw_only=True, default_factory=Costs.default)
    """How long each step takes."""
    trace_steps: int = field(kw_only=True, default=2000)
    """How many steps to keep for the timeline."""

    def __post_init__(self) -> None:
        checks.instance("host", self.host, Host)
        guests = checked_guests(self.guests)
        store(
            self,
            guests=guests,
            kernel=kernels.find(self.kernel),
            duration_s=checks.number("duration_s", self.duration_s, 1e-6, 1e6, "s"),
            seed=checks.whole("seed", self.seed, 0, (1 << 32) - 1),
            costs=checks.instance("costs", self.costs, Costs),
            trace_steps=checks.whole("trace_steps", self.trace_steps, 0, 10_000_000),
        )
        place(self.host, guests)

    @property
    def placement(self) -> tuple[tuple[int, ...], ...]:
        """The pCPUs of each guest: one a vCPU, or the pool in which a guest moves."""
        return place(self.host, self.guests)

    def replace(self, **changes: Any) -> Scenario:
        """A copy with some fields changed: this scenario's, or by dotted name host.field, guest.field, workload.field.

        guest and workload fields are changed in every guest. ValueError lists the known names.
        """
        direct = {name: value for name, value in changes.items() if "." not in name}
        host = {name[5:]: value for name, value in changes.items() if name.startswith("host.")}
        guest = {name[6:]: value for name, value in changes.items() if name.startswith("guest.")}
        workload = {name[9:]: value for name, value in changes.items() if name.startswith("workload.")}
        allowed = [
            *(f.name for f in fields(Scenario)),
            *(f"host.{f.name}" for f in fields(Host)),
            *(f"guest.{f.name}" for f in fields(Guest)),
            *(f"workload.{f.name}" for f in fields(Workload)),
        ]
        for name in changes:
            checks.choice("field", name, allowed)
        if host:
            direct["host"] = replace(checks.instance("host", direct.get("host", self.host), Host), **host)
        if guest or workload:
            guests = (replace(g, **guest) for g in checked_guests(direct.get("guests", self.guests)))
            direct["guests"] = tuple(replace(g, workload=replace(g.workload, **workload)) for g in guests)
        return replace(self, **direct)


def checked_guests(guests: Any) -> tuple[Guest, ...]:
    """One Guest, or several, as a tuple."""
    several = (guests,) if isinstance(guests, Guest) else checks.several("guests", guests, "a Guest, or several")
    if not several:
        raise ValueError("guests: () does not fit; allowed: at least one Guest")
    return tuple(checks.instance("guests", guest, Guest) for guest in several)


def place(host: Host, guests: tuple[Guest, ...]) -> tuple[tuple[int, ...], ...]:
    """The pCPUs of each guest; ValueError if the guests don't fit on the host."""
    wanted = sum(guest.vcpus for guest in guests)
    if wanted > host.pcpus:
        raise ValueError(f"vcpus: {wanted} in all do not fit on {host.pcpus} pCPUs; allowed: at most one vCPU a pCPU")
    taken: set[int] = set()
    for guest in guests:
        if guest.pcpus is not None:
            own = set(checks.cpus("pcpus", guest.pcpus, host.pcpus))
            if taken & own:
                raise ValueError(f"pcpus: {sorted(taken & own)} of guest {guest.name!r} are another guest's already")
            taken |= own
    isolated = set(host.isolated)
    others = [cpu for cpu in reversed(range(host.pcpus)) if cpu not in isolated]
    free = iter([cpu for cpu in (*host.isolated, *others) if cpu not in taken])
    result = []
    for guest in guests:
        cpus = guest.pcpus if guest.pcpus is not None else tuple(itertools.islice(free, guest.vcpus))
        if len(cpus) < guest.vcpus:
            raise ValueError(f"vcpus: {guest.vcpus} of guest {guest.name!r} do not fit on the {len(cpus)} pCPUs left")
        result.append(cpus)
    return tuple(result)
