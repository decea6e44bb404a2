"""The data files: their form, their marks, and that each number and patch has a source."""

import csv
import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kvmlab import data
from kvmlab.model.names import STEPS
from kvmlab.scenario import published

STATUSES = {"fitted", "published", "derived", "memory", "assumption"}
ROLES = {"prequel", "revision", "machinery", "after", "proposal"}
PATCH_KEYS = {"id", "subject", "author", "date", "role", "release", "release_status", "changes", "why"}
PATCH_KEYS |= {"source", "status"}
COST_KEYS = {"shift_ns", "mean_ns", "sd_ns", "status", "sd_status", "source", "note"}

COSTS = tomllib.loads(data.path("costs.toml").read_text(encoding="utf-8"))
PATCHES = tomllib.loads(data.path("patches.toml").read_text(encoding="utf-8"))["patch"]
with data.path("published", "anchors.csv").open(newline="", encoding="utf-8") as _file:
    ANCHORS = list(csv.DictReader(_file))

each_cost = pytest.mark.parametrize("name", COSTS)
each_patch = pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch["id"])
each_anchor = pytest.mark.parametrize("anchor", ANCHORS, ids=lambda anchor: anchor["id"])


def by_id(name: str) -> dict[str, Any]:
    """Return the patch of this id."""
    return next(patch for patch in PATCHES if patch["id"] == name)


def release_number(release: str) -> tuple[int, int]:
    """Return major and minor number of a release such as v5.13."""
    major, minor = release.removeprefix("v").split(".")
    return int(major), int(minor)


# --- finding them -----------------------------------------------------------------------------------------------------


def test_path_finds_files_and_folders() -> None:
    assert data.path("published").is_dir()
    assert data.path("published", "anchors.csv").parent == data.path("published")


def test_path_of_a_missing_file_names_it_and_where_it_was_looked_for() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        data.path("published", "none.csv")
    assert "published/none.csv" in str(caught.value)
    assert str(data.root()) in str(caught.value)


def test_the_installed_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(data, "CHECKOUT", tmp_path / "checkout")
    for folder in ("checkout", "installed"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "some.csv").touch()
        assert data.path("some.csv") == tmp_path / folder / "some.csv"


# --- costs ------------------------------------------------------------------------------------------------------------


def test_there_is_one_cost_entry_per_step() -> None:
    assert list(COSTS) == list(STEPS)


@each_cost
def test_a_cost_says_what_it_rests_on(name: str) -> None:
    entry = COSTS[name]
    assert entry.keys() == COST_KEYS
    assert {entry["status"], entry["sd_status"]} <= STATUSES
    assert entry["source"]
    assert entry["note"]


@each_cost
def test_a_cost_without_a_published_number_is_marked(name: str) -> None:
    entry = COSTS[name]
    for mark in ("memory", "assumption"):
        if entry["source"].startswith(mark):
            assert entry["status"] == mark
    if entry["status"] in ("memory", "assumption"):
        assert entry["sd_status"] == "assumption"
        assert entry["status"] in entry["source"]


# --- patches ----------------------------------------------------------------------------------------------------------


@each_patch
def test_a_patch_can_be_looked_up(patch: dict[str, Any]) -> None:
    assert patch.keys() >= PATCH_KEYS
    assert patch.keys() <= PATCH_KEYS | {"commit", "message_id", "predicate"}
    assert all(patch[key] for key in PATCH_KEYS - {"release"})
    assert patch.keys() & {"commit", "message_id"}
    assert re.fullmatch(r"[0-9a-f]{12,40}", patch.get("commit", "0" * 12))
    assert re.fullmatch(r"[^\s<>@]+@[^\s<>@]+\.[a-z]+", patch.get("message_id", "a@b.c"))


@each_patch
def test_a_patch_has_marks_that_fit(patch: dict[str, Any]) -> None:
    assert patch["role"] in ROLES
    assert patch["status"] in {"published", "memory"}
    if patch["release"]:
        assert re.fullmatch(r"v\d+\.\d+", patch["release"])
        assert patch["release_status"] in {"published", "derived", "memory"}
        assert patch["role"] != "proposal"
    else:
        assert patch["release_status"] == "none"
        assert "commit" not in patch
    assert ("predicate" in patch) or patch["role"] != "revision"


@each_patch
def test_a_patch_has_a_date(patch: dict[str, Any]) -> None:
    date = patch["date"]
    day = datetime.date.fromisoformat(date if len(date) == 10 else f"{date}-01")
    assert datetime.date(2014, 1, 1) <= day <= datetime.date(2026, 12, 31)


@each_patch
def test_changes_is_one_sentence(patch: dict[str, Any]) -> None:
    assert patch["changes"].endswith(".")
    assert ". " not in patch["changes"]


def test_ids_and_commits_are_unique() -> None:
    for key in ("id", "commit", "message_id"):
        values = [patch[key][:12] if key == "commit" else patch[key] for patch in PATCHES if key in patch]
        assert len(values) == len(set(values))


def test_patches_are_in_order_of_date_and_of_release() -> None:
    """But for two that waited: each was merged a release later than the patch that was written after it."""
    dates = [patch["date"] for patch in PATCHES]
    assert dates == sorted(dates)
    merged = [patch for patch in PATCHES if patch["release"]]
    releases = [release_number(patch["release"]) for patch in merged]
    overtaken = [merged[i]["id"] for i in range(len(merged) - 1) if releases[i] > releases[i + 1]]
    assert overtaken == ["any-cpu-nearest", "halt-poll-shrink"]
    in_time = [n for patch, n in zip(merged, releases, strict=True) if patch["id"] not in overtaken]
    assert in_time == sorted(in_time)


