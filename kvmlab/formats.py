"""Read and write the text formats in which KVM's exits, timers and timelines are exchanged.

Three formats, each with a reader or a writer or both:

* the table of ``perf kvm stat report`` and ``perf kvm stat live`` (`read_perf_kvm_stat`, `write_perf_kvm_stat`), as
  printed by ``tools/perf/builtin-kvm.c`` from 2012 to today;
* listings of kvm and hrtimer events (`read_kvm_trace`), as printed by tracefs, ``perf script`` and ``trace-cmd
  report``; the messages are those of ``arch/x86/kvm/trace.h``, ``include/trace/events/kvm.h`` and
  ``include/trace/events/timer.h``, or of libtraceevent's kvm plugin where that replaces them;
* Chrome trace JSON (`write_chrome_trace`), which the Perfetto UI opens.

A reader gives a right table or raises `ValueError` with the line number, what stands there and what was expected.
Input is read line by line; nothing in it is ever evaluated.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_kvm_trace", "read_perf_kvm_stat", "write_chrome_trace", "write_perf_kvm_stat"]


# ---------------------------------------------------------------------------------------------------------------------
# Lines of text, wherever they come from
# ---------------------------------------------------------------------------------------------------------------------

# The longest line any of these tools prints is a few hundred bytes: a longer one is no listing, and must not fill the
# memory.
_LINE_LIMIT = 8192
_SHOWN = 60

# Tabs are text; every other control character means a binary file (perf.data, trace.dat) or a terminal's escapes.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# `perf kvm stat live` clears the screen before each table (CONSOLE_CLEAR), also when its output goes to a file.
_CLEAR_SCREEN = "\x1b[H\x1b[2J"


@dataclass(frozen=True)
class _Source:
    """A stream of bytes and the name under which errors speak of it."""

    name: str
    stream: BinaryIO

    def close(self) -> None:
        self.stream.close()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number (from 1) and text of each line, without its line end."""
        number = 0
        while raw := self.stream.readline(_LINE_LIMIT + 1):
            number += 1
            yield number, self._text(number, raw)

    def refuse(self, number: int, found: str, expected: str) -> ValueError:
        """The error for one line: where it is, what stands there (shortened), what was expected."""
        return ValueError(f"{self.name}, line {number}: found {_shortened(found)}; expected {expected}")

    def _text(self, number: int, raw: bytes) -> str:
        if len(raw) > _LINE_LIMIT:
            raise self.refuse(number, _printable(raw), f"a line of at most {_LINE_LIMIT} bytes")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse(number, _printable(raw), "text in UTF-8, not a binary file") from None
        text = text.removeprefix("\ufeff") if number == 1 else text
        text = text.rstrip("\r\n").removeprefix(_CLEAR_SCREEN)
        if _CONTROL.search(text):
            raise self.refuse(number, text, "text without control characters, not a binary file")
        return text


def _printable(raw: bytes) -> str:
    return raw[: _SHOWN + 1].decode("utf-8", "backslashreplace")


def _shortened(found: str) -> str:
    return repr(found if len(found) <= _SHOWN else found[:_SHOWN] + "...")


def _open(text_or_path: str | os.PathLike[str]) -> _Source:
    """A str that names an existing file or folder is a path, any other str is the text itself."""
    if isinstance(text_or_path, str):
        # os.path answers False, and does not raise, for a str that cannot be a path.
        if os.path.exists(text_or_path):
            return _open_file(Path(text_or_path))
        # A lone surrogate is let through here, so that decoding refuses it with its line number.
        stream = io.BytesIO(text_or_path.encode("utf-8", "surrogatepass"))
        one_line = "\n" not in text_or_path.strip()
        return _Source("the text (no file has this name)" if one_line else "the text", stream)
    if isinstance(text_or_path, os.PathLike):
        return _open_file(Path(text_or_path))
    raise TypeError(f"expected text as a str, or a path, not {type(text_or_path).__name__}")


def _open_file(path: Path) -> _Source:
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {path}")
    if not os.path.isfile(path):
        # Reading a folder fails, and a device or a pipe might never end.
        raise ValueError(f"{path}: found a {'folder' if os.path.isdir(path) else 'device or pipe'}; expected a file")
    return _Source(str(path), path.open("rb"))


# ---------------------------------------------------------------------------------------------------------------------
# perf kvm stat: reading
# ---------------------------------------------------------------------------------------------------------------------

