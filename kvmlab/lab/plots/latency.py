"""How late timer interrupts come, and how long the longest exit takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.ticker import FuncFormatter

from kvmlab.lab.plots.picture import (
    ORIGINS,
    PURPLE,
    REVISIONS,
    SMALL,
    TEXT,
    Picture,
    log_us,
    microseconds,
    new_figure,
    style_of,
)
from kvmlab.scenario.published import PublishedRow, fit, predicted_max

if TYPE_CHECKING:
    from kvmlab.results.run import Run


@matplotlib.rc_context(TEXT)
def latencies(runs: Mapping[str, Run], *, title: str) -> Picture:
    """How many timer interrupts came later than so and so much, both axes logarithmic; p50, p99 and max are marked."""
    figure = new_figure()
    axes = figure.subplots()
    said = []
    for name, run in runs.items():
        style, bins = style_of(name), run.latency_histogram
        total = bins["count"].sum()
        later = 1 - bins["count"].cumsum() / total
        middle = (bins["low_ns"] + bins["high_ns"] - 1) / 2e3
        x, y = [float(middle.iloc[0]) * 0.98, *middle], [1.0, *np.maximum(later, 0.7 / total)]
        axes.plot(x, y, color=style.color, linewidth=2.5, drawstyle="steps-post")
        marks = latency_marks(run)
        for (mark, ns), share in zip(marks.items(), (0.5, 0.01, 1 / total), strict=True):
            axes.plot(ns / 1e3, share, style.marker, color=style.color, markersize=10, markeredgecolor="black")
            text = f"{name}  {mark} {microseconds(ns)}"
            put: Any = {"xytext": (-10, -17), "ha": "right"} if put_left(runs, name, mark) else {"xytext": (10, -5)}
            axes.annotate(text, (ns / 1e3, share), textcoords="offset points", fontsize=SMALL, **put)
        said.append(f"{name}: " + ", ".join(f"{mark} {microseconds(ns)}" for mark, ns in marks.items()))
    log_us(axes)
    axes.set_yscale("log")
    axes.set_ylim(top=2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}%"))
    low, high = axes.get_xlim()
    axes.set_xlim(low / 7, high * 6)
    axes.set_xlabel("latency: deadline to guest handler, us, simulated")
    axes.set_ylabel("share of interrupts that came later")
    axes.set_title(title)
    return Picture(figure, f"Curves that fall to the right, simulated. {title}. {'; '.join(said)}.")


def latency_marks(run: Run) -> dict[str, float]:
    """The latencies in ns that are marked: p50, p99 and the largest."""
    largest = float(run.latency["max"].max())
    return {"p50": run.latency_percentile(0.5), "p99": run.latency_percentile(0.99), "max": largest}


def put_left(runs: Mapping[str, Run], name: str, mark: str) -> bool:
    """Tell whether this run has the shortest of several latencies, so that its label goes to the left."""
    shortest = min(runs, key=lambda other: latency_marks(runs[other])[mark])
    return len(runs) > 1 and name == shortest


@matplotlib.rc_context(TEXT)
def longest_exit(rows: Iterable[PublishedRow], *, guesses_us: Mapping[str, float] | None = None) -> Picture:
    """Where the longest exit of each published row was to be expected, from the row's other columns; and where it was.

    `guesses_us`: the reader's own, by side ("before", "after").
    """
    rows = list(rows)
    figure = new_figure(2.7 * len(rows) + 0.4)
    panels = np.atleast_1d(figure.subplots(len(rows), 1, sharex=True))
    said = []
    for axes, row in zip(panels, rows, strict=True):
        longest = predicted_max(fit(row), row.samples)
        style = REVISIONS["before" if row.side == "before" else "rev1"]
        edges = np.geomspace(10, 1000, 400)
        below = np.array([longest.percentile_of(us * 1000) for us in edges])
        density = np.diff(below)
        middle = np.sqrt(edges[1:] * edges[:-1])
        axes.fill_between(middle, density, color=style.color, alpha=0.6, hatch=style.hatch, edgecolor="black")
        top = float(density.max())
        percentile = longest.percentile_of(row.max_us * 1000)
        median = longest.median / 1e3
        for x, text, marker, align in (
            (row.max_us, f"published {row.max_us:.2f} us:\n{percentile:.0f}th percentile ", "*", "right"),
            (median, f" predicted median\n {median:.0f} us", "d", "left"),
        ):
            axes.plot([x, x], [0, 1.12 * top], color="black", linewidth=1.5)
            axes.plot(x, 1.12 * top, marker, color="black", markersize=13 if marker == "*" else 8)
            shift = -9 if align == "right" else 7
            place: Any = {"ha": align, "va": "top", "fontsize": SMALL}
            axes.annotate(text, (x, 1.28 * top), (shift, 0), textcoords="offset points", **place)
        if guesses_us and row.side in guesses_us:
            guess = guesses_us[row.side]
            axes.plot(guess, 0.06 * top, ORIGINS["yours"], color=PURPLE, markersize=13, markeredgecolor="black")
            axes.annotate(f"yours: {guess:g} us", (guess, 0.06 * top), (10, 0), textcoords="offset points")
            axes.set_xlim(min(10, guess * 0.9), max(1000, guess * 1.4))
        axes.set_ylim(0, 1.35 * top)
        axes.set_yticks([])
        axes.set_title(f"{row.side} the patch: the longest of {row.samples:,} EXTERNAL_INTERRUPT exits")
        said.append(
            f"{row.side}: predicted median {median:.0f} us, published {row.max_us:.2f} us, at the {percentile:.0f}th"
            " percentile of the prediction"
        )
        log_us(axes)
    panels[-1].set_xlabel("longest exit, us (shaded: predicted from Samples, Min, Avg and +- of the published row)")
    return Picture(figure, "Humps of probability on a logarithmic axis of time, one for each row. " + "; ".join(said))
