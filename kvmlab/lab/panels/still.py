"""What a panel shows, as a little text: for a copy whose script does not run, such as a notebook that is not trusted.

It stands in the panel's place until the panel is alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in HTML; the first cell of each row is its name."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def steps(caption: str, items: Iterable[str]) -> str:
    """Return a numbered list in HTML under its caption."""
    return f"<p>{escape(caption)}</p><ol>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ol>"
