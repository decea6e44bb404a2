"""Lines of a text or file: read one by one, decoded, cleaned, checked, and named in errors."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kvmlab.host.formats.cleaning import JOINED, CleaningLog, Numbered, cleaned

# The longest line any of these tools prints is a few hundred bytes: a longer one is no listing, and must not fill the
# memory.
_LINE_LIMIT = 8192
_SHOWN = 60
TEXT_LIMIT = 256 * 2**20
"""Bytes of a text that is no listing: the longest table is far below."""
MOST_PIECES = 6
"""A line may be wrapped into this many pieces."""
OR_WRAPPED = "not cut off, and not wrapped by a mail program"

# Tabs are text; every other control character means a binary file (perf.data, trace.dat) or a screen that was recorded.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass(frozen=True)
class Source:
    """A stream of bytes and the name under which errors speak of it."""

    name: str
    """What errors call it: a path, or "the text"."""
    stream: BinaryIO
    log: CleaningLog = field(default_factory=CleaningLog)
    """What was taken off its lines."""

    def close(self) -> None:
        """Close the stream."""
        self.stream.close()

    def rewind(self) -> None:
        """Start again from the first line; nothing has been cleaned yet."""
        self.stream.seek(0)
        self.log.lines.clear()

    def lines(self, limit: int | None = TEXT_LIMIT) -> Iterator[Numbered]:
        """Yield number (from 1) and text of each line, cleaned, without its line end.

        `limit`: the greatest size in bytes; None: any.
        """
        for number, text in cleaned(self._decoded(limit), self.log):
            if _CONTROL.search(text):
                what = "a line without cursor movements, copied as text" if "\x1b" in text else ""
                raise self.refuse(number, text, what or "text without control characters, not a binary file")
            yield number, text

    def refuse(self, number: int, found: str, expected: str) -> ValueError:
        """Return the error for one line: where it is, what stands there (shortened), what was expected."""
        return ValueError(f"{self.name}, line {number}: found {shortened(found)}; expected {expected}")

    def _decoded(self, limit: int | None) -> Iterator[Numbered]:
        """Yield number and text of each line as it stands there; refuse one that is too long or no text."""
        encoding = _UTF_16.get(self.stream.read(2), "utf-8")
        self.stream.seek(0 if encoding == "utf-8" else 2)
        self.log.encoding = None if encoding == "utf-8" else "UTF-16"
        end = "\n".encode(encoding)
        number = size = 0
        while raw := self._raw_line(end):
            number, size = number + 1, size + len(raw)
            if limit is not None and size > limit:
                raise self.refuse(number, printable(raw), f"a text of at most {limit >> 20} MiB")
            yield number, self._text(number, raw, encoding)

    def _raw_line(self, end: bytes) -> bytes:
        """Return the bytes up to and with the next line end; no more than are too long for a line."""
        raw = self.stream.readline(_LINE_LIMIT + 1)
        # In UTF-16 the byte 0x0a may be half of a character, and the line end has two bytes.
        while len(end) == 2 and raw and (len(raw) % 2 or not raw.endswith(end)) and len(raw) <= _LINE_LIMIT:
            more = self.stream.read(1) if raw[-1:] == b"\n" and len(raw) % 2 else self.stream.readline(_LINE_LIMIT)
            if not more:
                break
            raw += more
        return raw

    def _text(self, number: int, raw: bytes, encoding: str) -> str:
        """Decode a line; refuse one that is too long or not in its encoding."""
        if len(raw) > _LINE_LIMIT:
            raise self.refuse(number, printable(raw), f"a line of at most {_LINE_LIMIT} bytes")
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            wanted = "UTF-8" if encoding == "utf-8" else "UTF-16, as its first bytes say"
            raise self.refuse(number, printable(raw), f"text in {wanted}, not a binary file") from None
        return (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")


class Lines:
    """The lines of a source with a look ahead, and with those that a mail program wrapped joined where it is certain.

    `begins` says of a line that it begins something of its own, and so continues nothing.
    """

    def __init__(self, source: Source, begins: Callable[[str], bool], limit: int | None = TEXT_LIMIT) -> None:
        self.source = source
        self.begins = begins
        self.number = 0
        """Number of the line last taken."""
        self._lines = source.lines(limit)
        self._ahead: deque[Numbered] = deque()

    def __iter__(self) -> Iterator[Numbered]:
        return self

    def __next__(self) -> Numbered:
        numbered = self._ahead.popleft() if self._ahead else next(self._lines)
        self.number = numbered[0]
        return numbered

    def peek(self, place: int = 0) -> Numbered | None:
        """Return a line further on without taking it, 0 for the next one; None after the last."""
        while len(self._ahead) <= place:
            following = next(self._lines, None)
            if following is None:
                return None
            self._ahead.append(following)
        return self._ahead[place]

    def joined(self, number: int, text: str, read: Callable[[str], object]) -> str:
        """Return a line with what was wrapped off it: the longest that can be read, or the line alone.

        `read` returns what a whole line says, None for one that is not whole. A mail program breaks a line at a blank,
        a terminal anywhere. Where the two say different things, or the line is whole as it stands and still might go
        on, the error says that it is wrapped.
        """
        after = self.peek()
        if after is None or not after[1].strip() or self.begins(after[1]):
            return text
        best, taken = (text if read(text) is not None else None), 0
        candidates = [text.rstrip()]
        for place in range(MOST_PIECES - 1):
            following = self.peek(place)
            if following is None or not (piece := following[1].strip()):
                break
            if self.begins(following[1]) or read(piece) is not None:
                break
            candidates = [f"{start}{between}{piece}" for start in candidates for between in (" ", "")]
            whole = [(each, said) for each in candidates if (said := read(each)) is not None]
            glued_on = best is not None and whole and whole[0][0] != f"{best.rstrip()} {piece}"
            if glued_on or any(said != whole[0][1] for _, said in whole):
                unclear = "the line as it was printed: it is wrapped, and it is unclear where"
                raise self.source.refuse(number, text, unclear)
            if whole:
                best, taken, candidates = whole[0][0], place + 1, [whole[0][0]]
            elif best is not None:
                break
        for _ in range(taken):
            next(self)
        if taken:
            self.source.log.lines[JOINED] += taken
        return text if best is None else best


def printable(raw: bytes) -> str:
    """Return the start of a line that may be binary, as text."""
    return raw[: _SHOWN + 1].decode("utf-8", "backslashreplace")


def shortened(found: str) -> str:
    """Return what an error shows of a line."""
    return repr(found if len(found) <= _SHOWN else found[:_SHOWN] + "...")


def open_source(text_or_path: str | os.PathLike[str]) -> Source:
    """Open a str that names an existing file or folder as a path; take any other str as the text itself."""
    if isinstance(text_or_path, str):
        # os.path answers False, and does not raise, for a str that cannot be a path.
        if os.path.exists(text_or_path):
            return open_file(Path(text_or_path))
        # A lone surrogate is let through here, so that decoding refuses it with its line number.
        stream = io.BytesIO(text_or_path.encode("utf-8", "surrogatepass"))
        one_line = "\n" not in text_or_path.strip()
        return Source("the text (no file has this name)" if one_line else "the text", stream)
    if isinstance(text_or_path, os.PathLike):
        return open_file(Path(text_or_path))
    raise TypeError(f"expected text as a str, or a path, not {type(text_or_path).__name__}")


def open_file(path: Path) -> Source:
    """Open a file to read; refuse a folder, and a device or a pipe, which might never end."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {path}")
    if not os.path.isfile(path):
        raise ValueError(f"{path}: found a {'folder' if os.path.isdir(path) else 'device or pipe'}; expected a file")
    return Source(str(path), path.open("rb"))
