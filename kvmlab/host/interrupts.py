"""Which interrupts ended guest mode: exits by vector, with the vector's use, its sender and what handled it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvmlab.host.formats.events import Event
from kvmlab.host.names import IRQ_EXITS
from kvmlab.host.recording_events import events_of, shown_fields
from kvmlab.host.vectors import DEVICE, SYSTEM_VECTORS, ExitVectors

if TYPE_CHECKING:
    import pandas as pd

SENT_NS = 1_000_000
"""An interrupt of another CPU arrives well within this."""
MOST_NAMES = 1000
"""Different handlers and senders of one vector that are counted."""
NOT_SHOWN, NO_VECTOR = -1, "not shown"
"""Stand for the vector where the listing does not show it, in counts and in tables."""


@dataclass
class Interrupts:
    """Exits by one vector."""

    exits: int = 0
    handlers: Counter[str] = field(default_factory=Counter)
    senders: Counter[str] = field(default_factory=Counter)


@dataclass
class Waiting:
    """An interrupt exit whose handler may still follow on its pCPU."""

    vector: int | None
    sender: str | None
    sure: bool
    """The vector is from a field of its own, or from its handler's event."""
    handler: str = ""
    """What handled it first."""


class InterruptCounter:
    """Counts interrupt exits while the events of a listing go by."""

    def __init__(self) -> None:
        self.vectors = ExitVectors()
        self.from_info2: dict[int, Interrupts] = {}
        """By vector, where info2 was taken for the interruption information."""
        self.known: dict[int, Interrupts] = {}
        """By vector, where a field of its own or the handler's event shows it."""
        self.waiting: dict[int, Waiting] = {}
        """By pCPU."""
        self.sent: dict[int, tuple[int, str]] = {}
        """pCPU -> when something was last sent to it, and by whom."""

    def take(self, event: Event) -> None:
        """Take one event."""
        target = event.fields.get("cpu" if event.event == "ipi_send_cpu" else "target_cpu")
        if isinstance(target, int) and target != event.cpu:
            self.sent[target] = (event.time_ns, f"{event.task} on pCPU {event.cpu}")
        if event.event == "kvm_entry":
            self.end(event.cpu)
        elif event.event == "kvm_exit":
            self.end(event.cpu)
            vector = self.vectors.of(event)
            if event.reason in IRQ_EXITS:
                sent = self.sent.pop(event.cpu, None)
                sender = sent[1] if sent and event.time_ns - sent[0] < SENT_NS else None
                self.waiting[event.cpu] = Waiting(vector, sender, self.vectors.modern)
        elif waiting := self.waiting.get(event.cpu):
            self.handled(waiting, event)

    def handled(self, waiting: Waiting, event: Event) -> None:
        """Note what handles an interrupt; the event of a system vector's handler shows the vector, too."""
        vector, what = event.fields.get("vector"), shown_fields(event)
        if what is None or event.event.startswith("kvm_"):
            return
        if waiting.vector is None and event.event.endswith("_entry") and isinstance(vector, int):
            waiting.vector, waiting.sure = vector, True
        waiting.handler = waiting.handler or what

    def end(self, cpu: int) -> None:
        """Count the interrupt exit that waits on a pCPU."""
        waiting = self.waiting.pop(cpu, None)
        if waiting is None:
            return
        vector = NOT_SHOWN if waiting.vector is None else waiting.vector
        counts = self.known if waiting.sure or vector == NOT_SHOWN else self.from_info2
        found = counts.setdefault(vector, Interrupts())
        found.exits += 1
        for name, names in ((waiting.handler, found.handlers), (waiting.sender, found.senders)):
            if name and (name in names or len(names) < MOST_NAMES):
                names[name] += 1

    def result(self) -> dict[int, Interrupts]:
        """Return the counts by vector; `NOT_SHOWN` for exits whose vector the listing does not show."""
        for cpu in list(self.waiting):
            self.end(cpu)
        for vector, counted in self.from_info2.items():
            # Where info2 turned out to be something else, nothing that was read from it holds.
            found = self.known.setdefault(NOT_SHOWN if self.vectors.no_vector_in_info2 else vector, Interrupts())
            found.exits += counted.exits
            found.handlers += counted.handlers
            found.senders += counted.senders
        return self.known

    def table(self) -> pd.DataFrame:
        """Return the table of `exit_interrupts`."""
        import pandas as pd

        found = sorted(self.result().items(), key=lambda item: (-item[1].exits, item[0]))
        total = sum(each.exits for _, each in found)
        rows = [(each.exits, 100 * each.exits / total, *use_of(vector), *most_common(each)) for vector, each in found]
        columns = ["exits", "share%", "name", "sender", "handler", "sent_by"]
        names = [NO_VECTOR if vector == NOT_SHOWN else f"{vector:#x}" for vector, _ in found]
        return pd.DataFrame(rows, columns=columns, index=pd.Index(names, name="vector", dtype=object))


def exit_interrupts(recording: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """List the interrupts that ended guest mode: one row per vector, the most frequent first.

    - `recording`: text or path of a listing, or a table of `read_kvm_trace`.

    Index ``vector``: the host's vector as hex text, "0xec"; "not shown" where the listing does not have it (AMD's exits
    do not, nor do trace-cmd's of v5.10 and newer; tracing irq_vectors too shows the system vectors). Columns:

    - ``exits``: EXTERNAL_INTERRUPT exits (interrupt on AMD).
    - ``share%``: of all of these.
    - ``name``: the kernel's name for the vector; "" for a device's.
    - ``sender``: "this CPU" (its own timer, say), "another CPU", "a device", ...
    - ``handler``: what the host ran first for most of them, where irq or irq_vectors events show it; else "".
    - ``sent_by``: the task and pCPU that sent most of them, where ipi_send_cpu or sched_waking show it; else "".

    Vectors are those of arch/x86/include/asm/irq_vectors.h: 0xec is the local timer's, and was 0xef up to v4.14.

    Raises ValueError as `read_kvm_trace` does.

    Example: `kl.exit_interrupts("trace.txt")[["exits", "name"]]`
    """
    counter = InterruptCounter()
    with events_of(recording) as events:
        for event in events:
            counter.take(event)
    return counter.table()


def use_of(vector: int) -> tuple[str, str]:
    """Return a vector's name and who sends it."""
    if vector == NOT_SHOWN:
        return "", NO_VECTOR
    return SYSTEM_VECTORS.get(vector, ("", DEVICE))


def most_common(found: Interrupts) -> tuple[str, str]:
    """Return the most frequent handler and sender, "" where none is shown."""
    handler, sender = (max(names, key=names.__getitem__, default="") for names in (found.handlers, found.senders))
    return handler, sender
