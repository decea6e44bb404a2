"""Random scenarios for the same module outside Python, and the comparison of what it makes of them with wasmtime's."""

from __future__ import annotations

from base64 import b64decode

import numpy as np
from hypothesis import given

from kvmlab.engine import execute, setup
from kvmlab.engine.layout import CONSTANT, TABLES, description
from kvmlab.lab.panels.front_end import packed, packed_numbers
from kvmlab.lab.panels.world import rows_of
from tests.strategies import few, scenarios

RUN = """
const engine = await Engine.load(asked);
const textOf = (bytes) => {
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return btoa(text);
};
const results = [];
for (const { given, constant, until } of asked.machines) {
    engine.prepare(given, constant);
    const reached = engine.call("run", until);
    const tables = {};
    for (const name of engine.names) {
        if (name in constant) continue;
        const size = engine.length[name] * engine.layout.tables[name].size;
        tables[name] = textOf(new Uint8Array(engine.memory.buffer, engine.address[name], size));
    }
    results.push({ reached, tables });
}
"""
"""Runs the machines that were `asked` for by the front end's `Engine`; leaves `results`."""


def request(scenarios):
    """What is to be run. Equal constant tables are handed over once."""
    pieces = {}
    machines = []
    for scenario in scenarios:
        tables = setup.given(scenario)
        constant = {name: pieces.setdefault(packed_numbers(tables[name]), f"{name} {len(pieces)}") for name in CONSTANT}
        given = {name: rows_of(name, table) for name, table in tables.items() if name not in CONSTANT}
        machines.append({"given": given, "constant": constant, "until": scenario.duration_ns})
    return {
        "module": packed(execute.module()),
        "layout": description(),
        "constant": {name: numbers for numbers, name in pieces.items()},
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
