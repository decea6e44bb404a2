"""Run a scenario: by WebAssembly where there is a module of these very rules, else in plain Python, as exactly.

The module is used if wasmtime is installed, the module was made of the rules as they stand now, and KVMLAB_ENGINE does
not say ``python``. Where the rules were edited it is made again if llvmlite is there.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from kvmlab.engine import build, setup
from kvmlab.engine.plain import PlainMachine
from kvmlab.model.names import NONE
from kvmlab.scenario import checks
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from kvmlab.engine.wasm import WasmMachine

SLICE = {"wasm": 1 << 16, "plain": 1 << 10}
"""After how many events a run looks up: some milliseconds each, 0.2 s with thousands of vCPUs."""


def no_module(why: str) -> bytes | None:
    """Tell the reader why runs are slow; return None."""
    print(f"kvmlab: {why}; runs take about 100 times as long in plain Python.", file=sys.stderr)
    return None


def stored_module() -> bytes | None:
    """Return the module on the disk if it is undamaged and was made of the rules as they stand."""
    try:
        module = build.MODULE.read_bytes()
    except OSError:
        return None
    return module if build.is_of_these_rules(module) else None


def new_module() -> bytes:
    """Translate the rules, and keep the module for the next time where that is possible."""
    module = build.translated()
    with contextlib.suppress(OSError):
        build.keep(module)
    return module


@functools.cache
def module() -> bytes | None:
    """Return the module of the rules as they stand, made again if need be; None if there is none, which is said once.

    A browser runs it where this Python cannot: wasmtime is neither needed nor loaded.
    """
    found = stored_module()
    if found is None and importlib.util.find_spec("llvmlite") is None:
        return no_module("there is no module of these rules, and no llvmlite to make one")
    try:
        return found or new_module()
    except Exception as error:  # whatever is refused or goes wrong there: plain Python has the same result
        return no_module(f"the rules could not be compiled ({type(error).__name__}: {error})")


@functools.cache
def runnable() -> bytes | None:
    """Return the module that runs here; None if runs are in plain Python, which is said unless it was asked for."""
    wanted = os.environ.get("KVMLAB_ENGINE", "")
    if wanted not in ("", "python"):
        raise checks.refusal("KVMLAB_ENGINE", wanted, "python, or not set")
    if wanted == "python":
        return None
    if importlib.util.find_spec("wasmtime") is None:
        return no_module("wasmtime is not installed")
    found = module()
    try:
        from kvmlab.engine.wasm import usable  # fails where wasmtime has no machine code for the platform

        return found and usable(found)
    except Exception as error:  # whatever goes wrong there: plain Python has the same result
        return no_module(f"wasmtime does not take the rules ({type(error).__name__}: {error})")


def machine(scenario: Scenario, *, plain: bool | None = None) -> PlainMachine | WasmMachine:
    """Return the machine that a scenario describes, at time 0; `advance` or `run` run it, `tables` shows it.

    `plain`: use plain Python even where there is WebAssembly (None: as `runnable` says).
    """
    given = setup.given(scenario)
    chosen = None if plain else runnable()
    if chosen is None:
        return PlainMachine(given)
    from kvmlab.engine.wasm import WasmMachine

    return WasmMachine(given, chosen)


def run(machine: PlainMachine | WasmMachine, until: int, reached: Callable[[int], object] = lambda now: None) -> int:
    """Run a machine up to the time `until` (ns) in slices, and return the time reached, as its `advance` does.

    Between two slices Python is in charge: Ctrl-C, or the stop button of a notebook, ends the run with
    KeyboardInterrupt. `reached` is told the time (ns) after each slice.
    """
    events = SLICE["plain" if isinstance(machine, PlainMachine) else "wasm"]
    while (now := machine.advance_some(until, events)) == NONE:
        reached(machine.now())
    reached(now)
    return now
