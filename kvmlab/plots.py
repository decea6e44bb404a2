"""Figures of the lessons: each is drawn once, and shows itself with a sentence that says what is to be seen.

One colour, one marker and one hatch a revision, in every figure (`REVISIONS`); every number says whether it is
published, recorded, simulated or the reader's own (`ORIGINS`). Nothing here touches pyplot or its global state.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from kvmlab.costs import PublishedRow, fit, predicted_max
from kvmlab.machine import EXITS
from kvmlab.policy import VcpuFacts
from kvmlab.style import COLOURS, HATCHES, INK, MARKERS

if TYPE_CHECKING:
    import pandas as pd

    from kvmlab.run import Run

SIZE = (9.0, 5.0)
"""Width and height of a figure in inches."""
FONT = 13
"""Points: readable from the back of a lecture room at `SIZE`."""
SMALL = 12
"""No text is smaller."""
DPI = 110

ORANGE, SKY, YELLOW, PURPLE = "#E69F00", "#56B4E9", "#F0E442", "#CC79A7"
GREY, PALE = "#999999", "#E4E4E4"
"""What Okabe and Ito's palette has left when the revisions have got their colours, and two greys."""


class Style(NamedTuple):
    """How something is drawn: colour is never alone."""

    color: str
    marker: str
    hatch: str


REVISIONS = {name: Style(COLOURS[name], MARKERS[name], HATCHES[name]) for name in COLOURS}
REVISIONS["yours"] = Style(PURPLE, "P", "++")
"""The revisions, and what is none of them."""
KERNEL_REVISIONS = {
    "v5.2": "before",
    "v5.3": "rev1",
    "v5.13": "rev1",
    "v5.15+rev2": "rev2",
    "v5.18": "rev3",
    "v6.18": "rev3",
}
SPANS = {
    "guest": Style(PALE, "", ""),
    "MSR_WRITE": Style(SKY, "", "//"),
    "EXTERNAL_INTERRUPT": Style(ORANGE, "", "xx"),
    "PREEMPTION_TIMER": Style(PURPLE, "", "\\\\"),
    "HLT": Style(GREY, "", ".."),
    "hrtimer": Style(YELLOW, "", "--"),
}
"""What a timeline shows; other exits look like HLT."""
ORIGINS = {"published": "*", "recorded": "X", "simulated": "o", "yours": "P"}
"""Where a number comes from, and its marker."""

TEXT: dict[Any, Any] = {
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "hatch.linewidth": 0.6,
    "font.family": "DejaVu Sans",
}


PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Behind a label that lies on something."""


class Picture:
    """A figure and the sentence that replaces it for whoever cannot see it."""

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    @functools.cached_property
    def png(self) -> bytes:
        """The figure as PNG of 256 colours, drawn once."""
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png", dpi=DPI)
        small = io.BytesIO()
        image = Image.open(drawn).convert("RGB")
        few = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette: Any = few.getpalette()
        paper: Any = few.getpixel((0, 0))
        palette[3 * paper : 3 * paper + 3] = [255, 255, 255]  # which the octree makes a light grey
        few.putpalette(palette)
        few.save(small, "png", optimize=True)
        return small.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the PNG to a file."""
        Path(path).write_bytes(self.png)

    def _repr_html_(self) -> str:
        # JupyterLab drops the alt text of image outputs, not that of HTML.
        data = base64.b64encode(self.png).decode()
        width = round(self.figure.get_size_inches()[0] * 100)
        style = "max-width:100%;height:auto;background:white"
        return (
            f'<img alt="{escape(self.alt, quote=True)}" width="{width}" style="{style}" '
            f'src="data:image/png;base64,{data}">'
        )

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def new_figure(height: float = SIZE[1]) -> Figure:
    """An empty figure, laid out when it is drawn."""
    return Figure(figsize=(SIZE[0], height), layout="constrained", facecolor="white")


def revision(name: str) -> str:
    """The revision that a kernel, a policy or a recording's name stands for; "yours" if none."""
    if name in KERNEL_REVISIONS:
        return KERNEL_REVISIONS[name]
    words = name.replace("+", " ").split()
    return next((word for word in words if word in REVISIONS), "yours")


