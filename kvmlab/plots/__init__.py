"""Figures of the lessons: each is drawn once, and shows itself with a sentence that says what is to be seen.

One colour, one marker and one hatch a revision, in every figure (`REVISIONS`); every number says whether it is
published, recorded, simulated or the reader's own (`ORIGINS`). Nothing here touches pyplot or its global state.
"""

from kvmlab.plots.exits import by_guest, exits_by_reason
from kvmlab.plots.latency import latencies, longest_exit
from kvmlab.plots.picture import KERNEL_REVISIONS, REVISIONS, SMALL, Picture, microseconds, names_of, revision, style_of
from kvmlab.plots.policies import RevisionView, policy_grid, revision_view
from kvmlab.plots.ranges import ranges
from kvmlab.plots.recordings import offload, recorded_against_predicted
from kvmlab.plots.timeline import timelines

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
    "revision",
    "revision_view",
    "style_of",
    "timelines",
]