_PERF_COLUMNS = ("Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "+-%")

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
_QUOTED = re.compile(r"(?:>[ \t]?)+")
# What may stand between rows: the dots of a mail that leaves some out, and perf's warning about a code without a name,
# where stderr was captured too.
_BETWEEN_ROWS = re.compile(r"\[?\s?\.{2,3}\s?\]?|\[snip\]|unknown kvm exit code:.*")

_A_ROW = "a row: name, Samples, Samples%, Time%, times in us, ( +- x% )"
_A_HEADER = "a header: VM-EXIT (or another title), Samples, Samples%, Time%, Min Time, Max Time, Avg time"


@dataclass(frozen=True)
class _Value:
    """One value of a row: its column ("" for one to pass over), its suffix, its form, and how many make a us."""

    column: str
    suffix: str
    form: re.Pattern[str]
    per_us: int = 1

    def read(self, number: str) -> float | None:
        """The number, in the column's unit; None where it is not one."""
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
    return _Value("Samples", "", re.compile(_COUNT))


def _share(column: str) -> _Value:
    return _Value(column, "%", re.compile(_SHARE))


def _us(column: str) -> _Value:
    return _Value(column, "us", re.compile(_DECIMAL))


def _bare_ns(column: str) -> _Value:
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
    title: str
    layout: _Layout
    heading: str | None
    rows: list[_Row] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    total_samples: int | None = None
    total_time_us: float | None = None
    lost_events: int | None = None

    def samples(self) -> int:
        return sum(int(values["Samples"]) for _, values in self.rows)


def read_perf_kvm_stat(text_or_path: str | os.PathLike[str], *, table: int | None = None) -> pd.DataFrame:
    """The table of ``perf kvm stat report`` or ``live`` (text) as a DataFrame.

    `text_or_path` is the text, or the path of a file that holds it (a str is a path where it names an existing file).
    The table may stand in a mail or a commit message: lines of prose around it, blanks squeezed, ``> `` before each
    line, totals missing. Accepted are all generations of builtin-kvm.c: without Min and Max (2012 to 2013), with a
    name width of 20 or of 40, and the columns of the browser of recent perf, in ns.

    The index carries the table's own title (``VM-EXIT``, ``MMIO Access``, ``IO Port Access``, ``MSR Access``).
    Columns: ``Samples`` (int); ``Samples%`` and ``Time%`` (percent of the listed events); ``Min Time``, ``Max Time``
    and ``Avg time`` (us of host handling time, from kvm_exit to the next kvm_entry of the thread); ``+-%`` (relative
    standard error of the mean, in percent). A column the table does not have is NaN.

    ``attrs``: ``total_samples``, ``total_time_us``, ``title`` (the line ``Analyze events for ...``), each None where
    the text lacks it; ``lost_events``, 0 where the totals stand without that line, None where neither does.

    `table` picks one of several tables, counted from 0 (-1 is the last, as in a capture of ``live``).

    Raises ValueError for text that holds no table, a row that is cut off or of another kind, rows that add up to more
    than the total, several tables and no `table`, a listing of trace events, a binary file, a folder; with the line
    number, what stands there and what was expected. Raises FileNotFoundError for a Path that does not exist.
    """
    with closing(_open(text_or_path)) as source:
        return _perf_frame(_picked(source, _perf_tables(source), table))


def _perf_tables(source: _Source) -> list[_PerfTable]:
    """Every table of the text, in order, each complete and checked."""
    tables: list[_PerfTable] = []
    heading: str | None = None
    first: tuple[int, str] | None = None
    in_rows = False
    for number, line in source.lines():
        text = _unquoted(line)
        if not text:
            # Blank lines stand between the header and the first row, and after the last.
            in_rows = in_rows and not tables[-1].rows
            continue
        first = first or (number, text)
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
        elif _is_event_line(text):
            raise source.refuse(number, text, "a perf kvm stat table, not a trace (read_kvm_trace reads those)")
        elif any(words in " ".join(text.split()) for words in _HEADER_WORDS):
            raise source.refuse(number, text, _A_HEADER)
        elif (in_rows or _LIKE_A_ROW.search(text)) and not _BETWEEN_ROWS.fullmatch(text):
            _add_row(source, number, text, tables)
    if not tables:
        number, text = first or (1, "")
        raise source.refuse(number, text, f"{_A_HEADER}; there is none in the {'text' if first else 'empty text'}")
    for each in tables:
        _check_table(source, each)
    return tables


def _unquoted(line: str) -> str:
    """The line without the quote marks of a mail, and without blanks at its ends."""
    mark = _QUOTED.match(line)
    return (line[mark.end() :] if mark else line).strip()


def _read_header(text: str) -> tuple[str, _Layout] | None:
    """Title and layout, where the line is a complete header."""
    squeezed = " ".join(text.split())
    for layout in _LAYOUTS:
        title = squeezed.removesuffix(" " + layout.header)
        if title != squeezed:
            return title, layout
    return None


def _read_row(text: str, layout: _Layout) -> _Row | None:
    """Name and values of a row, split from the right: a name may hold blanks, and widths differ by generation."""
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


def _add_row(source: _Source, number: int, text: str, tables: list[_PerfTable]) -> None:
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


def _add_totals(source: _Source, number: int, text: str, tables: list[_PerfTable]) -> None:
    found = _TOTALS.fullmatch(text)
    if not found:
        raise source.refuse(number, text, "Total Samples:<n>, Total events handled time:<x>us.")
    if not tables or tables[-1].total_samples is not None:
        raise source.refuse(number, text, "totals below a table, once")
    tables[-1].total_samples, tables[-1].total_time_us = int(found[1]), float(found[2])
    # perf prints the line of lost events only where there are any.
    tables[-1].lost_events = 0


def _add_lost_events(source: _Source, number: int, text: str, tables: list[_PerfTable]) -> None:
    found = _LOST.fullmatch(text)
    if not found or not tables:
        raise source.refuse(number, text, "Lost events: <n>, below a table")
    tables[-1].lost_events = int(found[1])


def _check_table(source: _Source, table: _PerfTable) -> None:
    """Refuse a header without rows, unless the totals say that there are none, and rows beyond the total."""
    if not table.rows and table.total_samples != 0:
        raise source.refuse(table.line, table.title, "rows below this header")
    if table.total_samples is not None and table.samples() > table.total_samples:
        found = f"rows of {table.samples()} samples together"
        raise source.refuse(table.line, found, f"at most the total of {table.total_samples}")


def _picked(source: _Source, tables: Sequence[_PerfTable], table: int | None) -> _PerfTable:
    where = ", ".join(str(each.line) for each in tables)
    if table is None:
        if len(tables) > 1:
            message = f"{source.name}: found {len(tables)} tables, at lines {where}; expected one, or table=0, 1, ..."
            raise ValueError(message)
        return tables[0]
    if not -len(tables) <= table < len(tables):
        message = f"{source.name}: table={table}; expected 0 to {len(tables) - 1}, for the tables at lines {where}"
        raise ValueError(message)
    return tables[table]


def _perf_frame(table: _PerfTable) -> pd.DataFrame:
    import pandas as pd

    index = pd.Index([name for name, _ in table.rows], name=table.title, dtype=object)
    columns = {name: [values.get(name, math.nan) for _, values in table.rows] for name in _PERF_COLUMNS}
    frame = pd.DataFrame(columns, index=index).astype(dict.fromkeys(_PERF_COLUMNS, float) | {"Samples": "int64"})
    frame.attrs.update(
        total_samples=table.total_samples,
        total_time_us=table.total_time_us,
        lost_events=table.lost_events,
        title=table.heading,
    )
    return frame


# ---------------------------------------------------------------------------------------------------------------------
# perf kvm stat: writing
# ---------------------------------------------------------------------------------------------------------------------

_DEFAULT_HEADING = "Analyze events for all VMs, all VCPUs:"


def write_perf_kvm_stat(table: pd.DataFrame, title: str | None = None, width: int = 20) -> str:
    """The text of ``perf kvm stat report`` for a table, to the byte as perf 6.1 prints it (print_result).

    `table` has the index and the columns of `read_perf_kvm_stat`, in the order in which to print the rows. `title`
    heads the column of names: the index's own name unless told, ``VM-EXIT`` where it has none. `width` is that of the
    column of names: 20, or 40 as in the current tree. Where Min and Max are all NaN, the text is that of the perf
    before it had them.

    The totals, the lost events and the line above the table come from ``attrs`` where they are there and the rows
    still add up to them; else the totals are the sums over the rows.

    Raises ValueError for a missing column, a count or a time that is negative or not finite, and whatever would not
    read back as it was written (a name with line breaks, a name twice).
    """
    _check_perf_columns(table)
    if width < 1:
        raise ValueError(f"width is {width}; expected 20, 40 or another number from 1 on")
    heading = table.attrs.get("title") or _DEFAULT_HEADING
    title = title or str(table.index.name or "VM-EXIT")
    names = [str(name) for name in table.index]
    old = bool(len(table)) and bool(table[["Min Time", "Max Time"]].isna().all(axis=None))
    lines = ["", "", heading, "", _header_text(title, width, old), ""]
    columns = (_numbers(table, column) for column in _PERF_COLUMNS)
    lines += [_row_text(name, values, width, old) for name, *values in zip(names, *columns, strict=True)]
    samples, time_us = _totals(table)
    lines += ["", f"Total Samples:{samples}, Total events handled time:{time_us:.2f}us.", "", ""]
    if lost := table.attrs.get("lost_events"):
        lines += [f"Lost events: {lost}", "", ""]
    text = "\n".join(lines)
    _check_reads_back(text, heading, title, names)
    return text


def _header_text(title: str, width: int, old: bool) -> str:
    extremes = "" if old else f"{'Min Time':>11} {'Max Time':>11} "
    return f"{title:>{width}} {'Samples':>10} {'Samples%':>9} {'Time%':>9} {extremes}{'Avg time':>16} "


def _row_text(name: str, values: Sequence[float], width: int, old: bool) -> str:
    samples, samples_share, time_share, least, most, average, spread = values
    extremes = "" if old else f"{least:9.2f}us {most:9.2f}us "
    shares = f"{samples_share:8.2f}% {time_share:8.2f}% "
    return f"{name:>{width}} {int(samples):10d} {shares}{extremes}{average:9.2f}us ( +-{spread:7.2f}% )"


def _check_perf_columns(table: pd.DataFrame) -> None:
    missing = [column for column in _PERF_COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; expected {', '.join(_PERF_COLUMNS)}")


def _numbers(table: pd.DataFrame, column: str) -> list[float]:
    """The column's values; a share may be NaN, and an extreme where all of them are."""
    may_be_nan = column.endswith("%") or (column in ("Min Time", "Max Time") and bool(table[column].isna().all()))
    numbers: list[float] = []
    for name, value in zip(table.index, table[column], strict=True):
        number = float(value)
        whole = column != "Samples" or number.is_integer()
        if not (number >= 0 and math.isfinite(number) and whole) and not (may_be_nan and math.isnan(number)):
            raise ValueError(f"{column} of {name} is {value}; expected a number from 0 on")
        # The sum turns -0.0, which would print a sign, into 0.0.
        numbers.append(number + 0.0)
    return numbers


def _totals(table: pd.DataFrame) -> tuple[int, float]:
    """Samples and time (us) over all rows: as perf gave them, unless rows were dropped or changed since."""
    counts = [int(value) for value in table["Samples"]]
    samples = sum(counts)
    time_us = math.fsum(n * float(average) for n, average in zip(counts, table["Avg time"], strict=True))
    given_samples, given_time_us = table.attrs.get("total_samples"), table.attrs.get("total_time_us")
    # Each average is rounded to 0.01 us, so the sum may be half of that off for every sample.
    if given_samples == samples and given_time_us is not None and abs(given_time_us - time_us) <= 0.005 * (samples + 1):
        return samples, float(given_time_us)
    return samples, time_us


def _check_reads_back(text: str, heading: str, title: str, names: list[str]) -> None:
    """Refuse what the reader would refuse or take for something else: it decides which names can be written."""
    try:
        tables = _perf_tables(_Source("the text to be written", io.BytesIO(text.encode("utf-8", "surrogatepass"))))
    except ValueError as error:
        raise ValueError(f"the table cannot be written: {error}") from error
    read = [(each.heading, each.title, [name for name, _ in each.rows]) for each in tables]
    if read != [(heading, title, names)]:
        raise ValueError("a title or a name would not read back as written; expected words with single blanks")


# ---------------------------------------------------------------------------------------------------------------------
# Traces: the line
# ---------------------------------------------------------------------------------------------------------------------

# Both layouts end alike. Seconds stop short of 2**63 ns. Every tool prints a blank after the event's colon, even where
# its message is empty: a line that ends there is cut off.
_REST_OF_LINE = (
    r"(?P<seconds>[0-8]?[0-9]{1,9})\.(?P<fraction>[0-9]{6}(?:[0-9]{3})?):\s+"
    r"(?:[A-Za-z_][A-Za-z0-9_-]*:)?(?P<event>[A-Za-z_][A-Za-z0-9_]*):\s(?P<message>.*)"
)
_PID = r"(?P<pid>[0-9]{1,10})"
_CPU = r"\[(?P<cpu>[0-9]{1,6})\]"
_EVENT_LINES = (
    # tracefs and trace-cmd: comm-pid, perhaps (tgid), [cpu], perhaps the irq flags. A comm may hold blanks and dashes.
    re.compile(
        rf"\s*(?P<task>\S.{{0,63}}?)-{_PID}\s+(?:\(\s*[0-9-]+\)\s+)?{_CPU}\s+(?:[^\s\[]{{4,8}}\s+)?{_REST_OF_LINE}"
    ),
    # perf script: comm, tid or pid/tid, [cpu].
    re.compile(rf"\s*(?P<task>\S.{{0,63}}?)\s+(?:[0-9]{{1,10}}/)?{_PID}\s+{_CPU}\s+{_REST_OF_LINE}"),
)
_AN_EVENT = "an event: <comm>-<pid> [<cpu>] <seconds>: <event>: ..., or as perf script prints it"

# A tracer's comment, tracefs and trace-cmd on overruns, and the lines at the head of a trace-cmd report.
_TRACER = re.compile(r"#\s*tracer:\s*\S+")
_OVERRUN = re.compile(r"CPU:[0-9]+ \[(?:LOST (?P<lost>[0-9]{1,18}) EVENTS|(?P<dropped>[0-9]{1,18}) EVENTS DROPPED)\]")
_TRACE_CMD_HEAD = re.compile(r"cpus=[0-9]+|version = [0-9]+|CPU [0-9]+ is empty")

_Fields = dict[str, int | str | bool]


def _match_event_line(line: str) -> re.Match[str] | None:
    return next((found for pattern in _EVENT_LINES if (found := pattern.fullmatch(line))), None)


def _is_event_line(line: str) -> bool:
    return _match_event_line(line) is not None


# ---------------------------------------------------------------------------------------------------------------------
# Traces: the message
# ---------------------------------------------------------------------------------------------------------------------

_N = r"[0-9]{1,20}"
_VCPU = r"vcpu (?P<vcpu>[0-9]{1,10})"
_H = r"[0-9a-f]{1,16}"
_X = rf"0x{_H}"
# A word, or what libtraceevent prints for a code that it does not know; then the flags of a failed VMX entry.
_REASON = rf"reason (?P<reason>[A-Za-z0-9_-]+(?: \({_N}\))?)(?P<flags>(?: [A-Zx0-9a-f_]+)*?)"
# libtraceevent adds the function where it has the guest's symbols.
_RIP = rf"rip (?P<rip>{_X})(?: \[[^\]]*\])?"
_INFO = rf"info (?P<info1>{_H}) (?P<info2>{_H})"
# These are printed with all their digits, so that a line cut off within them does not match.
_LONG_INFO = r"info1 (?P<info1>0x[0-9a-f]{16}) info2 (?P<info2>0x[0-9a-f]{16})"
_EVENT_INFO = r"intr_info (?P<intr_info>0x[0-9a-f]{8}) error_code (?P<error_code>0x[0-9a-f]{8})"

_MESSAGES: dict[str, tuple[str, ...]] = {
    "kvm_entry": (
        rf"{_VCPU}",
        rf"{_VCPU},? {_RIP}",
        rf"{_VCPU}, {_RIP} {_EVENT_INFO}\s?(?P<immediate_exit>\[immediate exit\])?",
    ),
    "kvm_exit": (
        rf"{_REASON} {_RIP} {_INFO}",
        rf"{_VCPU} {_REASON} {_RIP} {_INFO}",
        rf"{_VCPU} {_REASON} {_RIP} {_LONG_INFO} {_EVENT_INFO}",
        rf"{_VCPU} {_REASON} {_RIP} {_LONG_INFO} {_EVENT_INFO} requests (?P<requests>0x[0-9a-f]{{16}})",
    ),
    "kvm_msr": (rf"msr_(?P<access>read|write) (?P<msr>{_H}) = (?P<value>{_X})(?P<failed> \(#GP\))?",),
    "kvm_apic": (rf"apic_(?P<access>read|write) (?P<register>\S+) = (?P<value>{_X})",),
    "kvm_hv_timer_state": (rf"vcpu_id (?P<vcpu_id>[0-9a-f]{{1,8}}) hv_timer (?P<hv_timer>{_H})",),
    "kvm_wait_lapic_expire": (rf"{_VCPU}: delta (?P<delta>-?{_N}) \((?P<when>early|late)\)",),
    "kvm_eoi": (rf"apicid (?P<apicid>{_H}) vector (?P<vector>-?{_N})",),
    "kvm_inj_virq": (
        rf"(?P<kind>irq) (?P<vector>{_N})",
        rf"(?P<kind>IRQ|Soft/INTn) (?P<vector>{_X})(?P<reinjected> \[reinjected\])?",
    ),
    "kvm_halt_poll_ns": (rf"{_VCPU}: halt_poll_ns (?P<halt_poll_ns>{_N}) \((?P<change>grow|shrink) (?P<old>{_N})\)",),
    "kvm_vcpu_wakeup": (
        rf"(?P<how>wait|poll) time (?P<duration_ns>-?{_N}) ns(?:, polling (?P<polling>valid|invalid))?",
    ),
    "kvm_userspace_exit": (rf"reason (?P<reason>\S+) \((?P<code>-?{_N})\)",),
    "kvm_apic_accept_irq": (
        rf"apicid (?P<apicid>{_H}) vec (?P<vector>{_N}) \((?P<delivery>\w+)\|(?P<trigger>edge|level)\)"
        r"(?P<coalesced> \(coalesced\))?",
    ),
}
_MESSAGES["kvm_apicv_accept_irq"] = _MESSAGES["kvm_apic_accept_irq"]
_MESSAGES["kvm_pv_eoi"] = _MESSAGES["kvm_eoi"]
_PATTERNS = {event: tuple(re.compile(message) for message in messages) for event, messages in _MESSAGES.items()}

# Events of key=value pairs, and what they must have; a line without is cut off. A newer kernel may print more.
_PAIRS: dict[str, tuple[str, ...]] = {
    "hrtimer_init": ("hrtimer", "clockid", "mode"),
    "hrtimer_setup": ("hrtimer", "clockid", "mode"),
    "hrtimer_start": ("hrtimer", "function", "expires", "softexpires"),
    "hrtimer_expire_entry": ("hrtimer", "function", "now"),
    "hrtimer_expire_exit": ("hrtimer",),
    "hrtimer_cancel": ("hrtimer",),
    "local_timer_entry": ("vector",),
    "local_timer_exit": ("vector",),
}
_NUMBER_KEYS = {"expires", "softexpires", "now", "vector"}
# Text even where it looks like a number: a hashed address may have decimal digits only, a task may be called 7.
_TEXT_KEYS = {"hrtimer", "timer", "function", "clockid", "mode", "comm", "prev_comm", "next_comm"}
_KEY = re.compile(r"(?:^|\s)(?:==>\s)?([A-Za-z_][A-Za-z0-9_]*)=")
# A CPU may be padded to three digits; anything longer that starts with 0 is an address.
_NUMBER = re.compile(r"-?(?:[0-9]{1,3}|[1-9][0-9]{0,19})|0x[0-9a-f]{1,16}")

# In the patterns above: numbers in hex, with or without 0x; words; and what is there or not. The others are decimal.
_HEX_GROUPS = {"rip", "info1", "info2", "intr_info", "error_code", "requests", "msr", "value", "apicid"}
_HEX_GROUPS |= {"vcpu_id", "hv_timer"}
_TEXT_GROUPS = {
    "access",
    "register",
    "when",
    "kind",
    "change",
    "how",
    "polling",
    "reason",
    "flags",
    "delivery",
    "trigger",
}
_FLAG_GROUPS = {"immediate_exit", "failed", "reinjected", "coalesced"}


def _read_group(name: str, text: str) -> int | str | bool:
    if name in _FLAG_GROUPS:
        return True
    if name in _TEXT_GROUPS:
        return text.strip()
    return int(text, 16) if name in _HEX_GROUPS or text.startswith("0x") else int(text)


def _read_pair(key: str, text: str) -> int | str:
    if key in _TEXT_KEYS or not _NUMBER.fullmatch(text):
        return text
    return int(text, 16 if text.startswith("0x") else 10)


def _read_message(event: str, message: str) -> _Fields | None:
    """The message's fields; None where it is not one that this event prints."""
    if event in _PATTERNS:
        return _read_pattern(_PATTERNS[event], message)
    if event in _PAIRS:
        pairs = _read_pairs(message)
        return pairs if all(_is_whole(key, pairs.get(key, "")) for key in _PAIRS[event]) else None
    if event == "tracing_mark_write" or not _KEY.match(message):
        return {"text": message}
    return _read_pairs(message)


def _is_whole(key: str, value: int | str | bool) -> bool:
    return isinstance(value, int) if key in _NUMBER_KEYS else value != ""


def _read_pattern(patterns: Iterable[re.Pattern[str]], message: str) -> _Fields | None:
    found = next((found for pattern in patterns if (found := pattern.fullmatch(message))), None)
    if found is None:
        return None
    return {name: _read_group(name, text) for name, text in found.groupdict().items() if text}


def _read_pairs(message: str) -> _Fields:
    """Pairs key=value; a value runs up to the next key, since the name of a task or a module may hold blanks."""
    _, *parts = _KEY.split(message)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    fields: _Fields = {key: _read_pair(key, text.strip().rstrip(",")) for key, text in pairs}
    # Of "apic_timer_fn [kvm]", perf script prints the function only: keep the two alike.
    function, _, module = str(fields.get("function", "")).partition(" [")
    if module:
        fields |= {"function": function, "module": module.removesuffix("]")}
    return fields


# ---------------------------------------------------------------------------------------------------------------------
# Traces: the table
# ---------------------------------------------------------------------------------------------------------------------

_TraceRow = tuple[float, int, int, str, int, str, int | None, str | None, _Fields]
_TRACE_COLUMNS = ("time_s", "time_ns", "cpu", "task", "pid", "event", "vcpu", "reason", "fields")


def read_kvm_trace(text_or_path: str | os.PathLike[str]) -> pd.DataFrame:
    """A listing of trace events as a DataFrame, one row an event, in the order of the listing.

    `text_or_path` is the text, or the path of a file that holds it: tracefs (``trace`` or ``trace_pipe``), ``perf
    script`` or ``trace-cmd report``. Messages of kvm events may be of any kernel from before 5.3 on, or as the plugin
    of libtraceevent prints them; exit reasons stay as printed (VMX ``EXTERNAL_INTERRUPT``, SVM ``interrupt``, that
    plugin's ``EXIT_INTR`` or ``UNKNOWN (77)``).

    Columns: ``time_s`` (float, s) and ``time_ns`` (int64, ns), on the trace's clock, as fine as it was printed;
    ``cpu`` (int), ``task`` (str), ``pid`` (int, the thread); ``event`` (str, without the system before it); ``vcpu``
    (Int64, NA where the message has none, as kvm_exit before 5.4); ``reason`` (str of a kvm_exit, else NA);
    ``fields`` (a dict of the rest). In ``fields``, numbers are ints, whichever base they were printed in (``rip``,
    ``info1``, ``msr``, ``value``, ``expires``, ``now``, ``vector``, ``hv_timer``, ``delta`` in TSC cycles);
    ``hrtimer``, an address, and ``function`` are text. A mark (``tracing_mark_write``), and an event whose message is
    neither known nor made of pairs key=value, has its message under ``text``.

    Comments and blank lines are passed over. ``attrs["lost_events"]`` counts what the listing says was overrun.

    Raises ValueError for a line that is no event, or whose message is cut off or not one of that event's, and for a
    text without any (a tracefs listing with its comment but no event is empty, and fine); with the line number, what
    stands there and what was expected. A number cut off at the very end of the text cannot be told from a shorter one.
    Raises FileNotFoundError for a Path that does not exist.
    """
    rows: list[_TraceRow] = []
    lost = 0
    is_listing = False
    last = (1, "")
    with closing(_open(text_or_path)) as source:
        for number, line in source.lines():
            text = line.strip()
            last = (number, text) if text else last
            if overrun := _OVERRUN.fullmatch(text):
                lost += int(overrun["lost"] or overrun["dropped"])
            elif text.startswith("#") and not _is_event_line(text):
                is_listing = is_listing or bool(_TRACER.match(text))
            elif text and not _TRACE_CMD_HEAD.fullmatch(text):
                rows.append(_read_event(source, number, line))
        if not rows and not is_listing:
            raise source.refuse(*last, f"{_AN_EVENT}; there is none")
    return _trace_frame(rows, lost)


def _read_event(source: _Source, number: int, line: str) -> _TraceRow:
    found = _match_event_line(line)
    if found is None:
        raise source.refuse(number, line.strip(), _AN_EVENT)
    event, message = _unwrapped_mark(found["event"], found["message"].strip())
    fields = _read_message(event, message)
    if fields is None:
        raise source.refuse(number, f"{event}: {message}", f"a whole message of {event}, as some kernel prints it")
    time_ns = int(found["seconds"]) * 1_000_000_000 + int(found["fraction"].ljust(9, "0"))
    # kvm_hv_timer_state calls it vcpu_id, and prints it in hex. A vcpu that is not of a known message stays a field.
    vcpu = fields.pop("vcpu", fields.pop("vcpu_id", None)) if event in _PATTERNS else None
    # The reason of kvm_userspace_exit is of another kind, and stays a field.
    reason = fields.pop("reason") if event == "kvm_exit" else None
    return (
        time_ns / 1e9,
        time_ns,
        int(found["cpu"]),
        found["task"],
        int(found["pid"]),
        event,
        None if vcpu is None else int(vcpu),
        None if reason is None else str(reason),
        fields,
    )


def _unwrapped_mark(event: str, message: str) -> tuple[str, str]:
    """A mark is an event of its own in tracefs; trace-cmd and perf script print it inside the event `print`."""
    mark = "tracing_mark_write: "
    if event == "print" and message.startswith(mark):
        return "tracing_mark_write", message.removeprefix(mark)
    return event, message


def _trace_frame(rows: list[_TraceRow], lost: int) -> pd.DataFrame:
    import pandas as pd

    columns = {name: [row[place] for row in rows] for place, name in enumerate(_TRACE_COLUMNS)}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()}).astype(
        {
            "time_s": "float64",
            "time_ns": "int64",
            "cpu": "int64",
            "task": str,
            "pid": "int64",
            "event": str,
            "vcpu": "Int64",
            "reason": "string",
        }
    )
    frame.attrs["lost_events"] = lost
    return frame


