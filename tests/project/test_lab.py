"""What `make lab` types opens the first lesson itself in the browser, and writes only where the Makefile says."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from kvmlab import data
from tests.places import NOTEBOOKS, ROOT

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("make"), reason="there is no make, or no POSIX shell, to type it in"
)


def recipe(target, mine):
    """Return the last two commands that make would run for a target, with this Python in place of .venv's."""
    # `make test` tells the makes below it what it is doing, and they would print that too.
    outer = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--no-print-directory", "-n", target, f"MINE={mine}"]
    asked = subprocess.run(command, cwd=ROOT, env=outer, capture_output=True, text=True, check=True).stdout
    commands = [shlex.split(line.partition(">")[0]) for line in asked.replace("\\\n", " ").strip().splitlines()[-2:]]
    return [[sys.executable, *words[1:]] for words in commands]


@pytest.fixture
def opened(tmp_path):
    """Run `make lab`'s command with a browser that writes down what it was to open; return that."""
    note, home = tmp_path / "opened", tmp_path / "home"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {note}.part && mv {note}.part {note}\n')
    browser.chmod(0o755)
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    environment = os.environ | {name: str(tmp_path / "venv" / name) for name in folders}
    environment |= {"BROWSER": f"{browser} %s", "HOME": str(home), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    home.mkdir()
    copy, serve = recipe("lab", tmp_path / "mine")
    subprocess.run(copy, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(serve, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 90
        while not note.exists() and server.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        assert note.exists(), (tmp_path / "log").read_text(encoding="utf-8")
        yield note.read_text(encoding="utf-8")
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()
    assert list(home.iterdir()) == [], "nothing is written into the home folder"
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "yarn" not in said, "JupyterLab's own script runs in Node"
    assert not [line for line in said.splitlines() if "without encryption" in line or "not recognized" in line]


def test_make_lab_opens_the_first_lesson_itself(opened, tmp_path):
    address, _, token = opened.partition("?")
    assert address.startswith("http://")
    assert address.endswith("/lab/tree/00_start_here.ipynb")
    with urllib.request.urlopen(opened, timeout=30) as page:
        assert b'"news": {"disabled": true}' in page.read()
    file = address.replace("/lab/tree/", "/api/contents/") + f"?content=0&{token}"
    with urllib.request.urlopen(file, timeout=30) as answer:
        assert b'"type": "notebook"' in answer.read()
    start_a_kernel(address.partition("/lab/")[0], token.removeprefix("token="), tmp_path)


def start_a_kernel(server, token, folder):
    """Start a kernel as opening a lesson does, and ask it who it is: whatever it has to say, it has said by then."""
    from jupyter_client.blocking.client import BlockingKernelClient

    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}/api/kernels", b'{"name": "python3"}', headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        kernel = json.load(answer)["id"]
    client = BlockingKernelClient(
        connection_file=str(folder / "venv" / "JUPYTER_RUNTIME_DIR" / f"kernel-{kernel}.json")
    )
    client.load_connection_file()
    client.start_channels(hb=False)
    assert client.kernel_info(reply=True, timeout=60)["content"]["status"] == "ok"
    client.stop_channels()


def test_make_lab_keeps_what_the_reader_has_written(tmp_path):
    copy, _ = recipe("lab", tmp_path)
    answers = tmp_path / "03_rev1_let_housekeeping_fire_it.ipynb"
    answers.write_text("my answers", encoding="utf-8")
    subprocess.run(copy, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert answers.read_text(encoding="utf-8") == "my answers"
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*.ipynb")} == {
        path.relative_to(NOTEBOOKS) for path in data.lessons()
    }


def test_all_that_programs_write_has_a_place_in_the_environment():
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    exported = dict(
        line.removeprefix("export ").replace(" ?= ", " := ").split(" := ")
        for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
        if line.startswith("export ")
    )
    assert all(exported[name].startswith("$(HERE)/") for name in (*names, "UV_CACHE_DIR"))
    assert exported["PIP_NO_CACHE_DIR"] == exported["UV_SYSTEM_CERTS"] == "1"
