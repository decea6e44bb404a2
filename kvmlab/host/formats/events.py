"""Listings of kvm and hrtimer events: tracefs, ``perf script``, ``trace-cmd report``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from kvmlab.host.formats.between import (
    GAPS,
    PROSE,
    begins,
    damage,
    goes_on_with_pairs,
    kind_behind_head,
    kind_between,
    may_go_on,
    refusal_of,
)
from kvmlab.host.formats.cleaning import JOINED
from kvmlab.host.formats.lines import Lines, Source, open_source
from kvmlab.host.formats.merged import chosen_file, files_of
from kvmlab.host.formats.messages import (
    AN_EVENT,
    OVERRUN,
    PATTERNS,
    TRACE_CMD_HEAD,
    TRACER,
    Fields,
    Head,
    is_known,
    read_head,
    read_message,
    whole_event,
)
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

MAX_EVENTS = 500_000
"""Rows of one table: about 1 kB each."""
LARGEST_LIMIT = 10**9
"""Whoever has a terabyte of memory may ask for so many."""


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
    tgid: int | None = None
    """The process, where the listing shows it: tracefs with record-tgid, perf script -F +pid."""


@dataclass
class Listing:
    """A listing that is read event by event, in constant memory."""

    source: Source
    file: str | None = None
    """Which file of a report of several; None: the one that shows a host."""
    lost_events: int = 0
    """What the listing has said so far that was overrun."""
    line: int = 0
    """Number of the line last read."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Lines that are no events, by kind, and events of other files."""

    def __iter__(self) -> Iterator[Event]:
        """Yield every event in the order of the listing; raise ValueError as `read_kvm_trace` says."""
        chosen = self._chosen_file()
        lines = Lines(self.source, begins, limit=None)
        is_listing = False
        last = (1, "")
        for number, line in lines:
            self.line = number
            text = line.strip()
            last = (number, text) if text else last
            head = read_head(line)
            if head is None:
                is_listing = is_listing or bool(TRACER.match(text))
                self._pass_over(number, text)
                continue
            whole = lines.joined(number, line, whole_event)
            head = head if whole is line else read_head(whole) or head
            if (head.file or "") != chosen:
                self.passed_over[f"events of {head.file or 'the report itself'}"] += 1
                continue
            event = self._event(number, whole, head, lines)
            if event is not None:
                is_listing = True
                yield event
        if not is_listing:
            raise self.source.refuse(*last, f"{AN_EVENT}; there is none")

    @property
    def left_out(self) -> int:
        """In how many places the listing has said so far that lines were left out."""
        return self.passed_over[GAPS]

    def notes(self) -> list[str]:
        """Return what was taken off and passed over so far, in sentences."""
        counts = [f"{kind} ({count})" for kind, count in self.passed_over.items() if kind != GAPS]
        notes = [self.source.log.sentence(), f"Passed over: {', '.join(counts)}." if counts else ""]
        if count := self.left_out:
            notes.append(f"Lines were left out in {count} place{'s' * (count != 1)}: events are missing there.")
        return [note for note in notes if note]

    def _chosen_file(self) -> str:
        """Return the file to read, "" for a report of one; a report of several is first read for them."""
        heads = (head for _, line in self.source.lines(limit=None) if (head := read_head(line)))
        first = next(heads, None)
        self.source.rewind()
        if first is None or (first.file is None and self.file is None):
            return ""
        chosen = chosen_file(files_of(self.source.lines(limit=None)), self.file, self.source.name)
        self.source.rewind()
        return chosen

    def _pass_over(self, number: int, text: str) -> None:
        """Count a line that is no event; refuse one that is a part of an event."""
        if overrun := OVERRUN.fullmatch(text):
            self.lost_events += int(overrun["lost"] or overrun["dropped"])
        elif text and not text.startswith("#") and not TRACE_CMD_HEAD.fullmatch(text):
            kind = kind_between(text)
            if kind == PROSE and (expected := damage(text)):
                raise self.source.refuse(number, text, expected)
            self.passed_over[kind] += 1

    def _event(self, number: int, line: str, head: Head, lines: Lines) -> Event | None:
        """Return the event on a line, None for a stack's mark or a traced function; refuse any other line."""
        found = head.event()
        if found is None:
            kind = kind_behind_head(head.rest)
            if kind is None:
                raise self.source.refuse(number, line.strip(), AN_EVENT)
            self.passed_over[kind] += 1
            return None
        event, message = _unwrapped_mark(*found)
        following = lines.peek()
        while not is_known(event) and following and goes_on_with_pairs(message) and goes_on_with_pairs(following[1]):
            message = f"{message} {next(lines)[1].strip()}"
            self.source.log.lines[JOINED] += 1
            following = lines.peek()
        if following and may_go_on(event, line, following[1]):
            wrapped = f"a blank line before other text; this may be the end of {event} in line {number}, wrapped"
            raise self.source.refuse(following[0], following[1].strip(), wrapped)
        return _as_event(self.source, number, head, event, message)


