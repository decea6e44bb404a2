"""What mail programs, terminals and grep add to a text, taken off again before any reader sees a line.

Quote marks, line numbers, a terminal's colours, blanks that are no blanks. What was taken off is counted, and
`CleaningLog.sentence` says it once. Nothing here knows a format.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

Numbered = tuple[int, str]
"""Number of a line, from 1, and its text."""

# Colours and erasing to the end of the line may stand anywhere (ECMA-48: SGR, EL; ncurses and `tput sgr0` choose a
# character set as well). Everything else moves the cursor, and is only without effect on the text where a line begins:
# `perf kvm stat live` and rtla clear the screen before each table, cyclictest goes up to refresh its lines.
_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,32}m|\x1b\[0?K|\x1b[()][0-9A-Z]|\x0f")
_CURSOR = re.compile(r"(?:\x1b\[[?0-9;]{0,16}[A-HJKSTdfhlrsu]|\x1b[c78=>])+")
_TITLE = re.compile(r"\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)")
# Blanks that look like one: U+00A0 and others of Unicode's class Zs, which web pages and mail programs use.
_ODD_BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_QUOTED = re.compile(r"(?:[ \t]{0,3}>)+ ?")
# `grep -n` prints 4:text, and 3-text for the lines around; with several files trace.txt:4:text. Dates and times of day
# look alike.
_GREP = re.compile(r"(?:[^\s:>]{1,200}:)?(?P<number>[0-9]{1,9})(?:(?P<hit>:)|-(?![0-9]))(?![0-9]{2}[:-][0-9]{2}\b)")
# `cat -n` and `nl`: the number to the right in six columns, a tab (which a terminal turns into blanks).
_CAT = re.compile(r"(?= {1,5}[0-9])(?=[ 0-9]{6}(?:\t|  ))\s*(?P<number>[0-9]{1,6})(?:\t|  )|(?P<wide>[0-9]{6,9})\t")

QUOTES, NUMBERS, COLOURS, BLANKS, JOINED = (
    "quote marks of a mail",
    "line numbers",
    "a terminal's escape sequences",
    "blanks of a web page or mail program",
    "wrapped lines joined",
)


class CleaningLog:
    """Counts, by kind, the lines that were cleaned."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        """Kind -> lines."""
        self.encoding: str | None = None
        """The encoding, where it is not UTF-8."""

    def sentence(self) -> str:
        """Return what was taken off, in one sentence; "" if nothing was."""
        parts = [f"{kind} ({count} line{'s' * (count != 1)})" for kind, count in self.lines.items() if kind != JOINED]
        said = [f"taken off: {', '.join(parts)}"] if parts else []
        if count := self.lines[JOINED]:
            said.append(f"joined: {count} wrapped line{'s' * (count != 1)}")
        if self.encoding:
            said.append(f"decoded from {self.encoding}")
        sentence = "; ".join(said)
        return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def cleaned(lines: Iterable[Numbered], log: CleaningLog) -> Iterator[Numbered]:
    """Yield each line as the tool printed it; count in `log` what was taken off."""
    return _without_numbers(_without_marks(lines, log), log)


def _without_marks(lines: Iterable[Numbered], log: CleaningLog) -> Iterator[Numbered]:
    """Yield lines without escape sequences, odd blanks and quote marks."""
    for number, line in lines:
        text = _counted(log, COLOURS, _without_escapes, line)
        text = _counted(log, BLANKS, _with_plain_blanks, text)
        yield number, _counted(log, QUOTES, unquoted, text)


def _counted(log: CleaningLog, kind: str, clean: Callable[[str], str], text: str) -> str:
    """Return the cleaned text, and count it if that changed it."""
    result = clean(text)
    if result != text:
        log.lines[kind] += 1
    return result


def _without_escapes(text: str) -> str:
    """Return a line without a terminal's escape sequences; those that move the cursor within the line stay."""
    if "\x1b" not in text and "\x0f" not in text:
        return text
    text = _TITLE.sub("", _COLOUR.sub("", text))
    found = _CURSOR.match(text)
    return text[found.end() :] if found else text


def _with_plain_blanks(text: str) -> str:
    """Return a line with ordinary blanks, and without characters that take no space."""
    return text if text.isascii() else _ODD_BLANKS.sub(" ", _UNSEEN.sub("", text))


def unquoted(text: str) -> str:
    """Return a line without the quote marks of a mail, however often it was quoted."""
    found = _QUOTED.match(text)
    return text[found.end() :] if found else text


def _without_numbers(lines: Iterable[Numbered], log: CleaningLog) -> Iterator[Numbered]:
    """Yield lines without the numbers of grep, cat or nl.

    A number is one of these only where the line before or after it has a smaller or greater one, or where a single
    line is all there is.
    """
    before: int | None = None
    waiting: Numbered | None = None
    alone = True
    for following in lines:
        if waiting is not None:
            alone = alone and not (waiting[1].strip() and following[1].strip())
            before, text = _unnumbered(waiting[1], before, following[1], False, log)
            yield waiting[0], text
        waiting = following
    if waiting is not None:
        yield waiting[0], _unnumbered(waiting[1], before, "", alone, log)[1]


def _unnumbered(text: str, before: int | None, following: str, alone: bool, log: CleaningLog) -> tuple[int | None, str]:
    """Return the line's number, None if it has none, and its text without it."""
    if text == "--":  # grep's line between two groups
        return before, "" if before is not None else text
    found = _GREP.match(text) or _CAT.match(text)
    if found is None:
        return None, text
    number, after = _number(found), _GREP.match(following) or _CAT.match(following)
    follows = before is not None and number > before
    leads = after is not None and _number(after) > number
    if not (follows or leads or (alone and found.re is _GREP and found["hit"])):
        return None, text
    log.lines[NUMBERS] += 1
    return number, unquoted(text[found.end() :])


def _number(found: re.Match[str]) -> int:
    """Return the number of a line's prefix."""
    groups = found.groupdict()
    return int(groups["number"] or groups["wide"])
