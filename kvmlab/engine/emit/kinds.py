"""What a value in a rule is, and where it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple, Protocol

import numpy as np
from llvmlite import ir

from kvmlab.engine.layout import Table
from kvmlab.model.records import Machine

WORD, BYTE, ADDRESS = ir.IntType(64), ir.IntType(8), ir.PointerType()
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1


class Untranslatable(Exception):
    """A rule says something that could not be translated exactly."""


@dataclass(frozen=True)
class Kind:
    """What a value is: "int", "bool", "float", "None", "machine", or a "table" or "record" of a certain table.

    "truth" is what `and` and `or` of ints come to: which of them is lost, whether it is true is not.
    """

    name: str
    table: Table | None = None

    @property
    def llvm(self) -> ir.Type:
        """How LLVM sees it."""
        return LLVM_TYPES.get(self.name, ADDRESS)

    def __str__(self) -> str:
        return f"{self.name} of {self.table.name}" if self.table else self.name


LLVM_TYPES = {
    "int": WORD,
    "bool": ir.IntType(1),
    "truth": ir.IntType(1),
    "float": ir.DoubleType(),
    "None": ir.VoidType(),
}
INT, BOOL, TRUTH, FLOAT, NOTHING, MACHINE = map(Kind, ("int", "bool", "truth", "float", "None", "machine"))
ANNOTATIONS = {int: INT, bool: BOOL, float: FLOAT, type(None): NOTHING, Machine: MACHINE}


class Value(NamedTuple):
    """What an expression comes to."""

    kind: Kind
    llvm: Any


class Place(NamedTuple):
    """Where something is kept. `name`: no place of another name overlaps it, which LLVM may rely on."""

    kind: Kind
    pointer: Any
    name: str = ""
    dtype: np.dtype[Any] | None = None
    """How it is kept in a table."""

    @property
    def stored(self) -> ir.Type:
        """How LLVM sees what is kept: an int in a table may be a short one."""
        return ir.IntType(8 * self.dtype.itemsize) if self.dtype and self.kind == INT else self.kind.llvm


class Signature(NamedTuple):
    """A rule for parameters of certain kinds: its function in LLVM, what goes in and what comes out."""

    function: Any
    parameters: Sequence[Kind]
    result: Kind


class Home(Protocol):
    """The program that a rule on its way belongs to."""

    tables: Mapping[str, Kind]
    """The tables of the machine, in its order."""
    checked: bool
    """Whether it traps where a rule leaves what could be translated exactly."""
    module: ir.Module

    def signature(self, rule: FunctionType, given: tuple[Kind, ...]) -> Signature:
        """Return the rule for what it is given."""

    def alias_tag(self, name: str) -> Any:
        """Return LLVM's mark for a place of this name."""

    def intrinsic(self, name: str, result: ir.Type, *parameters: ir.Type) -> Any:
        """Return one of LLVM's own functions."""
