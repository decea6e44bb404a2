"""The translator: compiled rules come to what Python comes to, and what it does not know it refuses."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kvmlab.model.machine import record, seldom
from tests.strategies import few

compiled = pytest.importorskip("kvmlab.engine.compiled", reason="llvmlite is not installed")

TWELVE = 12
LIST = (3, 5, 7)
ENTRY = record("whole", floats=("real",), words=("word",), flags=("flag",))


class Machine(NamedTuple):
    numbers: Any
    entries: Any


LAYOUT = Machine(numbers=np.dtype(np.int64), entries=ENTRY)
ints = st.integers(-(2**31), 2**31 - 1)


def machine(numbers=(0,) * 4):
    return Machine(np.array(numbers, np.int64), np.zeros(3, ENTRY))


def native(rule, layout=LAYOUT):
    """The rule as a function of a machine and an int."""
    run = compiled.load(compiled.machine_code(rule, layout), rule.__name__)

    def call(m, x):
        words = compiled.words(m)
        return run(words.ctypes.data, ctypes.c_int64(x))

    return call


def arithmetic(m: Machine, x: int) -> int:
    y = m.numbers[0]
    z = (x + y) * 3 - (y >> 2) + (abs(x) & 0xFF) - -y
    z ^= x | 5
    z += (1 << (x & 7)) + x // TWELVE + x % TWELVE + min(x, y, 100) + max(x, y) + len(LIST) + len(m.numbers)
    return int(z)


def choices(m: Machine, x: int) -> int:
    y = m.numbers[1]
    a, b = x, y
    if x > y:
        a, b = b, a
    if x in (1, 2) or (x > y and not y):
        return 1
    elif x in LIST and y:
        return 2
    elif x == y or bool(x) != bool(y):
        a, b = b, a
    return a - b if a >= b or y <= -3 else int(x != 0)


def loops(m: Machine, x: int) -> int:
    total = 0
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


def step(entries: Any, i: int, fast: bool) -> None:
    entry = entries[i]
    entry.flag = 1 if fast else 0
    entry.whole += i
    entry.word += 4_294_967_295
    entry.real += float(entry.whole) * float(i)


@seldom
def last(entries: Any, i: int) -> bool:
    if i < 2:
        return False
    entries[i].flag = -1
    return True


def records(m: Machine, x: int) -> int:
    for i in range(3):
        step(m.entries, i, x > i)
        if last(m.entries, i):
            return m.entries[i].flag
    return 7


def fields(m):
    return [list(np.asarray(table).tolist()) for table in m]


@pytest.mark.parametrize("rule", [arithmetic, choices, loops])
def test_compiled_and_python_agree(rule):
    run = native(rule)

    @given(st.lists(st.integers(-4, 8) | ints, min_size=4, max_size=4), st.integers(-4, 60) | ints)
    @few(300)
    def agree(numbers, x):
        ours, python = machine(numbers), machine(numbers)
        if rule is loops:
            x = x % 400
        plain = Machine(python.numbers.tolist(), [])
        assert run(ours, x) == rule(plain, x)
        assert ours.numbers.tolist() == plain.numbers

    agree()


@pytest.mark.parametrize("x", [-1, 0, 1, 2, 5])
def test_records_are_changed_field_by_field_whatever_their_width(x):
    ours, python = machine(), machine()
    assert native(records)(ours, x) == -1
    python.entries["whole"] = [0, 1, 2]
    python.entries["real"] = [0, 1, 4]
    python.entries["word"] = 4_294_967_295
    python.entries["flag"] = [x > 0, x > 1, -1]
    np.testing.assert_array_equal(ours.entries, python.entries)


def tuple_value(m: Machine, x: int) -> int:
    return (x, x)[0]


def power(m: Machine, x: int) -> int:
    return x**2


def stranger(m: Machine, x: int) -> int:
    return sorted(m.numbers)[x]


def wrong_kind(m: Machine, x: int) -> int:
    return m  # type: ignore[return-value]


def for_each(m: Machine, x: int) -> int:
    for i in LIST:
        x += i
    return x


def between(m: Machine, x: int) -> int:
    return int(0 < x < 7)


def both(m: Machine, x: int) -> int:
    y = z = x
    return y + z


def share(m: Machine, x: int) -> int:
    m.entries[0].real += float(x) / float(x)
    return x


def which(m: Machine, x: int) -> int:
    return x or 7


def otherwise(m: Machine, x: int) -> int:
    while x > 0:
        x -= 1
    else:
        x = 7
    return x


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (tuple_value, "(x, x)"),
        (power, "x ** 2"),
        (stranger, "sorted(m.numbers)"),
        (wrong_kind, "machine"),
        (for_each, "LIST"),
        (otherwise, "while x > 0"),
        (between, "0 < x < 7"),
        (both, "y = z = x"),
        (share, "float(x) / float(x)"),
        (which, "truth where int should be"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(rule, said):
    with pytest.raises(NotImplementedError) as error:
        compiled.machine_code(rule, LAYOUT)
    assert rule.__name__ in str(error.value)
    assert said in str(error.value)


def test_machine_code_is_kept_and_used_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compiled.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    first = compiled.compiled(loops, LAYOUT, "digest")
    assert "compiling" in capsys.readouterr().err
    [kept] = (tmp_path / "kvmlab").iterdir()
    monkeypatch.setattr(compiled, "machine_code", None)
    again = compiled.compiled(loops, LAYOUT, "digest")
    assert capsys.readouterr().err == ""
    for run in (first, again):
        m = machine((1, 2, 3, 4))
        words = compiled.words(m)
        assert run(words.ctypes.data, 8) == loops(Machine([1, 2, 3, 4], []), 8)
    assert compiled.stored_at("digest") == kept
    assert compiled.stored_at("other") != kept
    (tmp_path / "translate.py").write_text("a translator that does something else")
    monkeypatch.setattr(compiled, "OWN_SOURCES", (tmp_path / "translate.py",))
    assert compiled.stored_at("digest") != kept


def test_where_nothing_can_be_kept_it_says_so_and_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "kvmlab").write_text("a file where the folder should be")
    monkeypatch.setattr(compiled.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    run = compiled.compiled(loops, LAYOUT, "digest")
    assert "cannot keep" in capsys.readouterr().err
    m = machine((9, 9, 9, 9))
    words = compiled.words(m)
    assert run(words.ctypes.data, 9) == loops(Machine([9, 9, 9, 9], []), 9)
