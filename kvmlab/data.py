"""Where the data files are (published tables, costs, patch history, recordings), and the lessons."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_PACKAGE = Path(__file__).resolve().parent
INSTALLED = _PACKAGE / "data"
"""The folder inside an installed package."""
CHECKOUT = _PACKAGE.parent / "data"
"""The folder next to the package in a checkout (editable install)."""


def root() -> Path:
    """Return the data folder in use: the installed one where it exists, else the checkout's."""
    return INSTALLED if INSTALLED.is_dir() else CHECKOUT


def path(*parts: str) -> Path:
    """Return the data file or folder `parts`, for example ``path("published", "anchors.csv")``; it exists.

    Raises FileNotFoundError that names the file and the folder it was looked for in.
    """
    found = root().joinpath(*parts)
    if not found.exists():
        raise FileNotFoundError(
            f"data file {'/'.join(parts)!r} does not exist; looked in {root()}"
            f" (installed package: {INSTALLED}, checkout: {CHECKOUT})"
        )
    return found


def lessons() -> list[Path]:
    """Return the notebooks: the lessons in their order, the essence, and those in `deeper/` that answer one question.

    They are the installed ones where these exist, else the checkout's.

    Raises FileNotFoundError that names both folders where neither has any.

    >>> from kvmlab import data
    >>> data.lessons()[0].name
    '00_start_here.ipynb'
    """
    folders = (_PACKAGE / "notebooks", _PACKAGE.parent / "notebooks")
    for folder in folders:
        if found := sorted(folder.glob("*.ipynb")):
            return found + sorted((folder / "deeper").glob("*.ipynb"))
    raise FileNotFoundError(f"no lessons; looked in {folders[0]} (installed package) and {folders[1]} (checkout)")


def history() -> pd.DataFrame:
    """Return the patch history, oldest first: one row per patch, columns as in data/patches.toml.

    Columns: id, subject, author, date, role, release, release_status, changes, why, source, status and, where there is
    one, commit, message_id and predicate (else NaN).

    >>> import kvmlab as kl
    >>> patches = kl.history()
    >>> patches.loc[patches["role"] == "revision", "id"].tolist()
    ['rev1', 'rev2', 'rev3']
    """
    import pandas as pd

    with path("patches.toml").open("rb") as file:
        return pd.DataFrame(tomllib.load(file)["patch"])
