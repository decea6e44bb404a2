"""What becomes of a notebook's cells on a page, where nothing can be run: what is folded, what is left out."""

from __future__ import annotations

import ast
import re
from typing import Any

from nbconvert.preprocessors import Preprocessor

WRITTEN = re.compile(r"\bexercises\.predict\(")
"""A guess that is written into the cell; one that is made in a panel has its place on a page."""
GUESS = re.compile(r"(\w+) = (?:exercises\.predict|panels\.predict_panel)\(")
UNANSWERED = re.compile(r"^\(?L\d\d-[EP]\d+: (?:not answered|no prediction) yet\b")
"""What a check or a prediction shows before the reader has put anything in: on a page there is no place to."""
NO_GUESS = "; you made no prediction"
LABELS = {
    "code": "Code",
    "solution": "Solution",
    "check": "Where the answer goes in JupyterLab, and what checks it",
    "guess": "Where the guess goes in JupyterLab",
    "panel": "Code of the panel",
    "asserts": "Assertions: what must hold for the text to be true",
}
"""What is written on a folded cell, by its kind."""
OPEN = ("code",)
REVEAL = "I have made my guess: show what happens"


class ForReaders(Preprocessor):
    """Notes in each cell's metadata, under `page`, how the page shows it; drops outputs that speak of running cells."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Note it for all cells."""
        for cell in nb.cells:
            kind = kind_of(cell)
            folded = {"label": LABELS.get(kind, ""), "open": kind in OPEN}
            cell.metadata.page = {"kind": kind, "before": "", "after": "", **folded}
            if cell.cell_type == "code":
                cell.outputs = [readable(output) for output in cell.outputs if not is_unanswered(output)]
        for first, last in reveals(nb.cells):
            nb.cells[first].metadata.page["before"] = f'<details class="reveal"><summary>{REVEAL}</summary>'
            nb.cells[last].metadata.page["after"] = "</details>"
        return nb, resources


def kind_of(cell: Any) -> str:
    """Return what a cell is to a reader: a key of `LABELS`, or "text"."""
    if cell.cell_type != "code":
        return "text"
    if "solution" in cell.metadata.get("tags", ()):
        return "solution"
    for kind, pattern in (("check", r"\bexercises\.check\("), ("guess", WRITTEN), ("panel", r"\bpanels\.\w+_panel\(")):
        if re.search(pattern, cell.source):
            return kind
    return "asserts" if only_asserts(cell) else "code"


def only_asserts(cell: Any) -> bool:
    """Return True for code that ends with an assertion and shows nothing: it is there for the tests of the course."""
    body = [] if cell.source.startswith("%") else ast.parse(cell.source).body
    return bool(body) and not cell.outputs and any(isinstance(each, ast.Assert) for each in ast.walk(body[-1]))


def is_unanswered(output: Any) -> bool:
    """Return True if all that an output says is that the reader has not put in anything yet."""
    data = output.get("data", {})
    said = output.get("text") or data.get("text/plain", "")
    return "text/html" not in data and bool(UNANSWERED.match(said))


def readable(output: Any) -> Any:
    """Return an output without the remark that the reader made no prediction."""
    if "text" in output:
        output.text = output.text.replace(NO_GUESS, "")
    elif "text/plain" in output.get("data", {}):
        output.data["text/plain"] = output.data["text/plain"].replace(NO_GUESS, "")
    return output


def reveals(cells: list[Any]) -> list[tuple[int, int]]:
    """Return the runs of cells, first and last, that tell what a reader was asked to guess.

    A run begins after the cell with the guess and ends with the one that reveals it, or with the text that explains it.
    """
    runs: list[tuple[int, int]] = []
    for i, cell in enumerate(cells):
        names = GUESS.findall(cell.source) if cell.cell_type == "code" else []
        found = [j for j in range(i + 1, len(cells)) if any(f"{name}.reveal(" in cells[j].source for name in names)]
        if found and not (runs and found[0] <= runs[-1][1]):
            runs.append((i + 1, explained(cells, found[0])))
    return runs


def explained(cells: list[Any], revealed: int) -> int:
    """Return the last cell that belongs to one that reveals: the text that explains it, if it asks nothing new."""
    last = past_asserts(cells, revealed)
    text, after = [*cells[last + 1 : last + 3], None, None][:2]
    if text is None or kind_of(text) != "text" or text.source.startswith(("#", "---")):
        return last
    asks = after is not None and (kind_of(after) == "check" or bool(GUESS.search(after.source)))
    return last if asks else past_asserts(cells, last + 1)


def past_asserts(cells: list[Any], last: int) -> int:
    """Return the last of the cells of assertions that follow a cell, or else that cell."""
    while last + 1 < len(cells) and kind_of(cells[last + 1]) == "asserts":
        last += 1
    return last
