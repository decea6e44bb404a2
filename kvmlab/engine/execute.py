"""Run a scenario: by WebAssembly where there is a module of these very rules, else in plain Python, as exactly.

The module is used if wasmtime is installed, the module was made of the rules as they stand now, and KVMLAB_ENGINE does
not say ``python``. Where the rules were edited it is made again if llvmlite is there.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from kvmlab.engine import build, setup
from kvmlab.engine.plain import PlainMachine
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from kvmlab.engine.wasm import WasmMachine


def no_module(why: str) -> None:
    """Tell the reader why runs are slow."""
    print(f"kvmlab: {why}; runs take about 200 times as long in plain Python.", file=sys.stderr)


def stored_module() -> bytes | None:
    """Return the module on the disk if it was made of the rules as they stand."""
    from kvmlab.engine.sections import note

    try:
        module = build.MODULE.read_bytes()
        return module if note(module, build.NOTE) == build.source_digest() else None
    except (OSError, ValueError):
        return None


@functools.cache
def module() -> bytes | None:
    """Return the module to run, made again if need be; None if runs are in plain Python, which is said once."""
    if os.environ.get("KVMLAB_ENGINE") == "python":
        return None
    if importlib.util.find_spec("wasmtime") is None:
        no_module("wasmtime is not installed")
        return None
    found = stored_module()
    if found is None and importlib.util.find_spec("llvmlite") is None:
        no_module("the compiled rules are missing or not of these rules, and llvmlite is not installed")
        return None
    try:
        return usable(found or build.build())
    except Exception as error:  # whatever lies on the disk or goes wrong there: plain Python has the same result
        no_module(f"the rules could not be compiled ({type(error).__name__}: {error})")
        return None


def usable(module: bytes) -> bytes:
    """Return the module if wasmtime takes it."""
    from kvmlab.engine.wasm import loaded

    loaded(module)
    return module


def machine(scenario: Scenario, *, plain: bool | None = None) -> PlainMachine | WasmMachine:
    """Return the machine that a scenario describes, at time 0; `advance` runs it, `tables` shows it.

    `plain`: use plain Python even where there is WebAssembly (None: as `module` says).
    """
    given = setup.given(scenario)
    chosen = None if plain else module()
    if chosen is None:
        return PlainMachine(given)
    from kvmlab.engine.wasm import WasmMachine

    return WasmMachine(given, chosen)
