"""The table of ``perf kvm stat report`` and ``live``, as tools/perf/builtin-kvm.c prints it from 2012 to today."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvmlab.host.formats.lines import OR_WRAPPED, Lines, Source, open_source
from kvmlab.host.formats.messages import is_event_line
from kvmlab.host.formats.unlisted import unlisted_of
from kvmlab.results.perf_text import DEFAULT_HEADING, PERF_COLUMNS, perf_text
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS, MAX_TABLES = 500_000, 50_000
"""What is kept in memory of one text: a capture of ``live`` has one table per second."""

# As many digits as a double holds exactly.
_COUNT = r"[0-9]{1,15}"
_DECIMAL = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
# Shares are a quotient of doubles: where every handling time is 0, C prints the share of time as "-nan".
_SHARE = rf"{_DECIMAL}|-?nan"
_SPREAD = re.compile(rf"\s*\+-\s*({_SHARE})\s*%\s*\)\s*")
_TOTALS = re.compile(rf"Total Samples:\s*({_COUNT}),\s*Total events handled time:\s*({_DECIMAL})\s?us\.?")
_LOST = re.compile(rf"Lost events:\s*({_COUNT})")
_HEADING = re.compile(r"Analyze events for .*:")
# A count, a share and another number: enough to know a row even where it is cut off, and rare in prose.
_LIKE_A_ROW = re.compile(rf"\s[0-9]+\s+{_DECIMAL}\s?%\s+[0-9]")
# What may stand between rows: the dots of a mail that leaves some out, and perf's warning about a code without a name,
# where stderr was captured too.
_DOTS = re.compile(r"\[?\s?(?:\.{2,}|…)\s?\]?|[\[<]snip[\]>]")
_WARNING = re.compile(r"unknown kvm exit code:.*")

_A_ROW = f"a row: name, Samples, Samples%, Time%, times in us, ( +- x% ), {OR_WRAPPED}"
_A_HEADER = "a header: VM-EXIT (or another title), Samples, Samples%, Time%, Min Time, Max Time, Avg time"


@dataclass(frozen=True)
class _Value:
    """One value of a row: its column ("" for one to pass over), its suffix, its form, and how many make a us."""

    column: str
    suffix: str
    form: re.Pattern[str]
    per_us: int = 1

    def read(self, number: str) -> float | None:
        """Return the number, in the column's unit; None where it is not one."""
        if not self.form.fullmatch(number):
            return None
        return float(number) / self.per_us


@dataclass(frozen=True)
class _Layout:
    """What stands right of the name: the words of the header, the values of a row, and whether ( +- x% ) ends it."""

    header: str
    values: tuple[_Value, ...]
    spread: bool = True


def _count() -> _Value:
    """Return the layout of a count."""
    return _Value("Samples", "", re.compile(_COUNT))


def _share(column: str) -> _Value:
    """Return the layout of a share in percent."""
    return _Value(column, "%", re.compile(_SHARE))


def _us(column: str) -> _Value:
    """Return the layout of a time in us."""
    return _Value(column, "us", re.compile(_DECIMAL))


def _bare_ns(column: str) -> _Value:
    """Return the layout of a time in ns that is printed without a unit."""
    return _Value(column, "", re.compile(_DECIMAL), per_us=1000)


# builtin-kvm.c prints the first since 3.13 or so, the second before. The third is its browser, shown on a terminal
# since the 2023 rework and copied from there into mails: nanoseconds without a unit, and no +-.
_LAYOUTS = (
    _Layout(
        "Samples Samples% Time% Min Time Max Time Avg time",
        (_count(), _share("Samples%"), _share("Time%"), _us("Min Time"), _us("Max Time"), _us("Avg time")),
    ),
    _Layout("Samples Samples% Time% Avg time", (_count(), _share("Samples%"), _share("Time%"), _us("Avg time"))),
    _Layout(
        "Samples Sample% Time (ns) Time% Max Time (ns) Min Time (ns) Mean Time (ns)",
        (
            _count(),
            _share("Samples%"),
            _bare_ns(""),
            _share("Time%"),
            _bare_ns("Max Time"),
            _bare_ns("Min Time"),
            _bare_ns("Avg time"),
        ),
        spread=False,
    ),
)
_HEADER_WORDS = ("Samples Samples%", "Samples Sample%")

