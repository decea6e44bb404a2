"""Rules that hypothesis writes: statements over ints, bools and floats, tables, records, loops and calls."""

from __future__ import annotations

import ast
import itertools
import linecache
import re

from hypothesis import strategies as st

from kvmlab.model.records import Machine
from tests.engine.translated import LimitedInt

PLAIN_INTS = ("a", "b")
FIELDS = ("whole", "word", "flag")
LITERALS = (0, 1, 2, 3, 5, -1, -7, 63, 64, 127, 200, 1 << 31, (1 << 62) + 1, -(1 << 63) + 1)
serial = itertools.count()

HELPERS = """
def half(x: int) -> int:
    if x % 2 == 0:
        return x // 2
    return -x


def bump(m: Machine, i: int, by: int) -> bool:
    m.entries[i].whole += by
    return m.entries[i].whole > 0

"""


@st.composite
def int_expressions(draw, names, depth=2):
    """Text of an int."""
    kind = draw(st.sampled_from(("name", "literal", "small")) if depth == 0 else st.integers(0, 12))
    below = lambda: draw(int_expressions(names, depth - 1))  # noqa: E731
    truth = lambda: draw(bool_expressions(names, depth - 1))  # noqa: E731
    if kind in ("name", 0):
        return draw(st.sampled_from(names))
    if kind in ("literal", 1):
        return str(
            draw(st.sampled_from((0, 1, 2, 3, 5, -1, -7, 63, 64, 127, 200, 1 << 31, (1 << 62) + 1, -(1 << 63) + 1)))
        )
    if kind in ("small", 2):
        return str(draw(st.integers(0, 4)))
    if kind in (3, 4, 5):
        operator = draw(st.sampled_from(("+", "-", "*", "//", "%", "<<", ">>", "&", "|", "^")))
        right = draw(st.sampled_from(names) | st.integers(0, 63).map(str)) if operator in ("<<", ">>") else below()
        return f"({draw(st.sampled_from(names)) if operator == '<<' else below()} {operator} {right})"
    if kind == 6:
        return f"m.numbers[{below()}]"
    if kind == 7:
        return f"m.entries[{below()}].{draw(st.sampled_from(FIELDS))}"
    if kind == 8:
        return f"({below()} if {truth()} else {below()})"
    if kind == 9:
        return draw(st.sampled_from((f"min({below()}, {below()})", f"max({below()}, {below()}, 3)", f"abs({below()})")))
    if kind == 10:
        return draw(st.sampled_from((f"int({truth()})", f"half({below()})", "len(m.numbers)", f"-{below()}")))
    if kind == 11:
        return f"m.one.{draw(st.sampled_from(FIELDS))}"
    return f"int(m.entries[{below()}].real)"


@st.composite
def bool_expressions(draw, names, depth=2):
    """Text of a bool."""
    number = lambda: draw(int_expressions(names, max(0, depth - 1)))  # noqa: E731
    kind = draw(st.integers(0, 2 if depth == 0 else 6))
    if kind in (0, 1):
        return f"({number()} {draw(st.sampled_from(('<', '<=', '>', '>=', '==', '!=')))} {number()})"
    if kind == 2:
        return f"({number()} in (0, 1, 5))"
    truth = lambda: draw(bool_expressions(names, depth - 1))  # noqa: E731
    if kind in (3, 4):
        return f"({truth()} {'and' if kind == 3 else 'or'} {truth()})"
    if kind == 5:
        return draw(st.sampled_from((f"(not {truth()})", f"bool({number()})")))
    return f"bump(m, {number()}, 1)"


