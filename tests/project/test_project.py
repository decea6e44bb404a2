"""The project's files agree with each other, and with pyproject.toml, which holds owner, name and version."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict

import pytest
import rattler
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import kvmlab
from tests.places import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def locked(name):
    """Return a lock: name -> its entries, each a requirement and the hashes that follow it."""
    entries = defaultdict(list)
    for entry in re.split(r"\n(?=[a-z0-9])", re.sub(r"^ *#.*\n", "", read(name), flags=re.M)):
        line, *hashes = entry.replace("\\\n", "").split("--hash=")
        requirement = Requirement(line.strip())
        entries[canonicalize_name(requirement.name)].append((requirement, [text.strip() for text in hashes]))
    return entries


def declared(*extras):
    """Return what pyproject.toml asks for with these extras and to set up, the project's own name aside."""
    wanted = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][name] for name in extras)]
    wanted += PYPROJECT["dependency-groups"].values()
    requirements = [Requirement(text) for group in wanted for text in group]
    return [requirement for requirement in requirements if requirement.name != PROJECT["name"]]


LOCKS = {"requirements.lock": ("lab",), "requirements-test.lock": ("lab", "test")}
"""The locks, and the extras that each one holds."""


def test_readme_badge_opens_the_first_lesson_of_this_repository():
    owner_and_name = REPOSITORY.removeprefix("https://github.com/")
    links = re.findall(r"https://mybinder\.org/v2/[^\s)]+", read("README.md"))
    assert links == [f"https://mybinder.org/v2/gh/{owner_and_name}/main?urlpath=lab/tree/notebooks/00_start_here.ipynb"]


def test_readme_leads_to_the_site_of_this_repository_first():
    owner, _, name = REPOSITORY.removeprefix("https://github.com/").partition("/")
    links = re.findall(r"(?<!!)\[[^\]!]*\]\((https://[^)]+)\)", read("README.md"))
    assert links[0] == f"https://{owner}.github.io/{name}/"


def test_the_site_is_published_with_no_more_rights_than_that_takes():
    workflow = yaml.safe_load(read(".github/workflows/pages.yml"))
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert workflow["permissions"] == {}
    assert build["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert "make site" in [step.get("run") for step in build["steps"]]
    upload = build["steps"][-1]
    assert upload["with"]["path"] == "build/site"
    tested = {
        step["uses"]
        for step in yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]["test"]["steps"]
        if "uses" in step
    }
    shared = {step["uses"] for step in build["steps"] if "uses" in step and step is not upload}
    assert shared <= tested


def test_every_repository_address_is_the_one_in_pyproject():
    name = REPOSITORY.rpartition("/")[2]
    for file in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"):
        for address in re.findall(rf"https://github\.com/[\w.-]+/{name}\b", read(file)):
            assert address == REPOSITORY, file


def test_citation_agrees():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == REPOSITORY
    assert citation["title"].startswith(PROJECT["name"])


def test_changelog_agrees():
    """Unreleased changes come first, if there are any, then the version of pyproject.toml, then older ones."""
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), flags=re.M)
    assert headings
    released = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", text) for text in headings if text != "Unreleased"]
    assert all(released), headings
    assert "Unreleased" not in headings[1:]
    versions = [Version(match[1]) for match in released]
    assert str(versions[0]) == PROJECT["version"]
    assert versions == sorted(set(versions), reverse=True)
    days = [match[2] for match in released]
    assert days == sorted(days, reverse=True)
    assert days[0] == yaml.safe_load(read("CITATION.cff"))["date-released"]


def test_the_package_says_its_version():
    assert kvmlab.__version__ == PROJECT["version"]


