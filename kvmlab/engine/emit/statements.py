"""Statements, and with them whole rules."""

from __future__ import annotations

import ast
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, NoReturn

from kvmlab.engine.emit.builtins import Builtins
from kvmlab.engine.emit.kinds import ANNOTATIONS, INT, NOTHING, WORD, Home, Signature, Value


class Translation(Builtins):
    """One rule on its way, as a whole."""

    def __init__(self, program: Home, rule: FunctionType, signature: Signature) -> None:
        super().__init__(program, rule, signature)
        self.loop_ends: list[Any] = []

    def translate(self) -> None:
        """Write the whole rule."""
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

    def generic_visit(self, node: ast.AST) -> NoReturn:
        """Reject syntax that has no visitor."""
        self.refuse(node, f"{type(node).__name__} is not among what rules are written in")

    def statements(self, body: Iterable[ast.stmt]) -> None:
        """Translate one after another, up to a return or break."""
        for statement in body:
            if self.builder.block.is_terminated:
                self.refuse(statement, "this is never reached")
            self.visit(statement)

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
