"""Figures of the lessons: each is drawn once, and shows itself with a sentence that says what is to be seen.

One colour, one marker and one hatch per revision, in every figure (`REVISIONS`); every number says whether it is
published, recorded, simulated or the reader's own. Nothing here touches pyplot or its global state. matplotlib is
loaded with the first figure that is asked for: a kernel without one is 30 MB smaller.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvmlab.lab.style import KERNEL_REVISIONS, REVISIONS, SMALL, revision, style_of
from kvmlab.lab.words import microseconds, names_of

if TYPE_CHECKING:
    from kvmlab.lab.plots.changes import RevisionView, revision_view
    from kvmlab.lab.plots.exits import by_guest, exits_by_reason
    from kvmlab.lab.plots.latency import latencies
    from kvmlab.lab.plots.longest import longest_exit
    from kvmlab.lab.plots.picture import Picture
    from kvmlab.lab.plots.policies import policy_grid
    from kvmlab.lab.plots.recordings import offload, recorded_against_predicted, recorded_offload
    from kvmlab.lab.plots.timeline import timelines
    from kvmlab.lab.plots.what_if import ranges

__all__ = [
    "KERNEL_REVISIONS",
    "REVISIONS",
    "SMALL",
    "Picture",
    "RevisionView",
    "by_guest",
    "exits_by_reason",
    "latencies",
    "longest_exit",
    "microseconds",
    "names_of",
    "offload",
    "policy_grid",
    "ranges",
    "recorded_against_predicted",
    "recorded_offload",
    "revision",
    "revision_view",
    "style_of",
    "timelines",
]

# Figures: name -> the module in which it stands.
_LATER = {
    **dict.fromkeys(("RevisionView", "revision_view"), "changes"),
    **dict.fromkeys(("by_guest", "exits_by_reason"), "exits"),
    "latencies": "latency",
    "longest_exit": "longest",
    "Picture": "picture",
    "policy_grid": "policies",
    "ranges": "what_if",
    **dict.fromkeys(("offload", "recorded_against_predicted", "recorded_offload"), "recordings"),
    "timelines": "timeline",
}


def __getattr__(name: str) -> Any:
    """Load a figure of `_LATER`."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