_Row = tuple[str, dict[str, float]]


@dataclass
class _PerfTable:
    """One table as found: where, under which title, in which layout, and what stood above and below it."""

    line: int
    """Number of the header's line."""
    title: str
    """Of the column of names: "VM-EXIT" or another."""
    layout: _Layout
    heading: str | None
    """The line "Analyze events for ..." above it."""
    rows: list[_Row] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    total_samples: int | None = None
    total_time_us: float | None = None
    lost_events: int | None = None
    left_out: bool = False
    """There are dots between its rows."""

    def samples(self) -> int:
        """Return the samples of all rows."""
        return sum(int(values["Samples"]) for _, values in self.rows)


def read_perf_kvm_stat(text_or_path: str | os.PathLike[str], *, table: int | None = None) -> pd.DataFrame:
    """Read the table of ``perf kvm stat report`` or ``live`` (text).

    - `text_or_path`: the text, or the path of a file that holds it (a str is a path where it names an existing file).
    - `table`: picks one of several tables, counted from 0 (-1 is the last, as in a capture of ``live``).

    The table may stand in a mail or a commit message: lines of prose around it, blanks squeezed, ``> `` before each
    line, rows that are wrapped, totals missing. Accepted are all generations of builtin-kvm.c: without Min and Max
    (2012 to 2013), with a name width of 20 or of 40, and the columns of the browser of recent perf, in ns.

    Returns one row per exit. The index carries the table's own title (``VM-EXIT``, ``MMIO Access``, ``IO Port Access``,
    ``MSR Access``). A column the table does not have is NaN. Columns:

    - ``Samples``: int.
    - ``Samples%``, ``Time%``: percent of the listed events.
    - ``Min Time``, ``Max Time``, ``Avg time``: us of host handling time, from kvm_exit to the thread's next kvm_entry.
    - ``+-%``: relative standard error of the mean, in percent.

    ``attrs``: ``total_samples``, ``total_time_us``, ``title`` (the line ``Analyze events for ...``), each None where
    the text lacks it; ``lost_events``, 0 where the totals stand without that line, None where neither does; ``dots``,
    True where "..." or the like stands among rows without totals; ``notes``, sentences on what was taken off the
    lines, and on rows that were left out.

    Raises ValueError for text that holds no table, a row that is cut off or of another kind, rows that add up to more
    than the total, several tables and no `table`, a listing of trace events, a binary file, a folder; with the line
    number, what stands there and what was expected. Raises FileNotFoundError for a Path that does not exist.

    Example: `kl.read_perf_kvm_stat("report.txt").loc["MSR_WRITE", "Avg time"]`
    """
    with closing(open_source(text_or_path)) as source:
        picked = _picked(source, _perf_tables(source), table)
    frame = _perf_frame(picked)
    frame.attrs["notes"] = [note for note in (source.log.sentence(), unlisted_of(frame).sentence) if note]
    return frame


def is_perf_line(text: str) -> bool:
    """Return True if a line heads a table of perf kvm stat."""
    return bool(_HEADING.fullmatch(text)) or any(words in " ".join(text.split()) for words in _HEADER_WORDS)