def style_of(name: str) -> Style:
    """The style of the revision that `name` stands for."""
    return REVISIONS[revision(name)]


def names_of(items: Sequence[str]) -> str:
    """A list in words: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def microseconds(ns: float) -> str:
    """A time in ns as text in us, with about three digits."""
    us = ns / 1e3
    return f"{us:.0f} us" if us >= 100 else f"{us:.1f} us" if us >= 10 else f"{us:.2f} us"


def log_us(axes: Axes) -> None:
    """Plain numbers 1, 2, 5, 10, ... on a logarithmic x axis."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


# --- exits ------------------------------------------------------------------------------------------------------------


@matplotlib.rc_context(TEXT)
def exits_by_reason(table: pd.DataFrame, *, title: str, origin: str = "simulated", unit: str = "exits") -> Picture:
    """Exits by reason, a bar for each row of `table` (as `kvmlab.compare` makes it), labelled with its number."""
    reasons = [reason for reason in EXITS if reason in table and table[reason].any()]
    names = [str(name) for name in table.index]
    figure = new_figure(max(SIZE[1], 0.29 * len(reasons) * (len(names) + 0.8) + 1.2))
    axes = figure.subplots()
    step = len(names) + 0.8
    largest = max(1.0, float(table[reasons].to_numpy().max())) if reasons else 1.0
    for i, reason in enumerate(reasons):
        for j, name in enumerate(names):
            count, style = int(table[reason].iloc[j]), style_of(name)
            axes.barh(i * step + j, count, color=style.color, hatch=style.hatch, edgecolor="black", linewidth=0.6)
            axes.text(count + largest / 80, i * step + j, f"{name}: {count:,}", va="center", fontsize=SMALL)
    axes.set_yticks([i * step + (len(names) - 1) / 2 for i in range(len(reasons))], reasons)
    axes.invert_yaxis()
    axes.set_xlim(0, largest * 1.22)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.set_xlabel(f"{unit}, {origin}")
    axes.set_title(title)
    parts = [
        f"{reason}: " + ", ".join(f"{name} {int(n):,}" for name, n in zip(names, table[reason], strict=True))
        for reason in reasons
    ]
    return Picture(figure, f"Bars, {unit}, {origin}. {title}. " + "; ".join(parts) + ".")


# --- latency ----------------------------------------------------------------------------------------------------------


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


# --- the longest exit -------------------------------------------------------------------------------------------------


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


# --- recordings -------------------------------------------------------------------------------------------------------

COUNTERS = {
    "exits": Style(SKY, "o", ""),
    "irq_exits": Style(ORANGE, "^", "//"),
    "halt_exits": Style(PURPLE, "s", "xx"),
}


@matplotlib.rc_context(TEXT)
def recorded_against_predicted(table: pd.DataFrame, *, tolerance: int = 5) -> Picture:
    """KVM's counters as recorded and predicted (`kvmlab.check_recordings`): each pair, and how far they are apart."""
    figure = new_figure()
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    most = max(int(table[f"{name} {side}"].max()) for name in COUNTERS for side in ("recorded", "predicted"))
    left.plot([0, most], [0, most], color="black", linewidth=1)
    differences = {}
    for name, style in COUNTERS.items():
        recorded, predicted = table[f"{name} recorded"], table[f"{name} predicted"]
        look: Any = {"color": style.color, "markeredgecolor": "black", "alpha": 0.7, "markersize": 9}
        left.plot(recorded, predicted, style.marker, label=name, **look)
        differences[name] = recorded - predicted
    left.legend(loc="lower right", frameon=False)
    left.set_xlabel("recorded, counts a run")
    left.set_ylabel("predicted (simulated)")
    left.set_title(f"{len(table)} runs of real kernels")
    span = range(-tolerance, tolerance + 1)
    for i, (name, style) in enumerate(COUNTERS.items()):
        counts = [int((differences[name] == d).sum()) for d in span]
        at = [d + (i - 1) * 0.28 for d in span]
        right.bar(at, counts, 0.28, color=style.color, hatch=style.hatch, edgecolor="black", linewidth=0.5, label=name)
    right.set_yscale("symlog", linthresh=1)
    right.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
    right.set_xticks(list(span))
    right.set_xlabel("recorded minus predicted")
    right.set_ylabel("runs")
    right.set_title(f"within {tolerance}: nothing was fitted")
    right.legend(loc="upper left", frameon=False)
    largest = max(int(d.abs().max()) for d in differences.values())
    within = int(sum(all(abs(d.iloc[i]) <= tolerance for d in differences.values()) for i in range(len(table))))
    return Picture(
        figure,
        f"Left: {len(table)} recorded runs, three counters each, recorded against predicted; all lie on or next to the"
        f" diagonal. Right: how often they differ by how much. {within} of {len(table)} runs agree within {tolerance};"
        f" the largest difference is {largest}.",
    )


