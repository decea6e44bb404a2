"""Rules that hypothesis writes: statements over ints, bools and floats, tables, records, loops and calls."""

from __future__ import annotations

import ast
import functools
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


# A strategy is made once, not where it is drawn: looking into a new one takes hypothesis longer than the draw.
one_of = functools.cache(st.sampled_from)
up_to = functools.cache(lambda most: st.integers(0, most))
few_lines = st.integers(1, 4)
shifts = st.integers(0, 63).map(str)


@functools.cache
def shifted_by(names):
    """Draw what an int is shifted by: one of these names, or a number."""
    return one_of(names) | shifts


@functools.cache
@st.composite
def int_expressions(draw, names, depth=2):
    """Text of an int."""
    kind = draw(one_of(("name", "literal", "small")) if depth == 0 else up_to(12))
    below = lambda: draw(int_expressions(names, depth - 1))  # noqa: E731
    truth = lambda: draw(bool_expressions(names, depth - 1))  # noqa: E731
    if kind in ("name", 0):
        return draw(one_of(names))
    if kind in ("literal", 1):
        return str(draw(one_of(LITERALS)))
    if kind in ("small", 2):
        return str(draw(up_to(4)))
    if kind in (3, 4, 5):
        operator = draw(one_of(("+", "-", "*", "//", "%", "<<", ">>", "&", "|", "^")))
        right = draw(shifted_by(names)) if operator in ("<<", ">>") else below()
        return f"({draw(one_of(names)) if operator == '<<' else below()} {operator} {right})"
    if kind == 6:
        return f"m.numbers[{below()}]"
    if kind == 7:
        return f"m.entries[{below()}].{draw(one_of(FIELDS))}"
    if kind == 8:
        return f"({below()} if {truth()} else {below()})"
    if kind == 9:
        form = draw(one_of(("min({}, {})", "max({}, {}, 3)", "abs({})")))
        return form.format(*(below() for _ in range(form.count("{}"))))
    if kind == 10:
        form = draw(one_of(("int({})", "half({})", "len(m.numbers)", "-{}")))
        return form.format(truth() if form == "int({})" else below()) if "{}" in form else form
    if kind == 11:
        return f"m.one.{draw(one_of(FIELDS))}"
    return f"int(m.entries[{below()}].real)"


@functools.cache
@st.composite
def bool_expressions(draw, names, depth=2):
    """Text of a bool."""
    number = lambda: draw(int_expressions(names, max(0, depth - 1)))  # noqa: E731
    kind = draw(up_to(2 if depth == 0 else 6))
    if kind in (0, 1):
        return f"({number()} {draw(one_of(('<', '<=', '>', '>=', '==', '!=')))} {number()})"
    if kind == 2:
        return f"({number()} in (0, 1, 5))"
    truth = lambda: draw(bool_expressions(names, depth - 1))  # noqa: E731
    if kind in (3, 4):
        return f"({truth()} {'and' if kind == 3 else 'or'} {truth()})"
    if kind == 5:
        return f"(not {truth()})" if draw(st.booleans()) else f"bool({number()})"
    return f"bump(m, {number()}, 1)"


@functools.cache
@st.composite
def statements(draw, names, depth, loops=0):
    """Lines of a block, and the names that have a value behind it."""
    lines = []
    for _ in range(draw(few_lines)):
        number = lambda names=names: draw(int_expressions(names))  # noqa: E731
        kind = draw(up_to(9 if depth else 6))
        if kind in (0, 1):
            name = draw(one_of(("x", "y", "z")))
            lines.append(f"{name} = {number()}")
            names = (*names, name)
        elif kind == 2:
            lines.append(f"{draw(one_of(names))} {draw(one_of(('+=', '-=', '^=', '*=')))} {number()}")
        elif kind == 3:
            lines.append(f"m.numbers[{number()}] {draw(one_of(('=', '+=', '|=')))} {number()}")
        elif kind == 4:
            # Of a literal it is known beforehand whether it fits, and it would be refused.
            lines.append(f"m.entries[{number()}].{draw(one_of(FIELDS))} = {number()} + m.numbers[0]")
        elif kind == 5:
            lines.append(f"m.one.real = m.one.real {draw(one_of('+-*'))} float({number()})")
        elif kind == 6:
            lines.append(f"x, y = {number()}, {number()}")
            names = (*names, "x", "y")
        elif kind == 7:
            test = draw(bool_expressions(names))
            yes, after_yes = draw(statements(names, depth - 1, loops))
            no, after_no = draw(statements(names, depth - 1, loops))
            lines += [f"if {test}:", *indented(yes), "else:", *indented(no)]
            names = tuple(name for name in after_yes if name in after_no)
        elif kind == 8 and loops < 2:
            inside, _ = draw(statements((*names, f"i{loops}"), depth - 1, loops + 1))
            lines += [f"for i{loops} in range({draw(up_to(3))}):", *indented(inside)]
        elif kind == 9 and loops < 2:
            inside, _ = draw(statements(names, depth - 1, loops + 1))
            count = f"n{loops}"
            lines += [f"{count} = 0", f"while {count} < 3:", f"    {count} += 1", *indented(inside)]
            if draw(st.booleans()):
                lines += [f"    if {draw(bool_expressions(names))}:", "        break"]
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
        f"    return {draw(int_expressions(names))}",
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
    for _ in range(1 + draw(up_to(2))):
        pattern, replacement = draw(one_of(MUTATIONS))
        places = [(i, match.span()) for i in free for match in re.finditer(pattern, lines[i])]
        if places:
            i, (start, end) = draw(st.sampled_from(places))
            lines[i] = lines[i][:start] + replacement + lines[i][end:]
    return compiled("\n".join(lines) + "\n", "rule")
