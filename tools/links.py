"""Links that open a lesson for a class: on Binder, and on a JupyterHub by nbgitpuller.

Prints one line per lesson. On a hub kvmlab has to be installed: `pip install "kvmlab[lab]"`.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from urllib.parse import quote, urlencode

ROOT = Path(__file__).parent.parent
FIRST = "00_start_here.ipynb"
BRANCH = "main"


def repository() -> str:
    """Return the address of the repository, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address: str = project["urls"]["Repository"]
    return address


def binder(lesson: str = FIRST) -> str:
    """Return the link that opens a lesson on the public Binder."""
    owner_and_name = repository().removeprefix("https://github.com/")
    return f"https://mybinder.org/v2/gh/{owner_and_name}/{BRANCH}?urlpath=lab/tree/notebooks/{quote(lesson)}"


def nbgitpuller(hub: str, lesson: str = FIRST) -> str:
    """Return the link that fetches the lessons into a student's home on a JupyterHub, and opens one.

    `hub`: the hub's address, for example ``https://hub.example.edu``. What the student has changed is kept, as
    nbgitpuller does it.

    Raises ValueError if `hub` is no address of the web.

    >>> print(nbgitpuller("https://hub.example.edu"))  # doctest: +ELLIPSIS
    https://hub.example.edu/hub/user-redirect/git-pull?repo=https%3A%2F%2F...&urlpath=lab%2Ftree%2Fkvmlab%2Fnotebooks%2F...
    """
    if not hub.startswith(("https://", "http://")):
        raise ValueError(f"hub: {hub!r} does not fit; allowed: an address that begins with https:// or http://")
    folder = repository().rpartition("/")[2]
    asked = {"repo": repository(), "branch": BRANCH, "urlpath": f"lab/tree/{folder}/notebooks/{lesson}"}
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(asked)}"


def main() -> None:
    """Print the links."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hub", nargs="?", help="address of a JupyterHub with nbgitpuller; without: links to Binder")
    hub = parser.parse_args().hub
    for lesson in sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb")):
        print(nbgitpuller(hub, lesson) if hub else binder(lesson))


if __name__ == "__main__":
    main()