@matplotlib.rc_context(TEXT)
def offload(simulated: Mapping[float, float], recorded: pd.DataFrame, *, tick_ms: float = 4.0) -> Picture:
    """Share of expiries that are posted, over the timer's period.

    `simulated`: period in us -> share. `recorded`: columns period_us, share, cpu0_background. The line is
    min(1, period / tick).
    """
    figure = new_figure()
    axes = figure.subplots()
    periods = np.array(sorted(simulated))
    shares = np.array([simulated[p] for p in periods])
    line = np.linspace(0, max(periods), 200) / 1e3
    axes.plot(line, np.minimum(1, line / tick_ms), "--", color="black", linewidth=1.5)
    axes.plot(periods / 1e3, shares, "o-", color=SKY, markeredgecolor="black", markersize=7, linewidth=1.5)
    said = []
    colors = {"tick only": INK, "timers every 100 us": ORANGE}
    for background, rows in recorded.groupby("cpu0_background", sort=False):
        points = rows.groupby("period_us")["share"].mean()
        x, y = points.index.to_numpy() / 1e3, points.to_numpy()
        color = colors.get(str(background), PURPLE)
        axes.plot(x, y, ORIGINS["recorded"], color=color, markersize=15, markeredgecolor="black")
        for period, share in zip(x, y, strict=True):
            axes.annotate(f"{share:.0%}", (period, share), (10, -20), textcoords="offset points", color="black")
        said.append(f"{background}: " + ", ".join(f"{s:.0%} at {p:g} ms" for p, s in zip(x, y, strict=True)))
    axes.set_ylim(0, 1.12)
    axes.set_xlim(0, max(line) * 1.02)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
    axes.set_xlabel("period of the guest's timer, ms")
    axes.set_ylabel("expiries posted, no exit")
    axes.set_title("Real kernels, the model, and a formula: who offloads when")
    key = (
        ("X", INK, f"recorded, housekeeping CPU has its {tick_ms:g} ms tick only"),
        ("X", ORANGE, "recorded, it also has a timer every 100 us"),
        ("o-", SKY, f"simulated, its {tick_ms:g} ms tick only"),
        ("--", "black", f"min(1, period / {tick_ms:g} ms), derived"),
    )
    for marker, color, label in key:
        axes.plot([], [], marker, color=color, markeredgecolor="black", markersize=9, label=label)
    axes.legend(loc="lower right", frameon=False)
    apart = max(abs(share - min(1, period / 1e3 / tick_ms)) for period, share in simulated.items())
    return Picture(
        figure,
        f"Share of expiries posted over the timer's period. Recorded, {'; recorded, '.join(said)}. The simulated points"
        f" lie within {100 * apart:.0f} percentage points of the line min(1, period / {tick_ms:g} ms).",
    )


# --- time -------------------------------------------------------------------------------------------------------------


