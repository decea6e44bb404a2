"""From the rules' Python to LLVM's language: the little Python that the rules are written in, and no more of it.

A value is an int of 64 bits, a bool, a float, a machine, one of its tables, or a record in one. What a parameter and a
result are, the rule's annotations say; a local variable is what is first assigned to it. A machine is the address of a
list of words: address and length of each table in turn. Nothing is checked when it runs: no index leaves its table, and
no int needs more than 64 bits.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple, NoReturn

from llvmlite import ir

from kvmlab.model.machine import Machine


@dataclass(frozen=True)
class Kind:
    """What a value is: one of those below, or a "table" or "record" of a certain table."""

    name: str
    table: str = ""
    entry: Any = None
    """The type of the table's entries, numpy's."""

    @property
    def llvm(self) -> ir.Type:
        """How LLVM sees it."""
        return LLVM_TYPES.get(self.name, ADDRESS)


WORD, ADDRESS = ir.IntType(64), ir.PointerType()
LLVM_TYPES = {
    "int": WORD,
    "bool": ir.IntType(1),
    "truth": ir.IntType(1),
    "float": ir.DoubleType(),
    "None": ir.VoidType(),
}
INT, BOOL, TRUTH, FLOAT, NONE, MACHINE = map(Kind, ("int", "bool", "truth", "float", "None", "machine"))
ANNOTATIONS = {"int": INT, "bool": BOOL, "float": FLOAT, "None": NONE, "Machine": MACHINE}
COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
OPERATIONS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.LShift: "shl", ast.RShift: "ashr", ast.BitAnd: "and_",
    ast.BitOr: "or_", ast.BitXor: "xor",
}  # fmt: skip
FLOAT_OPERATIONS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul"}


class Value(NamedTuple):
    """What an expression comes to."""

    kind: Kind
    llvm: Any


class Place(NamedTuple):
    """Where something is kept. `name`: no place of another name overlaps it, which LLVM may rely on."""

    kind: Kind
    pointer: Any
    name: str = ""
    entry: Any = None
    """How it is kept in a table: numpy's type."""

    @property
    def stored(self) -> ir.Type:
        """How LLVM sees what is kept: an int in a table may be a short one."""
        return ir.IntType(8 * self.entry.itemsize) if self.entry and self.kind == INT else self.kind.llvm


class Rule(NamedTuple):
    """A rule for parameters of certain kinds: its function in LLVM, what goes in and what comes out."""

    function: Any
    parameters: Sequence[Kind]
    result: Kind


class Program:
    """One rule and all that it calls, as one LLVM module."""

    def __init__(self, start: Callable[..., Any], layout: Machine) -> None:
        assert isinstance(start, FunctionType)
        self.module = ir.Module("kvmlab")
        self.tables = {name: Kind("table", name, entry) for name, entry in layout._asdict().items()}
        self.rules: dict[tuple[FunctionType, tuple[Kind, ...]], Rule] = {}
        self.untranslated: list[Translation] = []
        *parameters, _ = start.__annotations__.values()
        self.rule(start, tuple(ANNOTATIONS[each] for each in parameters)).function.linkage = "external"
        while self.untranslated:
            self.untranslated.pop().translate()

    def rule(self, python: FunctionType, given: tuple[Kind, ...]) -> Rule:
        """A rule for what it is given; what its annotations leave open, the tables, is a matter of the call."""
        *annotations, result = python.__annotations__.values()
        kinds = tuple(ANNOTATIONS.get(each, other) for each, other in zip(annotations, given, strict=True))
        if (python, kinds) not in self.rules:
            kind = ir.FunctionType(ANNOTATIONS[result].llvm, [each.llvm for each in kinds])
            function = ir.Function(self.module, kind, self.module.get_unique_name(python.__name__))
            function.linkage = "internal"
            function.attributes.add("nounwind")
            if hasattr(python, "seldom"):
                function.attributes.add("noinline")
                function.attributes.add("cold")
            head = self.rules[python, kinds] = Rule(function, kinds, ANNOTATIONS[result])
            self.untranslated.append(Translation(self, python, head))
        return self.rules[python, kinds]

    def alias_tag(self, name: str) -> Any:
        """LLVM's type-based alias mark for a place of this name; LLVM takes equal ones for one."""
        root = self.module.add_metadata(["kvmlab"])
        kind = self.module.add_metadata([name, root, ir.Constant(WORD, 0)])
        return self.module.add_metadata([kind, kind, ir.Constant(WORD, 0)])


