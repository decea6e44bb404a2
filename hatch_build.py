"""Translates the rules of kvmlab/model to WebAssembly when the package is built; the module goes into the wheel."""

import importlib.util
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RulesHook(BuildHookInterface[Any]):
    """Runs for wheels and for editable installs."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write kvmlab/engine/rules.wasm, which git ignores, and have it packed.

        Where there is no llvmlite, an editable install goes without it (the rules then run in plain Python); a wheel is
        not built.
        """
        if version == "editable" and importlib.util.find_spec("llvmlite") is None:
            self.app.display_warning("llvmlite is not there to translate the rules: they will run in plain Python")
            return
        sys.path.insert(0, self.root)
        from kvmlab.engine.build import MODULE, keep, translated

        keep(translated())
        build_data["artifacts"].append(MODULE.relative_to(self.root).as_posix())
