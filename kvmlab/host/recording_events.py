"""Events of a recording, however it is given: a text, a path, or the table that was read from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol

from kvmlab.host.formats.between import GAPS
from kvmlab.host.formats.events import Event, Listing
from kvmlab.host.formats.lines import open_source

if TYPE_CHECKING:
    import pandas as pd


class Recorded(Protocol):
    """Events in order, and what is to be known of them once they have been read: a `Listing`, or `FrameEvents`."""

    @property
    def lost_events(self) -> int:
        """How many were overrun."""

    @property
    def left_out(self) -> int:
        """In how many places some were left out."""

    def __iter__(self) -> Iterator[Event]:
        """Yield the events."""

    def notes(self) -> list[str]:
        """Return what was taken off and passed over, in sentences."""


class FrameEvents:
    """The events of a table of `read_kvm_trace`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        missing = [name for name in Event._fields if name not in getattr(frame, "columns", ())]
        if missing:
            raise ValueError(
                f"trace: {type(frame).__name__} without {', '.join(missing)} is not allowed; it must be text, a path, "
                "or a table of read_kvm_trace or read_perf_kvm_stat"
            )
        self.frame = frame
        self.lost_events = int(frame.attrs.get("lost_events") or 0)
        self.left_out = int(frame.attrs.get("passed_over", {}).get(GAPS, 0))

    def __iter__(self) -> Iterator[Event]:
        for row in self.frame[list(Event._fields)].astype(object).itertuples(index=False, name=None):
            yield Event._make(None if value is not value or str(value) == "<NA>" else value for value in row)

    def notes(self) -> list[str]:
        """Return what `read_kvm_trace` took off and passed over."""
        return list(self.frame.attrs.get("notes", ()))


@contextmanager
def events_of(recording: str | os.PathLike[str] | pd.DataFrame) -> Iterator[Iterator[Event]]:
    """Give the events of a recording one by one, of any length; raise ValueError as `read_kvm_trace` does."""
    if isinstance(recording, str | os.PathLike):
        with closing(open_source(recording)) as source:
            yield iter(Listing(source))
    else:
        yield iter(FrameEvents(recording))


def shown_fields(event: Event) -> str | None:
    """Return what an event says that the host's kernel ran, by the tracepoints for it; None for other events.

    Sources: include/trace/events/irq.h (irq=24 name=eth0; vec=1 [action=TIMER]), workqueue.h (function ...), timer.h,
    and arch/x86/include/asm/trace/irq_vectors.h (vector=236).
    """
    name, fields = event.event, event.fields
    if name == "irq_handler_entry":
        return f"irq {fields.get('irq', '?')} {fields.get('name', '')}".strip()
    if name in ("hrtimer_expire_entry", "timer_expire_entry"):
        return f"{name.removesuffix('_expire_entry')} {fields.get('function', '?')}"
    if name == "softirq_entry":
        return f"softirq {str(fields.get('action') or fields.get('vec') or '?').rstrip(']')}"
    if name == "workqueue_execute_start":
        return f"work {fields.get('function') or str(fields.get('text', '?')).rpartition(' ')[2]}"
    if name.endswith("_entry") and isinstance(fields.get("vector"), int):
        return name.removesuffix("_entry")
    return None
