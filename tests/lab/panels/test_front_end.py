"""The script that a page gets: all files of `web/`, what Python hands over, and nothing from elsewhere."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from kvmlab import policy
from kvmlab.engine import execute
from kvmlab.lab import panels
from kvmlab.lab.panels import front_end
from kvmlab.scenario.costs import Costs

WEB = Path(panels.__file__).parents[1] / "web"


def unpacked(text):
    return zlib.decompress(base64.b64decode(text))


@pytest.fixture(scope="module")
def handed():
    return json.loads(front_end.data())


def test_every_file_of_the_front_end_is_used():
    joined = front_end.joined("main")
    used = {f"{name}.js" for name in re.findall(r"^const (\w+)_js = ", joined, flags=re.M)}
    assert used | {"bridge.js", "start.js", "kvmlab.css"} == {path.name for path in WEB.iterdir()}


def test_a_file_stands_behind_those_that_it_needs():
    joined = front_end.joined("main")
    for name in re.findall(r"^const (\w+)_js = ", joined, flags=re.M):
        for needed in re.findall(r' from "\./(\w+)\.js";', front_end.web(f"{name}.js")):
            assert joined.index(f"const {needed}_js = ") < joined.index(f"const {name}_js = ")
    assert not re.search(r"^(import|export) ", joined, flags=re.M)


def test_the_script_ends_where_it_says_and_asks_nobody():
    script = front_end.script()
    assert "</script" not in script
    for text in (script, front_end.joined("main"), front_end.data()):
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert "fetch(" not in text


def test_the_script_is_short_and_holds_all_of_the_front_end():
    script = front_end.script()
    texts = [unpacked(text).decode() for text in re.findall(r'"([A-Za-z0-9+/=]{1000,})"', script)]
    assert texts == [front_end.joined("main"), front_end.data()]
    assert len(script) < 170_000


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here; tests/browser runs the script")
@pytest.mark.parametrize("text", [front_end.script, lambda: front_end.joined("main")], ids=["script", "front end"])
def test_the_script_is_a_module_that_node_can_parse(tmp_path, text):
    path = tmp_path / "script.mjs"
    path.write_text(text(), encoding="utf-8")
    subprocess.run(["node", "--check", str(path)], check=True, capture_output=True)


def test_the_module_is_the_one_that_python_runs(handed):
    assert unpacked(handed["module"]) == execute.module()


def test_numbers_come_back_from_their_differences(handed):
    costs = np.cumsum(np.frombuffer(unpacked(handed["constant"]["costs"]), "<i4"))
    np.testing.assert_array_equal(costs, Costs.default().stacked().reshape(-1))


def test_terms_hold_together_what_the_policy_answers(handed):
    for name, data in handed["policies"].items():
        together = (1 << 32) - 1
        for term in data["terms"]:
            together &= term["bits"]
        assert together == data["bits"] == policy.table_bits(policy.POLICIES[name])


def test_the_place_says_what_the_panel_is_set_to():
    panel = panels.counts_panel("exits", tick_hz=250)
    [spec] = re.findall(r'data-panel="([^"]*)"', panel.place(bridged=False))
    said = json.loads(spec.replace("&quot;", '"'))
    assert said == {"panel": "counts", "settings": panel.settings, "options": {"columns": ["exits"]}}