def test_the_three_revisions() -> None:
    revisions = [patch for patch in PATCHES if patch["role"] == "revision"]
    assert {patch["id"]: patch["release"] for patch in revisions} == {"rev1": "v5.3", "rev2": "", "rev3": "v5.18"}
    assert by_id("unpinned")["release"] == by_id("rev1")["release"]
    assert by_id("rev3")["release_status"] == "derived"


def test_apic_timer_virtualization_would_be_a_fourth_line() -> None:
    proposed = by_id("apic-timer-virt")
    assert proposed["predicate"].startswith(by_id("rev3")["predicate"] + " && !")
    assert by_id("rev3-idea")["predicate"] == by_id("rev3-v2")["predicate"] == by_id("rev3")["predicate"]


@pytest.mark.parametrize(
    ("patch", "release"),
    [
        ("any-cpu-nearest", "v5.4"),
        ("search-mask", "v5.6"),
        ("count-fast-exits", "v6.4"),
        ("halt-poll-shrink", "v6.11"),
        ("hlt-fastpath", "v6.12"),
        ("late-periodic", "v6.19"),
        ("prefer-local", "v7.1"),
        ("deferred-rearm", "v7.1"),
        ("hv-cap", "v7.3"),
    ],
)
def test_what_came_around_the_predicate(patch: str, release: str) -> None:
    assert by_id(patch)["release"] == release


def test_a_bug_is_fixed_later() -> None:
    assert by_id("early-bug")["commit"] in by_id("early-fix")["why"]
    assert release_number(by_id("early-bug")["release"]) < release_number(by_id("early-fix")["release"])


# --- published numbers ------------------------------------------------------------------------------------------------


@each_anchor
def test_an_anchor_is_whole(anchor: dict[str, str]) -> None:
    assert list(anchor) == [
        "id", "source", "year", "what", "metric", "before", "after", "unit", "machine", "status", "reference",
    ]  # fmt: skip
    assert all(anchor[key] for key in anchor if key not in ("year", "before"))
    assert anchor["status"] in {"published", "derived", "memory"}
    assert anchor["year"] or "year not recorded" in anchor["reference"]
    if anchor["before"]:
        float(anchor["before"])
        float(anchor["after"])


def test_anchor_ids_are_unique() -> None:
    ids = [anchor["id"] for anchor in ANCHORS]
    assert len(ids) == len(set(ids))


def test_derived_anchors_are_what_the_package_computes() -> None:
    totals = [published.implied_totals(row) for row in published.published_table()]
    expected = {
        "posted-2019-all-exits": [round(t.exits.value) for t in totals],
        "posted-2019-all-time": [round(t.time_ms.value, 1) for t in totals],
        "posted-2019-other-mean": [round(t.other_mean_us.value, 2) for t in totals],
    }
    derived = {a["id"]: [float(a["before"]), float(a["after"])] for a in ANCHORS if a["status"] == "derived"}
    assert derived == expected


def test_anchors_repeat_the_published_table() -> None:
    before, after = published.published_table()
    anchors = {a["id"]: (a["before"], a["after"]) for a in ANCHORS}
    assert tuple(map(float, anchors["posted-2019-exits"])) == (before.samples, after.samples)
    assert tuple(map(float, anchors["posted-2019-exit-share"])) == (before.samples_pct, after.samples_pct)
    assert tuple(map(float, anchors["posted-2019-time-share"])) == (before.time_pct, after.time_pct)


@pytest.mark.parametrize(
    ("test", "anchors"),
    [
        ("msr_write", ["v1-immed", "v1-immed-advance", "immed", "immed-advance"]),
        ("preemption_timer", ["v1-deadline", "deadline"]),
    ],
)
def test_the_gain_of_a_fast_path_is_that_of_the_anchors(test: str, anchors: list[str]) -> None:
    rows = {a["id"]: float(a["before"]) - float(a["after"]) for a in ANCHORS if a["id"].startswith("fastpath-2020-")}
    cycles = sum(rows[f"fastpath-2020-{name}"] for name in anchors) / len(anchors)
    gain = COSTS[test]["mean_ns"] - COSTS[f"{test}_fastpath"]["mean_ns"]
    assert gain == pytest.approx(cycles / 2.5, abs=2)
    assert gain == COSTS[test]["shift_ns"] - COSTS[f"{test}_fastpath"]["shift_ns"]


@pytest.mark.parametrize("name", [published.POSTED_TIMER_2019, published.SYSBENCH_2020])
def test_published_tables_are_possible(name: str) -> None:
    rows = published.published_table(name)
    for row in rows:
        assert row.samples > 0
        assert 0 < row.min_us <= row.avg_us <= row.max_us
        assert row.rsem_pct >= 0
        assert row.source
    for side in {row.side for row in rows}:
        assert sum(row.samples_pct for row in rows if row.side == side) <= 100.05


@pytest.mark.parametrize("file", ["costs.toml", "patches.toml", "published/anchors.csv", "published/README.md"])
def test_data_speaks_of_itself_alone(file: str) -> None:
    text = data.path(*file.split("/")).read_text(encoding="utf-8")
    assert not re.search(r"/work\b|\bfacts file\b|\bsession\b", text)
