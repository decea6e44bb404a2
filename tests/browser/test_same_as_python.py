"""A page in a browser and Python: on random settings the same tables, bit for bit, the same figures, the same story."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random

import numpy as np
import pytest

from kvmlab.engine.layout import CONSTANT, TABLES
from kvmlab.engine.plain import as_array
from kvmlab.lab import panels
from kvmlab.lab.panels.door_host import DOOR
from kvmlab.lab.panels.front_end import script
from kvmlab.lab.panels.porter_host import PORTER
from kvmlab.model.names import EXITS
from kvmlab.results.follow import follow

pytestmark = pytest.mark.browser

SETTINGS = 30 * int(os.environ.get("KVMLAB_EXAMPLES", "1"))
"""Of each panel; KVMLAB_EXAMPLES=10 takes 300."""
SEE = """async (settings) => {
    const panel = document.querySelector(".kvmlab").kvmlab;
    const { engine } = panel.tools;
    const seen = [];
    for (const each of settings) {
        panel.set(each, false);
        const tables = {};
        for (const name of engine.names) {
            if (name in panel.world.constant) continue;
            const size = engine.length[name] * engine.layout.tables[name].size;
            const bytes = new Uint8Array(engine.memory.buffer, engine.address[name], size).slice();
            const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
            tables[name] = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        }
        const { figures, story } = panel.view.state() ?? {};
        seen.push({ tables, figures, story, error: panel.alert.textContent });
    }
    return seen;
}"""


def drawn(panel, count=SETTINGS):
    """Random settings of a panel, the same each time; the first are the defaults."""
    draws = random.Random(7)
    controls = panel.world.controls
    some = [{name: draws.choice(control.values) for name, control in controls.items()} for _ in range(count - 1)]
    return [dict(panel.world.defaults), *some]


@pytest.fixture(scope="module")
def see(browser, tmp_path_factory):
    """A function: a panel and settings -> what a page, opened from disk with no network, makes of each of them."""
    with browser.new_context(offline=True) as context:
        page = context.new_page()

        def seen(panel, settings):
            path = tmp_path_factory.mktemp("page") / "page.html"
            body = f'<!doctype html><meta charset="utf-8">{panel.place()}<script type="module">{script()}</script>'
            path.write_text(body, encoding="utf-8")
            page.goto(path.as_uri())
            page.wait_for_function("document.querySelector('.kvmlab').kvmlab?.drawn")
            return page.evaluate(SEE, settings)

        yield seen


def digests(tables):
    return {name: hashlib.sha256(bytes_of(array)).hexdigest() for name, array in tables.items() if name not in CONSTANT}


def bytes_of(array):
    """The bytes of a table, what pads its records being 0: a copy of an array may have anything there."""
    clean = np.zeros(len(array), array.dtype)
    for name in array.dtype.names or ():
        clean[name] = array[name]
    return (clean if array.dtype.names else array).tobytes()


def test_the_stage_tells_pythons_story(see):
    panel = panels.stage_panel()
    settings = drawn(panel)
    for chosen, seen in zip(settings, see(panel, settings), strict=True):
        arguments = [chosen[name] for name in panel.world.arguments]
        machine, story = follow(panel.world.scenario(chosen), *arguments)
        assert seen["error"] == ""
        tables = {name: as_array(table, getattr(machine, name)) for name, table in TABLES.items()}
        assert seen["tables"] == digests(tables), chosen
        assert seen["story"]["summary"] == story.summary(), chosen
        told = [(step["time"], step["where"], step["name"], step["sentence"]) for step in seen["story"]["steps"]]
        assert told == [(step.time_ns, step.where, step.function, step.sentence) for step in story.timeline], chosen
        assert seen["story"]["latency"] == story.latency_ns


def test_the_counts_are_pythons(see):
    panel = panels.counts_panel()
    settings = drawn(panel)
    for chosen, seen in zip(settings, see(panel, settings), strict=True):
        panel.settings = chosen
        runs = panel.runs
        assert seen["error"] == ""
        # The memory has the last of those that were simulated: what answers as another before it was not.
        of_python = [digests({name: getattr(run.machine, name) for name in TABLES}) for run in runs.values()]
        assert seen["tables"] in of_python, chosen
        for figures, (name, run) in zip(seen["figures"], runs.items(), strict=True):
            assert figures["name"] == name
            check_figures(figures, run)


@pytest.mark.parametrize(("make", "world"), [(panels.door_panel, DOOR), (panels.porter_panel, PORTER)])
def test_what_is_played_is_pythons(see, make, world):
    panel = make()
    settings = drawn(panel, SETTINGS)
    for chosen, seen in zip(settings, see(panel, settings), strict=True):
        panel.settings = {name: value for name, value in chosen.items() if name in world.controls}
        assert seen["error"] == ""
        assert seen["tables"] == digests({name: getattr(panel.run.machine, name) for name in TABLES}), chosen


def test_the_move_is_pythons_and_its_answers_are_those_that_the_kernel_acts_on(see):
    panel = panels.move_panel()
    values = (control.values for control in panel.world.controls.values())
    settings = [dict(zip(panel.world.controls, each, strict=True)) for each in itertools.product(*values)]
    stale = 0
    for chosen, seen in zip(settings, see(panel, settings), strict=True):
        panel.settings = chosen
        assert seen["error"] == ""
        assert seen["tables"] == digests({name: getattr(panel.run.machine, name) for name in TABLES}), chosen
        outcome = panel.outcome
        assert (seen["figures"]["exit"], seen["figures"]["late"]) == (outcome["exit"], outcome["late_ns"]), chosen
        for question in seen["figures"]["questions"]:
            assert question["seen"] in (None, question["says"]), (chosen, question)
            stale += question["name"] == "ask_load" and question["seen"] is not None
    assert stale > 0


def test_the_anatomy_is_pythons(see):
    panel = panels.anatomy_panel()
    settings = drawn(panel)
    for chosen, seen in zip(settings, see(panel, settings), strict=True):
        assert seen["error"] == ""
        assert seen["figures"] == panels.anatomy_panel(**chosen).figures, chosen


def check_figures(figures, run):
    """Assert that the browser's figures are those of the run, but for the last digits of a sum."""
    assert figures["duration"] == run.duration_ns
    seconds = run.duration_ns / 1e9
    counts = run.exit_rows["count"].sum(axis=0) / len(run.exit_rows) / seconds
    assert {exit["reason"]: exit["rate"] for exit in figures["exits"]} == pytest.approx(
        dict(zip(EXITS, counts, strict=True))
    )
    summary = run.summary()
    for mine, theirs in (("p50", 0.5), ("p99", 0.99)):
        assert_same(figures[mine], run.latency_percentile(theirs))
    if figures["latencies"]:
        assert figures["max"] == summary["latency_max_ns"]
    assert figures["latencies"] == run.histograms.sum()
    assert figures["taken"] == pytest.approx(summary["share_taken"])
    assert figures["gap"] / 1e3 == pytest.approx(summary["longest_gap_us"])
    np.testing.assert_allclose(figures["places"], run.placement["share"])
    load = {each["cpu"]: (each["share"], each["queue"]) for each in figures["load"]}
    frame = run.housekeeping
    assert load == {
        cpu: (pytest.approx(frame["share_of_time"][cpu]), frame["deepest_queue"][cpu]) for cpu in frame.index
    }


def assert_same(mine, theirs):
    """Equal, or not a number in both (JSON has null for NaN)."""
    if mine is None or (isinstance(mine, float) and math.isnan(mine)):
        assert math.isnan(theirs)
    else:
        assert mine == theirs