@matplotlib.rc_context(TEXT)
def timelines(
    runs: Mapping[str, Run], *, number: int = 1, from_us: float = -2.0, to_us: float = 7.0, title: str = ""
) -> Picture:
    """What vCPUs and pCPUs do around vCPU 0's deadline of that `number` (from 1), a panel a run.

    Times are us after the deadline. An arrow goes from a post to the guest's handler. The steps must be in the run's
    trace (`Scenario.trace_steps`), or ValueError.
    """
    tables = {name: window(run, deadline(run, number), from_us * 1e3, to_us * 1e3) for name, run in runs.items()}
    lanes = {name: lane_names(table) for name, table in tables.items()}
    heights = [len(names) for names in lanes.values()]
    figure = new_figure(max(3.4, 0.85 * sum(heights) + 0.55 * len(runs) + 0.9))
    panels = np.atleast_1d(figure.subplots(len(runs), 1, sharex=True, height_ratios=heights))
    said = []
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        said.append(draw_lanes(axes, table, lanes[name], name))
        axes.set_xlim(from_us, to_us)
        axes.axvline(0, color="black", linestyle=":", linewidth=2)
        axes.set_title(name, fontweight="bold")
    panels[-1].set_xlabel("us after the deadline (dotted), simulated")
    if title:
        figure.suptitle(title, fontsize=FONT, x=0.01, ha="left")
    return Picture(
        figure, " ".join([f"Timeline of {names_of(list(runs))}, simulated, in us after the deadline.", *said])
    )


def deadline(run: Run, number: int) -> int:
    """The deadline in ns of vCPU 0's expiry of that number: what the guest wrote last before that handler."""
    trace = run.trace[run.trace["vcpu"] == 0]
    handlers = trace[trace["step"] == "guest handler"]
    if len(handlers) < number:
        raise ValueError(f"number: {number} does not fit; allowed: 1 to {len(handlers)}, as many as were traced")
    row = handlers.iloc[number - 1]
    return int(row["time_ns"] - row["arg"])


def window(run: Run, zero_ns: float, from_ns: float, to_ns: float) -> pd.DataFrame:
    """The spans and handlers of a run that touch a window of time, with times in us from `zero_ns`."""
    import pandas as pd

    handlers = run.trace[run.trace["step"] == "guest handler"]
    marks = pd.DataFrame({"start_ns": handlers["time_ns"], "end_ns": handlers["time_ns"]})
    marks["lane"] = [f"vCPU {vcpu}" for vcpu in handlers["vcpu"]]
    spans = run.timeline[run.timeline["what"] != "handler"]
    ends = run.timeline[run.timeline["what"] == "handler"].set_index(["lane", "start_ns"])["flow"].to_dict()
    marks["what"] = "handler"
    marks["flow"] = [ends.get(key, -1) for key in zip(marks["lane"], marks["start_ns"], strict=True)]
    table = pd.concat([spans, marks])
    start, end = table["start_ns"] - zero_ns, table["end_ns"] - zero_ns
    return table.assign(start=start / 1e3, end=end / 1e3)[(end >= from_ns) & (start <= to_ns)]


def lane_names(table: pd.DataFrame) -> list[str]:
    """The lanes of a timeline: vCPUs first, then pCPUs, each in order."""
    return sorted(set(table["lane"]), key=lambda lane: (lane[0] != "v", int(lane.split()[1])))


def draw_lanes(axes: Axes, table: pd.DataFrame, lanes: list[str], name: str) -> str:
    """Draw one run's lanes; return what is to be seen in a sentence."""
    place = {lane: len(lanes) - 1 - i for i, lane in enumerate(lanes)}
    posts: dict[int, tuple[float, float]] = {}
    seen: list[str] = []
    rows: Any = table.itertuples(index=False)
    for row in rows:
        y = place[row.lane]
        if row.what == "post":
            posts[row.flow] = (row.start, y + 0.3)
            put: Any = {"ha": "right", "va": "center", "fontsize": SMALL, "textcoords": "offset points", "bbox": PAPER}
            axes.annotate("post", (row.start, y), (-3, 0), **put)
            seen.append(f"{row.lane} posts the interrupt at {row.start:.2f}")
        elif row.what == "handler":
            axes.plot(row.start, y, "^", color="black", markersize=10, zorder=5)
            axes.annotate("handler", (row.start, y), (7, 0), va="center", textcoords="offset points", fontsize=SMALL)
            if row.flow in posts:
                arrow: Any = {"arrowstyle": "-|>", "linewidth": 2, "color": "black", "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", (row.start, y - 0.3), posts[row.flow], arrowprops=arrow, zorder=5)
            seen.append(f"the handler of {row.lane} starts at {row.start:.2f}")
        else:
            style = SPANS.get(row.what, SPANS["HLT"])
            box = Rectangle((row.start, y - 0.3), row.end - row.start, 0.6, facecolor=style.color, linewidth=0.8)
            box.set(hatch=style.hatch, edgecolor="black")
            axes.add_patch(box)
            if row.what != "guest":
                label: Any = {
                    "ha": "left",
                    "va": "bottom",
                    "fontsize": SMALL,
                    "textcoords": "offset points",
                    "bbox": PAPER,
                }
                axes.annotate(row.what, (row.start, y + 0.3), (0, 1), **label)
                seen.append(f"{row.lane}: {row.what} from {row.start:.2f} to {row.end:.2f}")
    axes.set_ylim(-0.45, len(lanes) - 0.25)
    axes.set_yticks(list(place.values()), list(place))
    axes.tick_params(axis="y", length=0)
    return f"{name}: {'; '.join(seen)}."


