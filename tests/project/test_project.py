"""The project's files agree with each other, and with pyproject.toml, which holds owner, name and version."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions

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
    """Return what pyproject.toml asks for with these extras, the project's own name aside; for the tests also uv."""
    wanted = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][name] for name in extras)]
    wanted += PYPROJECT["dependency-groups"].values() if "test" in extras else []
    requirements = [Requirement(text) for group in wanted for text in group]
    return [requirement for requirement in requirements if requirement.name != PROJECT["name"]]


WORKFLOWS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(".github/workflows/*.yml"))
LOCKS = {"requirements.lock": ("lab",), "requirements-test.lock": ("lab", "test")}
"""The locks, and the extras that each one holds."""
OWN = {"kvmlab", "tools", "tests", "benchmarks"}
"""The folders of Python in this project: no package of another's."""


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
    for file in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "TEACHING.md", "CITATION.cff", "pyproject.toml"):
        for address in re.findall(rf"https://github\.com/[\w.-]+/{name}\b", read(file)):
            assert address == REPOSITORY, file


def test_citation_agrees():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == kvmlab.__version__
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
    assert str(versions[0]) == kvmlab.__version__
    assert versions == sorted(set(versions), reverse=True)
    days = [match[2] for match in released]
    assert days == sorted(days, reverse=True)
    assert days[0] == yaml.safe_load(read("CITATION.cff"))["date-released"]


def test_the_version_stands_in_the_package_alone():
    assert PROJECT["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "kvmlab/__init__.py"


def test_binder_environment_is_a_thin_layer_over_pyproject():
    environment = yaml.safe_load(read("environment.yml"))
    specs = {spec.name.normalized: spec for spec in map(rattler.MatchSpec, environment["dependencies"])}
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    assert set(specs) == {"python", "pip"}
    python_pin = rattler.VersionSpec(specs["python"].version or "*")
    assert PROJECT["requires-python"] == f">={PYTHONS[0]},<3.{int(PYTHONS[-1][2:]) + 1}"
    admitted = {python for python in PYTHONS if python_pin.matches(rattler.Version(python))}
    assert len(admitted) == 1, "Binder must not move to another Python by itself"


def test_binder_installs_the_lock_of_the_lessons():
    script = ROOT / "postBuild"
    assert os.access(script, os.X_OK)
    installs = [shlex.split(line) for line in read("postBuild").splitlines() if "pip install" in line]
    [locked_ones, editable] = [[word for word in words if word != "--no-cache-dir"][4:] for words in installs]
    assert locked_ones == ["--require-hashes", "-r", "requirements.lock"]
    assert editable == ["--no-deps", "-e", "."]


def test_binder_looks_at_the_root():
    assert not (ROOT / "binder").exists()
    assert not (ROOT / ".binder").exists()


def test_workflow_runs_the_make_targets_on_the_oldest_and_newest_python():
    workflow = yaml.safe_load(read(".github/workflows/test.yml"))
    job = workflow["jobs"]["test"]
    supported = SpecifierSet(PROJECT["requires-python"])
    assert job["strategy"]["matrix"]["python"] == [PYTHONS[0], PYTHONS[-1]]
    assert all(python in supported for python in PYTHONS)
    assert {"make setup", "make test"} <= {step.get("run") for step in job["steps"]}
    assert set(workflow[True]) == {"push", "pull_request", "schedule"}  # YAML 1.1 reads the key `on` as true
    assert "make test" in read(".ci/run")


def test_workflow_runs_the_ends_of_what_is_admitted():
    jobs = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]
    ends = jobs["versions"]["strategy"]["matrix"]["include"]
    assert ends == [
        {"resolution": "lowest-direct", "python": PYTHONS[0]},
        {"resolution": "highest", "python": PYTHONS[-1]},
    ]
    assert "make versions RESOLUTION=${{ matrix.resolution }}" in {
        step.get("run") for step in jobs["versions"]["steps"]
    }
    assert jobs["wheels"]["env"] == {"KVMLAB_WHEELS": "all"}


