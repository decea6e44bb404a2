"""One colour, one marker and one hatch a revision, everywhere (Okabe and Ito's palette)."""

from __future__ import annotations

INK = "#1a1a1a"
COLOURS = {"before": "#666666", "rev1": "#0072B2", "rev2": "#D55E00", "rev3": "#009E73"}
MARKERS = {"before": "o", "rev1": "s", "rev2": "^", "rev3": "D"}
HATCHES = {"before": "", "rev1": "//", "rev2": "..", "rev3": "xx"}
