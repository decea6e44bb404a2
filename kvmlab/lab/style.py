"""How everything is drawn: one colour, one marker and one hatch per revision, and the sizes of texts and pictures.

The colours are Okabe and Ito's palette, which colour-blind readers can tell apart; and colour is never alone.
"""

from __future__ import annotations

from typing import NamedTuple

from kvmlab.kernels import KERNELS

INK = "#1a1a1a"
BLUE, VERMILION, GREEN, DIM = "#0072B2", "#D55E00", "#009E73", "#666666"
"""The colours of the revisions."""
ORANGE, SKY, YELLOW, PURPLE = "#E69F00", "#56B4E9", "#F0E442", "#CC79A7"
GREY, PALE = "#999999", "#E4E4E4"
"""What the palette has left when the revisions have got their colours, and two greys."""
ADDED, REMOVED = "#dff3e4", "#f9e1dc"
"""The ground of added and of removed lines."""

SIZE = (9.0, 5.0)
"""Width and height of a figure in inches."""
DPI = 110
FONT = 13
"""Points: readable from the back of a lecture room at `SIZE`."""
SMALL = 12
"""Points: no text of a figure is smaller."""


class Style(NamedTuple):
    """How something is drawn: matplotlib's names of a colour, a marker and a hatch."""

    color: str
    marker: str
    hatch: str


REVISIONS = {
    "before": Style(DIM, "o", ""),
    "rev1": Style(BLUE, "s", "//"),
    "rev2": Style(VERMILION, "^", ".."),
    "rev3": Style(GREEN, "D", "xx"),
    "yours": Style(PURPLE, "P", "++"),
}
"""The revisions, and what is none of them."""
KERNEL_REVISIONS = {name: kernel.policy.__name__ for name, kernel in KERNELS.items()}
"""The revision that each kernel of the course holds."""
SPANS = {
    "guest": Style(PALE, "", ""),
    "MSR_WRITE": Style(SKY, "", "//"),
    "EXTERNAL_INTERRUPT": Style(ORANGE, "", "xx"),
    "PREEMPTION_TIMER": Style(PURPLE, "", "\\\\"),
    "HLT": Style(GREY, "", ".."),
    "hrtimer": Style(YELLOW, "", "--"),
}
"""What a timeline shows; other exits look like HLT."""
ANSWERS = {"post": Style(SKY, "", ""), "hv timer": Style(PURPLE, "", ""), "hrtimer": Style(PALE, "", "")}
"""What a policy leads to, on a host that has the preemption timer."""
COUNTERS = {
    "exits": Style(SKY, "o", ""),
    "irq_exits": Style(ORANGE, "^", "//"),
    "halt_exits": Style(PURPLE, "s", "xx"),
}
"""KVM's own counters."""
ORIGINS = {"published": "*", "recorded": "X", "simulated": "o", "yours": "P"}
"""Where a number comes from, and its marker."""


def revision(name: str) -> str:
    """Return the revision that a kernel, a policy or a recording's name stands for; "yours" if there is none.

    >>> revision("v5.13"), revision("6.1.176 rev1"), revision("my_policy")
    ('rev1', 'rev1', 'yours')
    """
    if name in KERNEL_REVISIONS:
        return KERNEL_REVISIONS[name]
    words = name.replace("+", " ").split()
    return next((word for word in words if word in REVISIONS), "yours")


def style_of(name: str) -> Style:
    """Return the style of the revision that `name` stands for (see `revision`).

    >>> style_of("v5.13").marker
    's'
    """
    return REVISIONS[revision(name)]