@st.composite
def statements(draw, names, depth, loops=0):
    """Lines of a block, and the names that have a value behind it."""
    lines, names = [], list(names)
    for _ in range(draw(st.integers(1, 4))):
        number = lambda names=tuple(names): draw(int_expressions(names))  # noqa: E731
        kind = draw(st.integers(0, 9 if depth else 6))
        if kind in (0, 1):
            name = draw(st.sampled_from(("x", "y", "z")))
            lines.append(f"{name} = {number()}")
            names.append(name)
        elif kind == 2:
            operator = draw(st.sampled_from(("+=", "-=", "^=", "*=")))
            lines.append(f"{draw(st.sampled_from(names))} {operator} {number()}")
        elif kind == 3:
            lines.append(f"m.numbers[{number()}] {draw(st.sampled_from(('=', '+=', '|=')))} {number()}")
        elif kind == 4:
            # Of a literal it is known beforehand whether it fits, and it would be refused.
            lines.append(f"m.entries[{number()}].{draw(st.sampled_from(FIELDS))} = {number()} + m.numbers[0]")
        elif kind == 5:
            lines.append(f"m.one.real = m.one.real {draw(st.sampled_from('+-*'))} float({number()})")
        elif kind == 6:
            lines.append(f"x, y = {number()}, {number()}")
            names += ["x", "y"]
        elif kind == 7:
            test = draw(bool_expressions(tuple(names)))
            yes, after_yes = draw(statements(names, depth - 1, loops))
            no, after_no = draw(statements(names, depth - 1, loops))
            lines += [f"if {test}:", *indented(yes), "else:", *indented(no)]
            names = [name for name in after_yes if name in after_no]
        elif kind == 8 and loops < 2:
            inside, _ = draw(statements([*names, f"i{loops}"], depth - 1, loops + 1))
            lines += [f"for i{loops} in range({draw(st.integers(0, 3))}):", *indented(inside)]
        elif kind == 9 and loops < 2:
            inside, _ = draw(statements(names, depth - 1, loops + 1))
            count = f"n{loops}"
            lines += [f"{count} = 0", f"while {count} < 3:", f"    {count} += 1", *indented(inside)]
            if draw(st.booleans()):
                lines += [f"    if {draw(bool_expressions(tuple(names)))}:", "        break"]
    return lines, names


def indented(lines):
    return [f"    {line}" for line in lines]


@st.composite
def rules(draw):
    """A function of a machine and two ints; its source can be inspected."""
    body, names = draw(statements(PLAIN_INTS, 2))
    lines = [
        "def rule(m: Machine, a: int, b: int) -> int:",
        *indented(body),
        f"    return {draw(int_expressions(tuple(names)))}",
    ]
    return compiled(HELPERS + "\n".join(lines) + "\n", "rule")


def compiled(text, name):
    """Run a module of rules; return the one of this name. `limited`: the same with `LimitedInt` for its literals."""
    file = f"<generated {next(serial)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module, limited = ({"Machine": Machine, "__name__": file, "LimitedInt": LimitedInt} for _ in range(2))
    exec(compile(text, file, "exec"), module)
    exec(compile(ast.fix_missing_locations(Limits().visit(ast.parse(text))), file, "exec"), limited)
    rule = module[name]
    rule.text, rule.limited = text, limited[name]
    return rule


class Limits(ast.NodeTransformer):
    """Makes every literal int a `LimitedInt`."""

    def visit_Constant(self, node):
        if type(node.value) is not int:
            return node
        return ast.Call(ast.Name("LimitedInt", ast.Load()), [node], [])


MUTATIONS = (
    (r"\b(int|bool|float)\(", "("),
    (r"(?<=[ (])\d+(?=[ ),])", "True"),
    (r"(?<=[ (])\d+(?=[ ),])", "1.5"),
    (r"(?<=[ (])\d+(?=[ ),])", "z"),
    (r" [-+*&] ", " / "),
    (r" [-+*&] ", " and "),
    (r" (<|>|==|!=) ", " or "),
    (r" (<|>|==|!=) ", " + "),
    (r"\b[xyz] = ", "m.one.flag = "),
    (r"\bx\b", "y"),
    (r"m\.one\b", "m.entries"),
    (r"\.(whole|word|flag)\b", ".real"),
    (r"min\(", "max("),
    (r"\babs\(", "half("),
)
"""What may make another program of one, most often one that is no rule."""


@st.composite
def mutated(draw):
    """A rule that hypothesis wrote, with one to three changes. Loops are left alone: they have to end."""
    lines = draw(rules()).text.splitlines()
    first = lines.index("def rule(m: Machine, a: int, b: int) -> int:") + 1
    free = [i for i in range(first, len(lines)) if not re.match(r"\s*(while|for|n\d|break|else)", lines[i])]
    for _ in range(draw(st.integers(1, 3))):
        pattern, replacement = draw(st.sampled_from(MUTATIONS))
        places = [(i, match.span()) for i in free for match in re.finditer(pattern, lines[i])]
        if places:
            i, (start, end) = draw(st.sampled_from(places))
            lines[i] = lines[i][:start] + replacement + lines[i][end:]
    return compiled("\n".join(lines) + "\n", "rule")
