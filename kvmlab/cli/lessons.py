"""Write the lessons, which a wheel carries, into a folder of the reader's own: as they are, or without solutions."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from kvmlab import data

FIRST = "00_start_here.ipynb"
"""The lesson to begin with."""


def student_text(text: str) -> str:
    """Return a notebook without the cells tagged `solution`, in the form in which Jupyter writes it.

    `text`: the notebook as JSON. The outputs are those of a reader who has not answered yet, and stay.
    """
    notebook = json.loads(text)
    notebook["cells"] = [cell for cell in notebook["cells"] if "solution" not in cell["metadata"].get("tags", ())]
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def write_lessons(into: Path, *, student: bool = False) -> list[Path]:
    """Write every lesson into a folder, which is made if need be; return the files, in the order of the lessons.

    `student`: leave the solutions out. A lesson needs nothing beside it but kvmlab and Jupyter.

    Raises FileExistsError, before anything is written, if one of the files is there already: it may hold answers.
    """
    lessons = data.lessons()
    taken = [lesson.name for lesson in lessons if (into / lesson.name).exists()]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise FileExistsError(f"{into}: has {taken[0]}{more} already; nothing was written. Name another folder")
    into.mkdir(parents=True, exist_ok=True)
    for lesson in lessons:
        text = lesson.read_text(encoding="utf-8")
        written = student_text(text) if student else text
        (into / lesson.name).write_text(written, encoding="utf-8", newline="\n")
    return [into / lesson.name for lesson in lessons]


def next_steps(into: Path) -> str:
    """Say what to type to open the lessons in `into`: to install JupyterLab first where it is missing."""
    missing = [name for name in ("jupyterlab", "anywidget", "matplotlib") if importlib.util.find_spec(name) is None]
    install = ['python -m pip install "kvmlab[lab]"'] if missing else []
    folder = f'"{into}"' if " " in str(into) else str(into)
    return "\n".join(f"  {line}" for line in (*install, f"cd {folder}", f"python -m jupyterlab {FIRST}"))
