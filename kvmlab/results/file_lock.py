"""A lock on an open file: one writer at a time, whichever process it is in; it goes when the file is closed."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""What says that another has the lock; anything else says that this file system has no locks."""
FAR = 1 << 40
"""Which byte Windows locks: none that anyone writes or reads, since nobody else can read a locked one there."""


def take(file: BinaryIO) -> None:
    """Lock a file; OSError if it is locked."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(file: BinaryIO, path: Path) -> Iterator[None]:
    """Hold the lock of a file that is open to be written; ValueError if another process, or another call, has it.

    Where a file system has no locks the file is used without one.
    """
    try:
        take(file)
    except OSError as error:
        if error.errno in TAKEN:
            raise ValueError(
                f"path: {str(path)!r} is being written by another sweep; wait for its end, or give a new name"
            ) from None
    yield
