"""The output of kvm_stat: its screen, ``-1`` (batch) and ``-l`` (log, also as CSV).

Print formats: tools/kvm/kvm_stat/kvm_stat of v5.2, v5.8, v6.13 and v7.1 (Tui._refresh_body, batch, StdFormat,
CSVFormat). Screens of older versions have ``Current`` in their head, or no head, as mails and blogs of the time show.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from kvmlab.host.formats.lines import OR_WRAPPED, Lines, Source, open_source
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

MAX_EVENTS, MAX_SCREENS = 10_000, 10_000
"""What is kept in memory of one text."""
COLUMNS = ("total", "share%", "per_s", "parent")

_NUMBER = r"[0-9]{1,15}"
_NAME = r"[a-z][a-z0-9_]{1,80}(?:\([A-Za-z0-9_ ()-]{1,80}\))?"
# Events of tracepoints begin with kvm_ (on arm64 and s390 some with vgic_, trap_), those of debugfs are KVM's counters
# (arch/x86/kvm/x86.c, kvm_vcpu_stats_desc).
_EVENT = re.compile(
    r"(?:kvm|vgic|vcpu|trap|handle|access)_[a-z0-9_]+(?:\(.*\))?|[a-z0-9_]*exits|pf_[a-z]+|halt_[a-z_]+|"
    r"fpu_reload|insn_emulation(?:_fail)?|host_state_reload|irq_injections|irq_window|nmi_[a-z]+|req_event|"
    r"hypercalls|invlpg|tlb_flush|largepages|mmu_[a-z_]+|remote_tlb_flush|efer_reload|signal_exits|l1d_flush|preemption_[a-z]+"
)
_HEAD = re.compile(r"\s*Event\s+Total\s+(?P<share>%Total\s+)?(?:CurAvg/s|Current)\s*")
_TITLE = re.compile(r"\s*kvm statistics(?: - .*)?\s*")
_ROW = re.compile(
    rf"(?P<indent>\s*)(?P<name>{_NAME})\s+(?P<total>{_NUMBER})(?:\s+(?P<share>[0-9]{{1,3}}\.[0-9]))?"
    rf"(?:\s+(?P<rate>{_NUMBER}))?\s*"
)
_TOTAL = re.compile(rf"\s*Total\s+(?P<total>{_NUMBER})(?:\s+(?P<rate>{_NUMBER}))?\s*")
_STAMP = r"(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})"
_LOG_LINE = re.compile(rf"\s*(?:{_STAMP})?(?P<numbers>(?:[\s,]+-?{_NUMBER})+)\s*")
_A_ROW = f"a row: an event, its total and its rate, {OR_WRAPPED}"


@dataclass
class Count:
    """What is known of one event."""

    total: int
    rate: float
    parent: str | None = None


@dataclass
class Screen:
    """One screen, batch or log."""

    line: int
    """Number of its first line."""
    kind: str
    """"screen", "batch" or "log"."""
    counts: dict[str, Count] = field(default_factory=dict)
    indent: int | None = None
    """Blanks before its first row."""
    total: int | None = None
    """What the row Total says."""
    seconds: float | None = None
    ended: bool = False
    """The row Total has been read."""


def is_kvm_stat_line(line: str) -> bool:
    """Return True if a line is one of kvm_stat's that no other tool prints."""
    found = _ROW.fullmatch(line)
    is_row = found is not None and found["rate"] is not None and bool(_EVENT.fullmatch(found["name"]))
    return bool(_TITLE.fullmatch(line) or _HEAD.fullmatch(line)) or is_row or _banner(line) is not None


