"""The translator: what it translates means what Python means, and what does not is refused by rule, line and reason."""

from __future__ import annotations

import math
from math import ceil

import pytest
from hypothesis import example, given, strategies as st

from kvmlab.model.names import Exit
from kvmlab.model.records import Machine
from kvmlab.model.schedule import cold
from tests.engine.generated import compiled as rule_of, mutated, rules
from tests.strategies import few

pytest.importorskip("llvmlite", reason="llvmlite is not installed: there is no translator to test")

import wasmtime

from kvmlab.engine.emit import Untranslatable
from tests.engine.translated import HIGHEST, LOWEST, Limit, LimitedInt, Translated, contents, python_machine

TWELVE = 12
LIST = (3, 5, 7)
ENTRIES = [(0, 0.0, 0, 0)] * 5
words = (
    st.integers(-4, 8)
    | st.sampled_from((63, 64, 127, -128, 2**31, 2**32 - 1, HIGHEST, LOWEST))
    | st.integers(LOWEST, HIGHEST)
)
numbers = st.lists(words, min_size=5, max_size=5)
entries = st.lists(
    st.tuples(words, st.floats(-1e6, 1e6), st.integers(0, 2**32 - 1), st.integers(-128, 127)), min_size=5, max_size=5
)


def limited_python(rule, start, rows, *arguments):
    """What Python makes of a rule: (result, contents of its tables), or Limit."""
    m = python_machine(start, rows)
    rule = getattr(rule, "limited", rule)
    try:
        return int(rule(m, *map(LimitedInt, arguments))), contents(m)
    except (Limit, OverflowError, ZeroDivisionError):
        return Limit


def translated(rule, start, rows, *arguments):
    """What the checked module makes of it: the same, or Limit where it traps."""
    try:
        return rule(start, rows, *arguments)
    except wasmtime.Trap:
        return Limit


# --- rules that hypothesis writes -------------------------------------------------------------------------------------


@given(rules(), numbers, entries, st.lists(st.tuples(words, words), min_size=4, max_size=4))
@few(120)
def test_whatever_rule_is_translated_means_what_python_means(rule, start, rows, arguments):
    """Including where it ends: a checked module traps exactly where the limits are passed."""
    module = Translated(rule, checked=True)
    for a, b in arguments:
        assert translated(module, start, rows, a, b) == limited_python(rule, start, rows, a, b), rule.text


@given(rules(), numbers, entries, words, words)
@few(80)
def test_an_unchecked_module_is_the_same_within_the_limits(rule, start, rows, a, b):
    expected = limited_python(rule, start, rows, a, b)
    if expected is not Limit:
        assert translated(Translated(rule), start, rows, a, b) == expected, rule.text


@given(mutated(), numbers, entries, st.lists(st.tuples(words, words), min_size=3, max_size=3))
@few(150)
def test_what_is_no_rule_is_refused_or_means_what_python_means(rule, start, rows, arguments):
    """A variable without a value, a bool for an int, a float for a bool: nothing gets through as something else."""
    try:
        module = Translated(rule, checked=True)
    except Untranslatable:
        return
    for a, b in arguments:
        assert translated(module, start, rows, a, b) == limited_python(rule, start, rows, a, b), rule.text


# --- rules by hand ----------------------------------------------------------------------------------------------------


def arithmetic(m: Machine, x: int) -> int:
    y = m.numbers[0]
    z = (x + y) * 3 - (y >> 2) + (abs(x) & 0xFF) - -y
    z ^= x | 5
    z += (1 << (x & 7)) + x // TWELVE + x % TWELVE + min(x, y, 100) + max(x, y) + len(LIST) + len(m.numbers)
    return z + Exit.MSR_WRITE + len(Exit)


def division(m: Machine, x: int) -> int:
    y = m.numbers[0]
    return x // y * 1000 + x % y


def choices(m: Machine, x: int) -> int:
    y = m.numbers[1]
    a, b = x, y
    if x > y:
        a, b = b, a
    if x in (1, 2) or (x > y and not y):
        return 1
    elif x in (3, 5, 7) and y:
        return 2
    return a - b if a >= b or y <= -3 else int(x != 0)


def loops(m: Machine, x: int) -> int:
    total = 0
    x = x & 255
    for i in range(len(m.numbers)):
        if m.numbers[i] == x:
            break
        m.numbers[i] += i
        total = total * 3 + i
    while x > 0:
        x -= 7
        total += 1
        if total > 50:
            break
    return total


def step(m: Machine, i: int, fast: bool) -> None:
    entry = m.entries[i]
    entry.flag = 1 if fast else 0
    entry.whole += i
    entry.word += 4_294_967_295
    entry.real += float(entry.whole) * float(i)


@cold
def last(m: Machine, i: int) -> bool:
    if i < 2:
        return False
    m.entries[i].flag = -1
    return True


def records(m: Machine, x: int) -> int:
    for i in range(3):
        step(m, i, x > i)
        if last(m, i):
            m.one.whole = 9
            return m.entries[i].flag + m.one.whole
    return 7


def floats(m: Machine, x: int) -> int:
    half = float(x & 0xFFFF) / 2.0
    m.one.real = -half
    late: bool = half > 3.0
    return round(half) + 3 * ceil(half) + 5 * int(half) + int(half != half) + int(late)


@pytest.mark.parametrize("rule", [arithmetic, division, choices, loops, records, floats])
def test_rules_by_hand(rule):
    module = Translated(rule, checked=True)

    @given(numbers, words)
    @few(200)
    @example(start=[-2] * 5, x=7)
    @example(start=[-1] * 5, x=LOWEST)
    def agree(start, x):
        assert translated(module, start, ENTRIES, x) == limited_python(rule, start, ENTRIES, x)

    agree()


