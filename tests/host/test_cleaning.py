"""What mail programs, terminals and grep add to a text: taken off, counted, and said once; for every reader alike."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kvmlab.host.formats import read_any, read_kvm_trace, read_latencies, read_perf_kvm_stat
from kvmlab.host.formats.cleaning import JOINED, NUMBERS, QUOTES, CleaningLog
from kvmlab.host.formats.lines import Source, open_source
from tests.host.recorded import REPORTS, TRACES
from tests.host.twins import TWINS
from tests.places import RECORDED

# Made up.
HALT = """\
       CPU 2/KVM-4242  [006] d..1. 71.000010: kvm_exit: reason HLT rip 0xfff0 info 0 0
       CPU 2/KVM-4242  [006] d..1. 71.000480: kvm_entry: vcpu 2

"""
THREADS = """\
# /dev/cpu_dma_latency set to 0us
T: 0 (  711) P:90 I:1000 C:  20000 Min:      1 Act:    3 Avg:    3 Max:      27
"""


def lines_of(text: str) -> list[str]:
    return [line for _, line in open_source(text).lines()]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("> a\n>\n> b\n", ["a", "", "b"]),
        ("> > a\n>> b\n > >c\n>\t> d\n", ["a", "b", "c", "d"]),
        (">   indented\n", ["  indented"]),
        ("3:a\n4:b\n9:c\n", ["a", "b", "c"]),
        ("3-a\n4:b\n--\n7:c\n", ["a", "b", "", "c"]),
        ("log.txt:3:a\nlog.txt:14:b\n", ["a", "b"]),
        ("> 3:a\n> 4:b\n", ["a", "b"]),
        ("3:> a\n4:> b\n", ["a", "b"]),
        ("7:alone\n", ["alone"]),
        ("\n7:alone\n", ["", "alone"]),
        ("100000\ta\n100001\tb\n", ["a", "b"]),
        ("a\x0fb\n", ["ab"]),
        ("a\x1b(Bb\n", ["ab"]),
        ("     1\ta\n     2\tb\n", ["a", "b"]),
        ("     1  a\n     2  b\n", ["a", "b"]),
        ("\x1b[31ma\x1b[0m \x1b[01;32mb\x1b[m\x1b[K\n", ["a b"]),
        ("\x1b[H\x1b[2Ja\n\x1b[2Ab\n\x1bcc\n", ["a", "b", "c"]),
        ("\x1b]0;title\x07a\n", ["a"]),
        ("a\u00a0b\u202fc\u200b\n", ["a b c"]),
        ("\ufeffa\r\nb\r\n", ["a", "b"]),
    ],
)
def test_what_is_taken_off(text: str, lines: list[str]) -> None:
    assert lines_of(text) == lines


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26 10:00:00      3\n2026-11-26 10:00:01      4\n",  # kvm_stat -l
        "12:00:01.123456\n12:00:02.123456\n",  # perf kvm stat live
        "0             2         0\n1             1         3\n",  # rtla
        "000001 000010\t000003\n000002 000011\t000003\n",  # cyclictest
        "       0:       1:       5\n       0:       2:       6\n",  # cyclictest -v
        "prose: 3\nprose: 4\n",
        "7-77 [000]\n8-78 [000]\n",
        "9: and prose\nmore prose\n",
        "--\n",
        "7:a\n7:b\n",
        "7:a\n6:b\n",
        "7-alone\n",
        "     1\talone\n",
        "prose\n7:alone\n",
    ],
)
def test_what_a_tool_prints_stays(text: str) -> None:
    source = open_source(text)
    assert [line for _, line in source.lines()] == text.splitlines()
    assert source.log.sentence() == ""


def test_what_was_taken_off_is_said_once() -> None:
    source = open_source("> \x1b[1ma\x1b[0m\n> b\u00a0c\n>\n")
    assert [line for _, line in source.lines()] == ["a", "b c", ""]
    assert source.log.sentence() == (
        "Taken off: a terminal's escape sequences (1 line), quote marks of a mail (3 lines), "
        "blanks of a web page or mail program (1 line)."
    )


@pytest.mark.parametrize(
    ("counts", "encoding", "sentence"),
    [
        ({}, None, ""),
        ({QUOTES: 1}, None, "Taken off: quote marks of a mail (1 line)."),
        ({QUOTES: 2, NUMBERS: 1}, None, "Taken off: quote marks of a mail (2 lines), line numbers (1 line)."),
        ({JOINED: 1}, None, "Joined: 1 wrapped line."),
        (
            {JOINED: 2, NUMBERS: 3},
            "UTF-16",
            "Taken off: line numbers (3 lines); joined: 2 wrapped lines; decoded from UTF-16.",
        ),
        ({}, "UTF-16", "Decoded from UTF-16."),
    ],
)
def test_what_was_done_to_a_text_is_one_sentence(counts: dict[str, int], encoding: str | None, sentence: str) -> None:
    log = CleaningLog()
    log.lines.update(counts)
    log.encoding = encoding
    assert log.sentence() == sentence


def test_lines_without_their_numbers_are_counted() -> None:
    source = open_source("3-a\n4:b\n--\n7:c\nd\n")
    assert [line for _, line in source.lines()] == ["a", "b", "", "c", "d"]
    assert source.log.sentence() == "Taken off: line numbers (3 lines)."


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_says_the_encoding(encoding: str, tmp_path: Path) -> None:
    # U+0A0A and U+0A00 have the bytes of a line end in them.
    text = "a\u0a0ab\r\n\u0a00\n\nlast"
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    path = tmp_path / "text"
    path.write_bytes((mark + text).encode(encoding))
    source = open_source(path)
    try:
        assert [line for _, line in source.lines()] == ["a\u0a0ab", "\u0a00", "", "last"]
        assert source.log.sentence() == ("" if encoding == "utf-8-sig" else "Decoded from UTF-16.")
    finally:
        source.close()


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"\xff\xfe\x00\x00a\x00\x00\x00", "not a binary file"),  # UTF-32
        (b"\xff\xfea\x00b", r"expected text in UTF-16, as its first bytes say"),
        (b"\xff\xfe" + b"a\x00" * 9000, "a line of at most 8192 bytes"),
        (b"a\x1b[5Cb\n", "without cursor movements"),
        (b"progress 10%\rprogress 20%\n", "without control characters"),
    ],
)
def test_what_cannot_be_cleaned_is_refused(raw: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(raw)
    for read in (read_kvm_trace, read_perf_kvm_stat, read_latencies):
        with pytest.raises(ValueError, match=complaint):
            read(path)


def test_a_text_has_a_greatest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("a\n" * 100)
    with pytest.raises(ValueError, match=r"line 51: found 'a\\n'; expected a text of at most 0 MiB"):
        list(source.lines(limit=100))
    # A listing may be of any length: it is read event by event.
    monkeypatch.setattr("kvmlab.host.formats.lines.TEXT_LIMIT", 100)
    assert len(read_kvm_trace(HALT * 10)) == 20


def test_a_source_can_be_read_again() -> None:
    source: Source = open_source("> a\n> b\n")
    list(source.lines())
    source.rewind()
    assert source.log.sentence() == ""
    assert [line for _, line in source.lines()] == ["a", "b"]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", [*REPORTS, *TRACES, "halt", "threads"])
def test_a_quoted_numbered_or_coloured_twin_is_the_same_table(name: str, twin: str) -> None:
    text = {"halt": HALT, "threads": THREADS}.get(name) or (RECORDED / name).read_text()
    kind, table = read_any(text)
    again, other = read_any(TWINS[twin](text))
    assert again == kind
    pd.testing.assert_frame_equal(other, table)
    if kind == "kvm trace":
        assert bool(other.attrs["notes"]) == (twin not in ("crlf", "tabs"))