def read_kvm_stat(
    text_or_path: str | os.PathLike[str], *, interval_s: float = 1.0, table: int | None = None
) -> pd.DataFrame:
    """Read the output of kvm_stat: one row per event, in the order of the text.

    Accepted: the screen as copied from a terminal (with ``%Total`` and ``CurAvg/s``, or older ones with ``Current``),
    ``kvm_stat -1``, and ``kvm_stat -l`` with or without time stamps, also as CSV (``-c``).

    - `text_or_path`: the text, or the path of a file that holds it.
    - `interval_s`: seconds between two lines of a log without time stamps (``-s``), in s.
    - `table`: picks one of several screens, counted from 0 (-1 is the last).

    Index ``event``: "kvm_exit", "kvm_exit(HLT)". Columns:

    - ``total`` (int): events since kvm_stat was started or reset, those of all lines of a log.
    - ``share%``: of all events, or of the parent's; NaN where the parent is not listed.
    - ``per_s``: events per second: in the last interval, or the mean of a log.
    - ``parent``: the event whose part this is, "kvm_exit" of "kvm_exit(HLT)"; else NA.

    ``attrs``: ``kind`` ("screen", "batch", "log"); ``seconds`` (how long a log took, else None); ``total`` (the row
    Total, else None); ``notes``: sentences on what was taken off the lines, and on rows that do not add up to Total.

    Raises ValueError for a text without any, a row that is cut off, an event that stands there twice, and several
    screens and no `table`; with the line number, what stands there and what was expected. Raises FileNotFoundError
    for a Path that does not exist.

    Example: `kl.read_kvm_stat("kvm_stat.txt").loc["kvm_exit", "per_s"]`
    """
    checks.number("interval_s", interval_s, 0.1, 86_400, "s")
    with closing(open_source(text_or_path)) as source:
        screens = _screens(source, interval_s)
        if table is None and len(screens) > 1:
            where = ", ".join(str(screen.line) for screen in screens[:20])
            wanted = "expected one, or table=0, 1, ... (--table)"
            raise ValueError(f"{source.name}: found {len(screens)} screens, at lines {where}; {wanted}")
        if table is not None and not -len(screens) <= table < len(screens):
            raise ValueError(f"{source.name}: table={table}; expected 0 to {len(screens) - 1}")
        screen = screens[0 if table is None else table]
        return _frame(screen, [source.log.sentence(), _missing(screen)])


def _frame(screen: Screen, notes: list[str]) -> pd.DataFrame:
    """Return the table of one screen."""
    import pandas as pd

    whole = screen.total or sum(count.total for count in screen.counts.values() if count.parent is None)
    rows = []
    for count in screen.counts.values():
        of = (
            whole if count.parent is None else screen.counts[count.parent].total if count.parent in screen.counts else 0
        )
        rows.append((count.total, 100 * count.total / of if of else float("nan"), count.rate, count.parent))
    index = pd.Index(list(screen.counts), name="event", dtype=object)
    frame = pd.DataFrame(rows, columns=list(COLUMNS), index=index)
    frame = frame.astype({"total": "int64", "share%": float, "per_s": float, "parent": "string"})
    frame.attrs.update(
        kind=screen.kind, seconds=screen.seconds, total=screen.total, notes=[note for note in notes if note]
    )
    return frame


def _missing(screen: Screen) -> str:
    """Return a sentence where the rows do not add up to the row Total: a screen ends where the terminal does."""
    listed = sum(count.total for count in screen.counts.values() if count.parent is None)
    missing = (screen.total or 0) - listed
    return f"Rows with {missing:,} of {screen.total:,} events are not listed." if missing > 0 else ""


def _screens(source: Source, interval_s: float) -> list[Screen]:
    """Return every screen of the text; a batch or a log is one."""
    screens: list[Screen] = []
    lines = Lines(source, is_kvm_stat_line)
    last = (1, "")
    for number, line in lines:
        last = (number, line.strip()) if line.strip() else last
        if names := _banner(line):
            screens.append(_log(source, lines, number, names, interval_s))
        elif _TITLE.fullmatch(line) or _HEAD.fullmatch(line):
            if not screens or screens[-1].counts:
                screens.append(Screen(number, "screen"))
        elif found := _TOTAL.fullmatch(line):
            if screens and screens[-1].counts and not screens[-1].ended:
                screens[-1].total, screens[-1].ended = int(found["total"]), True
        elif (found := _ROW.fullmatch(line)) and (screens or is_kvm_stat_line(line)) and _is_event(found["name"]):
            if not screens or screens[-1].ended:
                screens.append(Screen(number, "batch"))
            _add(source, number, found, screens[-1])
        elif screens and _EVENT.fullmatch((line.split() or [""])[0]):
            raise source.refuse(number, line.strip(), _A_ROW)
        if len(screens) > MAX_SCREENS:
            raise source.refuse(number, line.strip(), f"at most {MAX_SCREENS} screens")
    screens = [screen for screen in screens if screen.counts]
    if not screens:
        raise source.refuse(*last, "kvm_stat's screen, log or batch; there is no event with its count")
    return screens