def test_binder_environment_is_a_thin_layer_over_pyproject():
    environment = yaml.safe_load(read("environment.yml"))
    *conda, pip = environment["dependencies"]
    specs = {spec.name.normalized: spec for spec in map(rattler.MatchSpec, conda)}
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    assert set(specs) == {"python", "pip"}
    python_pin = rattler.VersionSpec(specs["python"].version or "*")
    assert PROJECT["requires-python"] == f">={PYTHONS[0]},<3.{int(PYTHONS[-1][2:]) + 1}"
    admitted = {python for python in PYTHONS if python_pin.matches(rattler.Version(python))}
    assert len(admitted) == 1, "Binder must not move to another Python by itself"
    [editable] = [Requirement(line.replace("-e .", PROJECT["name"], 1)) for line in pip["pip"]]
    assert editable.extras == {"lab"} <= set(PROJECT["optional-dependencies"])


def test_binder_looks_at_the_root():
    assert not (ROOT / "binder").exists()
    assert not (ROOT / ".binder").exists()
    assert not (ROOT / "postBuild").exists()


def test_workflow_runs_the_make_targets_on_the_oldest_and_newest_python():
    workflow = yaml.safe_load(read(".github/workflows/test.yml"))
    job = workflow["jobs"]["test"]
    supported = SpecifierSet(PROJECT["requires-python"])
    assert job["strategy"]["matrix"]["python"] == [PYTHONS[0], PYTHONS[-1]]
    assert all(python in supported for python in PYTHONS)
    assert {"make setup", "make test"} <= {step.get("run") for step in job["steps"]}
    assert set(workflow[True]) == {"push", "pull_request", "schedule"}  # YAML 1.1 reads the key `on` as true
    assert "make test" in read(".ci/run")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_lock_covers_pyproject(lock, python, platform):
    where = {**PLATFORMS[platform], "python_version": python, "python_full_version": f"{python}.0"}
    where |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    entries = locked(lock)
    for wanted in declared(*LOCKS[lock]):
        found = [
            entry
            for entry, hashes in entries[canonicalize_name(wanted.name)]
            if hashes and (entry.marker is None or entry.marker.evaluate(where))
        ]
        assert len(found) == 1, f"{wanted}: {found}; run `make lock`"
        [pin] = found[0].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version), f"{wanted}: locked at {pin.version}; run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock):
    assert [name for name, entries in locked(lock).items() if not all(hashes for _, hashes in entries)] == []


def test_the_locks_agree_and_only_the_test_needs_a_compiler():
    lab, test = locked("requirements.lock"), locked("requirements-test.lock")
    pins = [{str(entry.specifier) for entry, _ in lock[name]} for lock in (lab, test) for name in lab]
    assert pins[: len(lab)] == pins[len(lab) :]
    assert "llvmlite" in test
    assert "llvmlite" not in lab


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "TEACHING.md", "CHANGELOG.md"])
def test_commands_in_documents_are_makefile_targets(document):
    commands = re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )*([a-z]+)", read(document), flags=re.M)
    rules = re.findall(r"^([a-z ]+):", read("Makefile"), flags=re.M)
    targets = {target for rule in rules for target in rule.split()}
    assert commands
    assert set(commands) <= targets


def test_import_is_light():
    heavy = {"matplotlib", "ipywidgets", "IPython", "llvmlite", "pandas", "kvmlab.host.formats", "kvmlab.host.explain"}
    script = f"import sys, kvmlab; print(*sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_every_public_name_is_there():
    script = "import kvmlab as k; print(all(hasattr(k, name) for name in k.__all__), {*k.__all__} <= {*dir(k)})"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["True", "True"]


def test_no_file_names_a_machine():
    """No home folders, build folders or package hosts: the files must read the same everywhere."""
    folders = r"(?<![\w.:/-])/(?:work|root|home/\w+|Users/\w+)/|[A-Z]:\\+Users\\+\w"
    hosts = r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.org|deb\.debian\.org)"
    pattern = re.compile(f"{folders}|{hosts}")
    found = {name: match.group() for name, text in tracked_texts() if (match := pattern.search(text))}
    assert found == {}


def tracked_texts():
    """Yield name and text of every file that git knows or would add."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in data:
            yield name, data.decode("utf-8")
