"""Change the rules, one small change at a time, and see whether a unit test notices.

    python -m tools.mutants model --count 300 --least 92
    python -m tools.mutants host --count 200 --least 85

Every mutant is run in a copy of the project, so that the project itself is never touched. Tests that are named after
the mutant's file are run first. The sample is drawn by
`--seed`, the same each time. A mutant that does not even import, that the translator of rules refuses, or that makes
the very same WebAssembly (it changes nothing) is no valid one; the next of the sample takes its place. A valid one is
killed if a test fails or does not end in time. Survivors are listed; exits with 1 if fewer than `--least` percent were
killed, and with 2 if the tests fail without any change.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import NamedTuple

from kvmlab.engine.build import signed
from tools.mutate import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("kvmlab", "data", "notebooks", "tests", "tools", "pyproject.toml", "README.md")
CHECK_S = 300
"""How long an import, and a translation, may take."""
SETTINGS = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""No stale bytecode where a file changes twice a second; and no plugins, which take longer to load than a test."""
LEAST_S = 30
"""A mutant has three times as long as the tests take without it, and these seconds more: several run at once."""
TEST_S = 60
"""One test that takes as long has met a mutant that does not end: it fails, and the others are not waited for."""
RULES = "kvmlab/model/"
IN_PYTHON_TOO = ("names.py", "draws.py", "start.py", "records.py")
"""Files of rules that Python uses as well: the same WebAssembly does not say that nothing has changed."""


class Room(NamedTuple):
    """Some files, and the unit tests that touch them."""

    files: tuple[str, ...]
    tests: tuple[str, ...]

    def chosen(self, file: str = "") -> list[str]:
        """Return the tests as paths from the project's folder, in order: those named after `file` first."""
        found = [path.relative_to(ROOT).as_posix() for pattern in self.tests for path in sorted(ROOT.glob(pattern))]
        path = Path(file)
        return sorted(dict.fromkeys(found), key=lambda test: Path(test).stem not in named_after(path))


def named_after(path: Path) -> set[str]:
    """Return what the tests of a file, or of its folder, would be called."""
    return {f"test_{path.stem.strip('_')}", f"test_{path.parent.name}"}


ROOMS = {
    "model": Room(
        ("kvmlab/policy.py", "kvmlab/kernels.py", "kvmlab/model/*.py"),
        (
            "tests/model/test_kept_runs.py",
            "tests/test_policy.py",
            "tests/test_kernels.py",
            "tests/results/test_run.py",
            "tests/results/test_timeline.py",
            "tests/results/test_per_guest.py",
            "tests/host/test_recordings.py",
            "tests/model/test_[!i]*.py",
            "tests/results/test_until_end.py",
            "tests/results/test_follow.py",
            "tests/model/test_independent.py",
        ),
    ),
    "host": Room(("kvmlab/host/**/*.py",), ("tests/host/test_*.py",)),
    "results": Room(("kvmlab/results/*.py",), ("tests/results/test_*.py",)),
    "scenario": Room(("kvmlab/scenario/*.py",), ("tests/scenario/test_*.py",)),
}


class Outcome(NamedTuple):
    """What came of a mutant."""

    mutant: Mutant
    verdict: str
    """killed, late (killed, too), survived, or invalid."""
    seconds: float


@dataclass(frozen=True)
class Copy:
    """A copy of the project, in which one mutant at a time is run."""

    folder: Path

    def run(self, *command: str, seconds: float) -> int | None:
        """Run Python with these arguments in the copy; return its exit code, or None if it had to be ended."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), **SETTINGS}
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if os.name == "posix":
                with_children_gone(process.pid)
            process.kill()
            process.wait()

    def test(self, tests: Iterable[str], seconds: float) -> int | None:
        """Run tests up to the first that fails; return pytest's exit code, or None if it had to be ended."""
        slow = ("-o", f"faulthandler_timeout={TEST_S}", "-o", "faulthandler_exit_on_timeout=true")
        return self.run("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *slow, *tests, seconds=seconds)

    def module(self) -> bytes | None:
        """Translate the rules; return the module without its signature, or None if they are refused."""
        path = self.folder / "kvmlab" / "engine" / "rules.wasm"
        path.unlink(missing_ok=True)
        code = "from kvmlab.engine import build; build.keep(build.translated())"
        if self.run("-c", code, seconds=CHECK_S) != 0:
            return None
        return path.read_bytes()[: -len(SIGNATURE)]


SIGNATURE = signed(b"")
"""As long as what ends every module: that tells of which sources it was made, and differs with each mutant."""


def with_children_gone(group: int) -> None:
    """End what a process that has its own group has left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def copied(folder: Path) -> Copy:
    """Copy the project into a folder."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "screenshots"))
        elif source.exists():
            shutil.copy2(source, target)
    return Copy(folder)


def all_mutants(room: Room) -> list[Mutant]:
    """Return the mutants of all files of a room."""
    files = sorted(path for pattern in room.files for path in ROOT.glob(pattern))
    return [each for path in files for each in mutants(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))]


