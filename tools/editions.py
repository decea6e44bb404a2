"""Two editions of the lessons, made from the notebooks themselves.

`student`: the same notebooks without the cells tagged `solution`. `html`: pages that need neither a kernel nor a
network, with solutions folded, pictures in place of panels, and links from page to page.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor

from kvmlab.cli.lessons import student_text

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NO_SCRIPT = re.compile(r'<script src="">\s*</script>')
"""What the exporter leaves of a script whose address was taken away."""
LESSON_LINK = re.compile(r"\]\((\d\d_\w+)\.ipynb(#[^)]*)?\)")


class FoldSolutions(Preprocessor):
    """Shows a solution, which nobody runs on a page, as text that unfolds."""

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        """Turn a code cell tagged `solution` into a folded text."""
        if "solution" in cell.metadata.get("tags", ()):
            text = f"<details><summary>Solution</summary>\n\n```python\n{cell.source}\n```\n\n</details>"
            cell = nbformat.v4.new_markdown_cell(text, id=cell.id)
        return cell, resources


class LinkPages(Preprocessor):
    """Makes links between lessons lead to the pages."""

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        """Turn links to notebooks into links to pages."""
        if cell.cell_type == "markdown":
            cell.source = LESSON_LINK.sub(r"](\1.html\2)", cell.source)
        return cell, resources


def student(lesson: Path, folder: Path) -> Path:
    """Write a lesson without its solutions; its outputs are those of a reader who has not answered yet."""
    written = folder / lesson.name
    written.write_text(student_text(lesson.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    return written


def page_exporter() -> HTMLExporter:
    """Return an exporter whose pages contain all they need, and load nothing from elsewhere."""
    exporter = HTMLExporter(template_name="lab", exclude_input_prompt=True, exclude_output_prompt=True)
    for script in ("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url", "widget_renderer_url"):
        setattr(exporter, script, "")
    exporter.register_preprocessor(FoldSolutions, enabled=True)
    exporter.register_preprocessor(LinkPages, enabled=True)
    return exporter


def page(lesson: Path, folder: Path) -> Path:
    """Write a lesson as a page that stands alone."""
    notebook = nbformat.read(lesson, as_version=4)
    title = re.search(r"^# (.+)$", notebook.cells[0].source, flags=re.M)
    resources = {"metadata": {"name": title[1] if title else lesson.stem}}
    html, _ = page_exporter().from_notebook_node(notebook, resources=resources)
    written = folder / f"{lesson.stem}.html"
    written.write_text(NO_SCRIPT.sub("", html), encoding="utf-8")
    return written


EDITIONS = {"student": student, "html": page}


def main() -> None:
    """Write one edition of all lessons into build/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("edition", choices=EDITIONS)
    parser.add_argument("--into", type=Path, help="folder to write to (build/<edition> unless given)")
    options = parser.parse_args()
    folder = options.into or ROOT / "build" / options.edition
    folder.mkdir(parents=True, exist_ok=True)
    for lesson in LESSONS:
        print(EDITIONS[options.edition](lesson, folder))


if __name__ == "__main__":
    main()
