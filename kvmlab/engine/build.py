"""Make the module of the rules, and tell whether one is of the rules as they stand."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
MODULE = PACKAGE / "engine" / "rules.wasm"
SOURCES = ("policy.py", "kernels.py", "model/*.py", "engine/layout.py", "engine/emit.py", "engine/assemble.py")
"""What the module depends on."""
NOTE = "kvmlab rules"
"""The custom section of the module that holds `source_digest` of what it was made of."""


def source_digest(*others: str) -> str:
    """Return a digest of the rules' sources, and of other files of the package (`others`: patterns as in `SOURCES`)."""
    files = sorted(path for pattern in (*SOURCES, *others) for path in PACKAGE.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def build(path: Path = MODULE, *, checked: bool = False) -> bytes:
    """Translate the rules, write the module to `path`, whole or not at all, and return it. Needs llvmlite.

    `checked`: the module traps where a rule leaves what could be translated exactly.
    """
    from kvmlab.engine.assemble import assemble
    from kvmlab.model.loop import run
    from kvmlab.model.one_timer import arm_one_timer, follow_one_timer
    from kvmlab.model.start import plan, prepare

    rules = (plan, prepare, run, arm_one_timer, follow_one_timer)
    module = assemble(rules, checked=checked, notes={NOTE: source_digest()})
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(module)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
    return module
