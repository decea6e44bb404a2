"""How the tables of a machine lie in memory: derived from the annotations of `kvmlab.model.records`.

The same layout serves numpy, WebAssembly in Python, and WebAssembly in a browser, which is handed it (`description`).
A table begins at a multiple of 8. What a rule knows of a machine is the address of its *words*: for each table of
`Machine` in turn two of 64 bits, its address and its number of entries.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from kvmlab.model.records import Machine, Sizes

WORDS_AT = 64
"""Where the words stand. Nothing stands at 0, which LLVM may take for the address of nothing."""
ALIGNMENT = 8
WORD_BYTES = 8


class Table(NamedTuple):
    """One table of the machine."""

    name: str
    record: type | None
    """The class of its entries; None for a table of ints."""
    dtype: np.dtype[Any]
    single: bool
    """It is one record, not a list of them."""


def dtype_of(record: type | None) -> np.dtype[Any]:
    """Return numpy's type for a record class, or for an int (None)."""
    if record is None:
        return np.dtype(np.int64)
    hints = get_type_hints(record, include_extras=True)
    return np.dtype([(field.name, field_type(hints[field.name])) for field in fields(record)], align=True)


def field_type(hint: Any) -> np.dtype[Any]:
    """Return numpy's type for an annotation: int and float have 64 bits, Annotated says otherwise."""
    marks = getattr(hint, "__metadata__", ())
    return np.dtype(marks[0] if marks else {int: np.int64, float: np.float64}[hint])


def table_of(name: str, hint: Any) -> Table:
    """Return what the annotation of a field of `Machine` says of that table."""
    single = get_origin(hint) is not list
    entry = hint if single else get_args(hint)[0]
    record = None if entry is int else entry
    return Table(name, record, dtype_of(record), single)


TABLES: Mapping[str, Table] = {name: table_of(name, hint) for name, hint in get_type_hints(Machine).items()}
"""The tables of `Machine`, in its order."""
PLANNED = tuple(field.name for field in fields(Sizes))
"""The tables whose size `plan` works out."""
GIVEN = tuple(name for name in TABLES if name not in PLANNED)
"""The tables that a scenario hands over."""
CONSTANT = ("costs", "exponential")
"""Those that no rule changes: large, so that they are not handed back as copies."""


class Tables:
    """The state of a machine as numpy arrays: for each field of `Machine` an array of records, or of ints."""

    sizes: np.ndarray
    loop: np.ndarray
    kernel: np.ndarray
    host: np.ndarray
    guests: np.ndarray
    pools: np.ndarray
    isolated: np.ndarray
    taken: np.ndarray
    pcpus: np.ndarray
    costs: np.ndarray
    exponential: np.ndarray
    vcpus: np.ndarray
    timers: np.ndarray
    bases: np.ndarray
    lanes: np.ndarray
    queue: np.ndarray
    exits: np.ndarray
    histogram: np.ndarray
    places: np.ndarray
    streams: np.ndarray
    housekeeping: np.ndarray
    trace: np.ndarray

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name in TABLES:
            setattr(self, name, arrays[name])


def words(lengths: Mapping[str, int], first: int, addresses: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the address of each table of `lengths`, laid one behind the other from `first` on; "": their end."""
    places = dict(addresses or {})
    for name, length in lengths.items():
        places[name] = first
        first += -(-length * TABLES[name].dtype.itemsize // ALIGNMENT) * ALIGNMENT
    places[""] = first
    return places


@functools.cache
def description() -> dict[str, Any]:
    """Return the layout as a JSON-serialisable dict, for programs that run the module elsewhere.

    Keys: ``words_at``, ``alignment``, ``given`` and ``planned`` (names), ``tables``: name -> ``size`` of an entry in
    bytes, ``single``, and ``fields``: name -> [offset in bytes, numpy's kind and size, such as ``i8``, ``f8``, ``u4``,
    ``i1``]; {} for a table of ints.
    """
    tables = {
        name: {
            "size": table.dtype.itemsize,
            "single": table.single,
            "fields": {
                field: [offset, f"{dtype.kind}{dtype.itemsize}"]
                for field, (dtype, offset, *_) in (table.dtype.fields or {}).items()
            },
        }
        for name, table in TABLES.items()
    }
    return {
        "words_at": WORDS_AT,
        "alignment": ALIGNMENT,
        "given": list(GIVEN),
        "planned": list(PLANNED),
        "tables": tables,
    }