def read_kvm_trace(
    text_or_path: str | os.PathLike[str], *, limit: int = MAX_EVENTS, file: str | None = None
) -> pd.DataFrame:
    """Read a listing of trace events: one row per event, in the order of the listing.

    - `text_or_path`: the text, or the path of a file that holds it: tracefs (``trace`` or ``trace_pipe``), ``perf
      script`` or ``trace-cmd report``.
    - `limit`: more events than that, 1 or more, are refused, as the table would fill the memory. `kvmlab.explain`
      reads event by event, and has no such limit.
    - `file`: which one of a report of several files (``trace-cmd report -i trace.dat -i trace-vm1.dat``); None:
      the only one that shows exits of guests.

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
    - ``tgid``: Int64, the process; NA where the listing does not show it.

    Quote marks, line numbers and colours are taken off, and lines that a mail program wrapped are joined where that is
    certain. Stacks, traced functions, kernel messages and prose between the events are passed over. ``attrs``:
    ``lost_events``, what the listing says was overrun; ``passed_over``, how many lines by kind; ``notes``, sentences on
    what was taken off and passed over.

    Raises ValueError for an event that is cut off, or wrapped so that it cannot be put together, for a message that is
    not one of that event's, for a report of several files of which none or several show a host, and for a text without
    any event (a tracefs listing with its comment but no event is empty, and fine); with the line number, what stands
    there and what was expected. A number cut off at the very end of the text cannot be told from a shorter one. Raises
    FileNotFoundError for a Path that does not exist.

    Example: `kl.read_kvm_trace("trace.txt")["reason"].value_counts()`
    """
    limit = checks.whole("limit", limit, 1, LARGEST_LIMIT)
    with closing(open_source(text_or_path)) as source:
        listing = Listing(source, file)
        rows: list[Event] = []
        for event in listing:
            if len(rows) == limit:
                raise source.refuse(listing.line, event.event, f"at most {limit} events (limit={limit})")
            rows.append(event)
        frame = _trace_frame(rows)
    frame.attrs.update(lost_events=listing.lost_events, passed_over=dict(listing.passed_over), notes=listing.notes())
    return frame


def _as_event(source: Source, number: int, head: Head, event: str, message: str) -> Event:
    """Return an event, its message read; refuse a message that is cut off."""
    fields = read_message(event, message)
    if fields is None:
        raise source.refuse(number, f"{event}: {message}", refusal_of(event, message))
    # kvm_hv_timer_state calls it vcpu_id, and prints it in hex. A vcpu that is not of a known message stays a field.
    vcpu = fields.pop("vcpu", fields.pop("vcpu_id", None)) if event in PATTERNS else None
    # The reason of kvm_userspace_exit is of another kind, and stays a field.
    reason = fields.pop("reason") if event == "kvm_exit" else None
    return Event(
        head.time_ns / 1e9,
        head.time_ns,
        head.cpu,
        head.task,
        head.pid,
        event,
        None if vcpu is None else int(vcpu),
        None if reason is None else str(reason),
        fields,
        head.flags,
        head.tgid,
    )


def _unwrapped_mark(event: str, message: str) -> tuple[str, str]:
    """Return event and message of a mark: in tracefs an event of its own, elsewhere inside the event `print`."""
    mark = "tracing_mark_write: "
    if event == "print" and message.startswith(mark):
        return "tracing_mark_write", message.removeprefix(mark)
    return event, message


def _trace_frame(rows: list[Event]) -> pd.DataFrame:
    """Return the table of `read_kvm_trace`."""
    import pandas as pd

    columns = {name: [row[place] for row in rows] for place, name in enumerate(Event._fields)}
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()}).astype(
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
            "tgid": "Int64",
        }
    )
