"""What becomes of a notebook's cells on a page, where nothing can be run: what is folded, what is left out."""

from __future__ import annotations

import re
from typing import Any

from nbconvert.preprocessors import Preprocessor

UNANSWERED = re.compile(r"^\(?L\d\d-E\d+: not answered yet\b")
"""What a check shows before the reader has put anything in: on a page there is no place to."""
TRUTH = re.compile(r'<span class="kvmlab-truth".*?</span>', re.S)
"""Where a prediction's panel looks for what is true."""
LABELS = {
    "code": "Code",
    "solution": "Solution",
    "check": "Where the answer goes in JupyterLab",
    "reveal": "What your guess is compared with",
    "panel": "Code of the panel",
}
"""What is written on a folded cell, by its kind."""
KINDS = (("check", r"\bexercises\.check\("), ("reveal", r"\.reveal\("), ("panel", r"\bpanels\.\w+_panel\("))
"""What makes a cell of code one of a kind."""
OPEN = ("code",)


class ForReaders(Preprocessor):
    """Notes in each cell's metadata, under `page`, how the page shows it; drops outputs that speak of running cells."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Note it for all cells."""
        for cell in nb.cells:
            kind = kind_of(cell)
            hidden = cell.metadata.get("jupyter", {}).get("outputs_hidden", False)
            cell.metadata.page = {"kind": kind, "label": LABELS.get(kind, ""), "open": kind in OPEN, "hidden": hidden}
            if cell.cell_type == "code":
                cell.outputs = [readable(output) for output in cell.outputs if not is_unanswered(output)]
        return nb, resources


def kind_of(cell: Any) -> str:
    """Return what a cell is to a reader: a key of `LABELS`, or "text"."""
    if cell.cell_type != "code":
        return "text"
    if "solution" in cell.metadata.get("tags", ()):
        return "solution"
    return next((kind for kind, pattern in KINDS if re.search(pattern, cell.source)), "code")


def is_unanswered(output: Any) -> bool:
    """Return True if all that an output says is that the reader has not put in anything yet."""
    data = output.get("data", {})
    return "text/html" not in data and bool(UNANSWERED.match(data.get("text/plain", "")))


def readable(output: Any) -> Any:
    """Return an output without the remark that the reader made no prediction: the panel still finds what is true."""
    data = output.get("data", {})
    truth = TRUTH.search(data.get("text/html", ""))
    if truth:
        data["text/html"] = truth[0]
    return output
