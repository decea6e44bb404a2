"""Expressions: each comes to a `Value`."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from llvmlite import ir

from kvmlab.engine.emit.kinds import ADDRESS, BOOL, FLOAT, HIGHEST, INT, LOWEST, MACHINE, TRUTH, WORD, Kind, Value
from kvmlab.engine.emit.places import Places

COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
ARITHMETIC = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
BITWISE = {ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor"}
FLOATING = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}


class Expressions(Places):
    """One rule on its way: its expressions."""

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
            self.refuse_wide_shift(node, x, y)
            return Value(INT, self.to_the_left(x, y) if op is ast.LShift else self.to_the_right(x, y))
        if op in (ast.FloorDiv, ast.Mod):
            return Value(INT, self.division(op, x, y))
        self.refuse(node, "not among the operators of rules")

    def refuse_wide_shift(self, node: ast.BinOp | ast.AugAssign, x: Any, y: Any) -> None:
        """Refuse what is known to go beyond 64 bits."""
        if not isinstance(y, ir.Constant):
            return
        if not 0 <= y.constant < 64:
            self.refuse(node, "by 0 to 63 places")
        known = isinstance(x, ir.Constant) and isinstance(node.op, ast.LShift)
        if known and not LOWEST <= x.constant << y.constant <= HIGHEST:
            self.refuse(node, "this needs more than 64 bits")

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
        return self.call(node, called) if isinstance(called, FunctionType) else self.call_builtin(node, called)

    def call_builtin(self, node: ast.Call, called: Any) -> Value:
        """Translate a call of one of Python's own functions."""
        raise NotImplementedError

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
