"""Listings of kvm and hrtimer events: tracefs, ``perf script``, ``trace-cmd report``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kvmlab.host.formats.lines import Source, open_source
from kvmlab.host.formats.messages import (
    AN_EVENT,
    OVERRUN,
    PATTERNS,
    TRACE_CMD_HEAD,
    TRACER,
    Fields,
    is_event_line,
    match_event_line,
    read_message,
)

if TYPE_CHECKING:
    import pandas as pd

MAX_EVENTS = 500_000
"""Rows of one table: about 1 kB each."""


class Event(NamedTuple):
    """One event; the columns of `read_kvm_trace`."""

    time_s: float
    """Time on the listing's clock, in s."""
    time_ns: int
    """Time on the listing's clock, in ns."""
    cpu: int
    task: str
    pid: int
    """The thread."""
    event: str
    """Without the system before it: "kvm_exit"."""
    vcpu: int | None
    reason: str | None
    """Of a kvm_exit."""
    fields: Fields
    """The rest of the message."""
    flags: str | None
    """What tracefs prints before the time; the first letter is d with interrupts off."""


@dataclass
class Listing:
    """A listing that is read event by event, in constant memory."""

    source: Source
    lost_events: int = 0
    """What the listing has said so far that was overrun."""
    line: int = 0
    """Number of the line last read."""

    def __iter__(self) -> Iterator[Event]:
        """Yield every event in the order of the listing; raise ValueError as `read_kvm_trace` says."""
        is_listing = False
        last = (1, "")
        for number, line in self.source.lines():
            self.line = number
            text = line.strip()
            last = (self.line, text) if text else last
            if overrun := OVERRUN.fullmatch(text):
                self.lost_events += int(overrun["lost"] or overrun["dropped"])
            elif text.startswith("#") and not is_event_line(text):
                is_listing = is_listing or bool(TRACER.match(text))
            elif text and not TRACE_CMD_HEAD.fullmatch(text):
                is_listing = True
                yield _read_event(self.source, self.line, line)
        if not is_listing:
            raise self.source.refuse(*last, f"{AN_EVENT}; there is none")


def read_kvm_trace(text_or_path: str | os.PathLike[str], *, limit: int = MAX_EVENTS) -> pd.DataFrame:
    """Read a listing of trace events: one row per event, in the order of the listing.

    - `text_or_path`: the text, or the path of a file that holds it: tracefs (``trace`` or ``trace_pipe``), ``perf
      script`` or ``trace-cmd report``.
    - `limit`: more events are refused, as the table would fill the memory. `kvmlab.explain` reads event by event, and
      has no such limit.

    Messages of kvm events may be of any kernel from before 5.3 on, or as the plugin of libtraceevent prints them; exit
    reasons stay as printed (VMX ``EXTERNAL_INTERRUPT``, SVM ``interrupt``, that plugin's ``EXIT_INTR`` or
    ``UNKNOWN (77)``). Columns:

    - ``time_s`` (float, s), ``time_ns`` (int64, ns): on the trace's clock, as fine as it was printed.
    - ``cpu`` (int), ``task`` (str), ``pid`` (int, the thread).
    - ``event``: str, without the system before it.
    - ``vcpu``: Int64, NA where the message has none, as kvm_exit before 5.4.
    - ``reason``: str of a kvm_exit, else NA.
    - ``fields``: a dict of the rest. Numbers are ints, whichever base they were printed in (``rip``, ``info1``,
      ``msr``, ``value``, ``expires``, ``now``, ``vector``, ``hv_timer``, ``delta`` in TSC cycles); ``hrtimer``, an
      address, and ``function`` are text. A mark (``tracing_mark_write``), and an event whose message is neither known
      nor made of pairs key=value, has its message under ``text``.
    - ``flags``: what tracefs prints before the time (its first letter is d with interrupts off), NA elsewhere.

    Comments and blank lines are passed over. ``attrs["lost_events"]`` counts what the listing says was overrun.

    Raises ValueError for a line that is no event, or whose message is cut off or not one of that event's, and for a
    text without any (a tracefs listing with its comment but no event is empty, and fine); with the line number, what
    stands there and what was expected. A number cut off at the very end of the text cannot be told from a shorter one.
    Raises FileNotFoundError for a Path that does not exist.

    Example: `kl.read_kvm_trace("trace.txt")["reason"].value_counts()`
    """
    with closing(open_source(text_or_path)) as source:
        listing = Listing(source)
        rows: list[Event] = []
        for event in listing:
            if len(rows) == limit:
                raise source.refuse(listing.line, event.event, f"at most {limit} events (limit={limit})")
            rows.append(event)
        return _trace_frame(rows, listing.lost_events)


def _read_event(source: Source, number: int, line: str) -> Event:
    """Return the event on a line, or refuse the line."""
    found = match_event_line(line)
    if found is None:
        raise source.refuse(number, line.strip(), AN_EVENT)
    event, message = _unwrapped_mark(found["event"], found["message"].strip())
    fields = read_message(event, message)
    if fields is None:
        raise source.refuse(number, f"{event}: {message}", f"a whole message of {event}, as some kernel prints it")
    time_ns = int(found["seconds"]) * 1_000_000_000 + int(found["fraction"].ljust(9, "0"))
    # kvm_hv_timer_state calls it vcpu_id, and prints it in hex. A vcpu that is not of a known message stays a field.
    vcpu = fields.pop("vcpu", fields.pop("vcpu_id", None)) if event in PATTERNS else None
    # The reason of kvm_userspace_exit is of another kind, and stays a field.
    reason = fields.pop("reason") if event == "kvm_exit" else None
    return Event(
        time_ns / 1e9,
        time_ns,
        int(found["cpu"]),
        found["task"],
        int(found["pid"]),
        event,
        None if vcpu is None else int(vcpu),
        None if reason is None else str(reason),
        fields,
        found["irqs"] if "irqs" in found.re.groupindex else None,
    )


def _unwrapped_mark(event: str, message: str) -> tuple[str, str]:
    """Return event and message of a mark: in tracefs an event of its own, elsewhere inside the event `print`."""
    mark = "tracing_mark_write: "
    if event == "print" and message.startswith(mark):
        return "tracing_mark_write", message.removeprefix(mark)
    return event, message


def _trace_frame(rows: list[Event], lost: int) -> pd.DataFrame:
    """Return the table of `read_kvm_trace`."""
    import pandas as pd

    columns = {name: [row[place] for row in rows] for place, name in enumerate(Event._fields)}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()}).astype(
        {
            "time_s": "float64",
            "time_ns": "int64",
            "cpu": "int64",
            "task": str,
            "pid": "int64",
            "event": str,
            "vcpu": "Int64",
            "reason": "string",
            "flags": "string",
        }
    )
    frame.attrs["lost_events"] = lost
    return frame