def first_number(m: Machine, x: int) -> int:
    return m.numbers[x]


def into_flag(m: Machine, x: int) -> int:
    m.one.flag = x
    return x


def into_word(m: Machine, x: int) -> int:
    m.one.word = x
    return x


def to_the_left(m: Machine, x: int) -> int:
    return 1 << x


def to_the_right(m: Machine, x: int) -> int:
    return -5 >> x


def quotient(m: Machine, x: int) -> int:
    return 7 // x


def product(m: Machine, x: int) -> int:
    return x * x


def from_float(m: Machine, x: int) -> int:
    return int(float(x) * 4.0)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (first_number, (0, 4), (-1, 5, 2**32, LOWEST)),
        (into_flag, (127, -128), (128, 200, -129)),
        (into_word, (0, 2**32 - 1), (-1, 2**32)),
        (to_the_left, (0, 62), (63, 64, -1)),
        (to_the_right, (0, 63, 64, 1 << 40), (-1,)),
        (quotient, (-2, 2, HIGHEST), (0,)),
        (product, (3_037_000_499, -3_037_000_499), (3_037_000_500, LOWEST)),
        (from_float, (1 << 59,), (1 << 61,)),
    ],
)
def test_a_checked_module_traps_exactly_at_the_limits(rule, good, bad):
    module = Translated(rule, checked=True)
    for x in good:
        assert translated(module, [1] * 5, ENTRIES, x) == limited_python(rule, [1] * 5, ENTRIES, x) != Limit, x
    for x in bad:
        assert translated(module, [1] * 5, ENTRIES, x) is Limit, x


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED = [
    # What an earlier translator turned into something else, silently.
    ("late = x > 0\nlate = x\nreturn late", "bool"),
    ("n = False\nn += x\nreturn 1", "bool and int"),
    ("return bool(x & 6) + 1", "bool and int"),
    ("return (x > 3) and (x < 7)", "bool, where int is needed"),
    ("if x > 0:\n    y = 1\nreturn y", "may have no value"),
    ("for i in range(x):\n    y = i\nreturn y", "may have no value"),
    ("m.one.flag = 200\nreturn 0", "200 does not fit this field"),
    ("return 1 << 64", "0 to 63"),
    ("return 1 << 63", "64 bits"),
    ("return 18446744073709551616", "64 bits"),
    # What rules are not written in.
    ("return (x, x)[0]", "Tuple"),
    ("return x**2", "not among the operators"),
    ("return sorted(m.numbers)[x]", "no rule"),
    ("return m", "machine"),
    ("for i in (1, 2):\n    x += i\nreturn x", "only for i in range"),
    ("while x > 0:\n    x -= 1\nelse:\n    x = 7\nreturn x", "no else"),
    ("return int(0 < x < 7)", "one comparison"),
    ("y = z = x\nreturn y + z", "one target"),
    ("return x or 7", "truth"),
    ("y = x or 7\nreturn y", "truth cannot be kept"),
    ("return x / 2", "not among the operators"),
    ("return int(float(x) < x)", "float is needed"),
    ("m.one.real = x\nreturn x", "float is kept there"),
    ("m.one.whole = x > 3\nreturn x", "int is kept there"),
    ("return m.one.missing", "no field missing"),
    ("return m.missing[0]", "no table missing"),
    ("return x if x > 0 else x > 1", "int or bool"),
    ("return min(x)", "two arguments"),
    ("return abs(x > 0)", "of bool"),
    ("return round(x)", "of int"),
    ("return ~x", "not among the operators"),
    ("return helper(x > 0)", "helper takes int"),
    ("return helper(x, x)", "takes 1 arguments"),
    ("return helper(x=x)", "by position"),
    ("x: str = 'a'\nreturn 1", "only int, bool and float"),
    ("if x > 0:\n    return 1", "without a result"),
    ("return", "int is to be returned"),
    ("return x\nx = 1", "never reached"),
    ("y = print\nreturn x", "no number"),
    ("return int(x == (x > 0))", "int is needed"),
    ("return len(x)", "no length"),
    ("return -(x > 0)", "negative of bool"),
    ("del x\nreturn 1", "Delete"),
    ("y = lambda: x\nreturn x", "Lambda"),
    ("x += x > 0\nreturn x", "int and bool"),
    ("min = x\nreturn min(x, 1)", "no rule"),
]


@pytest.mark.parametrize(("body", "reason"), REFUSED, ids=[body.replace("\n", "; ") for body, _ in REFUSED])
def test_what_could_not_be_translated_exactly_is_refused(body, reason):
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    text = f"def helper(x: int) -> int:\n    return x\n\n\ndef rule(m: Machine, x: int) -> int:\n{lines}\n"
    with pytest.raises(Untranslatable, match="rule: ") as error:
        Translated(rule_of(text, "rule"))
    assert reason in str(error.value)
    assert "line " in str(error.value)


def test_a_refusal_names_module_line_and_text():
    text = "def rule(m: Machine, x: int) -> int:\n    y = x\n    return y**2\n"
    with pytest.raises(Untranslatable, match=r"line 3, rule: 'y \*\* 2'"):
        Translated(rule_of(text, "rule"))


@pytest.mark.parametrize("head", ["x: int = 3", "*x: int", "x: int, /", "*, x: int"])
def test_parameters_are_plain(head):
    with pytest.raises((Untranslatable, ValueError)):
        Translated(rule_of(f"def rule(m: Machine, {head}) -> int:\n    return 1\n", "rule"))


def test_infinity_is_no_number_of_rules():
    assert math.isinf(1e999)
    with pytest.raises(Untranslatable, match="no number"):
        Translated(rule_of("def rule(m: Machine, x: int) -> int:\n    return int(1e999)\n", "rule"))