def _perf_tables(source: Source) -> list[_PerfTable]:
    """Return every table of the text, in order, each complete and checked."""
    tables: list[_PerfTable] = []
    rows = 0
    heading: str | None = None
    first: tuple[int, str] | None = None
    in_rows = False
    lines = Lines(source, _begins)
    for number, line in lines:
        text = line.strip()
        if not text:
            # Blank lines stand between the header and the first row, and after the last.
            in_rows = in_rows and not tables[-1].rows
            continue
        first = first or (number, text)
        text = _joined(lines, number, text, tables[-1].layout if in_rows else None)
        if header := _read_header(text):
            tables.append(_PerfTable(number, header[0], header[1], heading))
            heading, in_rows = None, True
        elif _HEADING.fullmatch(text):
            heading = text
        elif text.startswith("Total Samples"):
            _add_totals(source, number, text, tables)
            in_rows = False
        elif text.startswith("Lost events"):
            _add_lost_events(source, number, text, tables)
        elif is_event_line(text):
            raise source.refuse(number, text, "a perf kvm stat table, not a trace (read_kvm_trace reads those)")
        elif any(words in " ".join(text.split()) for words in _HEADER_WORDS):
            raise source.refuse(number, text, _A_HEADER)
        elif _DOTS.fullmatch(text):
            if tables:
                tables[-1].left_out = True
        elif (in_rows or _LIKE_A_ROW.search(text)) and not _WARNING.fullmatch(text):
            _add_row(source, number, text, tables)
            rows += 1
        if rows > MAX_ROWS or len(tables) > MAX_TABLES:
            raise source.refuse(number, text, f"at most {MAX_TABLES} tables of {MAX_ROWS} rows together")
    if not tables:
        number, text = first or (1, "")
        raise source.refuse(number, text, f"{_A_HEADER}; there is none in the {'text' if first else 'empty text'}")
    for each in tables:
        _check_table(source, each)
    return tables


def _begins(line: str) -> bool:
    """Return True if a line of a mail begins something, and does not end a row or a header."""
    text = line.strip()
    starts = ("Total Samples", "Lost events", "Analyze events")
    return text.startswith(starts) or bool(_DOTS.fullmatch(text) or _WARNING.fullmatch(text)) or is_perf_line(text)


def _read_totals(text: str) -> tuple[str, ...] | None:
    """Return the numbers of the line of totals, None where it is not whole."""
    found = _TOTALS.fullmatch(text)
    return found.groups() if found else None


def _joined(lines: Lines, number: int, text: str, layout: _Layout | None) -> str:
    """Return a header, a row or the totals, joined where a mail program wrapped them; any other line as it is."""
    if text.startswith("Total Samples"):
        return lines.joined(number, text, _read_totals)
    if any(words in " ".join(text.split()) for words in _HEADER_WORDS):
        return lines.joined(number, text, _read_header)
    if layout is None or _begins(text):
        return text
    return lines.joined(number, text, lambda whole: _read_row(whole, layout))


def _read_header(text: str) -> tuple[str, _Layout] | None:
    """Return title and layout, where the line is a complete header."""
    squeezed = " ".join(text.split())
    for layout in _LAYOUTS:
        title = squeezed.removesuffix(" " + layout.header)
        if title != squeezed:
            return title, layout
    return None


def _read_row(text: str, layout: _Layout) -> _Row | None:
    """Return name and values of a row, split from the right: names may hold blanks, and widths differ."""
    values: dict[str, float] = {}
    if layout.spread:
        text, _, spread = text.rpartition("(")
        found = _SPREAD.fullmatch(spread)
        if not found:
            return None
        values["+-%"] = float(found[1])
    words = text.split()
    for value in reversed(layout.values):
        number = value.read(_pop_number(words, value.suffix))
        if number is None:
            return None
        values[value.column] = number
    return (" ".join(words), values) if words else None


def _pop_number(words: list[str], suffix: str) -> str:
    """Take the last number off `words`, "" if there is none; its suffix is glued on (as perf prints it) or a word."""
    last = words.pop() if words else ""
    if suffix and last == suffix:
        return words.pop() if words else ""
    return last.removesuffix(suffix) if last.endswith(suffix) else ""


def _add_row(source: Source, number: int, text: str, tables: list[_PerfTable]) -> None:
    """Add a row to the last table, or refuse it."""
    if not tables:
        raise source.refuse(number, text, f"{_A_HEADER}, above the first row")
    if tables[-1].total_samples is not None:
        raise source.refuse(number, text, "no row below the totals, or a header above it")
    row = _read_row(text, tables[-1].layout)
    if row is None:
        raise source.refuse(number, text, f"{_A_ROW}, as in the header of line {tables[-1].line}")
    # perf prints each key once. Codes that it has no name for all print UNKNOWN.
    if row[0] != "UNKNOWN" and row[0] in tables[-1].names:
        raise source.refuse(number, text, "each name once in a table")
    tables[-1].rows.append(row)
    tables[-1].names.add(row[0])


