"""What every notebook has: order, sources, captions, alt texts, small outputs; and what a lesson has: its form."""

from __future__ import annotations

import base64
import itertools
import json
import re

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from kvmlab import data
from kvmlab.lab.exercises.checking import exercises_of
from tests.places import NOTEBOOKS
from tests.project.prose import (
    FOLDED,
    before_it_moves,
    cells,
    counted,
    headings,
    load,
    minutes,
    prose,
    source,
    tags,
    words,
)
from tools import editions

ALL = data.lessons()
CORE = [path for path in ALL if path.stem[:2].isdecimal()]
ESSENCE = NOTEBOOKS / "essence.ipynb"
DEEPER = [path for path in ALL if path.parent.name == "deeper"]
MOST_WORDS = dict.fromkeys((path.stem for path in CORE), 1_600) | {CORE[0].stem: 1_100, CORE[-1].stem: 900}
MOST_WORDS_OF_ALL = 14_500
MOST_MINUTES_OF_ALL = 270
LARGEST = 350_000  # about eight pictures, and the text
LARGEST_OUTPUT = 60_000
PANEL = '<div class="kvmlab"'

every = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
lesson = pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)


def outputs(path):
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def html(output):
    return "".join(output.get("data", {}).get("text/html", ""))


def place(output):
    """Return what a panel's place in an output says of it."""
    [options] = re.findall(r'data-panel="([^"]*)"', html(output))
    return json.loads(options.replace("&quot;", '"').replace("&#x27;", "'").replace("&amp;", "&"))


def test_the_lessons_are_there():
    assert [path.stem[:2] for path in CORE] == [f"{number:02}" for number in range(11)]
    assert ESSENCE in ALL
    assert len(DEEPER) >= 13


# A lesson is short, moves soon, has one law, asks, and ends with what to take away.


@lesson
def test_a_lesson_is_short_and_moves_soon(path):
    assert counted(path) <= MOST_WORDS[path.stem]
    assert before_it_moves(path) < 150
    assert minutes(path) <= 30


def test_the_course_is_short():
    assert sum(map(counted, CORE)) <= MOST_WORDS_OF_ALL
    assert sum(map(minutes, CORE)) <= MOST_MINUTES_OF_ALL


def test_the_essence_is_short():
    assert counted(ESSENCE) <= 1_000
    assert minutes(ESSENCE) <= 20


@lesson
def test_a_lesson_has_one_law(path):
    [law] = re.findall(r"<fieldset><legend><strong>The law</strong></legend>(.*?)</fieldset>", prose(path), re.S)
    assert 8 <= words(law) <= 60


@lesson
def test_a_lesson_ends_with_three_sentences_and_a_question(path):
    titles = [title for level, title in headings(path) if level == 2]
    assert titles[-3:] == ["What to take away", "Test yourself", "Go deeper"]
    text = prose(path)
    recap = text.partition("## What to take away")[2].partition("## Test yourself")[0]
    assert len(re.findall(r"[.?!](?=\s|$)", re.sub(r"\b(?:v\d+\.\d+|e\.g\.|i\.e\.)", "", recap))) == 3
    question = text.partition("## Test yourself")[2].partition("## Go deeper")[0]
    assert question.count("?") >= 1
    assert "<details><summary>Answer</summary>" in question


@lesson
def test_exercises_have_ids_hints_checks_and_solutions(path):
    number = path.stem[:2]
    ids = [title.split(":")[0].removeprefix("Exercise ") for _, title in headings(path) if title.startswith("Exercise")]
    assert 2 <= len(ids) <= 3
    assert ids == [f"L{number}-E{i + 1}" for i in range(len(ids))]
    assert ids == list(exercises_of(number))
    code = cells(path, "code")
    for exercise in ids:
        check, solution = (cell for cell in code if f'check("{exercise}"' in source(cell))
        assert re.search(rf'^exercises\.check\("{exercise}", \w+\)$', source(check), re.M), "no answer is in the cell"
        assert "expected" not in source(check)
        assert source(solution).startswith(f"# Solution of {exercise}\n")
        assert tags(solution) == ["solution"]
        assert solution["metadata"]["jupyter"]["source_hidden"]
        assert solution["outputs"] == [], "an output would give the answer away"
        assert re.search(rf'^assert exercises\.check\("{exercise}", .*\)\.right$', source(solution), re.M | re.S)
    assert prose(path).count("<summary>Hint</summary>") >= len(ids)


