"""Makes HTML that was written for notebooks fit a page: links, tables, places of panels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag

from kvmlab import panels

NOTEBOOK = re.compile(r"^(?![a-z]+:)([^#]+)\.ipynb(#.*)?$")
"""A link to a notebook of the course."""

EXERCISE = re.compile(r"L\d\d-E\d:?")
"""An exercise's number, with the colon behind it."""
SHORT = 24
"""Code in a sentence that is no longer than this, in characters, stands on one line."""
COLOURLESS = ".highlight :is(.n, .p, .w, .o), .highlight span:not([class])"
"""Tokens of code that page.css leaves as they are: a page is smaller without their marks."""


def tidy(html: str) -> str:
    """Return the body of a page."""
    body = BeautifulSoup(html, "html.parser")
    for useless in body.select("script, style, .anchor-link"):
        useless.decompose()
    for token in body.select(COLOURLESS):
        token.unwrap()
    for link in body.select("a[href]"):
        link["href"] = NOTEBOOK.sub(r"\1.html\2", str(link["href"]))
    for place in body.select(".kvmlab[data-panel]"):
        place.clear()
        place.append(paragraph(body, what_is_shown(str(place["data-panel"]))))
    for heading in body.select("h2, h3"):
        unbroken(body, heading)
    for code in body.select(":not(pre, td, th) > code"):
        if len(code.get_text()) <= SHORT:
            code["class"] = "whole"
    for table in body.select("table"):
        if table.select("thead"):
            one_header(table)
        clean_table(table)
        breakable(body, table)
        scrolling(body, table, f"Table: {', '.join(titles(table))}")
    for text in body.select(".output pre"):
        scrolling(body, text, "Text: an output")
    for output in body.select('.output:has([style*="color"])'):
        output["class"] = "output printed"
    return str(body)


def what_is_shown(place: str) -> str:
    """Return what stands in the place of a panel until the page's script fills it: what the docstring says of it."""
    function = getattr(panels, f"{json.loads(place)['panel']}_panel", None)
    said = (function.__doc__ or "") if function else "Return a picture with controls."
    shown = " ".join(said.split("\n\n")[0].split()).removeprefix("Return ")
    return f"Here JavaScript draws {shown}"


def paragraph(body: BeautifulSoup, text: str) -> Tag:
    """Return a paragraph."""
    made = body.new_tag("p")
    made.string = text
    return made


def unbroken(body: BeautifulSoup, heading: Tag) -> None:
    """Keep the number of an exercise in one line."""
    for text in heading.find_all(string=EXERCISE):
        number = EXERCISE.search(text)
        if number:
            whole = body.new_tag("span", attrs={"class": "whole"})
            whole.string = number[0]
            text.replace_with(text[: number.start()], whole, text[number.end() :])


def one_header(table: Tag) -> None:
    """Mark the header of the index of a pandas table, and put its names beside those of the columns if there is room.

    pandas gives the names of the index a row of their own below the names of the columns.
    """
    first = table.select_one("tbody tr")
    names = len(first.select("th")) if first else 0
    rows = [row.select("th, td") for row in table.select("thead tr")]
    if not names or len({len(row) for row in rows}) > 1:
        return
    for row in rows:
        for cell in row[:names]:
            cell["class"] = "names"
    if len(rows) == 2 and not any(cell.get_text(strip=True) for cell in rows[0][:names] + rows[1][names:]):
        for above, below in zip(rows[0][:names], rows[1][:names], strict=True):
            above.replace_with(below.extract())
        table.select("thead tr")[1].decompose()


def clean_table(table: Tag) -> None:
    """Take from a table what it says about its looks, and the header cells that are a header of nothing."""
    del table["border"]
    for head in table.select("th"):
        if not head.get_text(strip=True):
            head.name = "td"
    for row in table.select("tr[style]"):
        del row["style"]


def breakable(body: BeautifulSoup, table: Tag) -> None:
    """Let long names in a table go on in the next line after an underscore."""
    for text in table.find_all(string=lambda string: "_" in string):
        head, *rest = str(text).split("_")
        pieces: list[str | Tag] = [head]
        for part in rest:
            pieces += ["_", body.new_tag("wbr"), part]
        text.replace_with(*pieces)


def titles(table: Tag) -> Iterator[str]:
    """Yield the caption of a table, or else the titles of its columns."""
    if table.caption:
        yield table.caption.get_text(" ", strip=True)
        return
    rows = table.select("tr")
    for cell in rows[0].select("th, td") if rows else ():
        if text := cell.get_text(" ", strip=True):
            yield text


def scrolling(body: BeautifulSoup, inner: Tag, name: str) -> None:
    """Put something wide into a box that may scroll; where it does, page.js gives it the name and a stop for Tab."""
    inner.wrap(body.new_tag("div", attrs={"class": "scroll", "data-name": name}))
