"""Which engine runs: the module if it is of these rules, made again if it can be, else plain Python; never a crash."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.engine import build, execute, setup
from kvmlab.engine.layout import TABLES
from kvmlab.engine.plain import PlainMachine
from tests.strategies import few, scenarios

SCENARIO = kl.Scenario(kl.Host(), kl.Guest(vcpus=2), duration_s=0.01)
HAS_LLVMLITE = importlib.util.find_spec("llvmlite") is not None
wasm = pytest.importorskip("kvmlab.engine.wasm", reason="wasmtime is not installed")

GOOD = execute.module()
assert GOOD is not None, "these tests need the module: llvmlite makes it, and so does installing kvmlab"


def forget():
    """Let the next run look again for what it can run."""
    execute.module.cache_clear()
    execute.runnable.cache_clear()


@pytest.fixture
def module_at(tmp_path, monkeypatch):
    """Let the module be looked for in a folder of its own; return its path."""
    path = tmp_path / "rules.wasm"
    monkeypatch.setattr(build, "MODULE", path)
    monkeypatch.setattr(build.keep, "__defaults__", (path,))
    forget()
    yield path
    forget()


@pytest.fixture
def without_llvmlite(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llvmlite" else there(name))


def with_its_trace(scenario):
    """The same with a trace as long as it needs, and one entry: each is an object in plain Python."""
    used = int(kl.simulate(scenario).machine.loop["trace_used"][0])
    return scenario.replace(trace_steps=min(scenario.trace_steps, used + 1))


def exits(run):
    return run.machine.exits["sum_ns"].tolist()


@given(scenarios().map(with_its_trace))
@few(60)
def test_webassembly_and_plain_python_agree_in_every_table(scenario):
    compiled, plain = kl.simulate(scenario, plain=False), kl.simulate(scenario, plain=True)
    assert compiled.duration_ns == plain.duration_ns
    for table in TABLES:
        np.testing.assert_array_equal(getattr(compiled.machine, table), getattr(plain.machine, table), table)


@pytest.mark.skipif(not HAS_LLVMLITE, reason="llvmlite is not installed: there is no checked module")
def test_rules_stay_within_what_could_be_translated():
    """No index leaves its table, no int needs more than 64 bits, everything stored fits its field."""
    checked = build.translated(checked=True)
    assert checked != GOOD

    @given(scenarios())
    @few(150)
    def stay(scenario):
        machine = wasm.WasmMachine(setup.given(scenario), checked)
        assert machine.advance(scenario.duration_ns) == kl.simulate(scenario).duration_ns

    stay()


def test_a_run_goes_on_where_it_ended():
    whole = execute.machine(SCENARIO)
    whole.advance(SCENARIO.duration_ns)
    for plain in (False, True):
        pieces = execute.machine(SCENARIO, plain=plain)
        reached = [pieces.advance(SCENARIO.duration_ns * i // 7) for i in range(1, 8)]
        assert reached == [SCENARIO.duration_ns * i // 7 for i in range(1, 8)]
        for table in TABLES:
            np.testing.assert_array_equal(getattr(pieces.tables(), table), getattr(whole.tables(), table), table)


@given(scenarios().map(with_its_trace), st.sampled_from([1, 13, 500]))
@few(15)
def test_a_run_in_slices_is_the_same_run(scenario, events):
    """To the last bit, in both engines; the time that is told grows, and ends where the run ends."""
    whole = execute.machine(scenario)
    end = whole.advance(scenario.duration_ns)
    expected = whole.tables()
    for plain in (False, True):
        sliced, told = execute.machine(scenario, plain=plain), [0]
        with mock.patch.dict(execute.SLICE, dict.fromkeys(execute.SLICE, events)):
            assert execute.run(sliced, scenario.duration_ns, told.append) == end
        assert told == sorted(told)
        assert told[-1] == end
        assert len(told) - 2 == max(0, int(expected.loop["events"][0]) - 1) // events
        result = sliced.tables()
        for table in TABLES:
            np.testing.assert_array_equal(getattr(result, table), getattr(expected, table), table)


def test_tables_outlive_their_machine():
    machine = execute.machine(SCENARIO)
    machine.advance(SCENARIO.duration_ns)
    tables = machine.tables()
    armed = tables.vcpus["armed"].tolist()
    del machine
    for _ in range(20):
        execute.machine(SCENARIO).advance(SCENARIO.duration_ns)
    assert tables.vcpus["armed"].tolist() == armed


def test_python_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("KVMLAB_ENGINE", "python")
    forget()
    assert isinstance(execute.machine(SCENARIO), PlainMachine)
    assert execute.module() == GOOD, "a browser runs it all the same"
    forget()


def test_nothing_else_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("KVMLAB_ENGINE", "Python")
    forget()
    with pytest.raises(ValueError, match="KVMLAB_ENGINE: 'Python' is not allowed; it must be python, or not set"):
        execute.machine(SCENARIO)
    forget()


def test_what_could_not_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        build.keep(GOOD, tmp_path / "rules.wasm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not HAS_LLVMLITE, reason="llvmlite is not installed")
def test_a_missing_module_is_made_and_kept(module_at, capsys):
    assert not isinstance(execute.machine(SCENARIO), PlainMachine)
    assert build.is_of_these_rules(module_at.read_bytes())
    assert capsys.readouterr().err == ""


def test_a_module_that_cannot_be_kept_still_runs(module_at, monkeypatch):
    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(build, "keep", refuse)
    monkeypatch.setattr(build, "translated", lambda: GOOD)
    assert not isinstance(execute.machine(SCENARIO), PlainMachine)
    assert not module_at.exists()


def test_edited_rules_are_noticed(module_at, without_llvmlite, monkeypatch, capsys):
    expected = exits(kl.simulate(SCENARIO, plain=True))
    module_at.write_bytes(GOOD)
    assert not isinstance(execute.machine(SCENARIO), PlainMachine)
    forget()
    monkeypatch.setattr(build, "source_digest", lambda *_: "of other rules")
    assert exits(kl.simulate(SCENARIO)) == expected
    assert isinstance(execute.machine(SCENARIO), PlainMachine)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no module of these rules" in said


def test_the_digest_is_of_the_rules(tmp_path, monkeypatch):
    sources = {path.relative_to(build.PACKAGE) for pattern in build.SOURCES for path in build.PACKAGE.glob(pattern)}
    assert {"lapic.py", "records.py", "kernels.py", "policy.py", "statements.py", "layout.py"} <= {
        path.name for path in sources
    }
    for path in sources:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((build.PACKAGE / path).read_bytes())
    before = build.source_digest()
    monkeypatch.setattr(build, "PACKAGE", tmp_path)
    assert build.source_digest() == before
    (tmp_path / "model" / "lapic.py").write_text("# edited")
    assert build.source_digest() != before


def changed(good, draw, count):
    """Change this number of bytes, or somewhat fewer."""
    damaged = bytearray(good)
    for _ in range(count):
        damaged[draw.randrange(len(good))] ^= draw.randrange(1, 256)
    return bytes(damaged)


DAMAGES = {
    "empty": lambda good, draw: b"",
    "text": lambda good, draw: b"this is no module",
    "head only": lambda good, draw: good[:8],
    "cut short": lambda good, draw: good[: draw.randrange(len(good))],
    "no code": lambda good, draw: good[:8] + good[good.index(b"kvmlab rules") - 3 :],
    "zeros": lambda good, draw: good[:200] + bytes(2000) + good[2200:],
    "one byte in a hundred changed": lambda good, draw: changed(good, draw, len(good) // 100),
    "one byte changed": lambda good, draw: changed(good, draw, 1),
    "something behind it": lambda good, draw: good + b"\0\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_module_is_noticed(module_at, without_llvmlite, damage, capsys):
    expected = exits(kl.simulate(SCENARIO, plain=True))
    for seed in range(12):
        module_at.write_bytes(DAMAGES[damage](GOOD, random.Random(seed)))
        forget()
        assert execute.runnable() is None
        assert capsys.readouterr().err.startswith("kvmlab: ")
    assert exits(kl.simulate(SCENARIO)) == expected


def test_a_module_of_something_else_is_refused():
    other = b"\0asm\1\0\0\0"
    with pytest.raises(ValueError, match="exports"):
        wasm.usable(other)


def test_a_stray_index_ends_the_run_and_not_the_interpreter():
    given_tables = setup.given(SCENARIO)
    given_tables["pools"] = given_tables["pools"] + (1 << 24)
    with pytest.raises(Exception, match=r"out of bounds|trap"):
        wasm.WasmMachine(given_tables, GOOD)


def test_where_wasmtime_has_no_machine_code_plain_python_runs_and_says_so(tmp_path):
    """Its package for any platform can be installed everywhere, and fails when it is imported."""
    (tmp_path / "wasmtime.py").write_text("raise RuntimeError('unsupported architecture for wasmtime: riscv64')\n")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import kvmlab as kl\n"
        "print(kl.simulate(kl.Scenario(kl.Host(), kl.Guest(vcpus=2), duration_s=0.01)).summary()['exits'] > 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert done.stderr.count("\n") == 1
    assert "unsupported architecture" in done.stderr


def test_without_wasmtime_plain_python_runs_and_says_so():
    script = (
        "import sys; sys.modules['wasmtime'] = None\n"
        "import importlib.util as u; there = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'wasmtime' else there(name, *rest)\n"
        "import kvmlab as kl\n"
        "scenario = kl.Scenario(kl.Host(), kl.Guest(vcpus=2), duration_s=0.01)\n"
        "print(kl.simulate(scenario).machine.exits['sum_ns'].tolist() == kl.simulate(scenario, plain=True)"
        ".machine.exits['sum_ns'].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert done.stderr.count("\n") == 1
    assert "wasmtime is not installed" in done.stderr
