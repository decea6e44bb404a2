"""TEACHING.md keeps in step with the lessons: their minutes, their exercises, and a quiz that each lesson teaches."""

from __future__ import annotations

import json
import re

import pytest

from tests.places import ROOT

TEXT = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
LESSONS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
CELLS = {cell["id"]: "".join(cell["source"]) for lesson in LESSONS.values() for cell in lesson["cells"]}
QUESTION = re.compile(
    r"^(\d+)\. \*\*(.+?)\*\*\n   \*Answer\.\* (.+?)\(((?:`l\d\d-[\w-]+`(?:, )?)+)\)$", flags=re.M | re.S
)
QUIZ = QUESTION.findall(TEXT)


def minutes(lesson):
    [said] = re.findall(r"\*\*Time:\*\* about (\d+) minutes", "\n".join("".join(c["source"]) for c in lesson["cells"]))
    return said


def test_every_lesson_is_listed_with_its_minutes():
    rows = re.findall(r"^\| \[(\d\d)[^]]*\]\(notebooks/(\w+)\.ipynb\) \| (\d+) \|", TEXT, flags=re.M)
    assert [(name, said) for _, name, said in rows] == [(name, minutes(lesson)) for name, lesson in LESSONS.items()]
    assert all(name.startswith(number) for number, name, _ in rows)


def test_the_contents_of_the_first_lesson_agree():
    contents = "\n".join(CELLS.values())
    for name in list(LESSONS)[1:]:
        assert f"]({name}.ipynb)" in contents


def test_the_quiz_has_twenty_questions_over_all_lessons():
    assert [int(number) for number, *_ in QUIZ] == list(range(1, 21))
    taught = {cell[1:3] for *_, cells in QUIZ for cell in re.findall(r"`([\w-]+)`", cells)}
    assert taught == {name[:2] for name in LESSONS}


@pytest.mark.parametrize("number", range(20))
def test_a_question_is_taught_by_the_cells_that_are_named(number):
    _, _, answer, cells = QUIZ[number]
    names = re.findall(r"`([\w-]+)`", cells)
    taught = " ".join(CELLS[name] for name in names).lower()
    words = set(re.findall(r"[a-z_]{5,}", answer.lower()))
    assert len([word for word in words if word[:5] in taught]) >= 0.4 * len(words)


def test_exercises_that_are_named_exist():
    code = "\n".join(CELLS.values())
    assert [name for name in set(re.findall(r"L\d\d-E\d+", TEXT)) if f'"{name}"' not in code] == []


def test_every_word_of_the_glossary_is_used():
    [glossary] = [cell for cell in CELLS.values() if cell.startswith("## Glossary")]
    heads = [
        head.strip("` *") for row in re.findall(r"^\| (.+?) \|", glossary, flags=re.M)[2:] for head in row.split(", ")
    ]
    assert len(heads) > 40
    prose = "\n".join(cell for cell in CELLS.values() if cell is not glossary).lower()
    assert [head for head in heads if head.lower().removesuffix("s") not in prose] == []
