"""What the lessons need is there ready-made for every platform: uv plans the installation of the lock on each of them.

At each run two platforms with the oldest and the newest Python; with KVMLAB_WHEELS=all, as a scheduled workflow has it,
every platform with every Python. Where no package index can be reached the tests are skipped.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys

import pytest

from tests.places import DOCS, ROOT
from tests.project.test_project import PYTHONS

pytestmark = pytest.mark.index

PLATFORMS = {
    "Windows, x86-64": "x86_64-pc-windows-msvc",
    "Windows, arm64": "aarch64-pc-windows-msvc",
    "macOS, x86-64": "x86_64-apple-darwin",
    "macOS, arm64": "aarch64-apple-darwin",
    "Linux, x86-64": "x86_64-manylinux_2_28",
    "Linux, arm64": "aarch64-manylinux_2_28",
    "Linux with musl, x86-64": "x86_64-unknown-linux-musl",
    "Linux with musl, arm64": "aarch64-unknown-linux-musl",
}
"""Our name -> uv's. glibc from 2.28 on."""
LEAST_SERVED = ("Windows, arm64", "macOS, x86-64")
"""Those that packages stop to be built for, or are not yet built for."""
MISSING = {
    ("Windows, arm64", "3.11"): {"pyyaml"},
    **{("Linux with musl, arm64", python): {"matplotlib"} for python in PYTHONS},
}
"""What has no wheel. docs/INSTALL.md says so."""
EVERY = os.environ.get("KVMLAB_WHEELS") == "all"
CASES = [
    (name, python)
    for name in (PLATFORMS if EVERY else LEAST_SERVED)
    for python in (PYTHONS if EVERY else (PYTHONS[0], PYTHONS[-1]))
]
SELECTED = re.compile(r"DEBUG Selecting: \S+ \[compatible\] \(([^)]+)\)")


def plan(*arguments):
    """Let uv plan an installation; nothing is downloaded but lists and metadata, and nothing is installed."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--verbose", "--no-deps", *arguments]
    return subprocess.run([*command, "--python", sys.executable], cwd=ROOT, capture_output=True, text=True, check=False)


@functools.cache
def without_index():
    """Return why no package index can be asked, or None: pip is on every one."""
    done = plan("--reinstall-package", "pip", "--python-platform", "linux", "pip")
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


@pytest.fixture
def case(request):
    """Return platform and Python, where an index can be asked about them."""
    if why := without_index():
        pytest.skip(f"no package index: {why}")
    return request.param


def cases(chosen):
    """Give a test these platforms and Pythons as its `case`."""
    return pytest.mark.parametrize(
        "case", chosen, indirect=True, ids=[f"{PLATFORMS[name]}-{python}" for name, python in chosen]
    )


def lock_without(names, folder):
    """Write the lessons' lock without some packages; return the file."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    left = [entry for entry in entries if entry.partition("==")[0] not in names]
    assert len(entries) - len(left) == len(names)
    file = folder / "requirements.lock"
    file.write_text("\n".join(left), encoding="utf-8")
    return file


def plan_for(name, python, lock):
    """Let uv plan to install a lock's wheels on a platform."""
    return plan(
        *("--python-platform", PLATFORMS[name], "--python-version", python),
        *("--reinstall", "--only-binary", ":all:", "--require-hashes", "-r", str(lock)),
    )


@cases(CASES)
def test_every_package_of_the_lessons_has_a_wheel(case, tmp_path):
    done = plan_for(*case, lock_without(MISSING.get(case, set()), tmp_path))
    assert done.returncode == 0, done.stderr[-1500:]
    [engine] = {file for file in SELECTED.findall(done.stderr) if file.startswith("wasmtime-")}
    assert not engine.endswith("-any.whl"), "that one has no machine code: rules would run in plain Python"


@cases([case for case in CASES if case in MISSING])
def test_what_is_said_to_have_no_wheel_has_none(case):
    done = plan_for(*case, ROOT / "requirements.lock")
    assert done.returncode != 0
    [missing] = MISSING[case]
    assert f"{missing}==" in done.stderr


def test_the_documentation_says_what_has_no_wheel():
    said = " ".join((DOCS / "INSTALL.md").read_text(encoding="utf-8").split())
    for package in set.union(*MISSING.values()):
        assert package in said.lower()
