"""How late timer interrupts come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from kvmlab.lab.plots.picture import RC, Picture, log_us, new_figure
from kvmlab.lab.style import SMALL, style_of
from kvmlab.lab.words import microseconds

if TYPE_CHECKING:
    from kvmlab.results.run import Run

LINES = ("-", "--", ":")
"""How the curves of runs are drawn that have the same style: the first, the second, the third."""


@matplotlib.rc_context(RC)
def latencies(runs: Mapping[str, Run], *, title: str) -> Picture:
    """Draw, per run, what share of timer interrupts came later than any time; p50, p99 and the largest are marked.

    `runs`: by name of kernel or policy; each has at least one timer interrupt. `title`: above the figure. Both axes are
    logarithmic; x is the latency from deadline to guest handler in us.

    >>> import kvmlab as kl
    >>> from kvmlab import plots
    >>> runs = {name: kl.simulate(kl.three_guests(name, duration_s=0.1)) for name in ("v5.2", "v5.3")}
    >>> picture = plots.latencies(runs, title="How late?")
    """
    figure = new_figure()
    axes = figure.subplots()
    marks = {name: latency_marks(run) for name, run in runs.items()}
    lines: dict[str, str] = {}
    for name, run in runs.items():
        lines[name] = LINES[[style_of(other) for other in lines].count(style_of(name)) % len(LINES)]
        draw_curve(axes, run, name, lines[name])
        draw_marks(axes, marks, name, total=int(run.latency_histogram["count"].sum()))
    log_us(axes)
    axes.set_yscale("log")
    axes.set_ylim(top=2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}%"))
    low, high = axes.get_xlim()
    axes.set_xlim(low / 7, high * 6)
    axes.set_xlabel("latency: deadline to guest handler, µs, simulated")
    axes.set_ylabel("share of interrupts that came later")
    axes.set_title(title)
    said = [f"{name}: " + ", ".join(f"{mark} {microseconds(ns)}" for mark, ns in marks[name].items()) for name in runs]
    return Picture(figure, f"Curves that fall to the right, simulated. {title}. {'; '.join(said)}.")


def latency_marks(run: Run) -> dict[str, float]:
    """Return the latencies in ns that are marked: p50, p99 and the largest."""
    largest = float(run.latency["max"].max())
    return {"p50": run.latency_percentile(0.5), "p99": run.latency_percentile(0.99), "max": largest}


def draw_curve(axes: Axes, run: Run, name: str, line: str) -> None:
    """Draw one run's curve, each bin of its histogram at its middle."""
    bins = run.latency_histogram
    total = bins["count"].sum()
    later = 1 - bins["count"].cumsum() / total
    middle = (bins["low_ns"] + bins["high_ns"] - 1) / 2e3
    x, y = [float(middle.iloc[0]) * 0.98, *middle], [1.0, *np.maximum(later, 0.7 / total)]
    axes.plot(x, y, color=style_of(name).color, linewidth=2.5, linestyle=line, drawstyle="steps-post")


def draw_marks(axes: Axes, marks: Mapping[str, Mapping[str, float]], name: str, total: int) -> None:
    """Mark and label the latencies of one run, which has `total` of them."""
    style = style_of(name)
    for (mark, ns), share in zip(marks[name].items(), (0.5, 0.01, 1 / total), strict=True):
        axes.plot(ns / 1e3, share, style.marker, color=style.color, markersize=10, markeredgecolor="black")
        text = f"{name}  {mark} {microseconds(ns)}"
        put: Any = {"xytext": (-10, -17), "ha": "right"} if put_left(marks, name, mark) else {"xytext": (10, -5)}
        axes.annotate(text, (ns / 1e3, share), textcoords="offset points", fontsize=SMALL, **put)


def put_left(marks: Mapping[str, Mapping[str, float]], name: str, mark: str) -> bool:
    """Return True if this run has the shortest of several latencies, so that its label goes to the left."""
    return len(marks) > 1 and name == min(marks, key=lambda other: marks[other][mark])
