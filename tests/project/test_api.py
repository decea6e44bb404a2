"""The reference made from the docstrings has every public name, each with a text, and loads nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

import kvmlab
from tools import api


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the page of the package itself; those of its modules are left out, for speed."""
    folder = tmp_path_factory.mktemp("api")
    api.write(folder, below=[])
    return (folder / "kvmlab.html").read_text(encoding="utf-8")


def test_every_public_name_has_an_entry(page):
    modules = {"live", "policy"}  # they have pages of their own
    assert set(kvmlab.__all__) - set(re.findall(r'<section id="(\w+)"', page)) == modules


def test_every_public_name_has_a_docstring():
    values = {name: getattr(kvmlab, name) for name in kvmlab.__all__ if name != "KERNELS"}
    assert [name for name, value in values.items() if not value.__doc__] == []


def test_the_page_needs_no_network(page):
    assert not re.findall(
        r"""<(?:script|img|iframe)[^>]+src=["']http|<link[^>]+href=["']http|@import|url\(["']?http""", page
    )


def test_every_room_has_pages():
    assert {"kvmlab.model", "kvmlab.host", "kvmlab.results", "kvmlab.policy", "kvmlab.lab"} <= set(api.rooms())
    assert "kvmlab.cli" not in api.rooms()


def test_links_lead_to_this_repository(page):
    assert api.source() in page
