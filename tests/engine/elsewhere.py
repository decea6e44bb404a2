"""Random scenarios for the same module outside Python, and the comparison of what it makes of them with wasmtime's."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path

import numpy as np
from hypothesis import given

from kvmlab.engine import execute, setup
from kvmlab.engine.layout import CONSTANT, TABLES, description
from tests.strategies import few, scenarios

RUN_RULES = Path(__file__).with_name("run_rules.js")


def base64(data):
    return b64encode(bytes(data)).decode()


def request(scenarios):
    """What run_rules.js is to run. Equal tables are handed over once."""
    pieces = {}
    machines = []
    for scenario in scenarios:
        tables = {name: table.tobytes() for name, table in setup.given(scenario).items()}
        numbers = {name: pieces.setdefault(data, len(pieces)) for name, data in tables.items()}
        machines.append({"given": numbers, "until": str(scenario.duration_ns)})
    return {
        "module": base64(execute.module()),
        "layout": description(),
        "pieces": [base64(data) for data in pieces],
        "constant": CONSTANT,
        "machines": machines,
    }


def compare(scenarios, results):
    """Assert that each table is the same, bit for bit, as wasmtime leaves it."""
    assert len(results) == len(scenarios)
    for scenario, result in zip(scenarios, results, strict=True):
        machine = execute.machine(scenario)
        assert int(result["reached"]) == machine.advance(scenario.duration_ns)
        tables = machine.tables()
        for name, raw in result["tables"].items():
            np.testing.assert_array_equal(
                np.frombuffer(b64decode(raw), TABLES[name].dtype), getattr(tables, name), name
            )
        assert {*result["tables"], *CONSTANT} == {*TABLES}


def drawn(count):
    """Some random scenarios, the same each time."""
    chosen = []

    @given(scenarios())
    @few(count)
    def choose(scenario):
        chosen.append(scenario.replace(trace_steps=300))

    choose()
    return chosen
