"""From the rules' Python to LLVM's language: the little Python that the rules are written in, and no more of it.

A value is an int of 64 bits, a bool, a float, a machine, one of its tables, or a record in one. What a parameter and a
result are, the rule's annotations say; a local variable is what is first assigned to it, and stays so. A machine is the
address of its words (`kvmlab.engine.layout`).

What would not mean the same as in Python is refused (`Untranslatable`: the rule, the line, the reason). What cannot be
known before a run is that no index leaves its table, that no int needs more than 64 bits, that what is stored fits its
field, and that no divisor is 0: a *checked* program traps where that is not so, and the tests run one.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import math
import operator
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import EnumMeta
from types import FunctionType
from typing import Any, NamedTuple, NoReturn, get_type_hints

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
COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
ARITHMETIC = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
BITWISE = {ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor"}
FLOATING = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}


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


def attributes(function: ir.Function, cold: bool) -> None:
    """Mark a function for LLVM."""
    function.linkage = "internal"
    for name in ("nounwind", "noinline", "cold") if cold else ("nounwind",):
        function.attributes.add(name)


class Program:
    """Some rules and all that they call, as one LLVM module."""

    def __init__(
        self, exported: Iterable[Callable[..., Any]], tables: Mapping[str, Table], *, checked: bool = False
    ) -> None:
        self.module = ir.Module("kvmlab")
        self.tables = {name: Kind("table", table) for name, table in tables.items()}
        self.checked = checked
        self.signatures: dict[tuple[FunctionType, tuple[Kind, ...]], Signature] = {}
        self.untranslated: list[Translation] = []
        for rule in exported:
            assert isinstance(rule, FunctionType)
            *parameters, _ = get_type_hints(rule).values()
            self.signature(rule, tuple(ANNOTATIONS[each] for each in parameters)).function.linkage = "external"
        while self.untranslated:
            self.untranslated.pop().translate()

    def signature(self, rule: FunctionType, given: tuple[Kind, ...]) -> Signature:
        """Return the rule for what it is given: which table a parameter is, its annotation leaves to the call."""
        *hints, result = get_type_hints(rule).values()
        kinds = tuple(ANNOTATIONS.get(hint, kind) for hint, kind in zip(hints, given, strict=True))
        if (rule, kinds) not in self.signatures:
            kind = ir.FunctionType(ANNOTATIONS[result].llvm, [each.llvm for each in kinds])
            function = ir.Function(self.module, kind, self.module.get_unique_name(rule.__name__))
            attributes(function, hasattr(rule, "cold"))
            self.signatures[rule, kinds] = signature = Signature(function, kinds, ANNOTATIONS[result])
            self.untranslated.append(Translation(self, rule, signature))
        return self.signatures[rule, kinds]

    def __str__(self) -> str:
        """LLVM's language. Without jump tables: tables of answers would be data, and a linker would be needed."""
        return str(self.module).replace(" nounwind", ' nounwind "no-jump-tables"="true"')

    def alias_tag(self, name: str) -> Any:
        """Return LLVM's type-based alias mark for a place of this name; LLVM takes equal ones for one."""
        root = self.module.add_metadata(["kvmlab"])
        kind = self.module.add_metadata([name, root, ir.Constant(WORD, 0)])
        return self.module.add_metadata([kind, kind, ir.Constant(WORD, 0)])

    def intrinsic(self, name: str, result: ir.Type, *parameters: ir.Type) -> Any:
        """Return one of LLVM's own functions, declared once."""
        found = self.module.globals.get(name)
        return found or ir.Function(self.module, ir.FunctionType(result, parameters), name)


