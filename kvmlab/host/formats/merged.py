"""Reports of several files: trace-cmd prints the file or instance before each line; one of them is read, no mix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kvmlab.host.formats.cleaning import Numbered
from kvmlab.host.formats.messages import read_head

MOST_FILES = 1000
"""Files of one report; there is one for each guest."""
_OF_A_HOST = ("kvm_exit", "kvm_entry")


def files_of(lines: Iterable[Numbered]) -> Counter[str]:
    """Return how many exits and entries of guests each file of a report has; "" for lines without a file."""
    counts: Counter[str] = Counter()
    for _, line in lines:
        head = read_head(line)
        if head is not None:
            event = head.event()
            counts[head.file or ""] += event is not None and event[0] in _OF_A_HOST
            if len(counts) > MOST_FILES:
                raise ValueError(f"more than {MOST_FILES} files in one report; expected one listing")
    return counts


def chosen_file(counts: Counter[str], wanted: str | None, name: str) -> str:
    """Return the file to read: the one that was asked for, or the only one that shows a host.

    Raises ValueError where that does not decide.
    """
    listed = ", ".join(repr(file) for file in counts)
    if wanted is not None:
        if not isinstance(wanted, str) or wanted not in counts:
            raise ValueError(f"{name}: file={wanted!r} is not in it; expected one of {listed}")
        return wanted
    hosts = [file for file, exits in counts.items() if exits] or list(counts)
    if len(hosts) > 1:
        several = "events of several files" if counts.total() == 0 else f"exits of guests in {len(hosts)} files"
        raise ValueError(f"{name}: found {several}; expected one of them, file= (--file) {listed}")
    return hosts[0]
