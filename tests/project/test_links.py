"""Links for a class lead to this repository and to lessons that exist; README and TEACHING give these very links."""

from __future__ import annotations

import doctest
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.places import NOTEBOOKS, ROOT
from tests.project.test_project import REPOSITORY
from tools import links

LESSONS = [path.name for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


def parts(link):
    """Take a link apart: host, path, and what it asks for, each once."""
    address = urlsplit(link)
    asked = {name: value for name, [value] in parse_qs(address.query, strict_parsing=True).items()}
    return f"{address.scheme}://{address.netloc}", address.path, asked


@pytest.mark.parametrize("lesson", LESSONS)
def test_binder_opens_a_lesson_that_exists(lesson):
    host, path, asked = parts(links.binder(lesson))
    assert host == "https://mybinder.org"
    assert path == f"/v2/gh/{REPOSITORY.removeprefix('https://github.com/')}/main"
    assert set(asked) == {"urlpath"}
    assert (ROOT / asked["urlpath"].removeprefix("lab/tree/")).is_file()


@pytest.mark.parametrize("hub", ["https://hub.example.edu", "https://example.edu/jupyter/"])
@pytest.mark.parametrize("lesson", LESSONS)
def test_nbgitpuller_fetches_this_repository_and_opens_a_lesson(hub, lesson):
    host, path, asked = parts(links.nbgitpuller(hub, lesson))
    assert (host + path) == f"{hub.rstrip('/')}/hub/user-redirect/git-pull"
    assert asked["repo"] == REPOSITORY
    assert asked["branch"] == "main"
    clone = f"lab/tree/{REPOSITORY.rpartition('/')[2]}/"
    assert asked["urlpath"].startswith(clone)
    assert (ROOT / asked["urlpath"].removeprefix(clone)).is_file()


def test_a_hub_that_is_no_address_is_refused():
    with pytest.raises(ValueError, match="hub: 'hub' does not fit"):
        links.nbgitpuller("hub")


def test_documents_give_these_links():
    assert links.binder() in (ROOT / "README.md").read_text(encoding="utf-8")
    assert links.nbgitpuller("https://hub.example.edu") in (ROOT / "TEACHING.md").read_text(encoding="utf-8")


def test_the_example_holds():
    assert doctest.testmod(links).failed == 0
