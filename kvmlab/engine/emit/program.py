"""A program: some rules and all that they call, as one LLVM module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any, get_type_hints

from llvmlite import ir

from kvmlab.engine.emit.kinds import ANNOTATIONS, WORD, Kind, Signature
from kvmlab.engine.emit.statements import Translation
from kvmlab.engine.layout import Table


def attributes(function: ir.Function, cold: bool) -> None:
    """Mark a function for LLVM."""
    function.linkage = "internal"
    for name in ("nounwind", "noinline", "cold") if cold else ("nounwind",):
        function.attributes.add(name)


class Program:
    """Some rules and all that they call, as one LLVM module."""

    def __init__(
        self, exported: Iterable[Callable[..., Any]], tables: Mapping[str, Table], *, checked: bool = False
    ) -> None:
        self.module = ir.Module("kvmlab")
        self.tables: Mapping[str, Kind] = {name: Kind("table", table) for name, table in tables.items()}
        self.checked = checked
        self.signatures: dict[tuple[FunctionType, tuple[Kind, ...]], Signature] = {}
        self.untranslated: list[Translation] = []
        for rule in exported:
            assert isinstance(rule, FunctionType)
            *parameters, _ = get_type_hints(rule).values()
            self.signature(rule, tuple(ANNOTATIONS[each] for each in parameters)).function.linkage = "external"
        while self.untranslated:
            self.untranslated.pop().translate()

    def signature(self, rule: FunctionType, given: tuple[Kind, ...]) -> Signature:
        """Return the rule for what it is given: which table a parameter is, its annotation leaves to the call."""
        *hints, result = get_type_hints(rule).values()
        kinds = tuple(ANNOTATIONS.get(hint, kind) for hint, kind in zip(hints, given, strict=True))
        if (rule, kinds) not in self.signatures:
            kind = ir.FunctionType(ANNOTATIONS[result].llvm, [each.llvm for each in kinds])
            function = ir.Function(self.module, kind, self.module.get_unique_name(rule.__name__))
            attributes(function, hasattr(rule, "cold"))
            self.signatures[rule, kinds] = signature = Signature(function, kinds, ANNOTATIONS[result])
            self.untranslated.append(Translation(self, rule, signature))
        return self.signatures[rule, kinds]

    def __str__(self) -> str:
        """LLVM's language. Without jump tables: tables of answers would be data, and a linker would be needed."""
        return str(self.module).replace(" nounwind", ' nounwind "no-jump-tables"="true"')

    def alias_tag(self, name: str) -> Any:
        """Return LLVM's type-based alias mark for a place of this name; LLVM takes equal ones for one."""
        root = self.module.add_metadata(["kvmlab"])
        kind = self.module.add_metadata([name, root, ir.Constant(WORD, 0)])
        return self.module.add_metadata([kind, kind, ir.Constant(WORD, 0)])

    def intrinsic(self, name: str, result: ir.Type, *parameters: ir.Type) -> Any:
        """Return one of LLVM's own functions, declared once."""
        found = self.module.globals.get(name)
        return found or ir.Function(self.module, ir.FunctionType(result, parameters), name)
