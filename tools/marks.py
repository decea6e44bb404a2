"""List what the check cells of handed-in notebooks say, a row for each notebook, as CSV.

`--run` runs each notebook first, as anybody who opens it would: with the rights of whoever does. Without it the stored
outputs are read, which a reader can write by hand.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbclient import NotebookClient

VERDICT = re.compile(r"^(L\d\d-E\d+): (right|not yet|not answered yet)", re.M)
MARKS = {"right": "right", "not yet": "wrong", "not answered yet": "open"}


def marks(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return what the last check of each exercise says: "right", "wrong" or "open"."""
    told = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code" and "solution" not in cell.metadata.get("tags", ())
        for output in cell.outputs
    ]
    return {exercise: MARKS[said] for exercise, said in VERDICT.findall("\n".join(told))}


def read(path: Path, *, run: bool = False) -> nbformat.NotebookNode:
    """Return a notebook; with `run` after running it, past errors in cells."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    if run:
        place = {"metadata": {"path": path.parent}}
        NotebookClient(notebook, timeout=600, allow_errors=True, resources=place).execute()
    return notebook


def table(found: Iterable[tuple[str, dict[str, str]]]) -> list[dict[str, str]]:
    """Return a row for each notebook: its path, how many are right, and each exercise."""
    return [{"notebook": name, "right": str([*each.values()].count("right")), **each} for name, each in found]


def main() -> None:
    """Print the table of all notebooks in a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", action="store_true", help="run each notebook first")
    options = parser.parse_args()
    paths = [path for path in sorted(options.folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    rows = table((str(path), marks(read(path, run=options.run))) for path in paths)
    names = sorted({name for row in rows for name in row} - {"notebook", "right"})
    writer = csv.DictWriter(sys.stdout, ["notebook", "right", *names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
