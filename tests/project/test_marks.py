"""Marks are what the check cells say; a notebook that is run is judged by what it computes, not by what it stores."""

from __future__ import annotations

import subprocess
import sys

import nbformat

from tests.places import ROOT
from tools import marks

CHECK = """from kvmlab import exercises
own = exercises.Exercise(exercises.Number(lambda: 2), "the number", "why")
exercises.check("L03-E1", {answer}, own)"""


def notebook(answer, stored):
    cell = nbformat.v4.new_code_cell(CHECK.format(answer=answer))
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": stored})]
    solution = nbformat.v4.new_code_cell("exercises.check('L03-E2', 1)", metadata={"tags": ["solution"]})
    solution.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "L03-E2: right: 1 (yours)."})]
    return nbformat.v4.new_notebook(cells=[cell, solution])


def test_what_the_checks_say():
    assert marks.marks(notebook(2, "L03-E1: right: 2 (yours).")) == {"L03-E1": "right"}
    assert marks.marks(notebook(3, "L03-E1: not yet: 3 (yours) is too high.")) == {"L03-E1": "wrong"}
    assert marks.marks(notebook("...", "L03-E1: not answered yet. Replace")) == {"L03-E1": "open"}
    assert marks.table([("a.ipynb", {"L03-E1": "right"})]) == [{"notebook": "a.ipynb", "right": "1", "L03-E1": "right"}]


def test_a_table_of_a_folder_and_an_output_that_was_written_by_hand(tmp_path):
    (tmp_path / "ada").mkdir()
    forged = notebook(3, "L03-E1: right: 2 (yours).")
    forged.cells.pop()
    nbformat.write(forged, tmp_path / "ada" / "03.ipynb")
    said = {}
    for options in ([], ["--run"]):
        command = [sys.executable, "-m", "tools.marks", str(tmp_path), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        said[tuple(options)] = done.stdout.splitlines()
    assert said[()] == ["notebook,right,L03-E1", f"{tmp_path / 'ada' / '03.ipynb'},1,right"]
    assert said["--run",][1].endswith(",0,wrong")
