"""Run lessons from top to bottom and store their outputs, without anything that differs from run to run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from kvmlab import data

FRONT_END = re.compile(r'<script type="module">.*</script>', re.S)
KEY = re.compile(r",&quot;key&quot;:&quot;[0-9a-f]{32}&quot;")
"""What an output has of a panel besides its place: the front end, which is the same for all, and who its Python is."""


def store(path: Path) -> None:
    """Run one lesson; an error in a cell is raised, and nothing is stored."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, resources=resources, store_widget_state=False).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "kvmlab" in data.get("text/html", ""):
                data["text/html"] = KEY.sub("", FRONT_END.sub("", data["text/html"]))
    kernel = notebook.metadata["kernelspec"]
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for lesson in [Path(name) for name in sys.argv[1:]] or data.lessons():
        store(lesson)
        print(f"stored {lesson.name}")
