"""Where the data files are: published tables, costs, patch history, recordings."""

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
    """The data folder in use: the installed one where it exists, else the checkout's."""
    return INSTALLED if INSTALLED.is_dir() else CHECKOUT


def path(*parts: str) -> Path:
    """The data file or folder `parts`, for example ``path("published", "anchors.csv")``; it exists.

    Raises FileNotFoundError that names the file and the folder it was looked for in.
    """
    found = root().joinpath(*parts)
    if not found.exists():
        raise FileNotFoundError(
            f"data file {'/'.join(parts)!r} does not exist; looked in {root()}"
            f" (installed package: {INSTALLED}, checkout: {CHECKOUT})"
        )
    return found


def history() -> pd.DataFrame:
    """The patch history, oldest first: one row a patch, columns as in data/patches.toml."""
    import pandas as pd

    with path("patches.toml").open("rb") as file:
        return pd.DataFrame(tomllib.load(file)["patch"])
