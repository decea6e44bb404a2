"""TEACHING.md keeps in step with the lessons: their minutes, their exercises, and a quiz that each lesson teaches."""

from __future__ import annotations

import re

import pytest

from kvmlab import data
from tests.places import NOTEBOOKS, ROOT
from tests.project.prose import cells, minutes, prose, source

TEXT = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
LESSONS = [path for path in data.lessons() if path.stem[:2].isdecimal()]
CELLS = {cell["id"]: source(cell) for path in LESSONS for cell in cells(path)}
QUESTION = re.compile(
    r"^(\d+)\. \*\*(.+?)\*\*\n   \*Answer\.\* (.+?)\(((?:`l\d\d-[\w-]+`(?:, )?)+)\)$", flags=re.M | re.S
)
QUIZ = QUESTION.findall(TEXT)


def test_every_lesson_is_listed_with_its_minutes():
    rows = re.findall(r"^\| \[(\d\d)[^]]*\]\(notebooks/(\w+)\.ipynb\) \| (\d+) \|", TEXT, flags=re.M)
    assert [(name, int(said)) for _, name, said in rows] == [(path.stem, minutes(path)) for path in LESSONS]
    assert all(name.startswith(number) for number, name, _ in rows)


def test_the_contents_of_the_first_lesson_have_every_lesson_and_its_minutes():
    contents = prose(LESSONS[0]).partition("## Contents")[2]
    for path in LESSONS[1:]:
        [line] = [line for line in contents.splitlines() if line.startswith("- ") and f"]({path.name})" in line]
        assert re.search(rf"\b{minutes(path)}\b", line), path.stem


def test_the_quiz_has_twenty_questions_over_all_lessons():
    assert [int(number) for number, *_ in QUIZ] == list(range(1, 21))
    taught = {cell[1:3] for *_, cells in QUIZ for cell in re.findall(r"`([\w-]+)`", cells)}
    assert taught == {path.stem[:2] for path in LESSONS}


@pytest.mark.parametrize("number", range(20))
def test_a_question_is_taught_by_the_cells_that_are_named(number):
    _, _, answer, named = QUIZ[number]
    taught = " ".join(CELLS[name] for name in re.findall(r"`([\w-]+)`", named)).lower()
    words = set(re.findall(r"[a-z_]{5,}", answer.lower()))
    assert len([word for word in words if word[:5] in taught]) >= 0.4 * len(words)


def test_exercises_that_are_named_exist():
    code = "\n".join(CELLS.values()) + "L04-E9"  # a teacher's own
    assert [name for name in set(re.findall(r"L\d\d-E\d+", TEXT)) if f"{name}" not in code] == []


def test_notebooks_that_are_named_exist():
    assert [name for name in re.findall(r"\]\((notebooks/[^)#]+)", TEXT) if not (ROOT / name).exists()] == []


def test_every_word_of_the_glossary_is_used():
    glossary = prose(NOTEBOOKS / "deeper" / "glossary.ipynb")
    rows = re.findall(r"^\| (.+?) \|", glossary, flags=re.M)[2:]
    heads = [head.strip("` *") for row in rows for head in row.split(", ")]
    assert len(heads) > 40
    others = "\n".join(prose(path) for path in data.lessons() if path.stem != "glossary").lower()
    assert [head for head in heads if head.lower().removesuffix("s") not in others] == []
