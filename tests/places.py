"""Where the folders of the project are."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
RECORDED = ROOT / "data" / "recorded"
README = ROOT / "README.md"
DOCS = ROOT / "docs"
