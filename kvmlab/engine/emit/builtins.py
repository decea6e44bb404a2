"""Python's own functions that rules may call."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable
from typing import Any

from kvmlab.engine.emit.expressions import Expressions
from kvmlab.engine.emit.kinds import BOOL, FLOAT, INT, WORD, Value


class Builtins(Expressions):
    """One rule on its way: its calls of Python's own functions."""

    def call_builtin(self, node: ast.Call, called: Any) -> Value:
        """Translate a call of one of Python's own functions."""
        translate: Callable[[Builtins, ast.Call], Value] | None = TRANSLATIONS.get(called) if callable(called) else None
        if translate is None:
            self.refuse(node, "this is no rule, and not among Python's functions for rules")
        return translate(self, node)

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


TRANSLATIONS: dict[Callable[..., Any], Callable[[Builtins, ast.Call], Value]] = {
    int: Builtins.visit_int,
    bool: Builtins.visit_bool,
    float: Builtins.visit_float,
    len: Builtins.visit_len,
    abs: Builtins.visit_abs,
    min: functools.partial(Builtins.extreme, sign="<"),
    max: functools.partial(Builtins.extreme, sign=">"),
    round: functools.partial(Builtins.rounded, how="rint"),
    math.ceil: functools.partial(Builtins.rounded, how="ceil"),
}
