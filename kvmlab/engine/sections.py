"""WebAssembly modules as bytes: sections in a row. See https://webassembly.github.io/spec/core/binary/modules.html"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAGIC = b"\0asm\1\0\0\0"
CUSTOM, IMPORT, EXPORT, CODE, DATA = 0, 2, 7, 10, 11
"""Numbers of sections."""


class Section(NamedTuple):
    """One section of a module."""

    number: int
    content: bytes


def leb128(number: int) -> bytes:
    """Return a number without a sign as WebAssembly writes it: 7 bits a byte, the lowest first."""
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + leb128(rest) if rest else bytes([head])


class Reader:
    """Reads what WebAssembly wrote, from front to back."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def number(self) -> int:
        """Read a number without a sign."""
        result = shift = 0
        while True:
            if self.at >= len(self.content):
                raise ValueError("this WebAssembly ends within a number")
            byte = self.content[self.at]
            self.at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    def piece(self) -> bytes:
        """Read bytes that are preceded by their number."""
        length = self.number()
        self.at += length
        if self.at > len(self.content):
            raise ValueError("this WebAssembly ends within a section")
        return self.content[self.at - length : self.at]

    @property
    def left(self) -> bool:
        """Whether there is more to read."""
        return self.at < len(self.content)


def sections(module: bytes) -> Iterator[Section]:
    """Take a module or an object apart."""
    if module[: len(MAGIC)] != MAGIC:
        raise ValueError(f"this is no WebAssembly: it begins with {module[: len(MAGIC)]!r}")
    reader = Reader(module[len(MAGIC) :])
    while reader.left:
        yield Section(reader.number(), reader.piece())


def written(parts: Iterable[Section]) -> bytes:
    """Put sections together into a module."""
    return MAGIC + b"".join(bytes([number]) + leb128(len(content)) + content for number, content in parts)


def text(name: str) -> bytes:
    """Return a name as WebAssembly writes it."""
    return leb128(len(name.encode())) + name.encode()


def custom_section(name: str, content: str) -> bytes:
    """Return a section that is passed over when the module runs."""
    return written([Section(CUSTOM, text(name) + content.encode())])[len(MAGIC) :]
