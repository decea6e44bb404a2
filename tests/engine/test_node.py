"""The module of the rules in Node: the same bytes, run by another WebAssembly, leave the same tables."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kvmlab.engine import execute
from kvmlab.lab import panels
from tests.engine.elsewhere import RUN, compare, drawn, request

WEB = Path(panels.__file__).parents[1] / "web"
NODE = shutil.which("node")
MAIN = f"""
import fs from "node:fs";
import {{ Engine }} from {json.dumps((WEB / "engine.js").as_uri())};
const asked = JSON.parse(fs.readFileSync(0, "utf8"));
{RUN}
process.stdout.write(JSON.stringify(results));
"""


@pytest.mark.skipif(NODE is None, reason="there is no Node here; tests/browser runs the same in Chromium")
def test_node_leaves_the_same_tables():
    assert execute.module() is not None
    scenarios = drawn(40)
    command = [NODE, "--input-type=module", "-e", MAIN]
    done = subprocess.run(command, input=json.dumps(request(scenarios)), capture_output=True, text=True, check=True)
    compare(scenarios, json.loads(done.stdout))
