"""A JupyterLab of its own for the tests that need one, and for the benchmark of the sliders."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.places import NOTEBOOKS


class Lab(NamedTuple):
    """A running JupyterLab."""

    url: str
    token: str
    root: Path

    def page(self, notebook: str) -> str:
        """Return the address of a notebook, in a workspace of its own so that nothing else is open beside it."""
        return f"{self.url}/lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token={self.token}"


@contextmanager
def running_lab(home: Path) -> Iterator[Lab]:
    """Run JupyterLab on a free loopback port over a copy of notebooks/, with settings of its own in `home`."""
    lab = Lab(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16), home / "notebooks")
    shutil.copytree(NOTEBOOKS, lab.root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    no_news = home / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    no_news.parent.mkdir(parents=True)
    no_news.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={lab.url.rpartition(':')[2]}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={lab.root}", f"--IdentityProvider.token={lab.token}"),
        "--LabApp.expose_app_in_browser=True",
    ]
    own = {name: str(home / name.lower()) for name in ("JUPYTER_DATA_DIR", "IPYTHONDIR", "XDG_DATA_HOME")}
    environment = {**os.environ, **own, "JUPYTER_CONFIG_DIR": str(home / "config")}
    log = home / "jupyterlab.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"{lab.url}/api/status?token={lab.token}", server, log)
        yield lab
    finally:
        server.terminate()
        server.wait(timeout=30)


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Return when `url` answers; fail with the server's log when it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")
