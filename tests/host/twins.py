"""Twins of a text: the same text as mail programs, terminals, grep and editors hand it on."""

from __future__ import annotations

from collections.abc import Callable

from kvmlab.host.formats import read_any
from kvmlab.host.formats.cleaning import NUMBERS

Twin = Callable[[str], str]


def quoted(text: str) -> str:
    """The text as an answer quotes it."""
    return "".join(f"> {line}".rstrip() + "\n" if not line.strip() else f"> {line}\n" for line in text.splitlines())


def numbered(text: str) -> str:
    """The text as `grep -n ''` prints it."""
    return "".join(f"{number}:{line}\n" for number, line in enumerate(text.splitlines(), 1))


def coloured(text: str) -> str:
    """The text as `grep --color` prints it: every first word red."""
    lines = []
    for line in text.splitlines():
        start = len(line) - len(line.lstrip())
        word = line[start:].split(" ")[0]
        lines.append(f"{line[:start]}\x1b[01;31m\x1b[K{word}\x1b[m\x1b[K{line[start + len(word) :]}\n")
    return "".join(lines)


def odd_blanks(text: str) -> str:
    """The text copied from a web page: each second of two blanks is one that does not break."""
    return text.replace("  ", " \u00a0")


def tabbed(text: str) -> str:
    """The text with tabs where eight blanks begin a line."""
    return "".join(
        line.replace(" " * 8, "\t", 1) if line.startswith(" " * 8) else line for line in text.splitlines(True)
    )


def wrapped(text: str, width: int = 72) -> str:
    """The text as a mail program wraps it: at the last blank before `width`."""
    lines = []
    for line in text.splitlines():
        while len(line.rstrip()) > width and (place := line.rfind(" ", 1, width)) > 0 and line[:place].strip():
            lines.append(line[:place])
            line = line[place + 1 :]
        lines.append(line)
    return "\n".join(lines) + "\n"


def cut(text: str, width: int = 80) -> str:
    """The text as a terminal of `width` columns hands it on: cut anywhere."""
    pieces = [line[i : i + width] for line in text.splitlines() for i in range(0, max(1, len(line)), width)]
    return "\n".join(pieces) + "\n"


TWINS: dict[str, Twin] = {
    "quoted": quoted,
    "quoted twice": lambda text: quoted(quoted(text)),
    "numbered": numbered,
    "quoted and numbered": lambda text: numbered(quoted(text)),
    "coloured": coloured,
    "blanks of a web page": odd_blanks,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "tabs": tabbed,
}
"""Twins that give the very same table."""
WRAPPED: dict[str, Twin] = {
    "wrapped": wrapped,
    "wrapped and quoted": lambda text: quoted(wrapped(text)),
    "quoted and wrapped": lambda text: wrapped(quoted(text)),
    "cut": cut,
}
"""Twins that give the same table, or a refusal."""


def different_table(text: str, twin: Twin) -> str | None:
    """Return both tables where the twin of a text is another one; None where it is the same, or one is refused."""
    try:
        kind, table = read_any(text)
        if any(NUMBERS in note for note in table.attrs.get("notes", ())):
            return None  # numbers are taken off once, and a twin may have them twice
        twin_kind, other = read_any(twin(text))
    except ValueError:
        return None
    if twin_kind == kind and other.equals(table) and list(other.index) == list(table.index):
        return None
    return f"{kind}\n{table}\n{twin_kind}\n{other}"
