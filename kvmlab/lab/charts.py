"""Charts that are built once and updated in place: what never moves is drawn once and kept, data is drawn over it.

The figures in `plots` are made for reading: every bar carries its name, and axes fit the data. A chart is made for
moving: bars stand still, axes change in steps, and the legend is drawn once. So the two share their styles, but not
their drawing.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from kvmlab.lab.measures import exit_rate, thousandths_taken
from kvmlab.lab.style import INK, LINES, LIVE_DPI, LIVE_FONT, SMALL, style_of
from kvmlab.model.names import EXITS, PLACES
from kvmlab.results.run import Run

REASONS = ("MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT", "PAUSE_INSTRUCTION", "EPT_MISCONFIG")
"""The exits in the order of the bars: what the timer costs comes first."""
assert set(REASONS) == set(EXITS)
LOWEST_US = 0.1
"""Where the axis of latencies begins."""

A = TypeVar("A", bound=Artist)
P = TypeVar("P", bound="Piece")
Values = Mapping[tuple[str, str], float]
"""The length of each bar by category and revision."""


def nice_limit(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, ... that is not below `value`, so that an axis changes seldom.

    >>> nice_limit(3), nice_limit(20), nice_limit(0)
    (5.0, 20.0, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-12))


class Piece:
    """One set of axes and its moving artists."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.moving: list[Artist] = []
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=LIVE_FONT, colors=INK)

    def add(self, artist: A) -> A:
        """Take over an artist that moves."""
        artist.set_animated(True)
        self.moving.append(artist)
        return artist

    def update(self, runs: Mapping[str, Run]) -> bool:
        """Show `runs`; return True if something has changed that does not move, such as the numbers at an axis."""
        raise NotImplementedError


class Bars(Piece):
    """Horizontal bars, a group per category and a bar per revision, each with its value written beside it."""

    gap: ClassVar[float] = 0.01
    """Between the end of a bar and its value, as a share of the axis."""
    zero: ClassVar[str] = ""
    """What is written where there is no bar."""

    def __init__(self, axes: Axes, categories: Sequence[str], names: Sequence[str], title: str, unit: str) -> None:
        super().__init__(axes)
        self.categories, self.names, self.limit = categories, names, 0.0
        self.bars: dict[tuple[str, str], Rectangle] = {}
        self.texts: dict[tuple[str, str], Text] = {}
        thick = 0.8 / len(names)
        for k, name in enumerate(names):
            for i, category in enumerate(categories):
                self.add_bar((category, name), i - 0.4 + (k + 0.5) * thick, thick * 0.9)
        axes.set_yticks(range(len(categories)), categories)
        axes.set_ylim(len(categories) - 0.5, -0.5)
        axes.set_xlabel(unit, fontsize=LIVE_FONT, color=INK)
        axes.set_title(title, fontsize=LIVE_FONT + 0.5, color=INK, loc="left")

    def add_bar(self, key: tuple[str, str], y: float, thick: float) -> None:
        """Add the bar of a category and revision, and its text."""
        style = style_of(key[1])
        bar = self.axes.barh(y, 0, thick, color=style.color, hatch=style.hatch, edgecolor="white")[0]
        self.bars[key] = self.add(bar)
        self.texts[key] = self.add(self.axes.text(0, y, "", va="center", fontsize=LIVE_FONT - 1.5, color=INK))

    def values(self, runs: Mapping[str, Run]) -> Values:
        """Return the length of each bar."""
        raise NotImplementedError

    def text(self, value: float) -> str:
        """Return what is written beside a bar."""
        return f"{value:,.0f}"

    def axis_limit(self, values: Values) -> float:
        """Return how far the axis reaches: room for the number beside the longest bar."""
        return nice_limit(1.12 * max(values.values(), default=1.0))

    def axis_start(self, limit: float) -> float:
        """Return where an axis that reaches to `limit` begins."""
        return 0.0

    def update(self, runs: Mapping[str, Run]) -> bool:
        values = self.values(runs)
        limit = self.axis_limit(values)
        for key, value in values.items():
            self.bars[key].set_width(value)
            self.bars[key].set_visible(abs(value) > 0)
            self.texts[key].set_text(self.text(value) if value else self.zero)
            self.texts[key].set_x(value + math.copysign(limit * self.gap, value))
            self.texts[key].set_horizontalalignment("right" if value < 0 else "left")
        changed, self.limit = limit != self.limit, limit
        if changed:
            self.axes.set_xlim(self.axis_start(limit), limit)
        return changed


