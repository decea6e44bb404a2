"""Rules of the tests' own, translated to WebAssembly, on a small machine; and the same in Python, with limits.

`LimitedInt`, `LimitedList` and `LimitedEntry` are Python that raises where a checked module has to trap: beyond 64
bits, at an index outside its list, at a value that does not fit its field.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import wasmtime

from kvmlab.engine.layout import Table, dtype_of
from kvmlab.model.records import Flag, Word

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
AT = {"numbers": 1024, "entries": 2048, "one": 4096}
N = {"numbers": 5, "entries": 4, "one": 1}


@dataclass(slots=True)
class TestEntry:
    """One field of each kind."""

    __test__ = False
    whole: int
    real: float
    word: Word
    flag: Flag


TABLES = {
    "numbers": Table("numbers", None, dtype_of(None), False),
    "entries": Table("entries", TestEntry, dtype_of(TestEntry), False),
    "one": Table("one", TestEntry, dtype_of(TestEntry), True),
}


class Limit(Exception):
    """What a checked module traps at."""


def limited(value):
    """Return an int that stays within 64 bits, or raise Limit."""
    if not LOWEST <= value <= HIGHEST:
        raise Limit(f"{value} needs more than 64 bits")
    return LimitedInt(value)


class LimitedInt(int):
    """An int whose operators raise Limit beyond 64 bits."""

    def __neg__(self):
        return limited(-int(self))

    def __abs__(self):
        return limited(abs(int(self)))


def checked_operator(name):
    """Return an operator of `LimitedInt`."""
    plain = getattr(operator, {"and": "and_", "or": "or_"}.get(name, name))

    def forward(a, b):
        a, b = int(a), int(b)
        if name in ("floordiv", "mod") and b == 0:
            raise Limit("division by 0")
        if name == "mod" and (a, b) == (LOWEST, -1):
            raise Limit("the quotient needs more than 64 bits")
        if (name == "lshift" and not 0 <= b < 64) or (name == "rshift" and b < 0):
            raise Limit("shift")
        return limited(plain(a, b))

    return forward, lambda a, b: forward(b, a)


for operator_name in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and", "or", "xor"):
    forward, backward = checked_operator(operator_name)
    setattr(LimitedInt, f"__{operator_name}__", forward)
    setattr(LimitedInt, f"__r{operator_name}__", backward)


class LimitedList(list):
    """A list without negative indices."""

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise Limit("index")
        return super().__getitem__(i)

    def __setitem__(self, i, value):
        if not 0 <= i < len(self):
            raise Limit("index")
        super().__setitem__(i, limited(value))


class LimitedEntry:
    """`TestEntry` whose fields hold what fits them."""

    RANGES = {"whole": (LOWEST, HIGHEST), "word": (0, (1 << 32) - 1), "flag": (-128, 127)}  # noqa: RUF012
    __slots__ = ("flag", "real", "whole", "word")

    def __init__(self, whole=0, real=0.0, word=0, flag=0):
        self.whole, self.real, self.word, self.flag = whole, real, word, flag

    def __setattr__(self, name, value):
        if name in self.RANGES:
            low, high = self.RANGES[name]
            if not low <= value <= high:
                raise Limit(f"{name} = {value}")
            value = LimitedInt(value)
        object.__setattr__(self, name, value)

    def values(self):
        return int(self.whole), self.real, int(self.word), int(self.flag)


def python_machine(numbers, entries):
    """Return a machine of Python objects that raise Limit."""
    *some, one = [LimitedEntry(*entry) for entry in entries]
    return SimpleNamespace(numbers=LimitedList(map(LimitedInt, numbers)), entries=LimitedList(some), one=one)


def contents(m):
    """Return what a Python machine holds, for comparison."""
    return [int(number) for number in m.numbers], [entry.values() for entry in (*m.entries, m.one)]


class Translated:
    """A rule as a function: (numbers, entries, arguments) -> (result, numbers and entries after it). It may trap."""

    def __init__(self, rule, *, checked=False):
        from kvmlab.engine.assemble import assemble  # needs llvmlite, which not every environment has

        self.name = rule.__name__
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, assemble([rule], TABLES, checked=checked))

    def __call__(self, numbers, entries, *arguments):
        store = wasmtime.Store(self.engine)
        memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None)))
        function = wasmtime.Instance(store, self.module, [memory]).exports(store)[self.name]
        rows = np.array([tuple(entry) for entry in entries], TABLES["entries"].dtype)
        words = np.array([(AT[name], N[name]) for name in TABLES], np.int64)
        for start, array in ((64, words), (AT["numbers"], np.array(numbers, np.int64))):
            memory.write(store, array.tobytes(), start)
        memory.write(store, rows[:-1].tobytes(), AT["entries"])
        memory.write(store, rows[-1:].tobytes(), AT["one"])
        result = function(store, 64, *arguments)
        after = np.frombuffer(memory.read(store, AT["numbers"], AT["numbers"] + 8 * N["numbers"]), np.int64).tolist()
        size = TABLES["entries"].dtype.itemsize
        raw = memory.read(store, AT["entries"], AT["entries"] + N["entries"] * size)
        raw += memory.read(store, AT["one"], AT["one"] + size)
        return result, (after, np.frombuffer(raw, TABLES["entries"].dtype).tolist())
