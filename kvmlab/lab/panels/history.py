"""The history: the one line of C that says who may post, on a time line; each version says what came and what went."""

from __future__ import annotations

from typing import Any

from kvmlab.lab.panels.history_beads import LAST, beads
from kvmlab.lab.panels.panel import Panel
from kvmlab.lab.panels.predict import NO_WORLD
from kvmlab.scenario import checks

AGAINST = ("version", "kernel")
"""What a version can be compared with: the version before it, or the line in the kernel of its day."""


class History(Panel):
    """The panel that `history_panel` makes."""

    def __repr__(self) -> str:
        return f"Panel history: {', '.join(bead['id'] for bead in self.beads)}"

    @property
    def beads(self) -> list[dict[str, Any]]:
        """The versions that are shown, oldest first: id, date, author, terms, gains, pays ..."""
        shown: list[dict[str, Any]] = self.options["beads"]
        return shown

    @property
    def selected(self) -> str:
        """The id of the version that the reader looks at, as in `kvmlab.history()`."""
        return str((self.answer or {}).get("selected", self.options["at"]))


def history_panel(
    until: str | None = "rev3",
    *,
    drafts: bool = True,
    at: str | None = None,
    against: str = "version",
    paid: bool = True,
) -> History:
    """Return the line of C in ``kvm_can_post_timer_interrupt`` on a time line: who changed it, when, and for whom.

    - `until`: nothing that is later than this revision is shown, or in the page: "before", "rev1", "rev2", "rev3", or
      None for everything.
    - `drafts`: also the versions and proposals that were never merged (rev 2 is always there).
    - `at`: the id, as in `kvmlab.history()`, of the version that is shown first; the last one unless told.
    - `against`: what came and went since the "version" before, or in the "kernel" of its day. The reader can switch.
    - `paid`: who gains by a version and who pays for it is said.

    ValueError names what is not allowed.

    >>> from kvmlab import panels
    >>> [bead["id"] for bead in panels.history_panel(until="rev1", drafts=False).beads]
    ['affine', 'pinned', 'hv', 'unpinned', 'rev1']
    """
    if until is not None:
        checks.choice("until", until, tuple(LAST))
    shown = beads(until, checks.flag("drafts", drafts))
    ids = tuple(bead["id"] for bead in shown)
    first = ids[-1] if at is None else checks.choice("at", at, ids)
    options = {"beads": shown, "at": first, "against": checks.choice("against", against, AGAINST)}
    if not checks.flag("paid", paid):
        options["beads"] = [
            {name: said for name, said in bead.items() if name not in ("gains", "pays")} for bead in shown
        ]
    return History("history", NO_WORLD, options=options)