class ExitBars(Bars):
    """Exits by reason and revision, per vCPU and second."""

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes, REASONS, names, "VM exits (simulated)", "exits a second and vCPU")

    def values(self, runs: Mapping[str, Run]) -> Values:
        return {(reason, name): exit_rate(run, reason) for name, run in runs.items() for reason in REASONS}


class PlaceBars(Bars):
    """Share of expiries by place and revision."""

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes, PLACES[:5], names, "Where timers fired (simulated)", "share of expiries, %")

    def values(self, runs: Mapping[str, Run]) -> Values:
        share = {name: run.placement["share"] for name, run in runs.items()}
        return {(place, name): 100 * float(share[name][place]) for name in runs for place in self.categories}

    def text(self, value: float) -> str:
        return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"

    def axis_limit(self, values: Values) -> float:
        return 115.0


class DisturbanceBars(Bars):
    """What share of the guests' time exits take, and the longest time a guest stood still."""

    SHARE, GAP = "time taken, 1/1000", "longest gap, us"

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes, (self.SHARE, self.GAP), names, "Disturbance (simulated)", "1/1000 of the time, or us")

    def values(self, runs: Mapping[str, Run]) -> Values:
        values = {}
        for name, run in runs.items():
            values[self.SHARE, name] = thousandths_taken(run)
            values[self.GAP, name] = float(run.disturbance["longest_gap_us"].max())
        return values

    def text(self, value: float) -> str:
        return f"{value:.3g}"


class LoadBars(Bars):
    """How much of each housekeeping CPU's time LAPIC timers take."""

    def __init__(self, axes: Axes, names: Sequence[str], cpus: int) -> None:
        labels = [f"CPU {i}" for i in range(cpus)]
        super().__init__(
            axes, labels, names, "Housekeeping CPUs (simulated)", "share of its time spent on guests' timers, %"
        )

    def values(self, runs: Mapping[str, Run]) -> Values:
        values = dict.fromkeys(self.bars, 0.0)
        for name, run in runs.items():
            for cpu, share in list(run.housekeeping["share_of_time"].items())[: len(self.categories)]:
                values[f"CPU {cpu}", name] = 100 * float(share)
        return values

    def text(self, value: float) -> str:
        return f"{value:.2f} %"


class Ledger(Bars):
    """The exit ledger between two revisions: what the second adds and what it saves, by reason, and the sum."""

    gap = 0.02
    zero = "0"
    NAME, SUM = "difference", "sum"

    def __init__(self, axes: Axes) -> None:
        rows = (*REASONS, self.SUM)
        super().__init__(axes, rows, [self.NAME], "Second less first (simulated)", "exits a second and vCPU")
        axes.axvline(0, color=INK, linewidth=1)

    def values(self, runs: Mapping[str, Run]) -> Values:
        """Return the differences between the first and the second of `runs`."""
        first, second = runs.values()
        change = {reason: exit_rate(second, reason) - exit_rate(first, reason) for reason in REASONS}
        return {(row, self.NAME): value for row, value in {**change, self.SUM: sum(change.values())}.items()}

    def text(self, value: float) -> str:
        return f"{value:+,.0f}"

    def axis_limit(self, values: Values) -> float:
        return nice_limit(1.25 * max(map(abs, values.values()), default=1.0))

    def axis_start(self, limit: float) -> float:
        return -limit


