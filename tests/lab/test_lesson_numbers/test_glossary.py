"""The glossary: words in order, each in one sentence, with the notebook where it comes first."""

from __future__ import annotations

import re

import nbformat
import pytest

from tests.places import NOTEBOOKS

PATH = NOTEBOOKS / "deeper" / "glossary.ipynb"


@pytest.fixture(scope="module")
def rows():
    text = "\n".join(cell.source for cell in nbformat.read(PATH, 4).cells)
    return re.findall(r"^\| (.+) \| (.+)\. \[[\w ]+\]\((.+)\) \|$", text, re.M)


def test_words_are_in_order(rows):
    words = [re.sub("[`*]", "", word).lower() for word, _, _ in rows]
    assert len(words) > 60
    assert words == sorted(set(words))


def test_one_sentence_each(rows):
    assert [said for _, said, _ in rows if re.search(r"[.?!] [A-Z]", said)] == []
