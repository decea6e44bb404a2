"""Make the module of the rules, and tell whether one is of the rules as they stand."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from kvmlab.engine.sections import custom_section

PACKAGE = Path(__file__).resolve().parents[1]
MODULE = PACKAGE / "engine" / "rules.wasm"
SOURCES = ("policy.py", "kernels.py", "model/*.py", "engine/layout.py", "engine/emit/*.py", "engine/assemble.py")
"""What the module depends on."""
SIGNATURE = "kvmlab rules"
"""The custom section that ends the module: what it was made of, and a digest of what it is."""


def source_digest(*others: str) -> str:
    """Return a digest of the rules' sources, and of other files of the package (`others`: patterns as in `SOURCES`)."""
    files = sorted(path for pattern in (*SOURCES, *others) for path in PACKAGE.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def signed(body: bytes) -> bytes:
    """Return a module with a last section that says of which rules it is, and whether it is undamaged."""
    said = f"{source_digest()} {hashlib.sha256(body).hexdigest()}"
    return body + custom_section(SIGNATURE, said)


def is_of_these_rules(module: bytes) -> bool:
    """Return True if the module was made of the rules as they stand, and is as it was made."""
    return module == signed(module[: -len(signed(b""))])


def translated(*, checked: bool = False) -> bytes:
    """Translate the rules into a module. Needs llvmlite; raises Untranslatable.

    `checked`: the module traps where a rule leaves what could be translated exactly.
    """
    from kvmlab.engine.assemble import assemble
    from kvmlab.model.horizon import affordable_ns
    from kvmlab.model.loop import run, run_some
    from kvmlab.model.one_timer import arm_one_timer, follow_one_timer
    from kvmlab.model.start import plan, prepare
    from kvmlab.model.until_end import idle_until, lost_until, timer_busy_until

    driven = (plan, prepare, run, run_some, arm_one_timer, follow_one_timer)
    asked = (affordable_ns, idle_until, lost_until, timer_busy_until)
    return signed(assemble((*driven, *asked), checked=checked))


def keep(module: bytes, path: Path = MODULE) -> None:
    """Write the module to `path`, whole or not at all. Raises OSError."""
    file = tempfile.NamedTemporaryFile(dir=path.parent, delete=False)  # noqa: SIM115 (closed before it is moved)
    try:
        with file:
            file.write(module)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError:
        Path(file.name).unlink(missing_ok=True)
        raise