@dataclass
class Translation(ast.NodeVisitor):
    """One rule on its way: statements write LLVM's, expressions return a `Value`."""

    program: Program
    rule: FunctionType
    signature: Signature
    variables: dict[str, Place] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    """Variables that have a value wherever the translation has come to."""
    loop_ends: list[Any] = field(default_factory=list)

    def translate(self) -> None:
        """Write the whole rule."""
        self.builder = ir.IRBuilder(self.signature.function.append_basic_block())
        lines, self.first_line = inspect.getsourcelines(self.rule)
        [tree] = ast.parse(textwrap.dedent("".join(lines))).body
        assert isinstance(tree, ast.FunctionDef)
        if tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs or tree.args.posonlyargs or tree.args.defaults:
            self.refuse(tree, "a rule has plain parameters without defaults")
        arguments = zip(tree.args.args, self.signature.parameters, self.signature.function.args, strict=True)
        for name, kind, value in arguments:
            self.store(self.variable(name, name.arg, kind), Value(kind, value), name)
        self.statements(tree.body)
        if not self.builder.block.is_terminated:
            if self.signature.result != NOTHING:
                self.refuse(tree, "it may end without a result")
            self.builder.ret_void()

    def refuse(self, node: ast.AST, reason: str) -> NoReturn:
        """Raise Untranslatable with the rule, the line and the reason."""
        line = self.first_line + getattr(node, "lineno", 1) - 1
        text = ast.unparse(node).splitlines()[0]
        raise Untranslatable(f"{self.rule.__module__}, line {line}, {self.rule.__name__}: {text!r}: {reason}")

    def generic_visit(self, node: ast.AST) -> NoReturn:
        """Reject syntax that has no visitor."""
        self.refuse(node, f"{type(node).__name__} is not among what rules are written in")

    def statements(self, body: Iterable[ast.stmt]) -> None:
        """Translate one after another, up to a return or break."""
        for statement in body:
            if self.builder.block.is_terminated:
                self.refuse(statement, "this is never reached")
            self.visit(statement)

    # Checks at run time.

    def require(self, holds: Any) -> None:
        """Trap unless `holds`; only in a checked program."""
        if self.program.checked:
            with self.builder.if_then(self.builder.not_(holds), likely=False):
                self.builder.call(self.program.intrinsic("llvm.trap", ir.VoidType()), [])
                self.builder.unreachable()

    def require_no_overflow(self, name: str, x: Any, y: Any) -> None:
        """Trap if x + y, x - y or x * y needs more than 64 bits."""
        if not self.program.checked:
            return
        if name == "mul":
            self.require(self.product_fits(x, y))
            return
        # The sign of the result is wrong exactly if y moved it the wrong way.
        result = getattr(self.builder, name)(x, y)
        compare = self.builder.icmp_signed
        up = compare(">=" if name == "add" else "<=", y, WORD(0))
        self.require(self.builder.select(up, compare(">=", result, x), compare("<", result, x)))

    def product_fits(self, x: Any, y: Any) -> Any:
        """Return whether x * y fits 64 bits, by division: LLVM's own check calls a function that is not there."""

        def size(value: Any) -> Any:
            below = self.builder.icmp_signed("<", value, WORD(0))
            return self.builder.select(below, self.builder.neg(value), value)

        opposite = self.builder.icmp_signed("<", self.builder.xor(x, y), WORD(0))
        most = self.builder.select(opposite, WORD(LOWEST), WORD(HIGHEST))
        no_factor = self.builder.icmp_signed("==", y, WORD(0))
        limit = self.builder.udiv(most, self.builder.select(no_factor, WORD(1), size(y)))
        return self.builder.or_(no_factor, self.builder.icmp_unsigned("<=", size(x), limit))

    # Values and places.

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
        if self.program.checked:
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
        word = self.builder.load(self.builder.gep(words, [WORD(index)], source_etype=WORD), typ=kind)
        word.set_metadata("invariant.load", self.program.module.add_metadata([]))
        return word

    def offset(self, start: Any, by: Any) -> Any:
        """Return the address so many bytes behind another."""
        return self.builder.gep(start, [by], source_etype=BYTE)

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

    # Statements.

    def visit_Expr(self, node: ast.Expr) -> None:
        """Translate a call; pass over the docstring."""
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Translate ``a = b``, and ``a, b = c, d``."""
        if len(node.targets) > 1:
            self.refuse(node, "one target at a time")
        targets, sources = node.targets, [node.value]
        if isinstance(node.targets[0], ast.Tuple):
            if not isinstance(node.value, ast.Tuple) or len(node.targets[0].elts) != len(node.value.elts):
                self.refuse(node, "a tuple needs a tuple of the same length")
            targets, sources = node.targets[0].elts, node.value.elts
        for target, value in zip(targets, [self.visit(source) for source in sources], strict=True):
            self.assign(target, value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Translate ``a: int = b``."""
        annotated = ANNOTATIONS.get(self.constant(node.annotation))
        if node.value is None or annotated is None:
            self.refuse(node, "only int, bool and float, with a value")
        value = self.visit(node.value)
        if value.kind != annotated:
            self.refuse(node, f"this is {value.kind}")
        self.assign(node.target, value)

    def assign(self, target: ast.expr, value: Value) -> None:
        """Keep a value in a variable or a place."""
        is_name = isinstance(target, ast.Name)
        place = self.variable(target, target.id, value.kind) if is_name else self.place(target)  # type: ignore[attr-defined]
        self.store(place, value, target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Translate ``a += b``."""
        place = self.place(node.target)
        self.store(place, self.operation(node, self.load(place), self.visit(node.value)), node)

    def branch(self, body: Callable[[], Any]) -> set[str] | None:
        """Translate what may be passed over; return the variables that have a value at its end, None if it has none."""
        before = set(self.assigned)
        body()
        after = None if self.builder.block.is_terminated else self.assigned
        self.assigned = before
        return after

    def visit_If(self, node: ast.If) -> None:
        """Translate ``if``, ``elif``, ``else``."""
        with self.builder.if_else(self.truth(node.test)) as (then, otherwise):
            with then:
                first = self.branch(lambda: self.statements(node.body))
            with otherwise:
                second = self.branch(lambda: self.statements(node.orelse))
        ends = [end for end in (first, second) if end is not None]
        if ends:
            self.assigned = functools.reduce(operator.and_, ends)
        else:
            self.builder.unreachable()

    def loop(self, test: Callable[[], Any], body: Callable[[], None]) -> None:
        """Do `body` as long as `test`."""
        again, inside, end = (self.signature.function.append_basic_block() for _ in range(3))
        self.builder.branch(again)
        self.builder.position_at_end(again)
        self.builder.cbranch(test(), inside, end)
        self.builder.position_at_end(inside)
        self.loop_ends.append(end)
        self.branch(body)
        self.loop_ends.pop()
        if not self.builder.block.is_terminated:
            self.builder.branch(again)
        self.builder.position_at_end(end)

    def visit_While(self, node: ast.While) -> None:
        """Translate ``while``."""
        if node.orelse:
            self.refuse(node, "no else after a loop")
        self.loop(lambda: self.truth(node.test), lambda: self.statements(node.body))

    def visit_For(self, node: ast.For) -> None:
        """Translate ``for i in range(n)``."""
        match node:
            case ast.For(ast.Name(name), ast.Call(function, [last], []), orelse=[]) if self.constant(function) is range:
                end = self.expression(last, INT)
            case _:
                self.refuse(node, "only for i in range(n)")
        count = self.variable(node, f"next {name} of line {node.lineno}", INT)
        self.store(count, Value(INT, WORD(0)), node)

        def body() -> None:
            self.store(self.variable(node, name, INT), self.load(count), node)
            self.store(count, Value(INT, self.builder.add(self.load(count).llvm, WORD(1))), node)
            self.statements(node.body)

        self.loop(lambda: self.builder.icmp_signed("<", self.load(count).llvm, end), body)

    def visit_Break(self, node: ast.Break) -> None:
        """Translate ``break``."""
        self.builder.branch(self.loop_ends[-1])

    def visit_Return(self, node: ast.Return) -> None:
        """Translate ``return``."""
        result = self.signature.result
        if node.value is None and result == NOTHING:
            self.builder.ret_void()
        elif node.value is None:
            self.refuse(node, f"{result} is to be returned")
        else:
            self.builder.ret(self.expression(node.value, result))

    # Expressions.

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

    def visit_Constant(self, node: ast.Constant) -> Value:
        """Translate a literal."""
        return self.number(node)

    def visit_Name(self, node: ast.Name) -> Value:
        """Translate a variable or a global."""
        if node.id in self.variables or node.id in self.rule.__code__.co_varnames:
            return self.load(self.place(node))
        return self.number(node)

    def visit_Attribute(self, node: ast.Attribute) -> Value:
        """Translate a table of the machine, a field of a record, or a member of an enumeration."""
        if self.constant(node) is not None:
            return self.number(node)
        of = self.visit(node.value)
        if of.kind != MACHINE:
            return self.load(self.field(node, of, node.attr))
        if node.attr not in self.program.tables:
            self.refuse(node, f"a machine has no table {node.attr}")
        kind = self.program.tables[node.attr]
        index = 2 * list(self.program.tables).index(node.attr)
        words = self.builder.gep(of.llvm, [WORD(index)], source_etype=WORD)
        if kind.table and kind.table.single:
            return Value(Kind("record", kind.table), self.constant_word(words, 0, ADDRESS))
        return Value(kind, words)

    def visit_Subscript(self, node: ast.Subscript) -> Value:
        """Translate an entry of a table; a record is its address."""
        place = self.place(node)
        return Value(place.kind, place.pointer) if place.kind.name == "record" else self.load(place)

    def operation(self, node: ast.BinOp | ast.AugAssign, a: Value, b: Value) -> Value:
        """Translate arithmetic on two ints or two floats."""
        op = type(node.op)
        if (a.kind, b.kind) == (FLOAT, FLOAT) and op in FLOATING:
            if op is ast.Div:
                self.require(self.builder.fcmp_ordered("!=", b.llvm, FLOAT.llvm(0.0)))
            return Value(FLOAT, getattr(self.builder, FLOATING[op])(a.llvm, b.llvm))
        if (a.kind, b.kind) != (INT, INT):
            self.refuse(node, f"{a.kind} and {b.kind}: only two ints, or two floats")
        x, y = a.llvm, b.llvm
        if op in ARITHMETIC:
            self.require_no_overflow(ARITHMETIC[op], x, y)
            return Value(INT, getattr(self.builder, ARITHMETIC[op])(x, y))
        if op in BITWISE:
            return Value(INT, getattr(self.builder, BITWISE[op])(x, y))
        if op in (ast.LShift, ast.RShift):
            return Value(INT, self.shift(node, x, y))
        if op in (ast.FloorDiv, ast.Mod):
            return Value(INT, self.division(op, x, y))
        self.refuse(node, "not among the operators of rules")

    def shift(self, node: ast.BinOp | ast.AugAssign, x: Any, y: Any) -> Any:
        """Translate a shift. To the right, 64 places and more leave what 63 leave."""
        fits = self.builder.icmp_unsigned("<", y, WORD(64))
        if isinstance(y, ir.Constant) and not 0 <= y.constant < 64:
            self.refuse(node, "by 0 to 63 places")
        if isinstance(node.op, ast.RShift):
            self.require(self.builder.icmp_signed(">=", y, WORD(0)))
            return self.builder.ashr(x, self.builder.select(fits, y, WORD(63)))
        if (
            isinstance(x, ir.Constant)
            and isinstance(y, ir.Constant)
            and not LOWEST <= x.constant << y.constant <= HIGHEST
        ):
            self.refuse(node, "this needs more than 64 bits")
        result = self.builder.shl(x, y)
        if self.program.checked:
            self.require(self.builder.and_(fits, self.builder.icmp_signed("==", self.builder.ashr(result, y), x)))
        return result

    def division(self, op: type[ast.operator], x: Any, y: Any) -> Any:
        """Translate ``//`` and ``%``, which round down where LLVM's round towards zero."""
        compare = self.builder.icmp_signed
        self.require(compare("!=", y, WORD(0)))
        if self.program.checked:
            self.require(
                self.builder.not_(self.builder.and_(compare("==", x, WORD(LOWEST)), compare("==", y, WORD(-1))))
            )
        rest = self.builder.srem(x, y)
        opposite = compare("<", self.builder.xor(rest, y), WORD(0))
        off = self.builder.and_(compare("!=", rest, WORD(0)), opposite)
        if op is ast.Mod:
            return self.builder.add(rest, self.builder.select(off, y, WORD(0)))
        return self.builder.sub(self.builder.sdiv(x, y), self.builder.zext(off, WORD))

    def visit_BinOp(self, node: ast.BinOp) -> Value:
        """Translate ``a + b``."""
        return self.operation(node, self.visit(node.left), self.visit(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Value:
        """Translate ``not a``, ``-a``."""
        if isinstance(node.op, ast.Not):
            return Value(BOOL, self.builder.not_(self.truth(node.operand)))
        if not isinstance(node.op, ast.USub):
            self.refuse(node, "not among the operators of rules")
        value = self.visit(node.operand)
        if value.kind == FLOAT:
            return Value(FLOAT, self.builder.fneg(value.llvm))
        if value.kind != INT:
            self.refuse(node, f"the negative of {value.kind}")
        if isinstance(value.llvm, ir.Constant):
            return Value(INT, WORD(-value.llvm.constant))
        return Value(INT, self.negative(value.llvm))

    def negative(self, x: Any) -> Any:
        """Return -x."""
        self.require(self.builder.icmp_signed("!=", x, WORD(LOWEST)))
        return self.builder.neg(x)

    def choose(self, node: ast.expr, test: Any, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """Return the one value or the other; what leads to the other is not done."""
        with self.builder.if_else(test) as (then, otherwise):
            with then:
                a = yes()
                end_a = self.builder.block
            with otherwise:
                b = no()
                end_b = self.builder.block
        if a.kind != b.kind:
            self.refuse(node, f"{a.kind} or {b.kind}")
        phi = self.builder.phi(a.kind.llvm)
        phi.add_incoming(a.llvm, end_a)
        phi.add_incoming(b.llvm, end_b)
        return Value(a.kind, phi)

    def visit_IfExp(self, node: ast.IfExp) -> Value:
        """Translate ``a if test else b``."""
        return self.choose(node, self.truth(node.test), lambda: self.visit(node.body), lambda: self.visit(node.orelse))

    def visit_BoolOp(self, node: ast.BoolOp) -> Value:
        """Translate ``a and b``, ``a or b``: of bools a bool, of ints only whether it is true."""
        kinds: set[Kind] = set()

        def truth(values: list[ast.expr]) -> Value:
            first, *rest = values
            value = self.visit(first)
            kinds.add(value.kind)
            test = self.builder.icmp_signed("!=", value.llvm, WORD(0)) if value.kind == INT else value.llvm
            if value.kind not in (INT, BOOL, TRUTH):
                self.refuse(first, f"{value.kind} is neither true nor false here")
            if not rest:
                return Value(BOOL, test)
            if isinstance(node.op, ast.And):
                return self.choose(node, test, lambda: truth(rest), lambda: Value(BOOL, BOOL.llvm(0)))
            return self.choose(node, test, lambda: Value(BOOL, BOOL.llvm(1)), lambda: truth(rest))

        result = truth(node.values)
        return result if kinds == {BOOL} else Value(TRUTH, result.llvm)

    def visit_Compare(self, node: ast.Compare) -> Value:
        """Translate ``a < b``, ``a in (1, 2)``."""
        if len(node.ops) > 1:
            self.refuse(node, "one comparison at a time")
        [op], [right] = node.ops, node.comparators
        left = self.visit(node.left)
        if isinstance(op, ast.In) and left.kind == INT and isinstance(right, ast.Tuple) and right.elts:
            numbers = [self.number(each) for each in right.elts]
            if {number.kind for number in numbers} != {INT}:
                self.refuse(node, "only in a tuple of ints")
            equal = [self.builder.icmp_signed("==", left.llvm, number.llvm) for number in numbers]
            return Value(BOOL, functools.reduce(self.builder.or_, equal))
        if type(op) not in COMPARISONS or left.kind not in (INT, FLOAT):
            self.refuse(node, "not among the comparisons of rules")
        compare = self.builder.icmp_signed if left.kind == INT else self.builder.fcmp_ordered
        if left.kind == FLOAT and isinstance(op, ast.NotEq):
            compare = self.builder.fcmp_unordered  # what is not a number is unequal to everything
        return Value(BOOL, compare(COMPARISONS[type(op)], left.llvm, self.expression(right, left.kind)))

    def visit_Call(self, node: ast.Call) -> Value:
        """Translate a call of a rule, or of one of Python's own functions."""
        called = self.constant(node.func)
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            self.refuse(node, "by position only")
        if isinstance(called, FunctionType):
            return self.call(node, called)
        translate: Callable[[Translation, ast.Call], Value] | None = BUILTINS.get(called) if callable(called) else None
        if translate is None:
            self.refuse(node, "this is no rule, and not among Python's functions for rules")
        return translate(self, node)

    def call(self, node: ast.Call, called: FunctionType) -> Value:
        """Translate a call of a rule."""
        given = [self.visit(each) for each in node.args]
        if len(given) != called.__code__.co_argcount:
            self.refuse(node, f"{called.__name__} takes {called.__code__.co_argcount} arguments")
        signature = self.program.signature(called, tuple(each.kind for each in given))
        for argument, value, kind in zip(node.args, given, signature.parameters, strict=True):
            if value.kind != kind:
                self.refuse(argument, f"this is {value.kind}, where {called.__name__} takes {kind}")
        return Value(signature.result, self.builder.call(signature.function, [each.llvm for each in given]))

    # Python's own functions.

    def argument(self, node: ast.Call) -> Value:
        """Translate the only argument of a call."""
        if len(node.args) != 1:
            self.refuse(node, "one argument")
        value: Value = self.visit(node.args[0])
        return value

    def visit_int(self, node: ast.Call) -> Value:
        """Translate ``int(a)``."""
        value = self.argument(node)
        if value.kind == FLOAT:
            return Value(INT, self.whole(value.llvm))
        if value.kind not in (INT, BOOL):
            self.refuse(node, f"of {value.kind}")
        return value if value.kind == INT else Value(INT, self.builder.zext(value.llvm, WORD))

    def visit_bool(self, node: ast.Call) -> Value:
        """Translate ``bool(a)``."""
        if len(node.args) != 1:
            self.refuse(node, "one argument")
        return Value(BOOL, self.truth(node.args[0]))

    def visit_float(self, node: ast.Call) -> Value:
        """Translate ``float(a)``."""
        value = self.argument(node)
        if value.kind == FLOAT:
            return value
        if value.kind != INT:
            self.refuse(node, f"of {value.kind}")
        return Value(FLOAT, self.builder.sitofp(value.llvm, FLOAT.llvm))

    def whole(self, x: Any) -> Any:
        """Return a float without what stands behind its point."""
        bound = FLOAT.llvm(float(1 << 63))
        at_least = self.builder.fcmp_ordered(">=", x, FLOAT.llvm(-float(1 << 63)))
        self.require(self.builder.and_(at_least, self.builder.fcmp_ordered("<", x, bound)))
        return self.builder.fptosi(x, WORD)

    def rounded(self, node: ast.Call, how: str) -> Value:
        """Translate ``round(a)`` (halves to the even number, as LLVM's rint does) and ``ceil(a)`` of a float."""
        value = self.argument(node)
        if value.kind != FLOAT:
            self.refuse(node, f"of {value.kind}")
        function = self.program.intrinsic(f"llvm.{how}.f64", FLOAT.llvm, FLOAT.llvm)
        return Value(INT, self.whole(self.builder.call(function, [value.llvm])))

    def visit_len(self, node: ast.Call) -> Value:
        """Translate ``len(a)`` of a table, or of what is known before."""
        known = self.constant(node.args[0]) if len(node.args) == 1 else None
        if known is not None:
            return Value(INT, WORD(len(known)))
        table = self.argument(node)
        if table.kind.name != "table":
            self.refuse(node, f"{table.kind} has no length")
        return Value(INT, self.constant_word(table.llvm, 1, WORD))

    def visit_abs(self, node: ast.Call) -> Value:
        """Translate ``abs(a)``."""
        value = self.argument(node)
        if value.kind != INT:
            self.refuse(node, f"of {value.kind}")
        below = self.builder.icmp_signed("<", value.llvm, WORD(0))
        return Value(INT, self.builder.select(below, self.negative(value.llvm), value.llvm))

    def extreme(self, node: ast.Call, sign: str) -> Value:
        """Translate ``min(a, b)`` and ``max(a, b)``."""
        if len(node.args) < 2:
            self.refuse(node, "two arguments or more")
        values = [self.expression(each, INT) for each in node.args]
        best = functools.reduce(lambda a, b: self.builder.select(self.builder.icmp_signed(sign, b, a), b, a), values)
        return Value(INT, best)


BUILTINS: dict[Callable[..., Any], Callable[[Translation, ast.Call], Value]] = {
    int: Translation.visit_int,
    bool: Translation.visit_bool,
    float: Translation.visit_float,
    len: Translation.visit_len,
    abs: Translation.visit_abs,
    min: functools.partial(Translation.extreme, sign="<"),
    max: functools.partial(Translation.extreme, sign=">"),
    round: functools.partial(Translation.rounded, how="rint"),
    math.ceil: functools.partial(Translation.rounded, how="ceil"),
}
