"""What every lesson has: order, sources, exercises with solutions, pictures with alt text, outputs that are small."""

from __future__ import annotations

import itertools
import json
import re

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from tests.places import NOTEBOOKS
from tools import editions

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
LARGEST = 350_000  # about eight pictures, and the text
PANEL = '<div class="kvmlab"'
LARGEST_OUTPUT = 60_000

pytestmark = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path, kind=None):
    return [cell for cell in load(path)["cells"] if kind in (None, cell["cell_type"])]


def source(cell):
    return "".join(cell["source"])


def prose(path):
    return "\n\n".join(source(cell) for cell in cells(path, "markdown"))


def tags(cell):
    return cell["metadata"].get("tags", [])


def outputs(path):
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def html(output):
    return "".join(output.get("data", {}).get("text/html", ""))


def headings(path):
    text = re.sub(r"^```.*?^```", "", prose(path), flags=re.M | re.S)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", text, flags=re.M)]


def test_one_title_and_no_level_skipped(path):
    levels = [level for level, _ in headings(path)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in itertools.pairwise(levels))
    assert headings(path)[0][1].startswith(path.stem[:2])


def test_sections_that_every_lesson_has(path):
    titles = [title for _, title in headings(path)]
    for section in ("Objectives", "Where the model differs from the hardware", "Sources"):
        assert section in titles
    assert re.search(r"\*\*Time:\*\* about \d+ minutes", prose(path))
    assert "**What to know first:**" in prose(path)


def test_navigation_and_links_lead_somewhere(path):
    first, last = source(cells(path)[0]), source(cells(path)[-1])
    for place in (first, last):
        assert "contents" in place
        assert "next:" in place
    for target in re.findall(r"\]\(([^)]+)\)", prose(path)):
        if not target.startswith("https://"):
            name, _, anchor = target.partition("#")
            linked = path.parent / name
            assert linked.is_file(), target
            assert not anchor or anchor in [title.replace(" ", "-") for _, title in headings(linked)], target


def test_exercises_have_ids_hints_checks_and_solutions(path):
    lesson = f"L{path.stem[:2]}"
    ids = [title.split(":")[0].removeprefix("Exercise ") for _, title in headings(path) if title.startswith("Exercise")]
    assert len(ids) >= 2
    assert ids == [f"{lesson}-E{i + 1}" for i in range(len(ids))]
    code = cells(path, "code")
    for exercise in ids:
        [check] = [cell for cell in code if re.search(rf'check\(\s*"{exercise}"', source(cell))]
        assert "= ...\n" in source(check)
        assert "checked=" in source(check)
        assert "not_checked=" in source(check)
        [solution] = [cell for cell in code if source(cell).startswith(f"# Solution of {exercise}\n")]
        assert tags(solution) == ["solution"]
        assert solution["metadata"]["jupyter"]["source_hidden"]
        assert solution["outputs"] == [], "an output would give the answer away"
        assert "assert" in source(solution)
    assert prose(path).count("<details>") >= len(ids)
    assert prose(path).count("<details>") == prose(path).count("</details>")
    predictions = re.findall(r'predict\("([^"]+)"', "\n".join(map(source, code)))
    assert len(set(predictions)) == len(predictions)
    assert all(re.fullmatch(rf"{lesson}-P\d+", name) for name in predictions)


def test_commits_are_named_by_enough_digits(path):
    text = prose(path)
    named = re.findall(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b", re.sub(r"\S+@\S+", "", text))
    assert named
    assert [name for name in named if len(name) < 12] == []
    for shown, linked in re.findall(r"\[(\w+)\]\(https://git\.kernel\.org/linus/(\w+)\)", text):
        assert shown == linked
    known = (NOTEBOOKS.parent / "data" / "patches.toml").read_text(encoding="utf-8")
    assert [name for name in named if name[:12] not in known] == []


def test_outputs_are_there_and_small(path):
    assert path.stat().st_size < LARGEST
    assert max(len(json.dumps(output)) for output in outputs(path)) < LARGEST_OUTPUT
    assert not [output for output in outputs(path) if output["output_type"] == "error"]
    assert not [output for output in outputs(path) if output.get("name") == "stderr"]


def test_stored_as_run_once_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))
    assert set(load(path)["metadata"]) == {"kernelspec", "language_info"}
    assert load(path)["metadata"]["language_info"] == {"name": "python"}
    ids = [cell["id"] for cell in cells(path)]
    assert len(set(ids)) == len(ids)
    assert all(name.startswith(f"l{path.stem[:2]}-") for name in ids)


def test_pictures_have_alt_text_and_captions(path):
    panels = [output for output in outputs(path) if PANEL in html(output)]
    pictures = [output for output in outputs(path) if "<img" in html(output) and output not in panels]
    assert pictures or panels
    for output in pictures:
        [alt] = re.findall(r'<img alt="([^"]*)"', html(output))
        assert len(alt) > 60
    assert not [output for output in outputs(path) if any(key.startswith("image/") for key in output.get("data", {}))]
    for kind, shown in (("Figure", pictures), ("Panel", panels)):
        captions = re.findall(rf"^\*{kind} (\S+)\.", prose(path), flags=re.M)
        assert captions == [f"{path.stem[:2]}-{i + 1}" for i in range(len(shown))]
    assert len(panels) == sum("_panel(" in source(cell) for cell in cells(path, "code"))


def test_no_formula_needs_a_script(path):
    """A page without a network has no MathJax: formulas are written in text."""
    assert "$" not in re.sub(r"`[^`]*`|^```.*?^```", "", prose(path), flags=re.M | re.S)


def test_no_folder_of_somebodys_machine(path):
    assert re.findall(r"(?<![\w.:/-])/(?:root|home|Users|tmp|work)/\w+", path.read_text(encoding="utf-8")) == []


@pytest.fixture(scope="module")
def kernel():
    """One for all lessons: each forgets what the one before it has named, and loads nothing twice."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(NOTEBOOKS))
    yield manager
    manager.shutdown_kernel(now=True)


def test_student_edition_runs(path, tmp_path, kernel):
    """The lesson without its solutions, with every question still open."""
    lesson = nbformat.read(editions.student(path, tmp_path), as_version=4)
    lesson.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    reader = NotebookClient(lesson, km=kernel, timeout=300)
    reader.execute()
    reader.kc.stop_channels()
    assert "not answered yet" in nbformat.writes(lesson)
