"""What a listing shows of a vCPU's thread beyond its timers: exits, handling times, spans of a timeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from kvmlab.host.timers import Timer


@dataclass
class Span:
    """A row of a timeline, times in ns on the listing's clock."""

    start_ns: int
    end_ns: int
    lane: tuple[str, int]
    """("vCPU", thread) or ("pCPU", CPU)."""
    what: str
    flow: int = -1
    """Number of the arrow that starts or ends here; -1: none."""


class Timeline:
    """The first spans of a listing, up to `max_spans`; those after them are counted only."""

    def __init__(self, max_spans: int) -> None:
        self.spans: list[Span] = []
        self.max_spans = max_spans
        self.left_out = 0
        self.flows = 0
        """Arrows so far."""

    def add(self, span: Span) -> Span:
        """Keep a span, as long as there is room."""
        if len(self.spans) < self.max_spans:
            self.spans.append(span)
        else:
            self.left_out += 1
        return span

    def add_post(self, ns: int, cpu: int, pid: int) -> None:
        """Add a post on a pCPU, the handler in the vCPU, and the arrow between them."""
        self.add(Span(ns, ns, ("pCPU", cpu), "post", self.flows))
        self.add(Span(ns, ns, ("vCPU", pid), "handler", self.flows))
        self.flows += 1


@dataclass
class Handling:
    """How long the host handled the exits of one reason, ns; perf counts the same, from kvm_exit to kvm_entry.

    Its fields are those of the model's EXIT records, so that one function makes perf's table of both.
    """

    count: int = 0
    fast: int = 0
    sum_ns: int = 0
    sum_sq: float = 0.0
    min_ns: int = 0
    max_ns: int = 0

    def add(self, ns: int) -> None:
        """Count one more exit, handled in `ns`."""
        self.min_ns = min(self.min_ns, ns) if self.count else ns
        self.max_ns = max(self.max_ns, ns)
        self.count += 1
        self.sum_ns += ns
        self.sum_sq += float(ns) * ns


@dataclass
class Thread:
    """A vCPU's thread: where it is, what its exits cost, and the up to three timers that it is concerned with."""

    pid: int
    vcpu: int = -1
    """Number of the vCPU; -1 where no event has shown it."""
    cpu: int = -1
    """The pCPU on which it last entered or left the guest."""
    in_guest: bool = False
    since_ns: int | None = None
    """When it entered or left the guest."""
    reason: str | None = None
    """Why it is in the host."""
    exit_cpu: int = -1
    """Where it last left the guest."""
    arming: Timer | None = None
    """The timer armed in the present exit."""
    timer: Timer | None = None
    """The last timer armed."""
    expired: Timer | None = None
    """The last that expired, until the guest is entered with it."""
    vector: int | None = None
    """The guest's timer vector, once it was seen."""
    first_tsc: tuple[int, int] | None = None
    """Two readings (ns, TSC cycles) from which the TSC's frequency follows."""
    last_tsc: tuple[int, int] | None = None
    exits: Counter[str] = field(default_factory=Counter)
    """Exits by reason."""
    handling: dict[str, Handling] = field(default_factory=dict)
    """Handling times by reason of the exit."""
    msr_writes: Counter[int] = field(default_factory=Counter)
    """Writes by MSR."""
    apicv: bool = False
    """APICv took an interrupt for this vCPU."""

    def enter(self, ns: int, cpu: int) -> None:
        """Enter the guest: the exit before it has been handled."""
        if self.reason is not None and self.since_ns is not None and not self.in_guest:
            self.handling.setdefault(self.reason, Handling()).add(ns - self.since_ns)
        self.in_guest, self.since_ns, self.cpu = True, ns, cpu
        self.arming = None

    def leave(self, ns: int, cpu: int, reason: str) -> None:
        """Leave the guest for `reason`."""
        self.exits[reason] += 1
        self.in_guest, self.since_ns, self.reason = False, ns, reason
        self.cpu = self.exit_cpu = cpu
        self.arming = None

    def name(self, threads: Iterable[Thread]) -> str:
        """Return the vCPU's name: its number, and its thread where several of `threads` have that number."""
        several = sum(other.vcpu == self.vcpu for other in threads) > 1
        number = self.vcpu if self.vcpu >= 0 else "?"
        return f"vCPU {number} (thread {self.pid})" if several or self.vcpu < 0 else f"vCPU {number}"
