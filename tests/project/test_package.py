"""What a wheel carries, and that it works far from any checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

import kvmlab
from kvmlab import data
from tests.places import NOTEBOOKS, README, ROOT

README_EXAMPLES = (
    "import doctest, sys; r = doctest.testfile(sys.argv[1], False, optionflags=doctest.NORMALIZE_WHITESPACE); "
    "print(r.attempted, r.failed)"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return a wheel of this tree, built as a release is."""
    pytest.importorskip("llvmlite", reason="the rules are translated when a wheel is built")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """Return a folder with nothing but what the wheel installs."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def python(unpacked, tmp_path):
    """Return a function that runs Python with the installed package, in a folder of its own: its stdout."""

    def python(*arguments):
        environment = os.environ | {"PYTHONPATH": str(unpacked)}
        command = [sys.executable, *map(str, arguments)]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return python


def test_wheel_has_rules_tables_lessons_and_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert wheel.name == f"kvmlab-{kvmlab.__version__}-py3-none-any.whl"
    assert {"kvmlab/engine/rules.wasm", "kvmlab/py.typed", "kvmlab/data/patches.toml"} <= names
    lessons = {f"kvmlab/notebooks/{path.relative_to(NOTEBOOKS).as_posix()}" for path in data.lessons()}
    assert lessons
    assert lessons == {name for name in names if name.startswith("kvmlab/notebooks/")}
    assert not {name.partition("/")[0] for name in names} & {
        "tests",
        "tools",
        "docs",
        "benchmarks",
        "data",
        "notebooks",
    }


def test_installed_package_is_the_one_that_runs_and_knows_its_version(python, unpacked):
    said = python("-c", "import kvmlab, importlib.metadata as m; print(kvmlab.__file__, m.version('kvmlab'))").split()
    assert said == [str(unpacked / "kvmlab" / "__init__.py"), kvmlab.__version__]


def test_readme_holds_outside_a_checkout(python):
    attempted, failed = map(int, python("-c", README_EXAMPLES, README).split())
    assert attempted >= 10
    assert failed == 0


def test_lessons_come_out_of_the_wheel(python, tmp_path):
    python("-m", "kvmlab", "lessons", "mine", "--student")
    assert len(list((tmp_path / "mine").glob("*.ipynb"))) == len(list(NOTEBOOKS.glob("*.ipynb")))
