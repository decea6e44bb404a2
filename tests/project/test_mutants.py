"""The mutation tool: its mutants are valid, its sample is the same each time, and the project is never touched."""

import ast
import itertools
from pathlib import Path

import pytest

from tools import mutants as tool
from tools.mutate import mutants

TEXT = '''\
"""A docstring with 1 number."""

from typing import Annotated

LIMIT = 3


def rule(a: Annotated[int, 5], b: int = 2) -> int:
    """Say nothing of 7."""
    é = min(a, b)
    box.kept = é
    if a < b and not a == 1:
        note(a)
        return -a
    return a + b if b else 0
'''


def told(text=TEXT):
    return {(each.line, each.what, each.old, each.new) for each in mutants("f.py", text)}


def test_each_type_of_change_is_made():
    assert told() >= {
        (5, "constant", "3", "4"),
        (5, "constant", "3", "2"),
        (8, "constant", "2", "1"),
        (10, "call", "min(a, b)", "max(a, b)"),
        (11, "statement", "box.kept = é", "nothing = 0"),
        (12, "operator", "a < b", "a <= b"),
        (12, "operator", "a < b", "a >= b"),
        (12, "operator", "a < b and not a == 1", "a < b or not a == 1"),
        (12, "operator", "not a == 1", "a == 1"),
        (12, "operator", "a == 1", "a != 1"),
        (12, "condition", "a < b and not a == 1", "not (a < b and (not a == 1))"),
        (13, "statement", "note(a)", "nothing = 0"),
        (14, "operator", "-a", "a"),
        (15, "operator", "a + b", "a - b"),
        (15, "branch", "a + b if b else 0", "0 if b else a + b"),
    }


def test_a_rule_without_one_of_its_statements_can_be_translated(tmp_path):
    pytest.importorskip("llvmlite")
    every = tool.all_mutants(tool.Room(("kvmlab/model/vmx.py",), ()))
    first = next(each for each in every if each.what == "statement")
    where = tool.copied(tmp_path)
    original = where.module()
    assert where.module() == original is not None
    (where.folder / first.file).write_text(first.text, encoding="utf-8")
    assert where.module() not in (None, original)


def test_docstrings_annotations_and_imports_are_left_alone():
    assert not {line for line, *_ in told()} & {1, 3, 9}
    assert not {change for change in told() if change[2] in ("5", "7")}


def test_each_mutant_parses_differs_and_changes_one_line():
    every = tool.all_mutants(tool.Room(("kvmlab/policy.py", "kvmlab/model/heap.py", "kvmlab/model/vmx.py"), ()))
    assert len(every) > 100
    for file, changed in itertools.groupby(every, lambda each: each.file):
        before = (tool.ROOT / file).read_text("utf-8")
        means, kept = ast.dump(ast.parse(before)), before.splitlines()
        for each in changed:
            assert ast.dump(ast.parse(each.text)) != means
            assert each.text[:20] == before[:20] or each.line <= 2
            gone = before.count("\n") - each.text.count("\n")
            lines = each.text.splitlines()
            assert lines[: each.line - 1] == kept[: each.line - 1]
            assert lines[each.line :] == kept[each.line + gone :]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one rule, half of which a test holds; it has one copy at a time."""
    root = tmp_path / "project"
    (root / "kvmlab").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "kvmlab" / "__init__.py").write_text("")
    (root / "kvmlab" / "sums.py").write_text(
        "def twice(a: int) -> int:\n    return a + a\n\n\ndef forgotten(a: int) -> int:\n    return a + a\n\n\n"
        "def until(n: int) -> None:\n    while n > 0:\n        n = n - 1\n\n\nKNOWN = [0][1 - 1]\n"
    )
    (root / "tests" / "test_sums.py").write_text(
        "from kvmlab.sums import twice, until\n\n\ndef test_twice():\n    assert twice(2) == 4\n    until(3)\n"
    )
    monkeypatch.setattr(tool, "ROOT", root)
    monkeypatch.setattr(tool, "ROOMS", {"sums": tool.Room(("kvmlab/sums.py",), ("tests/test_*.py",))})
    monkeypatch.setattr(tool, "LEAST_S", 3)
    chosen = [each for each in tool.all_mutants(tool.ROOMS["sums"]) if each.old in ("a + a", "n - 1", "1 - 1")]
    monkeypatch.setattr(tool, "all_mutants", lambda room: list(chosen))
    return root


def test_mutants_are_killed_late_invalid_or_survive(project, capsys):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert tool.main(["sums", "--count", "99"]) == 0
    told = capsys.readouterr().out
    verdicts = {line.partition(" s  ")[2]: line.split()[0] for line in told.splitlines() if " s  " in line}
    assert verdicts["kvmlab/sums.py:2: operator: a + a  ->  a - a"] == "killed"
    assert verdicts["kvmlab/sums.py:6: operator: a + a  ->  a - a"] == "survived"
    assert verdicts["kvmlab/sums.py:11: operator: n - 1  ->  n + 1"] == "late"
    assert verdicts["kvmlab/sums.py:14: operator: 1 - 1  ->  1 + 1"] == "invalid"
    assert "  survived: kvmlab/sums.py:6: operator: a + a  ->  a - a" in told
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_test_that_does_not_end_fails(project, monkeypatch, capsys):
    """Long before all tests together would be late."""
    monkeypatch.setattr(tool, "LEAST_S", 600)
    monkeypatch.setattr(tool, "TEST_S", 2)
    endless = [each for each in tool.all_mutants(None) if each.old == "n - 1"]
    monkeypatch.setattr(tool, "all_mutants", lambda room: endless)
    assert tool.main(["sums", "--jobs", "1"]) == 0
    assert f"{len(endless)} of {len(endless)} valid mutants killed" in capsys.readouterr().out


def test_the_sample_is_the_same_each_time_and_a_low_score_fails(project, capsys):
    said = []
    for _ in range(2):
        assert tool.main(["sums", "--count", "1", "--seed", "5", "--jobs", "1", "--least", "101"]) == 1
        said.append([line.partition(" s  ")[2] for line in capsys.readouterr().out.splitlines() if " s  " in line])
    assert said[0] == said[1]


def test_tests_that_fail_without_a_change_end_it(project):
    (project / "tests" / "test_sums.py").write_text("def test_wrong():\n    assert False\n")
    with pytest.raises(SystemExit) as stop:
        tool.main(["sums"])
    assert stop.value.code == 2


def test_a_file_is_put_back_whatever_happens(project, monkeypatch, tmp_path):
    where = tool.copied(tmp_path)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "verdict_on", stopped)
    [first, *_] = tool.all_mutants(tool.ROOMS["sums"])
    with pytest.raises(KeyboardInterrupt):
        tool.tried(first, tool.ROOMS["sums"], where, None, 1)
    file = Path("kvmlab", "sums.py")
    assert (where.folder / file).read_text() == (project / file).read_text()


def test_every_room_names_files_and_tests_that_are_there():
    for room in tool.ROOMS.values():
        assert all(list(tool.ROOT.glob(pattern)) for pattern in (*room.files, *room.tests))


def test_tests_that_are_named_after_a_file_or_its_folder_come_first():
    room = tool.ROOMS["host"]
    every = room.chosen()
    first = room.chosen("kvmlab/host/explain/answer.py")
    assert sorted(first) == sorted(every)
    assert first[:2] == ["tests/host/test_answer.py", "tests/host/test_explain.py"]
    assert room.chosen("kvmlab/host/what_if/__init__.py")[0] == "tests/host/test_what_if.py"
    assert room.chosen("kvmlab/host/names.py") == every
