"""The text of notebooks, as a reader counts and sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
WORD = re.compile(r"[\w'’.,:/%-]*\w[\w'’%-]*")
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
FOLDED = re.compile(r"<details>.*?</details>", re.S)


def load(path: Path) -> Any:
    """Return a notebook as it is stored."""
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path: Path, kind: str | None = None) -> list[Cell]:
    """Return a notebook's cells, or those of one kind."""
    return [cell for cell in load(path)["cells"] if kind in (None, cell["cell_type"])]


def source(cell: Cell) -> str:
    """Return what is written in a cell."""
    return "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    """Return a cell's tags."""
    found: list[str] = cell["metadata"].get("tags", [])
    return found


def prose(path: Path) -> str:
    """Return the text of a notebook."""
    return "\n\n".join(source(cell) for cell in cells(path, "markdown"))


def words(text: str) -> int:
    """Count words; addresses, marks and fenced code are none."""
    return len(WORD.findall(re.sub(r"\]\([^)]*\)|<[^>]+>", " ", FENCED.sub("", text))))


def counted(path: Path) -> int:
    """Count the words of a notebook but for its sources, which are folded at its end."""
    return sum(words(source(cell)) for cell in cells(path, "markdown") if not cell["id"].endswith("-sources"))


def before_it_moves(path: Path) -> int:
    """Count the words before the first panel."""
    seen = 0
    for cell in cells(path):
        if cell["cell_type"] == "code" and "_panel(" in source(cell):
            return seen
        seen += words(source(cell)) if cell["cell_type"] == "markdown" else 0
    raise AssertionError(f"{path.name}: nothing moves")


def headings(path: Path) -> list[tuple[int, str]]:
    """Return a notebook's headings with their levels."""
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", FENCED.sub("", prose(path)), re.M)]


def minutes(path: Path) -> int:
    """Return how long a notebook says that it takes."""
    [said] = re.findall(r"\*\*Time:\*\* about (\d+) minutes", prose(path))
    return int(said)
