"""The rules as WebAssembly, run by wasmtime: as quick as a compiled program, and shut up in a memory of its own.

The module is made when kvmlab is built (`kvmlab.engine.assemble`), and lies beside this file. It is the same for every
platform; a panel in a browser runs the very same bytes. An access outside the module's memory ends the run with an
error, never the interpreter.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Mapping

import numpy as np
import wasmtime

from kvmlab.engine.layout import CONSTANT, GIVEN, PLANNED, TABLES, WORD_BYTES, WORDS_AT, Tables, words

PAGE = 1 << 16
LARGE = 4 << 20
"""From how many bytes on a memory is worth large pages: as numpy has it."""
MADV_HUGEPAGE = 14
"""Of Linux's madvise(2)."""


@functools.cache
def engine() -> wasmtime.Engine:
    """Return the compiler that all modules of this process share."""
    config = wasmtime.Config()
    config.parallel_compilation = False  # as quick for so small a module, and no threads with memory of their own
    return wasmtime.Engine(config)


@functools.cache
def loaded(module: bytes) -> wasmtime.Module:
    """Return a module ready to run, compiled once per process."""
    return wasmtime.Module(engine(), module)


def usable(module: bytes) -> bytes:
    """Return the module if wasmtime takes it and it is one of rules; raises an error if not."""
    names = {export.name for export in loaded(module).exports}
    if not {"plan", "prepare", "run", "run_some"} <= names:
        raise ValueError(f"it exports {sorted(names)}")
    return module


class WasmMachine:
    """A machine whose tables lie in the memory of a WebAssembly module: the words, the given tables, the others."""

    def __init__(self, given: Mapping[str, np.ndarray], module: bytes) -> None:
        compiled = loaded(module)
        self.store = wasmtime.Store(engine())
        self.constant = {name: given[name] for name in CONSTANT}
        self.lengths = {name: len(given[name]) for name in GIVEN}
        self.addresses = words(self.lengths, WORDS_AT + 2 * WORD_BYTES * len(TABLES))
        pages = wasmtime.Limits(-(-self.addresses[""] // PAGE), None)
        self.memory = wasmtime.Memory(self.store, wasmtime.MemoryType(pages))
        self.exports = wasmtime.Instance(self.store, compiled, [self.memory]).exports(self.store)
        for name in GIVEN:
            self.view(name)[:] = given[name]
        self.call("plan")
        sizes = self.view("sizes")[0]
        planned = {name: int(sizes[name]) for name in PLANNED}
        self.lengths |= planned
        self.addresses = words(planned, self.addresses.pop(""), self.addresses)
        missing = self.addresses[""] - self.memory.data_len(self.store)
        if missing > 0:
            self.memory.grow(self.store, -(-missing // PAGE))
        self.prefer_large_pages()
        self.call("prepare")

    def prefer_large_pages(self) -> None:
        """Ask Linux for large pages, as numpy does: thousands of vCPUs lie on more pages than a TLB holds."""
        size = self.memory.data_len(self.store)
        if sys.platform == "linux" and size >= LARGE:
            start = ctypes.cast(self.memory.data_ptr(self.store), ctypes.c_void_p)
            ctypes.CDLL(None).madvise(start, ctypes.c_size_t(size), MADV_HUGEPAGE)  # advice: no harm if it is not taken

    def view(self, name: str) -> np.ndarray:
        """Return a table where it lies. Not to be kept: it is invalid when the memory has grown or is gone."""
        start, dtype = self.addresses[name], TABLES[name].dtype
        size = self.lengths[name] * dtype.itemsize
        bytes_ = np.ctypeslib.as_array(self.memory.data_ptr(self.store), (self.memory.data_len(self.store),))
        return bytes_[start : start + size].view(dtype)

    def call(self, rule: str, *arguments: int) -> int:
        """Tell the module where the tables lie, and call one of its functions."""
        table_words = [(self.addresses.get(name, 0), self.lengths.get(name, 0)) for name in TABLES]
        self.memory.write(self.store, np.array(table_words, np.int64).tobytes(), WORDS_AT)
        function = self.exports[rule]
        assert isinstance(function, wasmtime.Func)
        return function(self.store, WORDS_AT, *arguments)  # type: ignore[no-any-return]

    def advance(self, until: int) -> int:
        """Run up to the time `until` (ns); return the time reached."""
        return self.call("run", until)

    def advance_some(self, until: int, events: int) -> int:
        """Run up to the time `until` (ns), but for this number of events at most; NONE if they did not get there."""
        return self.call("run_some", until, events)

    def now(self) -> int:
        """Return the time of the last event (ns)."""
        return int(self.view("loop")["now"][0])

    def affordable_ns(self, events: int, longest_ns: int) -> int:
        """Return for how long to run so that about the given number of events comes (`kvmlab.model.horizon`)."""
        return self.call("affordable_ns", events, longest_ns)

    def tables(self) -> Tables:
        """Return the tables as they are now: copies, which outlive the machine."""
        return Tables(self.constant | {name: self.view(name).copy() for name in TABLES if name not in CONSTANT})
