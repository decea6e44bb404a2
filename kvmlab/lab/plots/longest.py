"""How long the longest exit takes: predicted from the other columns of a published row, and published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from kvmlab.lab.plots.picture import RC, Picture, log_us, new_figure
from kvmlab.lab.style import ORIGINS, PURPLE, REVISIONS, SMALL, Style
from kvmlab.scenario.published import MaxOfDraws, PublishedRow, fit, predicted_max

NARROW_US = (10.0, 1000.0)
"""What the axis of time shows, unless a guess lies outside."""


class Mark(NamedTuple):
    """One time that is marked on a hump."""

    us: float
    text: str
    marker: str
    size: int
    align: str
    shift: int
    """Of the text from the mark, in points."""


@matplotlib.rc_context(RC)
def longest_exit(rows: Iterable[PublishedRow], *, guesses_us: Mapping[str, float] | None = None) -> Picture:
    """Draw where the longest exit of each published row was to be expected, and where it was.

    `rows`: as `kvmlab.costs.published_table` returns them; what was to be expected follows from a row's Samples, Min,
    Avg and +-. `guesses_us`: the reader's own, by side ("before", "after"), in us.

    >>> from kvmlab import costs, plots
    >>> picture = plots.longest_exit(costs.published_table(), guesses_us={"before": 50})
    """
    rows = list(rows)
    figure = new_figure(2.7 * len(rows) + 0.4)
    panels = np.atleast_1d(figure.subplots(len(rows), 1, sharex=True))
    said = []
    for axes, row in zip(panels, rows, strict=True):
        longest = predicted_max(fit(row), row.samples)
        median, percentile = longest.median / 1e3, longest.percentile_of(row.max_us * 1000)
        top = draw_hump(axes, longest, REVISIONS["before" if row.side == "before" else "rev1"])
        published = f"published {row.max_us:.2f} µs:\n{percentile:.0f}th percentile "
        draw_mark(axes, Mark(row.max_us, published, "*", 13, "right", -9), top)
        draw_mark(axes, Mark(median, f" predicted median\n {median:.0f} µs", "d", 8, "left", 7), top)
        if guesses_us and row.side in guesses_us:
            draw_guess(axes, guesses_us[row.side], top)
        axes.set_ylim(0, 1.35 * top)
        axes.set_yticks([])
        axes.set_title(f"{row.side} the patch: the longest of {row.samples:,} EXTERNAL_INTERRUPT exits")
        log_us(axes)
        said.append(
            f"{row.side}: predicted median {median:.0f} µs, published {row.max_us:.2f} µs, at the {percentile:.0f}th"
            " percentile of the prediction"
        )
    panels[-1].set_xlabel("longest exit, µs (shaded: predicted from Samples, Min, Avg and +- of the published row)")
    return Picture(figure, "Humps of probability on a logarithmic axis of time, one for each row. " + "; ".join(said))


def draw_hump(axes: Axes, longest: MaxOfDraws, style: Style) -> float:
    """Draw how probable each length of the longest exit is; return the height of the hump."""
    edges = np.geomspace(*NARROW_US, 400)
    below = np.array([longest.percentile_of(us * 1000) for us in edges])
    density = np.diff(below)
    middle = np.sqrt(edges[1:] * edges[:-1])
    axes.fill_between(middle, density, color=style.color, alpha=0.6, hatch=style.hatch, edgecolor="black")
    return float(density.max())


def draw_mark(axes: Axes, mark: Mark, top: float) -> None:
    """Mark a time on a hump that is `top` high."""
    axes.plot([mark.us, mark.us], [0, 1.12 * top], color="black", linewidth=1.5)
    axes.plot(mark.us, 1.12 * top, mark.marker, color="black", markersize=mark.size)
    at, shift = (mark.us, 1.28 * top), (mark.shift, 0)
    axes.annotate(mark.text, at, shift, textcoords="offset points", ha=mark.align, va="top", fontsize=SMALL)


def draw_guess(axes: Axes, guess_us: float, top: float) -> None:
    """Mark the reader's guess on a hump that is `top` high."""
    axes.plot(guess_us, 0.06 * top, ORIGINS["yours"], color=PURPLE, markersize=13, markeredgecolor="black")
    axes.annotate(f"yours: {guess_us:g} µs", (guess_us, 0.06 * top), (10, 0), textcoords="offset points")
    axes.set_xlim(min(NARROW_US[0], guess_us * 0.9), max(NARROW_US[1], guess_us * 1.4))
