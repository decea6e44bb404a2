"""Reports of several files: whose exits are in which, and which one is read. Made up."""

from __future__ import annotations

from collections import Counter

import pytest

from kvmlab.host.formats import merged
from kvmlab.host.formats.merged import chosen_file, files_of

LINES = [
    "prose",
    " a.dat: kt-1 [000] 1.000001: kvm_exit: reason HLT rip 0x1 info 0 0",
    " b.dat: kt-1 [000] 1.000002: kvm_fpu: load",
    " a.dat: kt-1 [000] 1.000003: kvm_entry: vcpu 0",
    " a.dat: kt-1 [000] 1.000004: f <-g",
    " kt-1 [000] 1.000005: kvm_entry: vcpu 0",
    " b.dat: kt-1 [000] 1.000006: kvm_entry",
]


def test_exits_and_entries_are_counted_by_file() -> None:
    assert list(files_of(enumerate(LINES)).items()) == [("a.dat", 2), ("b.dat", 0), ("", 1)]


def test_a_report_has_only_so_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged, "MOST_FILES", 3)
    assert len(files_of(enumerate(LINES))) == 3
    monkeypatch.setattr(merged, "MOST_FILES", 2)
    with pytest.raises(ValueError, match="more than 2 files in one report; expected one listing"):
        files_of(enumerate(LINES))


@pytest.mark.parametrize(
    ("counts", "wanted", "chosen"),
    [
        ({"a": 2, "b": 0}, None, "a"),
        ({"b": 0, "a": 1}, None, "a"),
        ({"a": 2, "b": 0}, "b", "b"),
        ({"a": 2, "b": 3}, "a", "a"),
        ({"a": 0}, None, "a"),
        ({"a": 7}, None, "a"),
        ({"": 0, "a": 1}, "", ""),
    ],
)
def test_the_file_that_was_asked_for_or_shows_a_host_is_read(
    counts: dict[str, int], wanted: str | None, chosen: str
) -> None:
    assert chosen_file(Counter(counts), wanted, "x.txt") == chosen


@pytest.mark.parametrize(
    ("counts", "wanted", "complaint"),
    [
        ({"a": 1, "b": 0}, "c", "x.txt: file='c' is not in it; expected one of 'a', 'b'"),
        ({"a": 1, "b": 0}, 5, "x.txt: file=5 is not in it; expected one of 'a', 'b'"),
        (
            {"a": 1, "b": 1},
            None,
            r"x.txt: found exits of guests in 2 files; expected one of them, file= \(--file\) 'a', 'b'",
        ),
        (
            {"a": 1, "b": 9, "c": 0},
            None,
            r"x.txt: found exits of guests in 2 files; expected one of them, file= .* 'c'",
        ),
        (
            {"a": 0, "b": 0},
            None,
            r"x.txt: found events of several files; expected one of them, file= \(--file\) 'a', 'b'",
        ),
    ],
)
def test_files_that_cannot_be_told_apart_are_refused(
    counts: dict[str, int], wanted: str | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        chosen_file(Counter(counts), wanted, "x.txt")
