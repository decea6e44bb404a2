"""What every reader of kvmlab.host.formats does alike: names of files, binary files, and text of any kind."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from kvmlab.host.formats import read_kvm_trace, read_perf_kvm_stat
from kvmlab.host.formats.lines import Lines, open_source, shortened
from tests.host.recorded import REPORTS, TRACES
from tests.places import RECORDED
from tests.strategies import few

Reader = Callable[..., pd.DataFrame]


def test_the_recordings_are_there() -> None:
    assert len(REPORTS) == 3
    assert len(TRACES) == 7


def test_importing_the_module_does_not_import_pandas() -> None:
    script = "import sys, kvmlab.host.formats; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
@pytest.mark.parametrize("name", ["recorded_runs.csv", "recorded_latencies.json", "README.md"])
def test_the_wrong_file_is_refused_with_its_name(read: Reader, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(name)}, line \d+: found .*; expected "):
        read(RECORDED / name)


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
def test_what_is_no_text_file_is_refused(read: Reader, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        read(tmp_path / "absent.txt")
    with pytest.raises(ValueError, match=r"line 1: found '.*absent\.txt'"):
        read("absent.txt")
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(ValueError, match="found a folder; expected a file"):
            read(folder)
    with pytest.raises(ValueError, match="found a device or pipe; expected a file"):
        read("/dev/null")
    for binary in (b"PERFILE2\x68\x00\x00", b"\x17\x08Dtracing6\x00", "VM".encode("utf-16-le"), b"\xff\xfd\n"):
        path = tmp_path / "binary"
        path.write_bytes(binary)
        with pytest.raises(ValueError, match=r"binary, line 1: found .*not a binary file"):
            read(path)
    with pytest.raises(TypeError, match="expected text as a str, or a path, not bytes"):
        read(b"VM-EXIT")


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
@few(100)
@given(text=st.text() | st.text(alphabet="VM-EXITSamples%Time 0123456789.us(+-)\n:[]#=>_ktvcpu"))
def test_any_text_is_a_table_or_a_value_error(read: Reader, text: str) -> None:
    complaint = ""
    try:
        read(text + "\n")
    except ValueError as error:
        complaint = str(error)
    assert not complaint or re.search(r"line \d+: found .*; expected ", complaint)


# Long lines and texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_line_has_at_most_8192_bytes(encoding: str, tmp_path: Path) -> None:
    path, width = tmp_path / "text", 1 if encoding == "utf-8" else 2
    mark = "" if encoding == "utf-8" else "\ufeff"
    longest = "x" * ((8192 - 2 * width if mark else 8192 - width) // width) + "\n"
    path.write_bytes((mark + longest + "x" * (8192 // width)).encode(encoding))
    with contextlib.closing(open_source(path)) as source:
        assert [len(line) for _, line in source.lines()] == [len(longest) - 1, 8192 // width]
    path.write_bytes((mark + "a\n" + "x" * (8192 // width) + "\nb\n").encode(encoding))
    too_long = pytest.raises(ValueError, match=r"text, line 2: .*; expected a line of at most 8192 bytes")
    with contextlib.closing(open_source(path)) as source, too_long:
        list(source.lines())


def test_a_text_has_at_most_so_many_bytes() -> None:
    mebibyte = ("x" * 8191 + "\n") * 128
    assert len(list(open_source(mebibyte).lines(limit=2**20))) == 128
    with pytest.raises(ValueError, match=r"the text, line 129: found 'y'; expected a text of at most 1 MiB"):
        list(open_source(mebibyte + "y").lines(limit=2**20))


@pytest.mark.parametrize(
    ("found", "shown"),
    [("", "''"), ("x" * 60, "'" + "x" * 60 + "'"), ("x" * 61, "'" + "x" * 60 + "...'"), ("a'b", '"a\'b"')],
)
def test_an_error_shows_60_characters_of_a_line(found: str, shown: str) -> None:
    assert shortened(found) == shown
    assert str(open_source("a").refuse(7, found, "b")) == (
        f"the text (no file has this name), line 7: found {shown}; expected b"
    )


def test_an_error_shows_60_bytes_of_what_is_no_text() -> None:
    for text, shown in (("y" * 60 + "\ud800", "'" + "y" * 60 + "...'"), ("\ud800", repr(r"\xed\xa0\x80"))):
        complaint = f"found {shown}; expected text in UTF-8, not a binary file"
        with pytest.raises(ValueError, match=re.escape(complaint)):
            list(open_source(text).lines())


def test_a_text_is_not_taken_for_a_name() -> None:
    assert open_source("a\n").name == "the text (no file has this name)"
    assert open_source("a\nb").name == "the text"


def test_a_source_is_closed_and_can_start_again(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("> a\n> b".encode("utf-16"))
    source = open_source(path)
    for _ in range(2):
        assert list(source.lines()) == [(1, "a"), (2, "b")]
        assert source.log.sentence() == "Taken off: quote marks of a mail (2 lines); decoded from UTF-16."
        source.rewind()
    source.close()
    assert source.stream.closed


def test_only_the_first_mark_of_an_encoding_is_none_of_the_text() -> None:
    source = open_source("\ufeffa\n\ufeffb\n")
    assert [line for _, line in source.lines()] == ["a", "b"]
    assert source.log.sentence() == "Taken off: blanks of a web page or mail program (1 line)."


# Wrapped lines -------------------------------------------------------------------------------------------------------


def numbered(text: str) -> list[str] | None:
    """The words of a line of a name and five numbers, perhaps with a mark behind them."""
    return text.split() if re.fullmatch(r"[a-z]+(?: [0-9]+){5}(?: \[[a-z]\])?", text) else None


def any_numbers(text: str) -> list[str] | None:
    """The words of a line of a name and one number or more."""
    return text.split() if re.fullmatch(r"[a-z]+(?: [0-9]+)+", text) else None


def lines_of(text: str) -> Lines:
    return Lines(open_source(text), lambda line: line.startswith("#"))


@pytest.mark.parametrize(
    ("text", "line", "rest"),
    [
        ("a 1 2 3 4 5", "a 1 2 3 4 5", []),
        ("a 1 2 3 4 5\n", "a 1 2 3 4 5", []),
        ("a 1 2 3 4\n5", "a 1 2 3 4 5", []),
        ("a 1 2 3 4\n5\nb", "a 1 2 3 4 5", ["b"]),
        ("a 1 2 3 4  \n  5  \nb\nc", "a 1 2 3 4 5", ["b", "c"]),
        ("a 1\n2 3 4\n5\nb", "a 1 2 3 4 5", ["b"]),
        ("a\n1\n2\n3\n4\n5\nb", "a 1 2 3 4 5", ["b"]),
        ("abc\nd 1 2 3\n4 5\n#", "abcd 1 2 3 4 5", ["#"]),  # a terminal breaks a line anywhere
        ("a 1 2 3 4 5\n[x]\nb", "a 1 2 3 4 5 [x]", ["b"]),
        ("a 1 2 3 4\n5\n[x]\nb", "a 1 2 3 4 5 [x]", ["b"]),
        ("a 1 2 3 4 5\n[x\n]\nb", "a 1 2 3 4 5", ["[x", "]", "b"]),
        ("a 1 2 3 4 5\nprose", "a 1 2 3 4 5", ["prose"]),
        ("a 1 2 3 4\n\n5", "a 1 2 3 4", ["", "5"]),
        ("a 1 2 3\n4\n\n5", "a 1 2 3", ["4", "", "5"]),
        ("a 1 2 3 4\n#5", "a 1 2 3 4", ["#5"]),
        ("a 1 2 3\n4\n# 5\n5", "a 1 2 3", ["4", "# 5", "5"]),
        ("a 1 2 3 4\nb 1 2 3 4 5", "a 1 2 3 4", ["b 1 2 3 4 5"]),
        ("a 1 2 3 4", "a 1 2 3 4", []),
    ],
)
def test_a_wrapped_line_is_joined_where_it_can_be_read(text: str, line: str, rest: list[str]) -> None:
    lines = lines_of(text)
    number, first = next(lines)
    assert lines.joined(number, first, numbered).rstrip() == line
    taken = len(text.splitlines()) - 1 - len(rest)
    said = {0: "", 1: "Joined: 1 wrapped line."}.get(taken, f"Joined: {taken} wrapped lines.")
    assert lines.source.log.sentence() == said
    left = list(lines)
    assert [each for _, each in left] == rest
    assert [each for each, _ in left] == list(range(taken + 2, taken + 2 + len(rest)))


def test_a_line_of_seven_pieces_is_not_joined() -> None:
    lines = lines_of("a\n1\n2\n3\n4\n5\n[x]")
    assert lines.joined(*next(lines), numbered) == "a 1 2 3 4 5"
    assert [line for _, line in lines] == ["[x]"]
    lines = lines_of("a\nb\n1\n2\n3\n4\n5")
    assert lines.joined(*next(lines), numbered) == "a"
    assert [line for _, line in lines] == ["b", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a 1\n2", any_numbers),  # whole as it stands, and with more behind it
        ("a\n1 2\n3", any_numbers),
        ("a 1 2 3 4 5\n6", numbered),  # a 1 2 3 4 56
        ("a\n1", lambda text: text if text in ("a 1", "a1") else None),
    ],
)
def test_a_line_that_could_be_joined_in_two_ways_is_refused(text: str, read: Callable[[str], object]) -> None:
    lines = lines_of(text)
    unclear = r"line 1: found '{}'; expected the line as it was printed: it is wrapped, and it is unclear where"
    with pytest.raises(ValueError, match=unclear.format(text.splitlines()[0])):
        lines.joined(*next(lines), read)


def test_two_ways_that_say_the_same_are_one() -> None:
    lines = lines_of("a\n1")
    assert lines.joined(*next(lines), lambda text: ["a", "1"] if text in ("a 1", "a1") else None) == "a 1"
    lines = lines_of("a\n1\nb")
    assert lines.joined(*next(lines), lambda text: "same" if text in ("a", "a 1", "a1") else None) == "a 1"
    assert next(lines) == (3, "b")


def test_lines_can_be_looked_at_before_they_are_read() -> None:
    lines = lines_of("a\nb\nc")
    assert lines.peek(2) == (3, "c")
    assert lines.peek() == (1, "a")
    assert lines.peek(3) is None
    assert lines.number == 0
    assert next(lines) == (1, "a")
    assert lines.number == 1
    assert list(lines) == [(2, "b"), (3, "c")]
    assert lines.peek() is None
    assert lines.number == 3
