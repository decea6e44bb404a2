"""Variables, fields and entries: what a rule reads and writes; and the numbers that it knows beforehand."""

from __future__ import annotations

import ast
import builtins
import math
from enum import EnumMeta
from types import FunctionType
from typing import Any, NoReturn

from llvmlite import ir

from kvmlab.engine.emit.arithmetic import Arithmetic
from kvmlab.engine.emit.kinds import (
    ADDRESS,
    BOOL,
    BYTE,
    FLOAT,
    HIGHEST,
    INT,
    LOWEST,
    NOTHING,
    TRUTH,
    WORD,
    Home,
    Kind,
    Place,
    Signature,
    Untranslatable,
    Value,
)


class Places(Arithmetic, ast.NodeVisitor):
    """One rule on its way: what it keeps, and where."""

    def __init__(self, program: Home, rule: FunctionType, signature: Signature) -> None:
        self.program, self.rule, self.signature = program, rule, signature
        self.checked = program.checked
        self.builder = ir.IRBuilder(signature.function.append_basic_block())
        self.first_line = 1
        self.variables: dict[str, Place] = {}
        self.assigned: set[str] = set()
        """Variables that have a value wherever the translation has come to."""

    def refuse(self, node: ast.AST, reason: str) -> NoReturn:
        """Raise Untranslatable with the rule, the line and the reason."""
        line = self.first_line + getattr(node, "lineno", 1) - 1
        text = ast.unparse(node).splitlines()[0]
        raise Untranslatable(f"{self.rule.__module__}, line {line}, {self.rule.__name__}: {text!r}: {reason}")

    def trap(self) -> None:
        """End the run here and now."""
        self.builder.call(self.program.intrinsic("llvm.trap", ir.VoidType()), [])
        self.builder.unreachable()

    def expression(self, node: ast.expr, *kinds: Kind) -> Any:
        """Translate an expression that has to be of one of these kinds; return LLVM's value."""
        value = self.visit(node)
        if value.kind not in kinds:
            self.refuse(node, f"this is {value.kind}, where {' or '.join(map(str, kinds))} is needed")
        return value.llvm

    def truth(self, node: ast.expr) -> Any:
        """Translate an expression of which only counts whether it is true."""
        value = self.visit(node)
        if value.kind == INT:
            return self.builder.icmp_signed("!=", value.llvm, WORD(0))
        if value.kind not in (BOOL, TRUTH):
            self.refuse(node, f"{value.kind} is neither true nor false here")
        return value.llvm

    # Variables and places.

    def variable(self, node: ast.AST, name: str, kind: Kind) -> Place:
        """Return a local variable of this kind, made where the rule begins if it is new."""
        if kind in (NOTHING, TRUTH):
            self.refuse(node, f"{kind} cannot be kept in a variable")
        if name not in self.variables:
            with self.builder.goto_entry_block():
                self.variables[name] = Place(kind, self.builder.alloca(kind.llvm))
        if self.variables[name].kind != kind:
            self.refuse(node, f"{name} is {self.variables[name].kind} elsewhere in this rule, and {kind} here")
        self.assigned.add(name)
        return self.variables[name]

    def load(self, place: Place) -> Value:
        """Return what is kept there."""
        value = self.marked(self.builder.load(place.pointer, typ=place.stored), place)
        if place.stored != place.kind.llvm:
            assert place.dtype
            lengthen = self.builder.zext if place.dtype.kind == "u" else self.builder.sext
            value = lengthen(value, WORD)
        return Value(place.kind, value)

    def store(self, place: Place, value: Value, node: ast.AST) -> None:
        """Keep a value there."""
        if value.kind != place.kind:
            self.refuse(node, f"this is {value.kind}, and {place.kind} is kept there")
        word = value.llvm
        if place.stored != place.kind.llvm:
            assert place.dtype
            word = self.shortened(word, place.stored, place.dtype.kind == "u", node)
        self.marked(self.builder.store(word, place.pointer), place)

    def shortened(self, word: Any, kind: ir.IntType, unsigned: bool, node: ast.AST) -> Any:
        """Return an int as a short one that it has to fit."""
        low, high = (0, (1 << kind.width) - 1) if unsigned else (-(1 << kind.width - 1), (1 << kind.width - 1) - 1)
        if isinstance(word, ir.Constant) and not low <= word.constant <= high:
            self.refuse(node, f"{word.constant} does not fit this field: {low} to {high}")
        if self.checked:
            at_least = self.builder.icmp_signed(">=", word, WORD(low))
            self.require(self.builder.and_(at_least, self.builder.icmp_signed("<=", word, WORD(high))))
        return self.builder.trunc(word, kind)

    def marked(self, instruction: Any, place: Place) -> Any:
        """Tell LLVM which place a load or store is about."""
        if place.name:
            instruction.set_metadata("tbaa", self.program.alias_tag(place.name))
        return instruction

    def constant_word(self, words: Any, index: int, kind: ir.Type) -> Any:
        """Return a word of the machine, which does not change while rules run."""
        word = self.builder.load(self.builder.gep(words, [WORD(index)], inbounds=True, source_etype=WORD), typ=kind)
        word.set_metadata("invariant.load", self.program.module.add_metadata([]))
        return word

    def offset(self, start: Any, by: Any) -> Any:
        """Return the address so many bytes behind another."""
        return self.builder.gep(start, [by], inbounds=True, source_etype=BYTE)

    def place(self, node: ast.expr) -> Place:
        """Return what an assignment's left side names."""
        match node:
            case ast.Name(name) if name in self.variables:
                if name not in self.assigned:
                    self.refuse(node, "it may have no value here")
                return self.variables[name]
            case ast.Attribute(of, name):
                return self.field(node, self.visit(of), name)
            case ast.Subscript(of, index):
                return self.entry(node, self.visit(of), index)
        self.refuse(node, "nothing can be kept there")

    def field(self, node: ast.expr, record: Value, name: str) -> Place:
        """Return the place of a field of a record."""
        table = record.kind.table
        if (
            record.kind.name != "record"
            or table is None
            or table.dtype.fields is None
            or name not in table.dtype.fields
        ):
            self.refuse(node, f"{record.kind} has no field {name}")
        dtype, start = table.dtype.fields[name][:2]
        kind = FLOAT if dtype.kind == "f" else INT
        return Place(kind, self.offset(record.llvm, WORD(start)), f"{table.name}.{name}", dtype)

    def entry(self, node: ast.expr, of: Value, index: ast.expr) -> Place:
        """Return the place of an entry of a table."""
        table = of.kind.table
        if of.kind.name != "table" or table is None:
            self.refuse(node, f"{of.kind} has no entries")
        number = self.expression(index, INT)
        self.require(self.builder.icmp_unsigned("<", number, self.constant_word(of.llvm, 1, WORD)))
        start = self.constant_word(of.llvm, 0, ADDRESS)
        pointer = self.offset(start, self.builder.mul(number, WORD(table.dtype.itemsize)))
        return Place(Kind("record", table) if table.record else INT, pointer, table.name, table.dtype)

    # What is known beforehand.

    def constant(self, node: ast.expr) -> Any:
        """Return the Python value of a literal or of a global name; None if it is neither."""
        match node:
            case ast.Tuple(elements):
                return tuple(self.constant(each) for each in elements)
            case ast.Name(name) if name not in self.rule.__code__.co_varnames:
                return self.rule.__globals__.get(name, getattr(builtins, name, None))
            case ast.Attribute(of, name) if isinstance(names := self.constant(of), EnumMeta):
                return names.__members__.get(name)
            case ast.Constant(value):
                return value
        return None

    def number(self, node: ast.expr) -> Value:
        """Translate a number: a literal, a global, a member of an enumeration."""
        match self.constant(node):
            case bool() as value:
                return Value(BOOL, BOOL.llvm(int(value)))
            case int() as value if LOWEST <= value <= HIGHEST:
                return Value(INT, WORD(int(value)))
            case int() as value:
                self.refuse(node, f"{value} needs more than 64 bits")
            case float() as value if math.isfinite(value):
                return Value(FLOAT, FLOAT.llvm(value))
        self.refuse(node, "this is no number, and nothing that has a value here")