class Translation(ast.NodeVisitor):
    """One rule on its way: statements write LLVM's, expressions return a `Value`."""

    def __init__(self, program: Program, rule: FunctionType, head: Rule) -> None:
        self.program, self.rule, self.head = program, rule, head
        self.builder = ir.IRBuilder(head.function.append_basic_block())
        self.variables: dict[str, Place] = {}
        self.loop_ends: list[Any] = []

    def translate(self) -> None:
        """Write the whole rule."""
        [tree] = ast.parse(inspect.getsource(self.rule)).body
        assert isinstance(tree, ast.FunctionDef)
        for name, kind, value in zip(tree.args.args, self.head.parameters, self.head.function.args, strict=True):
            self.store(self.variable(name.arg, kind), Value(kind, value))
        self.statements(tree.body)
        if not self.builder.block.is_terminated:
            self.builder.ret_void() if self.head.result == NONE else self.builder.unreachable()

    def generic_visit(self, node: ast.AST) -> NoReturn:
        """Whatever has no method here."""
        what = ast.unparse(node).splitlines()[0]
        raise NotImplementedError(f"{self.rule.__name__}: {what!r} is beyond what can be compiled (translate.py)")

    def statements(self, body: Iterable[ast.stmt]) -> None:
        """One after another, up to a return or break."""
        for statement in body:
            if not self.builder.block.is_terminated:
                self.visit(statement)

    # Values and places.

    def cast(self, value: Value, kind: Kind) -> Value:
        """An int as a bool or float, a bool as an int; the same kind as it is."""
        if value.kind == kind:
            return value
        if (value.kind, kind) == (TRUTH, BOOL):
            return Value(BOOL, value.llvm)
        if (value.kind, kind) == (BOOL, INT):
            return Value(INT, self.builder.zext(value.llvm, WORD))
        if (value.kind, kind) == (INT, BOOL):
            return Value(BOOL, self.builder.icmp_signed("!=", value.llvm, WORD(0)))
        if (value.kind, kind) == (INT, FLOAT):
            return Value(FLOAT, self.builder.sitofp(value.llvm, kind.llvm))
        raise NotImplementedError(f"{self.rule.__name__}: {value.kind.name} where {kind.name} should be")

    def as_kind(self, node: ast.expr, kind: Kind) -> Any:
        """What an expression comes to, as LLVM's value of that kind."""
        return self.cast(self.visit(node), kind).llvm

    def variable(self, name: str, kind: Kind) -> Place:
        """A local variable, made where the rule begins if it is new."""
        if name not in self.variables:
            with self.builder.goto_entry_block():
                self.variables[name] = Place(kind, self.builder.alloca(kind.llvm))
        return self.variables[name]

    def load(self, place: Place) -> Value:
        """What is kept there."""
        value = self.marked(self.builder.load(place.pointer, typ=place.stored), place)
        if place.stored != place.kind.llvm:
            lengthen = self.builder.zext if place.entry.kind == "u" else self.builder.sext
            value = lengthen(value, WORD)
        return Value(place.kind, value)

    def store(self, place: Place, value: Value) -> None:
        """Keep a value there."""
        word = self.cast(value, place.kind).llvm
        if place.stored != place.kind.llvm:
            word = self.builder.trunc(word, place.stored)
        self.marked(self.builder.store(word, place.pointer), place)

    def marked(self, instruction: Any, place: Place) -> Any:
        """Tell LLVM which place a load or store is about."""
        if place.name:
            instruction.set_metadata("tbaa", self.program.alias_tag(place.name))
        return instruction

    def constant_word(self, words: Any, index: int, kind: ir.Type) -> Any:
        """A word of the machine's list, which does not change while it runs."""
        word = self.builder.load(self.builder.gep(words, [WORD(index)], source_etype=WORD), typ=kind)
        word.set_metadata("invariant.load", self.program.module.add_metadata([]))
        return word

    def offset(self, start: Any, by: Any) -> Any:
        """The address so many bytes behind another."""
        return self.builder.gep(start, [by], source_etype=ir.IntType(8))

    def place(self, node: ast.expr) -> Place:
        """What an assignment's left side names."""
        if isinstance(node, ast.Name) and node.id in self.variables:
            return self.variables[node.id]
        if isinstance(node, ast.Attribute):
            record = self.visit(node.value)
            if record.kind.name == "record" and node.attr in record.kind.entry.fields:
                dtype, start = record.kind.entry.fields[node.attr][:2]
                kind = FLOAT if dtype.kind == "f" else INT
                name = f"{record.kind.table}.{node.attr}"
                return Place(kind, self.offset(record.llvm, WORD(start)), name, dtype)
        if isinstance(node, ast.Subscript):
            table = self.visit(node.value)
            if table.kind.name == "table":
                start = self.constant_word(table.llvm, 0, ADDRESS)
                by = self.builder.mul(self.as_kind(node.slice, INT), WORD(table.kind.entry.itemsize))
                kind = Kind("record", table.kind.table, table.kind.entry) if table.kind.entry.names else INT
                return Place(kind, self.offset(start, by), table.kind.table, table.kind.entry)
        return self.generic_visit(node)

    # Statements.

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call, or the docstring."""
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """``a = b``, or ``a, b = c, d``."""
        if len(node.targets) > 1:
            self.generic_visit(node)
        [target] = node.targets
        targets, sources = [target], [node.value]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            targets, sources = target.elts, node.value.elts
        for each, value in zip(targets, [self.visit(source) for source in sources], strict=True):
            place = self.variable(each.id, value.kind) if isinstance(each, ast.Name) else self.place(each)
            self.store(place, value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """``a += b``"""
        place = self.place(node.target)
        self.store(place, self.operation(node, self.load(place), self.visit(node.value)))

    def visit_If(self, node: ast.If) -> None:
        """``if``, ``elif``, ``else``"""
        with self.builder.if_else(self.as_kind(node.test, BOOL)) as (then, otherwise):
            with then:
                self.statements(node.body)
            with otherwise:
                self.statements(node.orelse)

    def loop(self, test: Callable[[], Any], body: Callable[[], None]) -> None:
        """Do `body` as long as `test`."""
        again, inside, end = (self.head.function.append_basic_block() for _ in range(3))
        self.builder.branch(again)
        self.builder.position_at_end(again)
        self.builder.cbranch(test(), inside, end)
        self.builder.position_at_end(inside)
        self.loop_ends.append(end)
        body()
        self.loop_ends.pop()
        if not self.builder.block.is_terminated:
            self.builder.branch(again)
        self.builder.position_at_end(end)

    def visit_While(self, node: ast.While) -> None:
        """``while``"""
        if node.orelse:
            self.generic_visit(node)
        self.loop(lambda: self.as_kind(node.test, BOOL), lambda: self.statements(node.body))

    def visit_For(self, node: ast.For) -> None:
        """``for i in range(n)``"""
        match node:
            case ast.For(ast.Name(name), ast.Call(ast.Name("range"), [last]), orelse=[]):
                end = self.as_kind(last, INT)
            case _:
                self.generic_visit(node)
        count = self.variable(f"next {name} of line {node.lineno}", INT)
        self.store(count, Value(INT, WORD(0)))

        def body() -> None:
            self.store(self.variable(name, INT), self.load(count))
            self.store(count, Value(INT, self.builder.add(self.load(count).llvm, WORD(1))))
            self.statements(node.body)

        self.loop(lambda: self.builder.icmp_signed("<", self.load(count).llvm, end), body)

    def visit_Break(self, node: ast.Break) -> None:
        """``break``"""
        self.builder.branch(self.loop_ends[-1])

    def visit_Return(self, node: ast.Return) -> None:
        """``return``"""
        if node.value is None:
            self.builder.ret_void()
        else:
            self.builder.ret(self.as_kind(node.value, self.head.result))

    # Expressions.

    def constant(self, node: ast.expr) -> Any:
        """The Python value of a literal or a module's constant; None if it is neither."""
        if isinstance(node, ast.Tuple):
            return tuple(self.constant(each) for each in node.elts)
        if isinstance(node, ast.Name) and node.id not in self.variables:
            return self.rule.__globals__.get(node.id)
        return node.value if isinstance(node, ast.Constant) else None

    def visit_Constant(self, node: ast.expr) -> Value:
        """A number."""
        value = self.constant(node)
        if not isinstance(value, int):
            self.generic_visit(node)
        kind = BOOL if isinstance(value, bool) else INT
        return Value(kind, kind.llvm(value))

    def visit_Name(self, node: ast.Name) -> Value:
        """A variable or a constant."""
        return self.load(self.variables[node.id]) if node.id in self.variables else self.visit_Constant(node)

    def visit_Attribute(self, node: ast.Attribute) -> Value:
        """A table of the machine, or a field of a record."""
        if node.attr in self.program.tables:
            machine = self.visit(node.value)
            if machine.kind == MACHINE:
                index = 2 * list(self.program.tables).index(node.attr)
                words = self.builder.gep(machine.llvm, [WORD(index)], source_etype=WORD)
                return Value(self.program.tables[node.attr], words)
        return self.load(self.place(node))

    def visit_Subscript(self, node: ast.Subscript) -> Value:
        """A number in a table; a record is its address."""
        place = self.place(node)
        return Value(place.kind, place.pointer) if place.kind.name == "record" else self.load(place)

    def operation(self, node: ast.BinOp | ast.AugAssign, a: Value, b: Value) -> Value:
        """Arithmetic: `//` and `%` round down, as Python's do; the rules divide by positive numbers only."""
        if FLOAT in (a.kind, b.kind):
            if type(node.op) not in FLOAT_OPERATIONS:
                self.generic_visit(node)
            build = getattr(self.builder, FLOAT_OPERATIONS[type(node.op)])
            return Value(FLOAT, build(self.cast(a, FLOAT).llvm, self.cast(b, FLOAT).llvm))
        x, y = self.cast(a, INT).llvm, self.cast(b, INT).llvm
        if type(node.op) in OPERATIONS:
            return Value(INT, getattr(self.builder, OPERATIONS[type(node.op)])(x, y))
        if not isinstance(node.op, ast.FloorDiv | ast.Mod):
            self.generic_visit(node)
        rest = self.builder.srem(x, y)
        too_high = self.builder.icmp_signed("<", rest, WORD(0))
        if isinstance(node.op, ast.Mod):
            return Value(INT, self.builder.add(rest, self.builder.select(too_high, y, WORD(0))))
        return Value(INT, self.builder.sub(self.builder.sdiv(x, y), self.builder.zext(too_high, WORD)))

    def visit_BinOp(self, node: ast.BinOp) -> Value:
        """``a + b``"""
        return self.operation(node, self.visit(node.left), self.visit(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Value:
        """``not a``, ``-a``"""
        if isinstance(node.op, ast.Not):
            return Value(BOOL, self.builder.not_(self.as_kind(node.operand, BOOL)))
        if isinstance(node.op, ast.USub):
            return Value(INT, self.builder.neg(self.as_kind(node.operand, INT)))
        return self.generic_visit(node)

    def choose(self, test: Any, yes: Callable[[], Value], no: Callable[[], Value]) -> Value:
        """The one value or the other; what leads to the other is not done."""
        with self.builder.if_else(test) as (then, otherwise):
            with then:
                a = yes()
                end_a = self.builder.block
            with otherwise:
                b = no()
                end_b = self.builder.block
        assert a.kind == b.kind, (self.rule.__name__, a.kind, b.kind)
        phi = self.builder.phi(a.kind.llvm)
        phi.add_incoming(a.llvm, end_a)
        phi.add_incoming(b.llvm, end_b)
        return Value(a.kind, phi)

    def visit_IfExp(self, node: ast.IfExp) -> Value:
        """``a if test else b``"""
        return self.choose(
            self.as_kind(node.test, BOOL), lambda: self.visit(node.body), lambda: self.visit(node.orelse)
        )

    def visit_BoolOp(self, node: ast.BoolOp) -> Value:
        """``a and b``, ``a or b``: of bools a bool; of ints, whether, since which of them it is would be lost."""
        kinds: set[Kind] = set()

        def truth(values: list[ast.expr]) -> Value:
            first, *rest = values
            value = self.visit(first)
            kinds.add(value.kind)
            test = self.cast(value, BOOL)
            if not rest:
                return test
            if isinstance(node.op, ast.And):
                return self.choose(test.llvm, lambda: truth(rest), lambda: Value(BOOL, BOOL.llvm(0)))
            return self.choose(test.llvm, lambda: Value(BOOL, BOOL.llvm(1)), lambda: truth(rest))

        result = truth(node.values)
        return result if kinds == {BOOL} else Value(TRUTH, result.llvm)

    def visit_Compare(self, node: ast.Compare) -> Value:
        """``a < b``, ``a in (1, 2)``"""
        if len(node.ops) > 1:
            self.generic_visit(node)
        [op], [right] = node.ops, node.comparators
        left = self.as_kind(node.left, INT)
        if isinstance(op, ast.In):
            equal = [self.builder.icmp_signed("==", left, WORD(each)) for each in self.constant(right)]
            return Value(BOOL, functools.reduce(self.builder.or_, equal))
        if type(op) not in COMPARISONS:
            self.generic_visit(node)
        return Value(BOOL, self.builder.icmp_signed(COMPARISONS[type(op)], left, self.as_kind(right, INT)))

    def visit_Call(self, node: ast.Call) -> Value:
        """A rule, or one of Python's own functions."""
        match node:
            case ast.Call(ast.Name("int" | "bool" | "float" as name), [argument]):
                return self.cast(self.visit(argument), Kind(name))
            case ast.Call(ast.Name("min" | "max" | "abs" as name), arguments):
                return self.extreme(name, [self.as_kind(each, INT) for each in arguments])
            case ast.Call(ast.Name("len"), [argument]) if (some := self.constant(argument)) is not None:
                return Value(INT, WORD(len(some)))
            case ast.Call(ast.Name("len"), [argument]):
                return Value(INT, self.constant_word(self.visit(argument).llvm, 1, WORD))
        called = self.constant(node.func)
        if not isinstance(called, FunctionType) or node.keywords:
            return self.generic_visit(node)
        given = [self.visit(each) for each in node.args]
        rule = self.program.rule(called, tuple(each.kind for each in given))
        values = [self.cast(each, kind).llvm for each, kind in zip(given, rule.parameters, strict=True)]
        return Value(rule.result, self.builder.call(rule.function, values))

    def extreme(self, name: str, values: list[Any]) -> Value:
        """The least or greatest of some ints, or one without its sign."""
        if name == "abs":
            values.append(self.builder.neg(values[0]))
        sign = "<" if name == "min" else ">"
        best = functools.reduce(lambda a, b: self.builder.select(self.builder.icmp_signed(sign, a, b), a, b), values)
        return Value(INT, best)
