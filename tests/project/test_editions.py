"""The student edition lacks the solutions and nothing else; a page needs nothing from anywhere else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from tools import editions

LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class Asked(HTMLParser):
    """What a page loads, its pictures' alt texts, its links, and how often it folds something."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.alts, self.links, self.summaries = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get(LOADS.get(tag, ""), "data:").partition(":")[0] != "data":
            self.loads.append((tag, values))
        if tag == "img":
            self.alts.append(values.get("alt"))
        if tag == "a":
            self.links.append(values.get("href", ""))
        self.summaries += tag == "summary"


@pytest.fixture(scope="module", params=editions.LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return request.param


@pytest.fixture(scope="module")
def page(lesson, tmp_path_factory):
    return editions.page(lesson, tmp_path_factory.mktemp("html")).read_text(encoding="utf-8")


def test_student_edition_lacks_the_solutions_and_nothing_else(lesson, tmp_path):
    whole = json.loads(lesson.read_text(encoding="utf-8"))
    left = json.loads(editions.student(lesson, tmp_path).read_text(encoding="utf-8"))
    kept = [cell for cell in whole["cells"] if "solution" not in cell["metadata"].get("tags", [])]
    assert left["cells"] == kept
    assert len(kept) < len(whole["cells"])
    assert "# Solution of" not in json.dumps(left)


def test_a_page_loads_nothing(page):
    asked = Asked(page)
    assert asked.loads == []
    assert not re.search(r"@import|url\(\s*['\"]?https?:", page)


def test_a_page_describes_its_pictures(page):
    alts = Asked(page).alts
    assert alts
    assert [alt for alt in alts if not alt or len(alt) < 40] == []


def test_a_page_folds_its_solutions_and_shows_its_panels(lesson, page):
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    solutions = sum("solution" in cell["metadata"].get("tags", []) for cell in cells)
    hints = sum("".join(cell["source"]).count("<summary>") for cell in cells if cell["cell_type"] == "markdown")
    assert Asked(page).summaries == solutions + hints
    used = sum("_panel(" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert page.count("A picture of the panel; it moves in JupyterLab.") == used


def test_pages_link_to_pages(lesson, page):
    links = [link for link in Asked(page).links if re.match(r"\d\d_", link)]
    assert links
    names = {f"{path.stem}.html" for path in editions.LESSONS}
    assert [link for link in links if link.partition("#")[0] not in names] == []


def test_title_is_the_lessons(lesson, page):
    [title] = re.findall(r"<title>(.*?)</title>", page)
    assert title.startswith(lesson.stem[:2])


def test_command_writes_every_lesson(tmp_path):
    command = [sys.executable, "-m", "tools.editions", "student", "--into", str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=editions.ROOT)
    assert len(done.stdout.splitlines()) == len(editions.LESSONS)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [path.name for path in editions.LESSONS]
