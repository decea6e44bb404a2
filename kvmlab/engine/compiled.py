"""The rules as machine code: optimised by LLVM once, kept on disk, loaded from there."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numpy as np
import platformdirs
from llvmlite import binding as llvm

from kvmlab.model.machine import Machine

LEVEL = 2
OWN_SOURCES = (Path(__file__), Path(__file__).with_name("emit.py"))
Compiled = Callable[[int, int], int]
"""The loop: from the address of a machine's `words` and a time to the time reached."""


def words(m: Machine) -> np.ndarray:
    """Address and length of each table in turn: what compiled code knows of `m`, which has to outlive it."""
    return np.array([word for table in m for word in (table.ctypes.data, len(table))], np.int64)


def target() -> llvm.TargetMachine:
    """What to compile for: the CPU that this runs on, with all its instructions."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=LEVEL,
        reloc="pic",
        codemodel="small",
    )


def machine_code(rule: Callable[..., Any], layout: Machine) -> bytes:
    """An object file with `rule` as its one function: what it calls is in it."""
    from kvmlab.engine import emit

    text = str(emit.Program(rule, layout).module)
    # An event's kind is found sooner by comparing than by a jump through a table. llvmlite's builder has no such mark.
    module = llvm.parse_assembly(text.replace(" nounwind", ' nounwind "no-jump-tables"="true"'))
    machine = target()
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=LEVEL))
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


def load(code: bytes, name: str) -> Compiled:
    """The function of that name in an object file."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(engine.get_function_address(name))
    function.engine = engine  # type: ignore[attr-defined]  # the code is there as long as this is
    return function


def stored_at(source_digest: str) -> Path:
    """Where the machine code is kept that this source, translated in this way, comes to on this CPU."""
    cpu = (llvmlite.__version__, llvm.get_process_triple(), llvm.get_host_cpu_name())
    text = " ".join((source_digest, *cpu, llvm.get_host_cpu_features().flatten()))
    digest = hashlib.sha256(text.encode() + b"".join(path.read_bytes() for path in OWN_SOURCES)).hexdigest()[:16]
    return platformdirs.user_cache_path("kvmlab") / f"engine-{digest}.o"


def keep(code: bytes, path: Path) -> None:
    """Write a file as a whole or not at all; where nothing can be written, it is compiled anew next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(code)
        os.replace(file.name, path)
    except OSError as error:
        print(f"kvmlab: cannot keep the compiled simulator: {error}", file=sys.stderr)


def compiled(rule: Callable[..., Any], layout: Machine, source_digest: str) -> Compiled:
    """`rule` and all that it calls as machine code, from the disk if it was compiled before."""
    path = stored_at(source_digest)
    if not path.exists():
        print("kvmlab: compiling the simulator, once; this takes some seconds ...", file=sys.stderr, flush=True)
        keep(code := machine_code(rule, layout), path)
        return load(code, rule.__name__)
    return load(path.read_bytes(), rule.__name__)
