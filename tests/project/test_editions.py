"""The student edition lacks the solutions and nothing else; a page needs nothing from anywhere else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from kvmlab.lab import exercises, panels
from tests.places import NOTEBOOKS, README
from tools import editions
from tools.pages import cells, tidy, write
from tools.pages.catalogue import Catalogue, catalogue, opening

LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
ENTRIES = catalogue().entries


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def text(entry, tmp_path_factory):
    return write.page(entry, tmp_path_factory.mktemp("html")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return BeautifulSoup(text, "html.parser")


@pytest.fixture(scope="module")
def notebook(entry):
    return json.loads(entry.path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def is_solution(cell):
    return "solution" in cell["metadata"].get("tags", [])


def test_student_edition_has_all_but_solutions_and_outputs(entry, notebook, tmp_path):
    left = json.loads(editions.student(entry.path, tmp_path).read_text(encoding="utf-8"))
    kept = [cell for cell in notebook["cells"] if not is_solution(cell)]
    assert [(cell["id"], cell["source"]) for cell in left["cells"]] == [(cell["id"], cell["source"]) for cell in kept]
    assert len(kept) < len(notebook["cells"]) or not entry.number
    assert "# Solution of" not in json.dumps(left)
    assert not any(cell.get("outputs") for cell in left["cells"])


def test_a_page_loads_nothing(text, page):
    loads = [tag[LOADS[tag.name]] for tag in page.find_all(LOADS) if tag.has_attr(LOADS[tag.name])]
    assert [asked[:80] for asked in loads if not asked.startswith("data:")] == []
    assert not re.search(r"@import|url\(\s*['\"]?https?:", text)


def test_a_page_is_small(text):
    assert len(text) < 500_000


def test_a_page_describes_its_pictures(page):
    assert [image.get("alt", "") for image in page.find_all("img") if len(image.get("alt", "")) < 40] == []


def test_a_page_has_the_front_end_once_if_it_has_panels(notebook, page):
    stored = json.dumps(notebook).count("data-panel=")
    assert len(page.select(".kvmlab[data-panel]")) == stored
    assert len(page.select("script[type=module]")) == bool(stored)


def test_a_place_says_what_its_panel_shows_and_nothing_of_cells(page):
    for place in page.select(".kvmlab[data-panel]"):
        assert re.match(r"Here JavaScript draws \w+ \w+", place.get_text())
        assert "cell" not in place.get_text()


def test_a_page_folds_solutions_hints_and_what_follows_a_guess(notebook, page):
    solutions = sum(map(is_solution, notebook["cells"]))
    assert len(page.select(".cell.solution > details:not([open])")) == solutions
    hints = sum(source(cell).count("<summary>") for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    assert len(page.select(".text details:not([open]) > summary")) == hints


def test_a_page_shows_the_other_code(notebook, page):
    plain = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and not is_solution(cell)]
    assert len(page.select(".cell:not(.solution) > details.source")) == len(plain)
    opened = [cell for cell in plain if cells.kind_of(nbformat.from_dict(cell | {"source": source(cell)})) == "code"]
    assert len(page.select(".cell.code > details[open]")) == len(opened)


def test_a_page_does_not_ask_for_what_it_cannot_take(page):
    shown = page.get_text()
    for remark in ("not answered yet", "no prediction yet"):
        assert remark in f"{exercises.check('L00-E1', ...).text} {panels.predict_panel('L00-P1', 'a?', choices='ab')}"
        assert remark not in shown


def test_links_lead_to_pages_and_places_that_are_there(entry, page):
    names = {each.name for each in ENTRIES} | {"index"}
    for link in page.select("a[href]"):
        target, _, anchor = link["href"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (entry.path.parent / target).resolve().relative_to(NOTEBOOKS) if target else entry.path
        if target:
            assert path.suffix == ".html"
            assert path.with_suffix("").as_posix() in names
        elif anchor:
            assert page.find(id=anchor), link


def test_every_page_leads_to_all_lessons_and_marks_itself(entry, page):
    linked = [link["href"] for link in page.select("header a")]
    assert linked[0] == f"{entry.home}index.html"
    assert linked[1 : 1 + len(catalogue().lessons)] == [f"{entry.home}{each.name}.html" for each in catalogue().lessons]
    [current] = page.select("header [aria-current]") or [None]
    assert current is None or current["href"].endswith(f"{entry.name}.html")


def test_title_is_the_notebooks(entry, page):
    assert page.title.get_text() == f"{entry.title} · kvmlab"
    assert len(page.select("h1")) == 1


def test_the_readme_says_what_each_lesson_is_about():
    said = README.read_text(encoding="utf-8")
    for lesson in catalogue().lessons:
        assert lesson.about in said
        assert lesson.minutes


def test_opening_takes_the_first_sentence_of_the_text():
    first = "# 03 A title\n\nprevious: [02 *B*](02_b.ipynb) · [contents](00.ipynb#C)\n\n**Time:** about 5 minutes.\n\n"
    assert opening(f"{first}Who *pays*\nfor `x`? Everybody.") == "Who pays for x?"
    assert opening("# Only a title") == ""


def test_essence_and_deeper_notebooks_find_their_place(tmp_path, monkeypatch):
    """They need not exist; where they do, the index lists them, and their pages lead back."""
    for name, title in (("00_a", "00 A"), ("essence", "The essence"), ("deeper/amd", "What about AMD?")):
        path = tmp_path / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        link = "../00_a.ipynb" if "/" in name else "00_a.ipynb"
        cell = nbformat.v4.new_markdown_cell(f"# {title}\n\n[back]({link})\n\nOne sentence. Another.")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    whole = catalogue(tmp_path)
    assert [(each.name, each.about) for each in whole.entries] == [
        ("00_a", "One sentence."),
        ("essence", "One sentence."),
        ("deeper/amd", "One sentence."),
    ]
    monkeypatch.setitem(write.environment().globals, "catalogue", whole)
    [deep] = whole.deeper
    page = BeautifulSoup(write.page(deep, tmp_path / "out").read_text(encoding="utf-8"), "html.parser")
    assert {"../index.html", "../00_a.html", "../essence.html"} <= {link["href"] for link in page.select("a[href]")}
    index = BeautifulSoup(write.index(tmp_path / "out").read_text(encoding="utf-8"), "html.parser")
    assert [link["href"] for link in index.select(".index a")] == ["00_a.html", "essence.html", "deeper/amd.html"]
    assert index.find(id="deeper")


def test_what_has_colours_of_its_own_stays_on_white_paper():
    tidied = tidy.tidy('<div class="output"><p style="color:#a40000">x</p></div><div class="output"><p>y</p></div>')
    assert [each["class"] for each in BeautifulSoup(tidied, "html.parser").select(".output")] == [
        ["output", "printed"],
        ["output"],
    ]


def test_long_names_in_tables_may_break_after_an_underscore():
    assert "kvm_<wbr/>exit" in tidy.tidy("<table><tr><td><code>kvm_exit</code></td></tr></table>")


def test_names_of_an_index_stand_beside_those_of_the_columns_where_there_is_room():
    index = pd.MultiIndex.from_tuples([("A", "HLT"), ("A", "MSR_WRITE")], names=["guest", "exit"])
    table = pd.DataFrame({"before": [1, 2], "after": [3, 4]}, index=index)

    def header(table):
        rows = BeautifulSoup(tidy.tidy(table.to_html()), "html.parser").select("thead tr")
        return [[cell.get_text() for cell in row.select("th, td")] for row in rows]

    assert header(table) == [["guest", "exit", "before", "after"]]
    assert header(table.rename_axis("kernel", axis=1).droplevel("exit")) == [
        ["kernel", "before", "after"],
        ["guest", "", ""],
    ]
    assert header(table.reset_index(drop=True)) == [["", "before", "after"]]


def test_names_in_sentences_and_numbers_of_exercises_are_not_broken():
    assert '<code class="whole">vcpu-&gt;cpu</code>' in tidy.tidy("<p><code>vcpu->cpu</code></p>")
    assert "whole" not in tidy.tidy("<p><code>kvm_lapic_switch_to_sw_timer</code></p><pre><code>x</code></pre>")
    assert '<h2>Exercise <span class="whole">L03-E1:</span> half</h2>' in tidy.tidy("<h2>Exercise L03-E1: half</h2>")


def test_a_prediction_keeps_its_panel_and_the_veiled_truth_and_nothing_else():
    code = nbformat.v4.new_code_cell
    asks = code('late = panels.predict_panel("L00-P1", "How late?")\nlate')
    asks.outputs = [
        nbformat.v4.new_output("execute_result", {"text/html": '<div class="kvmlab" data-panel="{}"></div>'})
    ]
    tells = code("late.reveal(7)")
    mark = '<span class="kvmlab-truth" hidden></span>'
    tells.outputs = [nbformat.v4.new_output("execute_result", {"text/html": f"<p>no prediction yet</p>{mark}"})]
    made, _ = cells.ForReaders().preprocess(nbformat.v4.new_notebook(cells=[asks, tells]), {})
    assert [cell.metadata.page["kind"] for cell in made.cells] == ["panel", "reveal"]
    assert not made.cells[1].metadata.page["open"]
    assert made.cells[1].outputs[0].data["text/html"] == mark


@pytest.mark.parametrize("edition", ["student", "html"])
def test_command_writes_every_notebook(edition, tmp_path):
    command = [sys.executable, "-m", "tools.editions", edition, "--into", str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=editions.ROOT)
    names = {entry.name for entry in ENTRIES} | ({"index"} if edition == "html" else set())
    written = [Path(line).relative_to(tmp_path / "out") for line in done.stdout.splitlines()]
    assert {path.with_suffix("").as_posix() for path in written} == names
    assert all((tmp_path / "out" / path).is_file() for path in written)


def test_the_site_says_what_a_reference_needs_and_links_it_if_it_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(editions, "catalogue", lambda: Catalogue((), None, ()))
    monkeypatch.setattr(write, "reference", lambda folder: False)
    [index] = editions.site(tmp_path)
    assert "pip install pdoc" in capsys.readouterr().out
    assert 'href="api/index.html"' not in index.read_text(encoding="utf-8")

    def written(folder):
        folder.mkdir()
        (folder / "index.html").write_text("reference", encoding="utf-8")
        return True

    monkeypatch.setattr(write, "reference", written)
    *_, index = editions.site(tmp_path)
    assert 'href="api/index.html"' in index.read_text(encoding="utf-8")