# Predict, then reveal: what is true is not to be read before the reader has guessed.


def predictions(path):
    code = "\n".join(source(cell) for cell in cells(path, "code"))
    return re.findall(r'(\w+) = panels\.predict_panel\(\s*"([^"]+)"', code)


@lesson
def test_a_lesson_asks_for_guesses_and_reveals_each(path):
    asked = predictions(path)
    assert 1 <= len(asked) <= 4
    assert [name for _, name in asked] == [f"L{path.stem[:2]}-P{i + 1}" for i in range(len(asked))]
    code = [source(cell) for cell in cells(path, "code")]
    assert len({variable for variable, _ in asked}) == len(asked), "cells can be run again in any order"
    assert [sum(f"{variable}.reveal(" in text for text in code) for variable, _ in asked] == [1] * len(asked)
    assert prose(path).count("<summary>After your guess</summary>") >= len(asked)


def unveiled(output):
    """Return the id of a veiled truth, and the truth."""
    [(of, veiled)] = re.findall(r'data-of="([^"]*)" data-veiled="([^"]*)"', html(output))
    key = itertools.cycle(of.encode())
    return of, json.loads(bytes(a ^ b for a, b in zip(base64.b64decode(veiled), key, strict=False)))["actual"]


def told(value):
    """Return how a text would say a number; nothing for one that a text may hold by chance."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in told(each)]
    if not isinstance(value, int | float):
        return []
    texts = {f"{value:,.{digits}f}" for digits in range(4)}
    return sorted(text for text in texts if "." in text or float(text.replace(",", "")) not in {*range(20), 50, 100})


def whole(number):
    """Return a pattern that finds a number which is no part of another one."""
    return re.compile(rf"(?<![\d.,]){re.escape(number)}(?![\d]|[.,]\d)")


@lesson
def test_no_answer_can_be_read_before_its_guess(path):
    seen = ""
    for cell in cells(path):
        veiled = [output for output in cell.get("outputs", ()) if "kvmlab-truth" in html(output)]
        assert not veiled or cell["outputs"] == veiled, "a cell that reveals shows nothing else"
        for output in veiled:
            assert "no prediction yet" in html(output)
            of, actual = unveiled(output)
            assert [
                text for text in told(actual) if re.search(rf"(?<![\d.,]){re.escape(text)}(?![\d]|[.,]\d)", seen)
            ] == []
            assert of in [name for _, name in predictions(path)]
        if cell["cell_type"] == "markdown":
            seen += FOLDED.sub("", source(cell))
        elif "solution" not in tags(cell):
            seen += source(cell)
            seen += " ".join("".join(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"])


# What every notebook has.


@every
def test_one_title_and_no_level_skipped(path):
    levels = [level for level, _ in headings(path)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in itertools.pairwise(levels))
    assert minutes(path)
    if path in CORE:
        assert headings(path)[0][1].startswith(path.stem[:2])


@every
def test_navigation_and_links_lead_somewhere(path):
    first, last = source(cells(path)[0]), source(cells(path)[-1])
    if path in CORE:
        assert "contents" in first
        assert "contents" in last
        assert "next:" in first
        assert "next:" in last
    elif path in DEEPER:
        assert "../00_start_here.ipynb#Contents" in first
        assert "arises in [" in first or path.stem == "glossary"
    for target in re.findall(r"\]\(([^)]+)\)", prose(path)):
        if not target.startswith("https://"):
            name, _, anchor = target.partition("#")
            linked = path.parent / name if name else path
            assert linked.is_file(), target
            assert not anchor or anchor in [title.replace(" ", "-") for _, title in headings(linked)], target


def test_every_deeper_notebook_is_linked_from_a_lesson_and_from_the_contents():
    contents = prose(CORE[0])
    others = "".join(map(prose, CORE[1:]))
    for path in (*DEEPER, ESSENCE):
        name = path.relative_to(NOTEBOOKS).as_posix()
        assert f"]({name})" in contents, name
        assert f"]({name})" in others or f"]({name}#" in others, name


@every
def test_sources_are_named_and_folded(path):
    if path.stem == "glossary":
        return
    [sources] = [source(cell) for cell in cells(path, "markdown") if cell["id"].endswith("-sources")]
    assert FOLDED.sub("", sources).strip() == ""


@every
def test_commits_are_named_by_enough_digits(path):
    text = prose(path)
    named = re.findall(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b", re.sub(r"\S+@\S+", "", text))
    assert named or path not in CORE
    assert [name for name in named if len(name) < 12] == []
    for shown, linked in re.findall(r"\[(\w+)\]\(https://git\.kernel\.org/linus/(\w+)\)", text):
        assert shown == linked
    known = (NOTEBOOKS.parent / "data" / "patches.toml").read_text(encoding="utf-8")
    assert [name for name in named if name[:12] not in known] == []


@every
def test_outputs_are_there_and_small(path):
    assert path.stat().st_size < LARGEST
    assert max((len(json.dumps(output)) for output in outputs(path)), default=0) < LARGEST_OUTPUT
    assert not [output for output in outputs(path) if output["output_type"] == "error"]
    assert not [output for output in outputs(path) if output.get("name") == "stderr"]


@every
def test_stored_as_run_once_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))
    assert set(load(path)["metadata"]) == {"kernelspec", "language_info"}
    assert load(path)["metadata"]["language_info"] == {"name": "python"}
    ids = [cell["id"] for cell in cells(path)]
    assert len(set(ids)) == len(ids)
    start = f"l{path.stem[:2]}-" if path in CORE else f"{path.stem.replace('_', '-')}-"
    assert [name for name in ids if not name.startswith(start)] == []


@every
def test_pictures_have_alt_text_and_captions(path):
    panels = [output for output in outputs(path) if PANEL in html(output) and place(output)["panel"] != "predict"]
    pictures = [output for output in outputs(path) if "<img" in html(output) and PANEL not in html(output)]
    for output in pictures:
        [alt] = re.findall(r'<img alt="([^"]*)"', html(output))
        assert len(alt) > 60
    assert not [output for output in outputs(path) if any(key.startswith("image/") for key in output.get("data", {}))]
    prefix = path.stem[:2] if path in CORE else path.stem.replace("_", "-")
    for kind, shown in (("Figure", pictures), ("Panel", panels)):
        captions = re.findall(rf"^\*{kind} (\S+)\.", prose(path), flags=re.M)
        assert captions == [f"{prefix}-{i + 1}" for i in range(len(shown))]
    if path in CORE:
        assert panels
        assert len(pictures) <= 2


@every
def test_no_formula_needs_a_script(path):
    """A page without a network has no MathJax: formulas are written in text."""
    assert "$" not in re.sub(r"`[^`]*`|^```.*?^```", "", prose(path), flags=re.M | re.S)


@every
def test_no_folder_of_somebodys_machine(path):
    assert re.findall(r"(?<![\w.:/-])/(?:root|home|Users|tmp|work)/\w+", path.read_text(encoding="utf-8")) == []


@pytest.fixture(scope="module")
def kernel():
    """One for all lessons: each forgets what the one before it has named, and loads nothing twice."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(NOTEBOOKS))
    yield manager
    manager.shutdown_kernel(now=True)


@lesson
def test_student_edition_runs(path, tmp_path, kernel):
    """The lesson without its solutions, with every question still open."""
    left = nbformat.read(editions.student(path, tmp_path), as_version=4)
    left.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    reader = NotebookClient(left, km=kernel, timeout=300)
    reader.execute()
    reader.kc.stop_channels()
    assert "not answered yet" in nbformat.writes(left)