def _add(source: Source, number: int, found: re.Match[str], screen: Screen) -> None:
    """Add a row to a screen or batch."""
    if found["rate"] is None:  # a rate of 0 is printed, too
        raise source.refuse(number, found[0].strip(), _A_ROW)
    name = found["name"]
    if name in screen.counts or len(screen.counts) == MAX_EVENTS:
        raise source.refuse(number, name, f"each event once, and at most {MAX_EVENTS}")
    screen.indent = len(found["indent"]) if screen.indent is None else screen.indent
    screen.counts[name] = Count(int(found["total"]), float(found["rate"]), _parent(name, len(found["indent"]), screen))


def _is_event(name: str) -> bool:
    """Return True if a word may be an event, and is not one of a sentence."""
    return "_" in name or bool(_EVENT.fullmatch(name))


def _parent(name: str, indent: int, screen: Screen) -> str | None:
    """Return the event that a row is a part of: by its brackets, or by where it is indented to."""
    before, bracket, _ = name.partition("(")
    if bracket:
        return before
    if screen.indent is None or indent <= screen.indent:
        return None
    above = [event for event, count in screen.counts.items() if count.parent is None]
    return above[-1] if above else None


def _banner(line: str) -> list[str] | None:
    """Return the events that the head of a log names; None for another line."""
    text = line.strip()
    words = text.split(",")[1:] if text.startswith("timestamp,") else text.split()
    return words if len(words) > 1 and all(_EVENT.fullmatch(word) for word in words) else None


def _log(source: Source, lines: Lines, start: int, names: list[str], interval_s: float) -> Screen:
    """Read a log: the sum of all of its lines, and the mean per second."""
    [(most_often, times_there)] = Counter(names).most_common(1)
    if times_there > 1:
        raise source.refuse(start, most_often, "each event once")
    sums, times, count = [0] * len(names), list[datetime](), 0
    for number, line in lines:
        if not line.strip() or _banner(line) == names:
            continue
        found = _LOG_LINE.fullmatch(line)
        numbers = [int(word) for word in re.split(r"[\s,]+", found["numbers"].strip(" ,\t"))] if found else []
        if found is None or len(numbers) != len(names) or min(numbers) < 0:
            expected = f"{len(names)} counts, as the head of line {start} names events, {OR_WRAPPED}"
            raise source.refuse(number, line.strip(), expected)
        sums = [total + more for total, more in zip(sums, numbers, strict=True)]
        count += 1
        if found["time"]:
            times.append(_time(source, number, found["time"]))
    if not count:
        raise source.refuse(start, " ".join(names), "lines of counts below this head")
    seconds = _seconds(times, count, interval_s)
    counts = {name: Count(total, total / seconds, _bracket(name)) for name, total in zip(names, sums, strict=True)}
    return Screen(start, "log", counts, seconds=seconds)


def _bracket(name: str) -> str | None:
    """Return the event that "kvm_exit(HLT)" is a part of."""
    before, bracket, _ = name.partition("(")
    return before if bracket else None


def _time(source: Source, number: int, text: str) -> datetime:
    """Return a time stamp; refuse one that is no time."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        raise source.refuse(number, text, "a time such as 2026-11-26 09:30:00") from None


def _seconds(times: Sequence[datetime], count: int, interval_s: float) -> float:
    """Return how long a log took: its stamps are at the ends of its intervals, and whole seconds."""
    took = (times[-1] - times[0]).total_seconds() if len(times) == count > 1 else 0.0
    return took * count / (count - 1) if took > 0 else count * interval_s
