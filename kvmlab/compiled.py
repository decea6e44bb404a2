"""How numba sees a machine: one pointer; and the compiled copy of the rules.

A numpy array is seven words to numba, and each call hands over all of them: for the fifteen tables of a machine that is
most of what a rule does. Here a machine is the address of a list of addresses, and a table is its place in that list.
The rules read the same: ``m.vcpus[v].pending = 1``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types, typing
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global
from numba.extending import intrinsic, lower_builtin, lower_getattr_generic

from kvmlab.machine import Machine

WORD = ir.IntType(64)


class TableType(types.Type):
    """One table of a machine, in compiled code: a pointer to its address and its length."""

    def __init__(self, name: str, entry: Any) -> None:
        self.entry = entry
        super().__init__(name)


class MachineType(types.Type):
    """A machine in compiled code: a pointer to the addresses and lengths of its tables (see `addresses`)."""

    def __init__(self, tables: dict[str, TableType]) -> None:
        self.tables = tables
        super().__init__("Machine")


@register_default(TableType)
@register_default(MachineType)
class PointerModel(models.PrimitiveModel):
    """Both are passed as one pointer to words."""

    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, WORD.as_pointer())


def machine_type(layout: Machine) -> MachineType:
    """The type of a machine whose tables have entries as in `layout`; tables with the same entries have one type."""
    kinds: dict[np.dtype[Any], TableType] = {}
    for name, dtype in layout._asdict().items():
        kinds.setdefault(dtype, TableType(f"Table({name})", numba.from_dtype(dtype)))
    return MachineType({name: kinds[dtype] for name, dtype in layout._asdict().items()})


def addresses(m: Machine) -> np.ndarray:
    """Address and length of each table in turn: what compiled code knows of `m`, which has to outlive it."""
    return np.array([word for table in m for word in (table.ctypes.data, len(table))], np.int64)


@infer_getattr
class MachineAttributes(AttributeTemplate):
    """``m.vcpus``"""

    key = MachineType

    def generic_resolve(self, machine: MachineType, name: str) -> TableType | None:
        """The type of the table called `name`."""
        return machine.tables.get(name)


@lower_getattr_generic(MachineType)
def lower_table(context: Any, builder: Any, machine: MachineType, value: Any, name: str) -> Any:
    """The place of a table in the list of addresses."""
    return builder.gep(value, [WORD(2 * list(machine.tables).index(name))])


def constant_word(builder: Any, pointer: Any) -> Any:
    """Load a word that never changes during a run, and say so."""
    word = builder.load(pointer)
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


def entry_pointer(context: Any, builder: Any, table: TableType, value: Any, index: Any) -> Any:
    """Where an entry of a table stands."""
    kind = context.data_model_manager[table.entry].get_data_type()
    first = builder.inttoptr(constant_word(builder, value), kind.as_pointer())
    return builder.gep(first, [index])


@infer_global(operator.getitem)
class TableItem(AbstractTemplate):
    """``table[i]``"""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """A record (by reference) or a number; nothing is checked, and -1 is not the last one."""
        if isinstance(args[0], TableType) and isinstance(args[1], types.Integer):
            return typing.signature(args[0].entry, args[0], types.int64)
        return None


@lower_builtin(operator.getitem, TableType, types.Integer)
def lower_item(context: Any, builder: Any, signature: Any, args: tuple[Any, ...]) -> Any:
    """A record is its address; a number is loaded."""
    pointer = entry_pointer(context, builder, signature.args[0], *args)
    return pointer if isinstance(signature.return_type, types.Record) else builder.load(pointer)


@infer_global(operator.setitem)
class SetTableItem(AbstractTemplate):
    """``table[i] = number``"""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """Only numbers are stored so; records are changed field by field."""
        if isinstance(args[0], TableType) and isinstance(args[1], types.Integer):
            return typing.signature(types.none, args[0], types.int64, args[0].entry)
        return None


@lower_builtin(operator.setitem, TableType, types.Integer, types.Any)
def lower_set_item(context: Any, builder: Any, signature: Any, args: tuple[Any, ...]) -> Any:
    """Store a number."""
    builder.store(args[2], entry_pointer(context, builder, signature.args[0], *args[:2]))
    return context.get_dummy_value()


@infer_global(len)
class TableLength(AbstractTemplate):
    """``len(table)``"""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """An int."""
        return typing.signature(types.int64, *args) if isinstance(args[0], TableType) else None


@lower_builtin(len, TableType)
def lower_length(context: Any, builder: Any, signature: Any, args: tuple[Any, ...]) -> Any:
    """The word after the address."""
    return constant_word(builder, builder.gep(args[0], [WORD(1)]))


def signature(rule: FunctionType, machine: MachineType) -> Any:
    """The numba signature that a rule's annotations say; one each, where numba left alone would make several."""
    known = {
        "int": types.int64,
        "bool": types.boolean,
        "None": types.void,
        "Machine": machine,
        "Nodes": machine.tables["timers"],
        "Lanes": machine.tables["lanes"],
        "Numbers": machine.tables["costs"],
        "Places": machine.tables["queue"],
    }
    names = dict(rule.__annotations__)
    result = known[names.pop("return")]
    return result(*(known[name] for name in names.values()))


def compiled_run(rules: Sequence[Callable[..., Any]], layout: Machine, stored: bool) -> Callable[[int, int], int]:
    """The last of `rules` compiled with all that it calls (callees come first): a function of an address and a time.

    Kept on disk in `numba.config.CACHE_DIR` as one entry. `stored`: it is there, so that what it calls need not be
    compiled.
    """
    machine = machine_type(layout)
    copies: dict[Callable[..., Any], Any] = {}
    for rule in rules:
        assert isinstance(rule, FunctionType)
        names = {name: copies.get(value, value) for name, value in rule.__globals__.items() if callable(value)}
        copy = FunctionType(rule.__code__, {**rule.__globals__, **names}, rule.__name__)
        copy.__module__ = rule.__module__
        signatures = None if stored else [signature(rule, machine)]
        compile_it = numba.njit(
            signatures, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True
        )
        copies[rule] = compile_it(copy)

    @intrinsic
    def machine_at(context: Any, address: Any) -> Any:
        return machine(types.int64), lambda context, builder, signature, args: builder.inttoptr(
            args[0], WORD.as_pointer()
        )

    entry = FunctionType(
        run_at.__code__, {**run_at.__globals__, "machine_at": machine_at, "run": copies[rules[-1]]}, "run_at"
    )
    compile_it = numba.njit(
        types.int64(types.int64, types.int64), cache=True, nogil=True, error_model="numpy", _nrt=False
    )
    compiled: Callable[[int, int], int] = compile_it(entry)
    return compiled


def run_at(address: int, until: int) -> int:
    """The way in from Python; `compiled_run` puts the two names in."""
    return int(run(machine_at(address), until))  # type: ignore[name-defined]  # noqa: F821