def test_actions_are_pinned_by_commit_with_their_version():
    used = [line for name in WORKFLOWS for line in read(name).splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not re.search(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []
    pins = {tuple(line.partition("uses: ")[2].split("@")) for line in used}
    assert len({action for action, _ in pins}) == len(pins), "one action, one version"
    [updates] = yaml.safe_load(read(".github/dependabot.yml"))["updates"]
    assert updates["package-ecosystem"] == "github-actions"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_only_read_unless_they_say_why(name):
    workflow = yaml.safe_load(read(name))
    assert workflow["permissions"] in ({}, {"contents": "read"})
    more = {job: body["permissions"] for job, body in workflow["jobs"].items() if "permissions" in body}
    allowed = ({"contents": "read"}, {"id-token": "write"}, {"id-token": "write", "pages": "write"})
    assert [job for job, permissions in more.items() if permissions not in allowed] == []


def test_a_release_is_published_by_who_it_is_and_not_by_a_password():
    text = read(".github/workflows/release.yml")
    jobs = yaml.safe_load(text)["jobs"]
    assert "secrets" not in text
    assert "password" not in text.partition("name: release")[2]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["environment"] == "pypi"


@pytest.mark.parametrize("form", ["wrong_lesson", "misread_recording"])
def test_issue_forms_ask_for_what_is_needed(form):
    asked = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{form}.yml"))
    fields = {field["id"]: field for field in asked["body"] if field["type"] != "markdown"}
    assert {"input", "textarea", "markdown"} >= {field["type"] for field in asked["body"]}
    assert all(field["attributes"]["label"] for field in fields.values())
    needed = {"wrong_lesson": {"where", "what", "source"}, "misread_recording": {"recording", "command", "said"}}[form]
    assert needed <= {name for name, field in fields.items() if field.get("validations", {}).get("required")}


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


def test_the_locks_agree_and_the_lessons_need_no_compiler_and_no_tool():
    lab, test = locked("requirements.lock"), locked("requirements-test.lock")
    pins = [{str(entry.specifier) for entry, _ in lock[name]} for lock in (lab, test) for name in lab]
    assert pins[: len(lab)] == pins[len(lab) :]
    tools = {"llvmlite", "uv", "pytest", "mypy", "playwright"}
    assert tools <= set(test)
    assert not tools & set(lab)


def imported(*patterns):
    """Return the packages that files import, under the names that an index has them by: name -> the files."""
    provided, found = packages_distributions(), defaultdict(set)
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OWN:
                found[canonicalize_name(provided.get(name, [name])[0])].add(path.relative_to(ROOT).as_posix())
    return dict(found)


@pytest.mark.parametrize(
    ("patterns", "extras"),
    [
        (["kvmlab/[!el]*.py", "kvmlab/[!el]*/**/*.py"], []),
        (["kvmlab/lab/**/*.py"], ["lab"]),
        (["kvmlab/engine/*.py", "kvmlab/engine/emit/*.py", "hatch_build.py"], ["test"]),
        ([f"{folder}/**/*.py" for folder in sorted(OWN)], ["lab", "test", "fuzz"]),
    ],
    ids=["package", "lab", "engine", "everything"],
)
def test_what_is_imported_is_declared(patterns, extras):
    found = imported(*patterns)
    assert found
    names = {canonicalize_name(wanted.name) for wanted in declared(*extras)}
    assert {name: files for name, files in found.items() if name not in names} == {}


def test_pages_and_editions_need_no_more_than_the_lessons_do():
    """`make html` and `make student` make do with the lessons' environment."""
    assert {*imported("tools/editions.py", "tools/pages/*.py")} - {*locked("requirements.lock")} == set()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "TEACHING.md", "CHANGELOG.md", "docs/INSTALL.md"])
def test_commands_in_documents_are_makefile_targets(document):
    commands = re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )*([a-z]+)", read(document), flags=re.M)
    rules = re.findall(r"^([a-z ]+):", read("Makefile"), flags=re.M)
    targets = {target for rule in rules for target in rule.split()}
    assert commands
    assert set(commands) <= targets


HEAVY = {"pandas", "matplotlib", "PIL", "wasmtime", "llvmlite", "ipywidgets", "IPython"}
"""What takes megabytes of a kernel: a class has thirty of them on one machine."""


@pytest.mark.parametrize(
    ("statements", "needed"),
    [
        ("", set()),
        ("k.simulate(k.three_guests())", {"wasmtime"}),
        ("k.simulate(k.three_guests()).exits", {"wasmtime", "pandas"}),
        ("k.follow_timer(k.KERNELS['v7.1'])", set()),
        ("from kvmlab import plots; plots.SMALL, dir(plots)", set()),
        ("from kvmlab import plots; plots.policy_grid", {"matplotlib", "PIL"}),
        ("from kvmlab import panels; panels.stage_panel()._repr_mimebundle_()", {"ipywidgets", "IPython"}),
        ("from kvmlab import panels; panels.counts_panel()._repr_mimebundle_()", {"ipywidgets", "IPython"}),
    ],
    ids=["import", "run", "table", "story", "plots", "figure", "stage", "counts"],
)
def test_what_is_heavy_is_loaded_where_it_is_needed(statements, needed):
    script = f"import sys, kvmlab as k\n{statements}\nprint(*sorted({HEAVY} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(out.stdout.split()) == needed


def test_import_loads_no_reader_of_a_host():
    script = "import sys, kvmlab; print(*sorted(name for name in sys.modules if name.startswith('kvmlab.host')))"
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