def tried(mutant: Mutant, room: Room, where: Copy, original: bytes | None, seconds: float) -> Outcome:
    """Run one mutant in a copy, and put the file back as it was, whatever happens."""
    path = where.folder / mutant.file
    before = path.read_bytes()
    start = time.monotonic()
    try:
        path.write_text(mutant.text, encoding="utf-8")
        verdict = verdict_on(mutant, room, where, original, seconds)
    finally:
        path.write_bytes(before)
    return Outcome(mutant, verdict, time.monotonic() - start)


def verdict_on(mutant: Mutant, room: Room, where: Copy, original: bytes | None, seconds: float) -> str:
    """Return what comes of the mutant that is in place."""
    if original is None:
        module = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if where.run("-c", f"import {module}", seconds=CHECK_S) != 0:
            return "invalid"
    else:
        made = where.module()
        same = made == original and mutant.file.startswith(RULES) and not mutant.file.endswith(IN_PYTHON_TOO)
        if made is None or same:
            return "invalid"
    code = where.test(room.chosen(mutant.file), seconds)
    return {None: "late", 0: "survived"}.get(code, "killed")


def outcomes(room: Room, count: int, seed: int, jobs: int) -> Iterator[Outcome]:
    """Yield what came of this number of valid mutants, and of the invalid ones met on the way."""
    sample = all_mutants(room)
    random.Random(seed).shuffle(sample)
    with tempfile.TemporaryDirectory(prefix="kvmlab-mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        copies = [copied(Path(folder, str(i))) for i in range(jobs)]
        rules = "kvmlab/policy.py" in room.files
        original = copies[0].module() if rules else None
        start = time.monotonic()
        if copies[0].test(room.chosen(), 3600) != 0:
            print("the tests fail, or do not end, in a copy of the project without any change", file=sys.stderr)
            raise SystemExit(2)
        seconds = 3 * (time.monotonic() - start) + LEAST_S
        free: Queue[Copy] = Queue()
        for each in copies:
            free.put(each)

        def in_a_free_copy(mutant: Mutant) -> Outcome:
            where = free.get()
            try:
                return tried(mutant, room, where, original, seconds)
            finally:
                free.put(where)

        valid = 0
        while sample and valid < count:
            batch, sample = sample[: count - valid], sample[count - valid :]
            for outcome in pool.map(in_a_free_copy, batch):
                valid += outcome.verdict != "invalid"
                yield outcome


def main(arguments: list[str] | None = None) -> int:
    """Run it; see the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--count", type=int, default=40, help="how many valid mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: %(default)s)")
    parser.add_argument("--least", type=float, default=0, help="percent to be killed (default: %(default)s)")
    options = parser.parse_args(arguments)
    tally = dict.fromkeys(("killed", "late", "survived", "invalid"), 0)
    survivors = []
    for outcome in outcomes(ROOMS[options.room], options.count, options.seed, options.jobs):
        tally[outcome.verdict] += 1
        survivors += [outcome.mutant] if outcome.verdict == "survived" else []
        print(f"{outcome.verdict:9}{outcome.seconds:6.1f} s  {outcome.mutant}", flush=True)
    killed = tally["killed"] + tally["late"]
    valid = killed + tally["survived"]
    percent = 100 * killed / max(1, valid)
    print(
        f"\n{options.room}: {killed} of {valid} valid mutants killed, {percent:.1f} %; {tally['invalid']} were invalid"
    )
    for mutant in survivors:
        print(f"  survived: {mutant}")
    return int(percent < options.least)


if __name__ == "__main__":
    sys.exit(main())