def _add_totals(source: Source, number: int, text: str, tables: list[_PerfTable]) -> None:
    """Add the totals to the last table, or refuse them."""
    found = _TOTALS.fullmatch(text)
    if not found:
        raise source.refuse(number, text, "Total Samples:<n>, Total events handled time:<x>us.")
    if not tables or tables[-1].total_samples is not None:
        raise source.refuse(number, text, "totals below a table, once")
    tables[-1].total_samples, tables[-1].total_time_us = int(found[1]), float(found[2])
    # perf prints the line of lost events only where there are any.
    tables[-1].lost_events = 0


def _add_lost_events(source: Source, number: int, text: str, tables: list[_PerfTable]) -> None:
    """Add the count of lost events to the last table, or refuse it."""
    found = _LOST.fullmatch(text)
    if not found or not tables:
        raise source.refuse(number, text, "Lost events: <n>, below a table")
    tables[-1].lost_events = int(found[1])


def _check_table(source: Source, table: _PerfTable) -> None:
    """Refuse a header without rows, unless the totals say that there are none, and rows beyond the total."""
    if not table.rows and table.total_samples != 0:
        raise source.refuse(table.line, table.title, "rows below this header")
    if table.total_samples is not None and table.samples() > table.total_samples:
        found = f"rows of {table.samples()} samples together"
        raise source.refuse(table.line, found, f"at most the total of {table.total_samples}")


def _picked(source: Source, tables: Sequence[_PerfTable], table: int | None) -> _PerfTable:
    """Return the table that was asked for; refuse to guess among several."""
    where = ", ".join(str(each.line) for each in tables)
    if table is None:
        if len(tables) > 1:
            wanted = "expected one, or table=0, 1, ... (--table)"
            raise ValueError(f"{source.name}: found {len(tables)} tables, at lines {where}; {wanted}")
        return tables[0]
    table = checks.whole("table", table, -MAX_TABLES, MAX_TABLES)
    if not -len(tables) <= table < len(tables):
        message = f"{source.name}: table={table}; expected 0 to {len(tables) - 1}, for the tables at lines {where}"
        raise ValueError(message)
    return tables[table]


def _perf_frame(table: _PerfTable) -> pd.DataFrame:
    """Return a table as a DataFrame."""
    import pandas as pd

    index = pd.Index([name for name, _ in table.rows], name=table.title, dtype=object)
    columns = {name: [values.get(name, math.nan) for _, values in table.rows] for name in PERF_COLUMNS}
    frame = pd.DataFrame(columns, index=index).astype(dict.fromkeys(PERF_COLUMNS, float) | {"Samples": "int64"})
    frame.attrs.update(
        total_samples=table.total_samples,
        total_time_us=table.total_time_us,
        lost_events=table.lost_events,
        title=table.heading,
        dots=table.left_out and table.total_samples is None,
    )
    return frame


# Writing.


def write_perf_kvm_stat(table: pd.DataFrame, title: str | None = None, width: int = 20) -> str:
    """Return the text of ``perf kvm stat report`` for `table`, as `perf_text` writes it, if it reads back the same.

    - `table`: index and columns as `read_perf_kvm_stat` returns them, rows in the order in which to print them.
    - `title`: heads the column of names; None: the index's name, or ``VM-EXIT``.
    - `width`: of the column of names, 20 or 40.

    Raises ValueError as `perf_text` does, and for anything that would not read back as it was written (a name with line
    breaks, a name twice).
    """
    text = perf_text(table, title, width)
    title = title or str(table.index.name or "VM-EXIT")
    _check_reads_back(text, table.attrs.get("title") or DEFAULT_HEADING, title, [str(name) for name in table.index])
    return text


def _check_reads_back(text: str, heading: str, title: str, names: list[str]) -> None:
    """Refuse what the reader would refuse or take for something else: it decides which names can be written."""
    try:
        tables = _perf_tables(Source("the text to be written", io.BytesIO(text.encode("utf-8", "surrogatepass"))))
    except ValueError as error:
        raise ValueError(f"the table cannot be written: {error}") from error
    read = [(each.heading, each.title, [name for name, _ in each.rows]) for each in tables]
    if read != [(heading, title, names)]:
        raise ValueError("a title or a name would not read back as written; expected words with single blanks")
