"""The reference of kvmlab's functions, made by pdoc from their docstrings: pages that need no network.

A page per module, and before them one of the names that `import kvmlab as kl` gives. Links lead to the source.
"""

from __future__ import annotations

import argparse
import pkgutil
import tomllib
import warnings
from collections.abc import Sequence
from pathlib import Path

import pdoc
import pdoc.render

import kvmlab

ROOT = Path(__file__).parent.parent
NO_LIBRARY = ("kvmlab.__main__", "kvmlab.cli", "kvmlab.engine.emit", "kvmlab.engine.assemble")
"""What has no page: the command line, and the translator, which needs llvmlite."""


def source() -> str:
    """Return the address below which the package's files can be read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['urls']['Repository']}/blob/main/kvmlab/"


def rooms() -> list[str]:
    """Return the rooms of the package, and the modules beside them; pdoc finds what is in them."""
    return [name for _, name, _ in pkgutil.iter_modules(kvmlab.__path__, "kvmlab.") if name not in NO_LIBRARY]


def write(folder: Path, below: Sequence[str]) -> None:
    """Write the page of kvmlab and those of the modules `below` it; old ones of the same names are overwritten."""
    for name in kvmlab.__all__:
        getattr(kvmlab, name)  # pdoc looks at what a module has, and kvmlab loads many names when they are asked for
    pdoc.render.configure(show_source=False, edit_url_map={"kvmlab": source()})
    with warnings.catch_warnings():
        # Types that a module imports for type checkers only are shown as they are written.
        warnings.filterwarnings("ignore", message="Error parsing type annotation")
        warnings.filterwarnings("ignore", message="The module specification")  # kvmlab.policy is public by both ways
        pdoc.pdoc("kvmlab", *below, *(f"!{module}" for module in NO_LIBRARY), output_directory=folder)


def main() -> None:
    """Write the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write to")
    folder: Path = parser.parse_args().folder
    write(folder, rooms())
    print(folder / "index.html")


if __name__ == "__main__":
    main()
