"""What there is to read: the lessons in their order, the essence, and the notebooks that go deeper."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
ROW = re.compile(r"^\| \[[^\]]*\]\(notebooks/([^)]+)\.ipynb\) \|.*\| ([^|]+) \|$", re.M)
"""A row of the README's table of lessons: the notebook, and what it is about in the last column."""


@dataclass(frozen=True)
class Entry:
    """A notebook of the course, as a reader who looks for it wants to know it."""

    path: Path
    name: str
    """Its path below the folder of notebooks, without the suffix: ``03_rev1...``, ``essence``, ``deeper/amd``."""
    title: str
    about: str
    """What it is about, in a line."""
    minutes: int | None
    """How long it takes, if it says so."""

    @property
    def number(self) -> str:
        """The lesson's number as its file has it: ``03``; empty for other notebooks."""
        return self.name[:2] if self.name[:2].isdecimal() else ""

    @property
    def home(self) -> str:
        """The way from its page to the folder of all pages: empty, or ``../``."""
        return "../" * self.name.count("/")


@dataclass(frozen=True)
class Catalogue:
    """All notebooks of the course; `essence` is None, and `deeper` is empty, where there are none."""

    lessons: tuple[Entry, ...]
    essence: Entry | None
    deeper: tuple[Entry, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them in reading order."""
        return (*self.lessons, *([self.essence] if self.essence else ()), *self.deeper)


@functools.cache
def catalogue(folder: Path = NOTEBOOKS) -> Catalogue:
    """Return what there is to read in a folder of notebooks."""

    def entries(pattern: str) -> tuple[Entry, ...]:
        found = [(path, path.relative_to(folder).with_suffix("").as_posix()) for path in sorted(folder.glob(pattern))]
        return tuple(entry(path, name, about.get(name)) for path, name in found)

    about = dict(ROW.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    essence = entries("essence.ipynb")
    return Catalogue(entries("[0-9][0-9]_*.ipynb"), essence[0] if essence else None, entries("deeper/*.ipynb"))


def entry(path: Path, name: str, about: str | None) -> Entry:
    """Return a notebook's entry; `about`: what the README says of it, if it does."""
    first = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)$", first, re.M)
    minutes = re.search(r"\*\*Time:\*\* about (\d+) minutes", first)
    said = about or opening(first)
    return Entry(path, name, title[1] if title else path.stem, said, int(minutes[1]) if minutes else None)


def opening(text: str) -> str:
    """Return the first sentence of a notebook's text: that of the first paragraph that is neither a title nor links.

    >>> opening("# 3 A\\n\\n[contents](00.ipynb)\\n\\nWho *pays*\\nfor it? Everybody.")
    'Who pays for it?'
    """
    for paragraph in re.split(r"\n\s*\n", text):
        if not re.match(r"#|\||<|-|.*\]\([^)]*\.ipynb|\*\*[^*]+:\*\*", paragraph.strip()):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", " ".join(paragraph.split()))
            return re.split(r"(?<=[.?!]) ", plain, maxsplit=1)[0]
    return ""
