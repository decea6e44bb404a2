"""Lines of a text or file: read one by one, checked, and named in errors."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# The longest line any of these tools prints is a few hundred bytes: a longer one is no listing, and must not fill the
# memory.
_LINE_LIMIT = 8192
_SHOWN = 60

# Tabs are text; every other control character means a binary file (perf.data, trace.dat) or a terminal's escapes.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# `perf kvm stat live` clears the screen before each table (CONSOLE_CLEAR), and cyclictest moves the cursor up before
# each refresh, also when their output goes to a file.
_CURSOR = re.compile(r"(?:\x1b\[[0-9;]{0,8}[AHJK])+")


@dataclass(frozen=True)
class Source:
    """A stream of bytes and the name under which errors speak of it."""

    name: str
    """What errors call it: a path, or "the text"."""
    stream: BinaryIO

    def close(self) -> None:
        """Close the stream."""
        self.stream.close()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield number (from 1) and text of each line, without its line end."""
        number = 0
        while raw := self.stream.readline(_LINE_LIMIT + 1):
            number += 1
            yield number, self._text(number, raw)

    def refuse(self, number: int, found: str, expected: str) -> ValueError:
        """Return the error for one line: where it is, what stands there (shortened), what was expected."""
        return ValueError(f"{self.name}, line {number}: found {shortened(found)}; expected {expected}")

    def _text(self, number: int, raw: bytes) -> str:
        """Decode a line; refuse one that is too long, is not UTF-8 or has control characters."""
        if len(raw) > _LINE_LIMIT:
            raise self.refuse(number, printable(raw), f"a line of at most {_LINE_LIMIT} bytes")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse(number, printable(raw), "text in UTF-8, not a binary file") from None
        text = text.removeprefix("\ufeff") if number == 1 else text
        text = _CURSOR.sub("", text.rstrip("\r\n"), count=1) if text.startswith("\x1b") else text.rstrip("\r\n")
        if _CONTROL.search(text):
            raise self.refuse(number, text, "text without control characters, not a binary file")
        return text


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
