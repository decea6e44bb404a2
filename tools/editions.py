"""Editions of the lessons, made from the notebooks themselves.

`student`: the same notebooks without solutions and outputs. `html`: pages that need neither a kernel nor a
network, with panels that move and solutions folded, and an index of them. `site`: the same pages and the reference of
the functions, as a web server may hand them out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from kvmlab.cli.lessons import readers_text
from tools.pages import write
from tools.pages.catalogue import NOTEBOOKS, ROOT, catalogue


def student(lesson: Path, folder: Path) -> Path:
    """Write a lesson without its solutions, and without outputs."""
    written = folder / lesson.relative_to(NOTEBOOKS)
    written.parent.mkdir(parents=True, exist_ok=True)
    text = readers_text(lesson.read_text(encoding="utf-8"), student=True)
    written.write_text(text, encoding="utf-8", newline="\n")
    return written


def students(folder: Path) -> Iterator[Path]:
    """Write the student edition; yield each file."""
    for entry in catalogue().entries:
        yield student(entry.path, folder)


def html(folder: Path) -> Iterator[Path]:
    """Write the pages and their index; yield each file."""
    for entry in catalogue().entries:
        yield write.page(entry, folder)
    yield write.index(folder)


def site(folder: Path) -> Iterator[Path]:
    """Write what a web server needs; yield each file, of the reference only the first."""
    if write.reference(folder / "api"):
        yield folder / "api" / "index.html"
    else:
        print("The site goes without a reference of the functions, which pdoc would write: pip install pdoc.")
    yield from html(folder)


EDITIONS = {"student": students, "html": html, "site": site}


def main() -> None:
    """Write one edition of all lessons into build/."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("edition", choices=EDITIONS)
    parser.add_argument("--into", type=Path, help="folder to write to (build/<edition> unless given)")
    options = parser.parse_args()
    for written in EDITIONS[options.edition](options.into or ROOT / "build" / options.edition):
        print(written)


if __name__ == "__main__":
    main()