# --- policies ---------------------------------------------------------------------------------------------------------

ANSWERS = {
    "post": Style(SKY, "", ""),
    "hv timer": Style(PURPLE, "", ""),
    "hrtimer": Style(PALE, "", ""),
}
"""What a policy leads to, on a host that has the preemption timer."""


def answer(can_post: bool, can_use_hv: bool) -> str:
    """What the two answers of a row in a truth table lead to."""
    return "post" if can_post else "hv timer" if can_use_hv else "hrtimer"


@matplotlib.rc_context(TEXT)
def policy_grid(table: pd.DataFrame, *, name: str, before: pd.DataFrame | None = None, title: str = "") -> Picture:
    """A truth table (`kvmlab.policy.truth_table`) as a grid of 32 cells; what differs from `before` is framed.

    Rows: pi_inject_timer and apicv_active. Columns: housekeeping_cpu, mwait_in_guest, hlt_in_guest.
    """
    figure = new_figure()
    axes = figure.subplots()
    changed = 0
    counts = dict.fromkeys(ANSWERS, 0)
    rows: Any = table.itertuples(index=False)
    for i, row in enumerate(rows):
        facts = VcpuFacts(*(bool(getattr(row, field)) for field in VcpuFacts._fields))
        y = 2 * facts.pi_inject_timer + facts.apicv_active
        x = 4 * facts.housekeeping_cpu + 2 * facts.mwait_in_guest + facts.hlt_in_guest
        now = answer(row.can_post_timer_interrupt, row.can_use_hv_timer)
        counts[now] += 1
        style = ANSWERS[now]
        box: Any = {"facecolor": style.color, "edgecolor": "white", "linewidth": 2, "alpha": 0.55}
        axes.add_patch(Rectangle((x, y), 1, 1, **box))
        text = now
        if before is not None:
            old = before.iloc[i]
            was = answer(old["can_post_timer_interrupt"], old["can_use_hv_timer"])
            if was != now:
                changed += 1
                text = f"{now}\n(was {was.removesuffix(' timer')})" if was == "hv timer" else f"{now}\n(was\n{was})"
                axes.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False, linewidth=2.5))
        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=SMALL)
    yes = ("no", "yes")
    axes.set_yticks([0.5, 1.5, 2.5, 3.5], [f"{yes[y // 2]} / {yes[y % 2]}" for y in range(4)])
    columns = [f"{yes[x // 4]}\n{yes[x // 2 % 2]}\n{yes[x % 2]}" for x in range(8)]
    axes.set_xticks([x + 0.5 for x in range(8)], columns)
    axes.set_ylabel("pi_inject_timer / apicv_active")
    axes.set_xlabel("top to bottom: housekeeping_cpu, mwait_in_guest, hlt_in_guest")
    axes.set_xlim(0, 8)
    axes.set_ylim(0, 4)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title or f"{name}: who fires the timer, for all 32 inputs")
    cells = names_of([f"{n} of 32 inputs lead to {what}" for what, n in counts.items() if n])
    framed = f" {changed} cells are framed: they differ from the policy before." if before is not None else ""
    return Picture(figure, f"Grid of 32 cells, policy {name}: {cells}.{framed}")
