"""Charts that are built once and updated in place: what never moves is drawn once and kept, data is drawn over it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from kvmlab.lab.plots import style_of
from kvmlab.model.machine import EXITS, PLACES
from kvmlab.results.run import Run

DPI = 80
TEXT = 12.5
INK = "#1a1a1a"
LINES = ("-", "--", "-.", ":")
REASONS = ("MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT", "PAUSE_INSTRUCTION", "EPT_MISCONFIG")
assert set(REASONS) == set(EXITS)


def nice_limit(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... that is not below `value`, so that an axis changes seldom."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-12))


class Piece:
    """One set of axes: its moving artists, and whether its ticks must be drawn anew."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.moving: list[Artist] = []
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=TEXT, colors=INK)

    def add(self, artist: Any) -> Any:
        """Take over an artist that moves."""
        artist.set_animated(True)
        self.moving.append(artist)
        return artist

    def update(self, runs: Mapping[str, Run]) -> bool:
        """Show `runs`; tell whether what does not move has changed too."""
        raise NotImplementedError


class Bars(Piece):
    """Horizontal bars, a group a category and a bar a revision, each with its value written beside it."""

    def __init__(self, axes: Axes, categories: Sequence[str], names: Sequence[str], title: str, unit: str) -> None:
        super().__init__(axes)
        self.categories, self.names, self.limit = categories, names, 0.0
        thick = 0.8 / len(names)
        self.bars, self.texts = {}, {}
        for k, name in enumerate(names):
            for i, category in enumerate(categories):
                y = i - 0.4 + (k + 0.5) * thick
                bar = axes.barh(
                    y, 0, thick * 0.9, color=style_of(name).color, hatch=style_of(name).hatch, edgecolor="white"
                )[0]
                self.bars[category, name] = self.add(bar)
                self.texts[category, name] = self.add(axes.text(0, y, "", va="center", fontsize=TEXT - 1.5, color=INK))
        axes.set_yticks(range(len(categories)), categories)
        axes.set_ylim(len(categories) - 0.5, -0.5)
        axes.set_xlabel(unit, fontsize=TEXT, color=INK)
        axes.set_title(title, fontsize=TEXT + 0.5, color=INK, loc="left")

    def values(self, runs: Mapping[str, Run]) -> dict[tuple[str, str], float]:
        """The length of each bar by (category, revision)."""
        raise NotImplementedError

    def text(self, value: float) -> str:
        """What is written beside a bar."""
        return f"{value:,.0f}"

    def update(self, runs: Mapping[str, Run]) -> bool:
        values = self.values(runs)
        limit = self.axis_limit(values)
        for key, value in values.items():
            self.bars[key].set_width(value)
            self.bars[key].set_visible(value > 0)
            self.texts[key].set_text(self.text(value) if value else "")
            self.texts[key].set_x(value + limit * 0.01)
        changed, self.limit = limit != self.limit, limit
        if changed:
            self.axes.set_xlim(0, limit)
        return changed

    def axis_limit(self, values: Mapping[tuple[str, str], float]) -> float:
        """How far the axis reaches: room for the number beside the longest bar."""
        return nice_limit(1.12 * max(values.values(), default=1.0))


class ExitBars(Bars):
    """Exits by reason and revision, a second and vCPU."""

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes, REASONS, names, "VM exits (simulated)", "exits a second and vCPU")

    def values(self, runs: Mapping[str, Run]) -> dict[tuple[str, str], float]:
        return {(reason, name): exit_rate(run, reason) for name, run in runs.items() for reason in REASONS}


class PlaceBars(Bars):
    """Share of expiries by place and revision."""

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes, PLACES[:5], names, "Where timers fired (simulated)", "share of expiries, %")

    def values(self, runs: Mapping[str, Run]) -> dict[tuple[str, str], float]:
        share = {name: run.placement["share"] for name, run in runs.items()}
        return {(place, name): 100 * float(share[name][place]) for name in runs for place in PLACES[:5]}

    def text(self, value: float) -> str:
        return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"

    def axis_limit(self, values: Mapping[tuple[str, str], float]) -> float:
        return 115.0


class DisturbanceBars(Bars):
    """What share of the guests' time exits take, and the longest time a guest stood still."""

    SHARE, GAP = "time taken, 1/1000", "longest gap, us"

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes, (self.SHARE, self.GAP), names, "Disturbance (simulated)", "1/1000 of the time, or us")

    def values(self, runs: Mapping[str, Run]) -> dict[tuple[str, str], float]:
        values = {}
        for name, run in runs.items():
            values[self.SHARE, name] = 1000 * float(run.disturbance["share_taken"].mean())
            values[self.GAP, name] = float(run.disturbance["longest_gap_us"].max())
        return values

    def text(self, value: float) -> str:
        return f"{value:.3g}"


