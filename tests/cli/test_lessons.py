"""`kvmlab lessons`: the notebooks in a folder of the reader's own."""

from __future__ import annotations

import nbformat
import pytest

from kvmlab import data
from kvmlab.cli import lessons
from tests.places import NOTEBOOKS

NAMES = [path.relative_to(NOTEBOOKS).as_posix() for path in data.lessons()]


def begun(name, *, student=False):
    """Return the cells of a lesson as a reader should get them."""
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    kept = [cell for cell in cells if not (student and "solution" in cell.metadata.get("tags", ()))]
    return [(cell.id, cell.cell_type, cell.source) for cell in kept]


def test_writes_the_lessons_and_says_what_to_type(run, tmp_path):
    folder = tmp_path / "a new" / "folder"
    code, out, err = run("lessons", folder)
    assert (code, err) == (0, "")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.ipynb")} == set(NAMES)
    for name in NAMES:
        assert_begun(folder / name, begun(name))
    assert f'cd "{folder}"' in out
    assert f"jupyterlab {NAMES[0]}" in out


def assert_begun(path, cells):
    """A notebook has these cells, nothing has been run in it, and it is what Jupyter would write."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert nbformat.writes(notebook) + "\n" == text
    assert [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells] == cells
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count] == []
    assert [cell.id for cell in code if "outputs_hidden" in cell.metadata.get("jupyter", {})] == []


def test_student_edition_has_no_solution(run, tmp_path):
    assert run("lessons", tmp_path / "s", "--student")[0] == 0
    for name in NAMES:
        assert_begun(tmp_path / "s" / name, begun(name, student=True))
        assert "# Solution of" not in (tmp_path / "s" / name).read_text(encoding="utf-8")


def test_overwrites_nothing_and_then_writes_nothing(run, tmp_path):
    (tmp_path / NAMES[4]).write_text("my answers", encoding="utf-8")
    code, out, err = run("lessons", tmp_path)
    assert (code, out) == (1, "")
    assert NAMES[4] in err
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[4]]
    assert (tmp_path / NAMES[4]).read_text(encoding="utf-8") == "my answers"


def test_keeps_what_is_there_if_asked_to(run, tmp_path):
    (tmp_path / NAMES[4]).write_text("my answers", encoding="utf-8")
    code, out, err = run("lessons", tmp_path, "--keep")
    assert (code, err) == (0, "")
    assert f"wrote {len(NAMES) - 1} lessons" in out
    assert (tmp_path / NAMES[4]).read_text(encoding="utf-8") == "my answers"
    assert all((tmp_path / name).is_file() for name in NAMES)


def test_a_folder_that_cannot_be_made_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = run("lessons", tmp_path / "file" / "below")
    assert code == 1
    assert str(tmp_path / "file" / "below") in err


def test_says_to_install_jupyterlab_where_it_is_missing(monkeypatch, tmp_path):
    assert "pip install" not in lessons.next_steps(tmp_path)
    monkeypatch.setattr(lessons.importlib.util, "find_spec", lambda name: None)
    assert '"kvmlab[lab]"' in lessons.next_steps(tmp_path)


def test_without_lessons_both_places_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "_PACKAGE", tmp_path / "kvmlab")
    with pytest.raises(FileNotFoundError, match="checkout"):
        data.lessons()
