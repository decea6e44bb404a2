"""The module of the rules in Node: the same bytes, run by another WebAssembly, leave the same tables."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from kvmlab.engine import execute
from tests.engine.elsewhere import RUN_RULES, compare, drawn, request

NODE = shutil.which("node")
MAIN = """
const fs = require("fs");
const run = eval(fs.readFileSync(process.argv[1], "utf8"));
run(JSON.parse(fs.readFileSync(0, "utf8"))).then((results) => process.stdout.write(JSON.stringify(results)));
"""


@pytest.mark.skipif(NODE is None, reason="there is no Node here; tests/browser runs the same in Chromium")
def test_node_leaves_the_same_tables():
    assert execute.module() is not None
    scenarios = drawn(40)
    command = [NODE, "-e", MAIN, str(RUN_RULES)]
    done = subprocess.run(command, input=json.dumps(request(scenarios)), capture_output=True, text=True, check=True)
    compare(scenarios, json.loads(done.stdout))
