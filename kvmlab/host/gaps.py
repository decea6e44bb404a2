"""The longest times that a vCPU was out of the guest: which exit, when, and what ran on its pCPU meanwhile."""

from __future__ import annotations

import heapq
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from kvmlab.host.formats.events import Event
from kvmlab.host.names import HLT_EXITS
from kvmlab.host.recording_events import events_of, shown_fields
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN, MOST_KEPT = 5, 200
"""What ran meanwhile: how many kinds are named, and how many are counted for one gap."""
MAX_OPEN = 4096
"""vCPU threads that are followed at a time."""
# As libtraceevent's plugin prints it (plugins/plugin_sched_switch.c).
_SWITCH = re.compile(r"==> (?P<name>.*):(?P<thread>[0-9]{1,10}) \[")
COLUMNS = ("gap_us", "vcpu", "thread", "cpu", "reason", "exit_s", "entry_s", "meanwhile")


class Gap(NamedTuple):
    """One time out of the guest; ordered by its length."""

    ns: int
    number: int
    """The order in which gaps ended, so that two of a length can be told apart."""
    vcpu: int | None
    thread: int
    cpu: int
    reason: str
    exit_ns: int
    entry_ns: int
    meanwhile: str


@dataclass
class OpenGap:
    """A vCPU that is out of the guest."""

    exit: Event
    cpu: int
    ran: Counter[str] = field(default_factory=Counter)


class GapFinder:
    """Keeps the longest gaps while the events of a listing go by."""

    def __init__(self, count: int, halts: bool) -> None:
        self.count = count
        self.halts = halts
        self.open: dict[int, OpenGap] = {}
        """By the vCPU's thread."""
        self.vcpus: dict[int, int] = {}
        """Thread -> number of its vCPU."""
        self.longest: list[Gap] = []
        """A heap, the shortest first."""
        self.ended = 0

    def take(self, event: Event) -> None:
        """Take one event."""
        if event.vcpu is not None and event.event in ("kvm_exit", "kvm_entry"):
            self.vcpus[event.pid] = event.vcpu
        if event.event == "kvm_entry":
            self.close(event)
        elif event.event == "kvm_exit":
            if len(self.open) == MAX_OPEN and event.pid not in self.open:
                raise ValueError(f"pid {event.pid}: more than {MAX_OPEN} vCPU threads; expected a listing of one host")
            self.open[event.pid] = OpenGap(event, event.cpu)
        else:
            self.note(event)

    def note(self, event: Event) -> None:
        """Note what runs on the pCPUs of those that are out of the guest."""
        if gap := self.open.get(event.pid):
            gap.cpu = event.cpu
        what, thread = shown_fields(event), None
        if event.event == "sched_switch":
            what, thread = switched_to(event)
        elif what is None and event.pid not in self.open and event.pid != 0:
            what = event.task
        if what and not what.startswith("swapper/"):
            for pid, gap in self.open.items():
                if gap.cpu == event.cpu and thread != pid and (what in gap.ran or len(gap.ran) < MOST_KEPT):
                    gap.ran[what] += 1

    def close(self, entry: Event) -> None:
        """End a vCPU's gap, and keep it if it is among the longest."""
        gap = self.open.pop(entry.pid, None)
        if gap is None or (not self.halts and gap.exit.reason in HLT_EXITS):
            return
        self.ended += 1
        ran = ", ".join(f"{what} ({n})" for what, n in gap.ran.most_common(MOST_SHOWN))
        found = Gap(
            entry.time_ns - gap.exit.time_ns,
            -self.ended,
            self.vcpus.get(entry.pid),
            entry.pid,
            gap.exit.cpu,
            gap.exit.reason or "",
            gap.exit.time_ns,
            entry.time_ns,
            ran,
        )
        if len(self.longest) < self.count:
            heapq.heappush(self.longest, found)
        else:
            heapq.heappushpop(self.longest, found)

    def table(self) -> pd.DataFrame:
        """Return the table of `longest_gaps`."""
        import pandas as pd

        rows = [
            (gap.ns / 1e3, *gap[2:6], gap.exit_ns / 1e9, gap.entry_ns / 1e9, gap.meanwhile)
            for gap in sorted(self.longest, reverse=True)
        ]
        frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"gap_us": float, "vcpu": "Int64", "exit_s": float})
        frame.attrs.update(gaps=self.ended, open=len(self.open))
        return frame


def switched_to(event: Event) -> tuple[str, int | None]:
    """Return name and number of the thread that sched_switch switches to; "" and None where it is not shown."""
    name, thread = event.fields.get("next_comm"), event.fields.get("next_pid")
    if name is None and (found := _SWITCH.search(str(event.fields.get("text", "")))):
        name, thread = found["name"], int(found["thread"])
    return str(name or ""), thread if isinstance(thread, int) else None


def longest_gaps(
    recording: str | os.PathLike[str] | pd.DataFrame, count: int = 10, *, halts: bool = False
) -> pd.DataFrame:
    """List the longest times that vCPUs were out of the guest, from kvm_exit to the thread's next kvm_entry.

    - `recording`: text or path of a listing, or a table of `read_kvm_trace` (`select_events` picks a vCPU).
    - `count`: how many, 1 to 100,000.
    - `halts`: also those that began with a HLT exit, in which the vCPU sleeps.

    Returns one row per gap, the longest first. Columns:

    - ``gap_us``: its length, in us.
    - ``vcpu`` (NA where not shown), ``thread``, ``cpu`` (the pCPU that left the guest).
    - ``reason``: of the exit.
    - ``exit_s``, ``entry_s``: when it began and ended, in s on the listing's clock.
    - ``meanwhile``: what the listing shows on the thread's pCPU in between, the most frequent first: tasks, interrupt
      handlers, timers, softirqs, works. "" where it shows nothing, which does not mean that nothing ran.

    ``attrs``: ``gaps`` (how many there were), ``open`` (vCPUs still out of the guest at the end of the listing).

    Raises ValueError as `read_kvm_trace` does, and for an argument that is invalid.

    Example: `kl.longest_gaps("trace.txt", 3)[["gap_us", "reason", "meanwhile"]]`
    """
    finder = GapFinder(checks.whole("count", count, 1, 100_000), checks.flag("halts", halts))
    with events_of(recording) as events:
        for event in events:
            finder.take(event)
    return finder.table()
