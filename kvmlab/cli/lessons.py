"""Write the lessons, which a wheel carries, into a folder of the reader's own, with solutions or without."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from kvmlab import data

FIRST = "00_start_here.ipynb"
"""The lesson to begin with."""


def readers_text(text: str, *, student: bool = False) -> str:
    """Return a notebook as a reader begins with it: nothing has been run yet. In the form in which Jupyter writes it.

    `text`: the notebook as JSON. `student`: without the cells tagged `solution`.
    """
    notebook = json.loads(text)
    cells = [cell for cell in notebook["cells"] if not (student and "solution" in cell["metadata"].get("tags", ()))]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
            cell["metadata"].get("jupyter", {}).pop("outputs_hidden", None)
    return json.dumps(notebook | {"cells": cells}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def write_lessons(into: Path, *, student: bool = False, keep: bool = False) -> list[Path]:
    """Write every lesson into a folder, which is made if need be; return the files written, in the lessons' order.

    `student`: leave the solutions out. `keep`: leave files that are there already as they are, and write the others. A
    lesson needs nothing beside it but kvmlab and Jupyter.

    Raises FileExistsError, before anything is written, if one of the files is there already, for it may hold answers;
    not with `keep`.
    """
    lessons = data.lessons()
    home = lessons[0].parent
    target = {lesson: into / lesson.relative_to(home) for lesson in lessons}
    there = [path for path in target.values() if path.exists()]
    if there and not keep:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise FileExistsError(
            f"{into}: has {there[0].name}{more} already; nothing was written. "
            "Name another folder, or keep them (--keep)"
        )
    target = {lesson: path for lesson, path in target.items() if path not in there}
    for lesson, path in target.items():
        text = lesson.read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(readers_text(text, student=student), encoding="utf-8", newline="\n")
    return list(target.values())


def next_steps(into: Path) -> str:
    """Say what to type to open the lessons in `into`: to install JupyterLab first where it is missing."""
    missing = [name for name in ("jupyterlab", "anywidget", "matplotlib") if importlib.util.find_spec(name) is None]
    install = ['python -m pip install "kvmlab[lab]"'] if missing else []
    folder = f'"{into}"' if " " in str(into) else str(into)
    return "\n".join(f"  {line}" for line in (*install, f"cd {folder}", f"python -m jupyterlab {FIRST}"))