# ---------------------------------------------------------------------------------------------------------------------
# Chrome trace JSON
# ---------------------------------------------------------------------------------------------------------------------

_TIMELINE_COLUMNS = ("start_ns", "end_ns", "lane", "what", "flow")
_Event = dict[str, Any]


@dataclass(frozen=True)
class _Span:
    row: int
    start_ns: int
    end_ns: int
    track: tuple[str, str]
    what: str
    flow: int


def write_chrome_trace(timeline: pd.DataFrame, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """A timeline as Chrome trace JSON, for the Perfetto UI; written to `path` where one is given.

    Columns of `timeline`: ``start_ns``, ``end_ns`` (ints, ns), ``lane`` (the track: ``pCPU 3``, ``vCPU 0``), ``what``
    (the span's name), ``flow`` (-1, or an id that the two ends of an arrow share), and perhaps ``process`` (the group
    of tracks). Without it, lanes ``pCPU ...`` go under ``pCPUs`` and all others under ``vCPUs``.

    Each process and each lane gets its name and place by metadata events (``ph`` M), each row a complete event (X)
    with ``ts`` and ``dur`` in us and the exact ns under ``args``, each pair of rows with the same flow an arrow from
    the start of the earlier to the start of the later (s, f). A flow of one row, as at the end of a timeline that was
    cut, gets no arrow.

    Raises ValueError for a missing column, times that are not ints, a row that ends before it starts, and a flow of
    more than two rows; with the row.
    """
    spans = _spans(timeline)
    places = _places(span.track for span in spans)
    events = _metadata(places)
    events += [_complete_event(span, places) for span in spans]
    events += _arrows(spans, places)
    trace = {"traceEvents": events, "displayTimeUnit": "ns"}
    if path is not None:
        Path(path).write_text(json.dumps(trace, allow_nan=False), encoding="utf-8")
    return trace


def _spans(timeline: pd.DataFrame) -> list[_Span]:
    missing = [column for column in _TIMELINE_COLUMNS if column not in timeline.columns]
    if missing:
        raise ValueError(f"the timeline has no column {', '.join(missing)}; expected {', '.join(_TIMELINE_COLUMNS)}")
    columns = [_ints(timeline, name) for name in ("start_ns", "end_ns", "flow")]
    lanes = [str(lane) for lane in timeline["lane"]]
    groups = [str(group) for group in timeline["process"]] if "process" in timeline.columns else map(_group, lanes)
    what = [str(each) for each in timeline["what"]]
    tracks = zip(groups, lanes, strict=True)
    rows = enumerate(zip(*columns, tracks, what, strict=True))
    spans = [_Span(row, start, end, track, name, flow) for row, (start, end, flow, track, name) in rows]
    for span in spans:
        if span.end_ns < span.start_ns:
            message = f"row {span.row}: found end_ns {span.end_ns}; expected at least start_ns {span.start_ns}"
            raise ValueError(message)
    return spans


def _ints(timeline: pd.DataFrame, column: str) -> list[int]:
    numbers: list[int] = []
    for row, value in enumerate(timeline[column]):
        # numpy's ints are no int, but they are an index; a float, NaN and NA are not.
        if not hasattr(value, "__index__") or isinstance(value, bool):
            raise ValueError(f"row {row}: found {column} {_shortened(str(value))}; expected an int")
        numbers.append(int(value))
    return numbers


def _group(lane: str) -> str:
    return "pCPUs" if lane.startswith("pCPU") else "vCPUs"


_Places = dict[tuple[str, str], tuple[int, int]]


def _places(tracks: Iterable[tuple[str, str]]) -> _Places:
    """pid and tid of each track: processes as they first appear, but pCPUs on top; lanes by their number."""
    seen = list(dict.fromkeys(tracks))
    processes = sorted(dict.fromkeys(process for process, _ in seen), key=lambda process: process != "pCPUs")
    pids = {process: pid for pid, process in enumerate(processes, start=1)}
    ordered = sorted(seen, key=lambda track: (pids[track[0]], _natural(track[1])))
    return {track: (pids[track[0]], tid) for tid, track in enumerate(ordered, start=1)}


def _natural(lane: str) -> list[tuple[int, str]]:
    """A sort key by which "pCPU 2" comes before "pCPU 10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,18})", lane)]


def _metadata(places: _Places) -> list[_Event]:
    processes = {pid: process for (process, _), (pid, _) in places.items()}
    events: list[_Event] = []
    for pid, process in processes.items():
        events.append(_named("process_name", pid, 0, {"name": process}))
        events.append(_named("process_sort_index", pid, 0, {"sort_index": pid}))
    for (_, lane), (pid, tid) in places.items():
        events.append(_named("thread_name", pid, tid, {"name": lane}))
        events.append(_named("thread_sort_index", pid, tid, {"sort_index": tid}))
    return events


def _named(name: str, pid: int, tid: int, args: dict[str, str | int]) -> _Event:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}


def _complete_event(span: _Span, places: _Places) -> _Event:
    pid, tid = places[span.track]
    return {
        "ph": "X",
        "name": span.what,
        "cat": span.track[0],
        "pid": pid,
        "tid": tid,
        "ts": span.start_ns / 1000,
        "dur": (span.end_ns - span.start_ns) / 1000,
        "args": {"start_ns": span.start_ns, "end_ns": span.end_ns},
    }


def _arrows(spans: Sequence[_Span], places: _Places) -> list[_Event]:
    ends: dict[int, list[_Span]] = {}
    for span in spans:
        if span.flow >= 0:
            ends.setdefault(span.flow, []).append(span)
    events: list[_Event] = []
    for flow, both in ends.items():
        if len(both) > 2:
            rows = ", ".join(str(span.row) for span in both[:4])
            raise ValueError(f"rows {rows}: found {len(both)} rows of flow {flow}; expected two, its start and its end")
        if len(both) == 2:
            tail, head = sorted(both, key=lambda span: (span.start_ns, span.row))
            events.append(_arrow_end("s", flow, tail, places))
            # The head binds to the span that encloses it, not to the next one.
            events.append(_arrow_end("f", flow, head, places) | {"bp": "e"})
    return events


def _arrow_end(phase: str, flow: int, span: _Span, places: _Places) -> _Event:
    pid, tid = places[span.track]
    # Name and category are the same at both ends: together with the id they tell the arrow.
    return {"ph": phase, "name": "flow", "cat": "flow", "id": flow, "pid": pid, "tid": tid, "ts": span.start_ns / 1000}