class Latencies(Piece):
    """What share of timer interrupts come later than any time: a curve per revision, two percentiles marked."""

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes)
        axes.set(xscale="log", yscale="log", xlim=(LOWEST_US, 2000), ylim=(1e-5, 1.5))
        axes.set_xlabel("deadline → guest's handler, us", fontsize=LIVE_FONT, color=INK)
        axes.set_ylabel("share of interrupts that come later", fontsize=LIVE_FONT, color=INK)
        axes.set_title("Latency (simulated): 50, 99 % marked", fontsize=LIVE_FONT + 0.5, color=INK, loc="left")
        axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        self.lines: dict[str, Line2D] = {}
        self.marks: dict[str, Line2D] = {}
        looks = dict(zip(names, (LINES[k % len(LINES)] for k in range(len(names))), strict=True))
        for name, line in looks.items():
            color, marker, _ = style_of(name)
            look: Any = {"color": color, "linestyle": line, "linewidth": 2.2}
            self.lines[name] = self.add(axes.step([], [], where="post", **look)[0])
            mark: Any = {"color": color, "markersize": 10, "markeredgecolor": "white"}
            self.marks[name] = self.add(axes.plot([], [], marker, **mark)[0])
        keys = [
            axes.plot([], [], style_of(name).marker, color=style_of(name).color, linestyle=line)[0]
            for name, line in looks.items()
        ]
        axes.legend(keys, names, fontsize=LIVE_FONT - 1, loc="upper right", frameon=True)

    def update(self, runs: Mapping[str, Run]) -> bool:
        for name, run in runs.items():
            histogram = run.latency_histogram
            count = histogram["count"].to_numpy(float)
            total = max(1.0, count.sum())
            us = np.maximum(histogram["high_ns"].to_numpy(float) / 1e3, LOWEST_US)
            later = np.append(1.0, 1 - np.cumsum(count)[:-1] / total) if len(count) else np.array([])
            self.lines[name].set_data(us, later)
            marks = [run.latency_percentile(0.5) / 1e3, run.latency_percentile(0.99) / 1e3] if len(count) else []
            self.marks[name].set_data(np.maximum(marks, LOWEST_US), [0.5, 0.01][: len(marks)])
        return False


class Chart:
    """A figure of one or more pieces; `png` draws the runs over what it has kept and returns a data URL."""

    def __init__(self, width: float, height: float) -> None:
        """Make an empty chart of this size in inches of LIVE_DPI pixels."""
        self.figure = Figure((width, height), dpi=LIVE_DPI, facecolor="white")
        self.canvas: Any = FigureCanvasAgg(self.figure)  # partly untyped
        self.pieces: list[Piece] = []
        self.background: Any = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.canvas.get_width_height()
        return int(width), int(height)

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes at a fixed place, in shares of the figure, so that no layout is computed when something moves."""
        return self.figure.add_axes((left, bottom, width, height))

    def add(self, piece: P) -> P:
        """Add a piece, which is drawn over those before."""
        self.pieces.append(piece)
        return piece

    def name_revisions(self, bars: Bars) -> None:
        """Draw the legend of some bars, once for the whole chart."""
        handles = [bars.bars[bars.categories[0], name] for name in bars.names]
        look: Any = {"loc": "upper right", "fontsize": SMALL, "frameon": False}
        self.figure.legend(handles, bars.names, ncols=len(bars.names), **look)

    def png(self, runs: Mapping[str, Run]) -> str:
        """Return the chart of `runs` as a PNG in a data URL."""
        changed = [piece.update(runs) for piece in self.pieces]
        if self.background is None or any(changed):
            self.canvas.draw()
            self.background = self.canvas.copy_from_bbox(self.figure.bbox)
        self.canvas.restore_region(self.background)
        for piece in self.pieces:
            for artist in piece.moving:
                self.figure.draw_artist(artist)
        image = Image.frombuffer("RGBA", self.size, bytes(self.canvas.buffer_rgba()), "raw", "RGBA", 0, 1)
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG", compress_level=1)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
