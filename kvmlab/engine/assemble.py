"""The rules as a WebAssembly module: optimised by LLVM, its object file made into a module. At build time only.

LLVM writes a WebAssembly object: a module that lacks its exports, and has custom sections for a linker. The rules are
one object, have no data and no table, and import nothing but their memory, so that nothing is left to be linked: the
functions are exported by number, and the custom sections go.

Format of objects: https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llvmlite import binding as llvm

from kvmlab.engine.emit import Program
from kvmlab.engine.layout import TABLES, Table
from kvmlab.engine.sections import CODE, CUSTOM, DATA, EXPORT, IMPORT, Reader, Section, leb128, sections, text, written

TRIPLE = "wasm32-unknown-unknown"
FEATURES = "+bulk-memory,+sign-ext,+mutable-globals"
"""What every browser and wasmtime have had for years."""
LEVEL = 2
SYMBOL_TABLE, FUNCTION_SYMBOL, UNDEFINED, EXPLICIT_NAME = 8, 0, 0x10, 0x40


def function_numbers(parts: Iterable[Section]) -> dict[str, int]:
    """Return the numbers of the functions by name, from the object's table of symbols."""
    [linking] = [part.content for part in parts if part.number == CUSTOM and part.content.startswith(text("linking"))]
    reader = Reader(linking[len(text("linking")) :])
    reader.number()  # the version
    numbers: dict[str, int] = {}
    while reader.left:
        kind, content = reader.number(), reader.piece()
        if kind == SYMBOL_TABLE:
            symbols = Reader(content)
            for _ in range(symbols.number()):
                if symbols.number() != FUNCTION_SYMBOL:
                    raise ValueError("the rules use something else than functions: a linker would be needed")
                flags, number = symbols.number(), symbols.number()
                if flags & UNDEFINED and not flags & EXPLICIT_NAME:
                    raise ValueError("the rules need a function that is not theirs: a linker would be needed")
                numbers[symbols.piece().decode()] = number
    return numbers


def linked(object_file: bytes, exported: Iterable[str]) -> bytes:
    """Return an object as a module that exports these functions."""
    parts = list(sections(object_file))
    numbers = function_numbers(parts)
    names = list(exported)
    entries = b"".join(text(name) + b"\0" + leb128(numbers[name]) for name in names)
    if any(part.number == DATA for part in parts) or [part.content for part in parts if part.number == IMPORT] == []:
        raise ValueError("the rules have data of their own, or no memory: a linker would be needed")
    result = []
    for part in parts:
        if part.number == CODE:
            result.append(Section(EXPORT, leb128(len(names)) + entries))
        if part.number != CUSTOM:
            result.append(part)
    return written(result)


def target() -> llvm.TargetMachine:
    """Return what to compile for."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    chosen = llvm.Target.from_triple(TRIPLE)
    return chosen.create_target_machine(opt=LEVEL, reloc="static", codemodel="default", features=FEATURES)


def assemble(
    exported: Iterable[Callable[..., Any]],
    tables: Mapping[str, Table] = TABLES,
    *,
    checked: bool = False,
) -> bytes:
    """Translate rules and all that they call into a WebAssembly module that exports them under their names.

    `checked`: trap where a rule leaves what could be translated exactly (see `kvmlab.engine.emit`). Raises
    Untranslatable.
    """
    rules = list(exported)
    machine = target()
    module = llvm.parse_assembly(str(Program(rules, tables, checked=checked)))
    module.triple, module.data_layout = TRIPLE, str(machine.target_data)
    module.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=LEVEL))
    passes.getModulePassManager().run(module, passes)
    return linked(machine.emit_object(module), [rule.__name__ for rule in rules])