class LoadBars(Bars):
    """How much of each housekeeping CPU's time LAPIC timers take."""

    def __init__(self, axes: Axes, names: Sequence[str], cpus: int) -> None:
        self.cpus = cpus
        labels = [f"CPU {i}" for i in range(cpus)]
        super().__init__(
            axes, labels, names, "Housekeeping CPUs (simulated)", "share of its time spent on guests' timers, %"
        )

    def values(self, runs: Mapping[str, Run]) -> dict[tuple[str, str], float]:
        values = dict.fromkeys(self.bars, 0.0)
        for name, run in runs.items():
            for cpu, share in list(run.housekeeping["share_of_time"].items())[: self.cpus]:
                values[f"CPU {cpu}", name] = 100 * float(share)
        return values

    def text(self, value: float) -> str:
        return f"{value:.2f} %"


class Ledger(Bars):
    """The exit ledger between two revisions: what the second adds and what it saves, by reason, and the sum."""

    def __init__(self, axes: Axes) -> None:
        self.rows = (*REASONS, "sum")
        super().__init__(axes, self.rows, ["difference"], "Second less first (simulated)", "exits a second and vCPU")
        axes.axvline(0, color=INK, linewidth=1)

    def values(self, runs: Mapping[str, Run]) -> dict[tuple[str, str], float]:
        first, second = list(runs.values())
        change = {reason: exit_rate(second, reason) - exit_rate(first, reason) for reason in REASONS}
        return {(row, "difference"): change.get(row, sum(change.values())) for row in self.rows}

    def text(self, value: float) -> str:
        return f"{value:+,.0f}"

    def update(self, runs: Mapping[str, Run]) -> bool:
        values = self.values(runs)
        limit = nice_limit(1.25 * max(map(abs, values.values()), default=1.0))
        for key, value in values.items():
            self.bars[key].set_width(value)
            self.bars[key].set_visible(value != 0)
            self.texts[key].set_text(self.text(value) if value else "0")
            self.texts[key].set_x(value + math.copysign(limit * 0.02, value))
            self.texts[key].set_horizontalalignment("right" if value < 0 else "left")
        changed, self.limit = limit != self.limit, limit
        if changed:
            self.axes.set_xlim(-limit, limit)
        return changed


class Latencies(Piece):
    """How many timer interrupts come later than so much: one curve a revision, its 99th percentile marked."""

    def __init__(self, axes: Axes, names: Sequence[str]) -> None:
        super().__init__(axes)
        axes.set(xscale="log", yscale="log", xlim=(0.1, 2000), ylim=(1e-5, 1.5))
        axes.set_xlabel("deadline → guest's handler, us", fontsize=TEXT, color=INK)
        axes.set_ylabel("share of interrupts that come later", fontsize=TEXT, color=INK)
        axes.set_title("Latency (simulated): 50, 99 % marked", fontsize=TEXT + 0.5, color=INK, loc="left")
        axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        self.lines, self.marks = {}, {}
        for k, name in enumerate(names):
            style: dict[str, Any] = {"color": style_of(name).color, "linewidth": 2.2, "linestyle": LINES[k % 4]}
            self.lines[name] = self.add(axes.step([], [], where="post", **style)[0])
            self.marks[name] = self.add(
                axes.plot(
                    [], [], style_of(name).marker, color=style_of(name).color, markersize=10, markeredgecolor="white"
                )[0]
            )
        self.legend = axes.legend(
            [
                axes.plot([], [], style_of(n).marker, color=style_of(n).color, linestyle=LINES[k % 4])[0]
                for k, n in enumerate(names)
            ],
            names,
            fontsize=TEXT - 1,
            loc="upper right",
            frameon=True,
        )

    def update(self, runs: Mapping[str, Run]) -> bool:
        for name, run in runs.items():
            histogram = run.latency_histogram
            count = histogram["count"].to_numpy(float)
            total = max(1.0, count.sum())
            us = np.maximum(histogram["high_ns"].to_numpy(float) / 1e3, 0.1)
            later = np.append(1.0, 1 - np.cumsum(count)[:-1] / total) if len(count) else np.array([])
            self.lines[name].set_data(us, later)
            marks = [run.latency_percentile(0.5) / 1e3, run.latency_percentile(0.99) / 1e3] if len(count) else []
            self.marks[name].set_data(np.maximum(marks, 0.1), [0.5, 0.01][: len(marks)])
        return False


def exit_rate(run: Run, reason: str) -> float:
    """Exits of one reason, a second and vCPU."""
    count = run.exit_rows["count"][:, EXITS.index(reason)].sum()
    return float(count) / len(run.exit_rows) / (max(1, run.duration_ns) / 1e9)


class Chart:
    """A figure of one or more pieces; `png` draws the runs over what it has kept and returns a data URL."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure((width, height), dpi=DPI, facecolor="white")
        self.canvas: Any = FigureCanvasAgg(self.figure)  # partly untyped
        self.pieces: list[Piece] = []
        self.background: Any = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.canvas.get_width_height()
        return int(width), int(height)

    def png(self, runs: Mapping[str, Run]) -> str:
        """The chart of `runs` as a PNG in a data URL."""
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
