"""What is simulated: a host and its guests under a kernel. Checked when built; errors name the field and the limit."""

from __future__ import annotations

import itertools
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import Any

from kvmlab import kernels
from kvmlab.kernels import Kernel
from kvmlab.model.names import NONE
from kvmlab.model.start import place_vcpus
from kvmlab.scenario import checks
from kvmlab.scenario.checks import limited
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.guest import NO_SHARING, Guest, Workload
from kvmlab.scenario.host import Host


@dataclass(frozen=True)
class Scenario:
    """One host with its guests, a kernel, and for how long to simulate: what `simulate` takes.

    Each field is documented below it. ValueError names the field, the value and what is allowed.

    >>> import kvmlab as kl
    >>> scenario = kl.Scenario(kl.Host(), kl.Guest(vcpus=2), kernel="v5.13", duration_s=0.5)
    >>> scenario.placement
    ((2, 3),)
    >>> scenario.replace(**{"kernel": "v5.18", "guest.hlt_in_guest": True}).guests[0].hlt_in_guest
    True
    """

    host: Host
    """The host."""
    guests: tuple[Guest, ...]
    """The guests, or one guest."""
    _: KW_ONLY
    kernel: Kernel = "v5.18"  # type: ignore[assignment]
    """The kernel, or its name in `KERNELS`."""
    duration_s: float = limited(1.0, checks.number, 1e-6, 1e6, "s")
    """Simulated time in s (less if every guest stops before)."""
    seed: int = limited(0, checks.whole, 0, (1 << 32) - 1)
    """Seed of all that is random: one seed, one result."""
    costs: Costs = field(default_factory=Costs.default)
    """How long each step takes."""
    trace_steps: int = limited(2000, checks.whole, 0, 10_000_000)
    """How many steps to keep for the timeline."""

    def __post_init__(self) -> None:
        checks.instance("Scenario.host", self.host, Host)
        checks.store(self, guests=checked_guests(self.guests), kernel=kernels.find(self.kernel))
        checks.check_fields(self)
        checks.instance("Scenario.costs", self.costs, Costs)
        place(self.host, self.guests)

    @property
    def duration_ns(self) -> int:
        """`duration_s` in whole ns."""
        return round(self.duration_s * 1e9)

    @property
    def placement(self) -> tuple[tuple[int, ...], ...]:
        """The pCPUs of each guest: one per vCPU, or the pool in which a guest moves."""
        return place(self.host, self.guests)

    def replace(self, **changes: Any) -> Scenario:
        """Return a copy with some fields changed: this scenario's, or host.field, guest.field, workload.field.

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
            direct["host"] = replace(checks.instance("Scenario.host", direct.get("host", self.host), Host), **host)
        if guest or workload:
            guests = (replace(g, **guest) for g in checked_guests(direct.get("guests", self.guests)))
            direct["guests"] = tuple(replace(g, workload=replace(g.workload, **workload)) for g in guests)
        return replace(self, **direct)


def checked_guests(guests: object) -> tuple[Guest, ...]:
    """Return one Guest, or several, as a tuple; ValueError for anything else."""
    several = (
        (guests,) if isinstance(guests, Guest) else checks.several("Scenario.guests", guests, "a Guest, or several")
    )
    if not several:
        raise checks.refusal("Scenario.guests", several, "at least one Guest")
    return tuple(checks.instance("Scenario.guests", guest, Guest) for guest in several)


def place(host: Host, guests: tuple[Guest, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the pCPUs of each guest; ValueError if the guests don't fit on the host."""
    wanted = sum(guest.vcpus for guest in guests)
    if wanted > host.pcpus:
        raise checks.refusal("Guest.vcpus", wanted, f"at most {host.pcpus} in all guests: {NO_SHARING}")
    taken: set[int] = set()
    for guest in guests:
        if guest.pcpus is not None:
            own = set(checks.cpus("Guest.pcpus", guest.pcpus, host.pcpus))
            if taken & own:
                theirs = f"guest {guest.name!r} shares {sorted(taken & own)} with another guest"
                raise checks.refusal("Guest.pcpus", guest.pcpus, f"pCPUs of its own, but {theirs}; {NO_SHARING}")
            taken |= own
    pools = [cpu for guest in guests for cpu in guest.pcpus or [NONE] * guest.vcpus]
    place_vcpus(pools, list(host.isolated), [0] * host.pcpus)
    result, rest = [], iter(pools)
    for guest in guests:
        cpus = tuple(cpu for cpu in itertools.islice(rest, guest.pool_size) if cpu != NONE)
        if len(cpus) < guest.vcpus:
            left = f"at most {len(cpus)} for guest {guest.name!r}: the other pCPUs are taken"
            raise checks.refusal("Guest.vcpus", guest.vcpus, left)
        result.append(cpus)
    return tuple(result)
