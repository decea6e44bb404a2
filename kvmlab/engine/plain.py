"""The rules in plain Python: to read, to debug, and where there is no WebAssembly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

import numpy as np

from kvmlab.engine.layout import CONSTANT, PLANNED, TABLES, Table, Tables
from kvmlab.model.horizon import affordable_ns
from kvmlab.model.loop import run, run_some
from kvmlab.model.records import Machine, Sizes
from kvmlab.model.start import plan, prepare


def as_objects(table: Table, array: np.ndarray) -> Any:
    """Return a table as rules see it: a list of records or of ints, or a single record."""
    if table.record is None:
        return array.tolist()
    records = [table.record(*values) for values in array.tolist()]
    return records[0] if table.single else records


def as_array(table: Table, objects: Any) -> np.ndarray:
    """Return as numpy's records what `as_objects` made, changed by a run."""
    if table.record is None:
        return np.array(objects, table.dtype)
    records = [objects] if table.single else objects
    values = attrgetter(*(field.name for field in fields(table.record)))
    return np.array([values(each) for each in records], table.dtype)


class PlainMachine:
    """A machine whose tables are Python objects (`state`)."""

    def __init__(self, given: Mapping[str, np.ndarray]) -> None:
        self.constant = {name: given[name] for name in CONSTANT}
        objects: dict[str, Any] = {
            name: array.data if name in CONSTANT else as_objects(TABLES[name], array) for name, array in given.items()
        }  # a view of what no rule changes: it gives Python's ints as a list would, and costs nothing to make
        objects |= {name: [] for name in PLANNED}
        self.state = Machine(**objects)
        plan(self.state)
        sizes: Sizes = self.state.sizes
        for name in PLANNED:
            empty = np.zeros(getattr(sizes, name), TABLES[name].dtype)
            getattr(self.state, name).extend(as_objects(TABLES[name], empty))
        prepare(self.state)

    def advance(self, until: int) -> int:
        """Run up to the time `until` (ns); return the time reached."""
        return run(self.state, until)

    def advance_some(self, until: int, events: int) -> int:
        """Run up to the time `until` (ns), but for this number of events at most; NONE if they did not get there."""
        return run_some(self.state, until, events)

    def now(self) -> int:
        """Return the time of the last event (ns)."""
        return self.state.loop.now

    def affordable_ns(self, events: int, longest_ns: int) -> int:
        """Return for how long to run so that about the given number of events comes (`kvmlab.model.horizon`)."""
        return affordable_ns(self.state, events, longest_ns)

    def tables(self) -> Tables:
        """Return the tables as they are now."""
        changed = {name: table for name, table in TABLES.items() if name not in CONSTANT}
        return Tables(
            self.constant | {name: as_array(table, getattr(self.state, name)) for name, table in changed.items()}
        )
