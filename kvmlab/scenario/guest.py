"""The guests of a scenario and what they do. Checked when built; errors name the field and the limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvmlab.model.names import TIMER_MODES, WAITS
from kvmlab.scenario import checks
from kvmlab.scenario.checks import limited
from kvmlab.scenario.host import MAX_PCPUS

NO_SHARING = (
    "at most one vCPU per pCPU: the model has no scheduler that shares one (preempt_hz and preempt_us of a Guest take "
    "its pCPU away as a second vCPU would)"
)
"""What is allowed where vCPUs do not fit on pCPUs."""
REARMS = ("absolute", "relative")


@dataclass(frozen=True)
class Workload:
    """What each vCPU of a guest does. Each field is documented below it.

    ValueError names the field, the value and what is allowed.

    >>> import kvmlab as kl
    >>> ticks_and_halts = kl.Workload(tick_hz=1000, busy_us=300, idle_us=200)
    """

    tick_hz: float = limited(250.0, checks.rate, 100_000)
    """The guest's tick, 1/s; 0: none."""
    timer_us: float | None = limited(None, checks.number, 10, 1e8, "us")
    """Period in us of an additional timer, as cyclictest has; None: none."""
    rearm: str = limited("absolute", checks.choice, REARMS)
    """That timer's next deadline: one period after the last deadline ("absolute") or after its handler ("relative")."""
    gap_us: float = limited(0.0, checks.number, 0, 1e8, "us")
    """With "relative": the guest arms that timer not in its handler, but computes first, for a random time from 0 to
    gap_us, in us (any time in it is equally likely)."""
    rewrites: int = limited(0, checks.whole, 0, 100_000)
    """How often that timer is written again before it is left to expire, as a timeout that keeps being put off."""
    rewrite_every_us: float = limited(200.0, checks.number, 1, 1e8, "us")
    """The time in us from one of these writes to the next, for which the guest computes."""
    slides: bool = limited(True, checks.flag)
    """The deadline slides: each write sets it timer_us from now. False: it stays where the first write has set it."""
    rewrite_by_us: float = limited(0.0, checks.number, -1e8, 1e8, "us")
    """By how much more in us each write moves the deadline, from write to write; below 0: to an earlier time."""
    timers: int | None = limited(None, checks.whole, 1, 1 << 40)
    """The guest stops after this number of timer interrupts; None: never."""
    timer_mode: str = limited("tsc_deadline", checks.choice, TIMER_MODES)
    """LAPIC timer mode: "tsc_deadline", "oneshot" or "periodic" (one period, so either a tick or a timer)."""
    busy_us: float = limited(0.0, checks.number, 0, 1e8, "us")
    """Mean length in us of a burst of work, exponentially distributed; 0 with idle_us > 0: the guest only waits."""
    idle_us: float = limited(0.0, checks.number, 0, 1e8, "us")
    """Mean length in us of the idleness between bursts; 0: the guest is always busy."""
    waits_by: str = limited("hlt", checks.choice, WAITS)
    """How an idle guest waits: "hlt", "mwait", "pause" or "spin". Without mwait_in_guest, "mwait" means HLT."""
    nohz_idle: bool = limited(True, checks.flag)
    """An idle guest that waits by HLT or MWAIT stops its tick (and pays a write for it, and one to start it again)."""
    device_irq_hz: float = limited(0.0, checks.rate, 1e6)
    """Interrupts per second from devices of the guest, at random times."""
    other_exit_hz: float = limited(0.0, checks.rate, 1e6)
    """Other exits per second that the guest causes while it works (EPT_MISCONFIG: a device's doorbell), at random."""
    host_irq_hz: float = limited(0.0, checks.rate, 1e6)
    """Interrupts per second that the host itself takes on the vCPU's pCPU, at random times."""

    def __post_init__(self) -> None:
        checks.check_fields(self)
        if self.timer_mode == "periodic" and self.tick_hz and self.timer_us:
            both = f"tick_hz = {self.tick_hz:g} and timer_us = {self.timer_us:g}"
            raise checks.refusal("Workload.timer_mode", "periodic", f"another with both {both}: it has one period")
        self._check_writes()

    def _check_writes(self) -> None:
        """Raise ValueError where `gap_us` or `rewrites` find no timer, or no time, to apply to."""
        for name, applies in (("gap_us", self.gap_us > 0), ("rewrites", self.rewrites > 0)):
            wrong = [
                text
                for text, is_wrong in (
                    ("timer_us is None", self.timer_us is None),
                    ("timer_mode is 'periodic'", self.timer_mode == "periodic"),
                    ("busy_us is not 0", self.busy_us > 0),
                    ("rearm is 'absolute'", self.rearm != "relative"),
                )
                if is_wrong
            ]
            if applies and wrong:
                must = f"0, since {wrong[0]}"
                raise checks.refusal(f"Workload.{name}", getattr(self, name), must)


@dataclass(frozen=True)
class Guest:
    """A virtual machine. Each field is documented below it.

    ValueError names the field, the value and what is allowed.

    >>> import kvmlab as kl
    >>> guest = kl.Guest(vcpus=2, pcpus=(4, 5), hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    """

    vcpus: int = limited(1, checks.whole, 1, MAX_PCPUS)
    """Number of vCPUs."""
    pcpus: tuple[int, ...] | None = limited(None, checks.cpus, MAX_PCPUS)
    """pCPU of each vCPU; with `moves_every_ms` the pool in which they move. None: the free isolated pCPUs in order,
    then the free housekeeping CPUs from the highest down."""
    workload: Workload = field(default_factory=Workload)
    """What each vCPU does."""
    hlt_in_guest: bool = limited(False, checks.flag)
    """HLT does not exit (KVM_CAP_X86_DISABLE_EXITS)."""
    mwait_in_guest: bool = limited(False, checks.flag)
    """MWAIT does not exit."""
    pause_in_guest: bool = limited(False, checks.flag)
    """PAUSE does not exit."""
    moves_every_ms: float | None = limited(None, checks.number, 0.01, 1e6, "ms")
    """How often the scheduler moves each vCPU to another free pCPU of the pool, ms; None: never."""
    boot_us: float | None = limited(None, checks.number, 0, 1e9, "us")
    """When the vCPUs first enter the guest, us; None: each at its own time within one tick of the host, by the seed."""
    preempt_hz: float = limited(0.0, checks.rate, 1e5)
    """How often per second another host task takes the pCPU, at random times."""
    preempt_us: float = limited(100.0, checks.number, 0.001, 1e7, "us")
    """For how long on average, us."""
    name: str = limited("guest", checks.instance, str)
    """What tables and plots call it."""

    def __post_init__(self) -> None:
        checks.check_fields(self)
        checks.instance("Guest.workload", self.workload, Workload)
        if self.pcpus is not None and len(self.pcpus) < self.vcpus:
            must = f"at most {len(self.pcpus)} on pcpus {self.pcpus}: {NO_SHARING}"
            raise checks.refusal("Guest.vcpus", self.vcpus, must)

    @property
    def pool_size(self) -> int:
        """On how many pCPUs its vCPUs may run."""
        return self.vcpus if self.pcpus is None else len(self.pcpus)
