"""The host of a scenario. Checked when built; errors name the field and the limit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from kvmlab.model import start
from kvmlab.model.names import LOADS
from kvmlab.scenario import checks
from kvmlab.scenario.checks import limited

MAX_PCPUS = 8192
HOUSEKEEPING_LOADS = LOADS
"""What the housekeeping CPUs can do: see `Host.housekeeping`."""
VENDORS = ("intel", "amd")


@dataclass(frozen=True)
class Host:
    """A host: its pCPUs, which of them are isolated, and KVM's module parameters. Each field is documented below it.

    ValueError names the field, the value and what is allowed.

    >>> import kvmlab as kl
    >>> host = kl.Host(pcpus=8, isolated=(4, 5, 6, 7), housekeeping="timers")
    >>> host.timer_housekeeping
    (0, 1, 2, 3)
    """

    pcpus: int = limited(8, checks.whole, 1, MAX_PCPUS)
    """Number of pCPUs."""
    isolated: tuple[int, ...] = (2, 3, 4, 5, 6, 7)
    """pCPUs kept free for vCPUs; the others are housekeeping CPUs. At least one must be left."""
    nohz_full: bool = limited(True, checks.flag)
    """The isolated pCPUs are given by nohz_full=: no tick there, and timers leave them. False: isolcpus= alone, so that
    for timers every pCPU is a housekeeping CPU."""
    isolated_domains: bool = limited(True, checks.flag)
    """The isolated pCPUs keep their scheduler domains; False with isolcpus=domain."""
    domains: tuple[tuple[int, ...], ...] = ()
    """pCPUs that share a last-level cache or a NUMA node; (): one domain. The whole host is the outer domain."""
    hz: int = limited(250, checks.whole, 1, 10_000)
    """CONFIG_HZ of the host: ticks per second."""
    housekeeping: str = limited("ticking", checks.choice, HOUSEKEEPING_LOADS)
    """What the housekeeping CPUs do: "idle" (their tick stops, but for the timekeeper's), "ticking" (a task runs, with
    the host's tick), "timers" (the same, and a timer of its own every `housekeeping_timer_us`; see
    `housekeeping_work_us`)."""
    housekeeping_timer_us: float = limited(100.0, checks.number, 5, 1e6, "us")
    """Period in us of a housekeeping CPU's own timer."""
    housekeeping_work_us: float = limited(0.0, checks.number, 0, 1e6, "us")
    """With "timers": above 0 the task sleeps for `housekeeping_timer_us`, then works for this long on average in us
    (exponentially distributed), and so on. While it works no timer is set, while it sleeps its CPU is idle."""
    loaded: tuple[int, ...] | None = None
    """The pCPUs that do what `housekeeping` says; None: all that are not isolated."""
    vendor: str = limited("intel", checks.choice, VENDORS)
    """"intel" or "amd"; AMD has no preemption timer."""
    apicv: bool = limited(True, checks.flag)
    """APICv (AVIC on AMD) is active: posted interrupts can be taken, EOI does not exit."""
    preemption_timer: bool = limited(True, checks.flag)
    """kvm_intel.preemption_timer: the hv timer may be used."""
    preemption_timer_shift: int = limited(5, checks.whole, 0, 31)
    """The preemption timer counts once every 2**N TSC cycles (IA32_VMX_MISC[4:0])."""
    tsc_ghz: float = limited(2.5, checks.number, 0.1, 10, "GHz")
    """TSC frequency in GHz."""
    pi_inject_timer: bool | None = limited(None, checks.flag)
    """kvm.pi_inject_timer; None: as the kernel sets it at start, on if nohz_full= is given."""
    timer_migration: bool = limited(True, checks.flag)
    """sysctl kernel.timer_migration: unpinned timers may leave the CPU that arms them."""
    lapic_timer_advance_ns: int | None = limited(None, checks.whole, 0, 1_000_000)
    """Timer advance in ns: None is adaptive from 1000 ns, 0 is off."""
    min_timer_period_us: float = limited(200.0, checks.number, 0, 1e6, "us")
    """kvm.min_timer_period_us: shorter periodic timers are slowed to it."""
    halt_poll_us: float = limited(200.0, checks.number, 0, 1e6, "us")
    """kvm.halt_poll_ns in us: how long a halted vCPU may poll before it sleeps; 0 turns polling off."""
    ple_window: int = limited(4096, checks.whole, 128, 1 << 31)
    """kvm_intel.ple_window in cycles: a guest that spins with PAUSE for longer exits."""

    def __post_init__(self) -> None:
        checks.check_fields(self)
        isolated = checks.cpus("Host.isolated", self.isolated, self.pcpus)
        if len(isolated) == self.pcpus:
            most = f"at most {self.pcpus - 1} of the {self.pcpus} pCPUs: one housekeeping CPU must be left"
            raise checks.refusal("Host.isolated", isolated, most)
        loaded = None if self.loaded is None else checks.cpus("Host.loaded", self.loaded, self.pcpus)
        checks.store(self, isolated=isolated, domains=checked_domains(self.domains, self.pcpus), loaded=loaded)

    @property
    def loaded_cpus(self) -> tuple[int, ...]:
        """The pCPUs that do what `housekeeping` says."""
        if self.loaded is not None:
            return self.loaded
        isolated = set(self.isolated)
        return tuple(cpu for cpu in range(self.pcpus) if cpu not in isolated)

    @property
    def timer_housekeeping(self) -> tuple[int, ...]:
        """The pCPUs that are housekeeping CPUs for timers (`kvmlab.model.start.is_housekeeping`), ascending."""
        isolated = set(self.isolated)
        return tuple(cpu for cpu in range(self.pcpus) if start.is_housekeeping(self.nohz_full, cpu in isolated))

    @property
    def injects_timer(self) -> bool:
        """The value of kvm.pi_inject_timer in force."""
        as_set = -1 if self.pi_inject_timer is None else int(self.pi_inject_timer)
        return start.injects_timer(as_set, self.nohz_full, len(self.isolated))

    @property
    def has_hv_timer(self) -> bool:
        """The vendor code can arm a preemption timer (`kvmlab.model.start.has_hv_timer`)."""
        amd = self.vendor == "amd"
        return start.has_hv_timer(amd, self.preemption_timer, self.tsc_ghz, self.preemption_timer_shift)


def checked_domains(domains: object, pcpus: int) -> tuple[tuple[int, ...], ...]:
    """Return `Host.domains` as tuples; ValueError unless each pCPU is in one of them, or there are none."""
    groups = checks.several("Host.domains", domains, "groups of CPU numbers, such as ((0, 1), (2, 3))")
    checked = tuple(checks.cpus("Host.domains", domain, pcpus) for domain in groups)
    if checked and sorted(itertools.chain(*checked)) != list(range(pcpus)):
        raise checks.refusal("Host.domains", checked, f"groups that hold each pCPU from 0 to {pcpus - 1} once")
    return checked
