"""Where Python text can be changed so that it means something else: operators, constants, conditions, branches, calls.

A `Mutant` is one small change of one file. Each parses, and differs from the original in its syntax tree; whether a
test notices is what `tools.mutants` asks.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mult,),
    ast.Div: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
"""What stands in for an operator."""
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "int", "round": "int"}
"""What stands in for a function."""
NOTHING = ast.Assign([ast.Name("nothing")], ast.Constant(0))
"""What stands in for a statement: unlike `pass`, a rule may hold it."""


@dataclass(frozen=True)
class Mutant:
    """One change."""

    file: str
    """Path of the file, from the project's folder."""
    line: int
    """Where, from 1."""
    what: str
    """Its type: operator, constant, condition, branch, call, or statement."""
    old: str
    """The text that is replaced, on one line."""
    new: str
    """What stands there instead."""
    text: str
    """The whole file with the change."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.old}  ->  {self.new}"


def instead(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the kinds of change, and the nodes that may stand in for one expression or statement."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in OPERATORS.get(type(operator), ()):
                changed = copy.deepcopy(node)
                changed.ops[i] = other()  # type: ignore[call-overload]
                yield "operator", changed
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        for other in OPERATORS.get(type(node.op), ()):
            changed_op = copy.deepcopy(node)
            changed_op.op = other()  # type: ignore[assignment]
            yield "operator", changed_op
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "operator", node.operand
    elif isinstance(node, ast.Constant):
        yield from (("constant", ast.Constant(value)) for value in other_constants(node.value))
    elif isinstance(node, ast.IfExp):
        yield "branch", ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield "call", ast.Call(ast.Name(CALLS[node.func.id]), node.args, node.keywords)
    elif is_deed(node):
        yield "statement", copy.deepcopy(NOTHING)


def is_deed(node: ast.AST) -> bool:
    """Return True for a statement that is only a call, or stores into a field or an entry: it can be left out."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def other_constants(value: object) -> Iterator[bool | int | float]:
    """Yield what stands in for a constant; nothing for a text or None."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value * 2, value + 1)


def meaningful(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is in it, without annotations, decorators, imports and what only a type checker runs."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.AST) and not isinstance(child, ast.Import | ast.ImportFrom):
                yield from meaningful(child)


def mutants(file: str, text: str) -> list[Mutant]:
    """Return every mutant of a file's text, in the order of the text."""
    tree = ast.parse(text)
    original = ast.dump(tree)
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in meaningful(tree):
        tests = [("condition", node.test)] if isinstance(node, ast.If | ast.IfExp | ast.Assert) else []
        changes = [(what, node, other) for what, other in instead(node)]
        changes += [(what, test, ast.UnaryOp(ast.Not(), test)) for what, test in tests]
        for what, old, new in changes:
            place = slice(*(starts[line - 1] + column for line, column in ends(old)))
            new_text = ast.unparse(ast.fix_missing_locations(new))
            written = new_text if isinstance(new, ast.stmt) else f"({new_text})"
            raw = text.encode()
            changed = (raw[: place.start] + written.encode() + raw[place.stop :]).decode()
            if differs(original, changed):
                old_text = " ".join(raw[place].decode().split())
                found.append(Mutant(file, ends(old)[0][0], what, old_text, new_text, changed))
    return sorted(found, key=lambda each: each.line)


def ends(node: ast.AST) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where the text of an expression or statement begins and ends: line, from 1, and column in bytes."""
    assert isinstance(node, ast.expr | ast.stmt)
    return (node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or 0)


def differs(original: str, text: str) -> bool:
    """Return True for text that parses into another tree than `original` (as ast.dump shows it)."""
    try:
        return ast.dump(ast.parse(text)) != original
    except SyntaxError:
        return False
