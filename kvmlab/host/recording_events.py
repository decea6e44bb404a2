"""Events of a recording, however it is given: a text, a path, or the table that was read from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from kvmlab.host.explain import frame_events
from kvmlab.host.formats.events import Event, Listing
from kvmlab.host.formats.lines import open_source

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def events_of(recording: str | os.PathLike[str] | pd.DataFrame) -> Iterator[Iterator[Event]]:
    """Give the events of a recording one by one, of any length; raise ValueError as `read_kvm_trace` does."""
    if isinstance(recording, str | os.PathLike):
        with closing(open_source(recording)) as source:
            yield iter(Listing(source))
    else:
        yield frame_events(recording)


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
