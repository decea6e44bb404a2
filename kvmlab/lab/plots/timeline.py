"""What vCPUs and pCPUs do around one deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kvmlab.lab.plots.picture import PAPER, RC, Picture, new_figure
from kvmlab.lab.style import FONT, SMALL, SPANS
from kvmlab.lab.words import names_of

if TYPE_CHECKING:
    import pandas as pd

    from kvmlab.results.run import Run

HALF = 0.3
"""Of the height of a span; lanes are 1 apart."""


@matplotlib.rc_context(RC)
def timelines(
    runs: Mapping[str, Run], *, number: int = 1, from_us: float = -2.0, to_us: float = 7.0, title: str = ""
) -> Picture:
    """Draw what vCPUs and pCPUs do around one deadline of vCPU 0, a panel per run.

    `number`: which deadline, from 1. `from_us`, `to_us`: the time that is shown, in us after the deadline. `title`:
    above all panels. An arrow goes from a post to the guest's handler. ValueError if the deadline is not among the
    steps that the run has traced (`Scenario.trace_steps`).

    >>> import kvmlab as kl
    >>> from kvmlab import plots
    >>> runs = {name: kl.simulate(kl.three_guests(name, duration_s=0.02)) for name in ("v5.2", "v5.3")}
    >>> picture = plots.timelines(runs, number=2, title="One deadline under two kernels")
    """
    tables = {name: window(run, deadline(run, number), from_us * 1e3, to_us * 1e3) for name, run in runs.items()}
    lanes = {name: lane_names(runs[name], table) for name, table in tables.items()}
    heights = [len(names) for names in lanes.values()]
    figure = new_figure(max(3.4, 0.85 * sum(heights) + 0.55 * len(runs) + 0.9))
    panels = np.atleast_1d(figure.subplots(len(runs), 1, sharex=True, height_ratios=heights))
    said = []
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        said.append(f"{name}: {'; '.join(draw_lanes(axes, table, lanes[name]))}.")
        axes.set_xlim(from_us, to_us)
        axes.axvline(0, color="black", linestyle=":", linewidth=2)
        axes.set_title(name, fontweight="bold")
    panels[-1].set_xlabel("µs after the deadline (dotted), simulated")
    if title:
        figure.suptitle(title, fontsize=FONT, x=0.01, ha="left")
    return Picture(
        figure, " ".join([f"Timeline of {names_of(list(runs))}, simulated, in µs after the deadline.", *said])
    )


def deadline(run: Run, number: int) -> int:
    """Return the deadline in ns of vCPU 0's expiry of that number: what the guest wrote last before that handler."""
    trace = run.trace[run.trace["vcpu"] == 0]
    handlers = trace[trace["step"] == "guest handler"]
    if len(handlers) < number:
        raise ValueError(
            f"number: {number} is not allowed; it must be an integer from 1 to {len(handlers)}, as many as were traced"
        )
    row = handlers.iloc[number - 1]
    return int(row["time_ns"] - row["arg"])


def window(run: Run, zero_ns: float, from_ns: float, to_ns: float) -> pd.DataFrame:
    """Return the spans and handlers of a run that touch a window of time, with times in us from `zero_ns`.

    Columns: those of `Run.timeline`, and start, end (us).
    """
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


def lane_names(run: Run, table: pd.DataFrame) -> list[str]:
    """Return the lanes of a run that occur in `table`: vCPUs first, then pCPUs, each in order."""
    vcpus = [f"vCPU {number}" for number in range(len(run.vcpu_names))]
    pcpus = [f"pCPU {number}" for number in range(run.scenario.host.pcpus)]
    shown = set(table["lane"])
    return [lane for lane in (*vcpus, *pcpus) if lane in shown]


def draw_lanes(axes: Axes, table: pd.DataFrame, lanes: list[str]) -> list[str]:
    """Draw the lanes of one run, the first on top; return what is to be seen, in words."""
    place = {lane: len(lanes) - 1 - i for i, lane in enumerate(lanes)}
    posts: dict[int, tuple[float, float]] = {}
    seen: list[str] = []
    rows: Any = table.itertuples(index=False)
    for row in rows:
        y = place[row.lane]
        if row.what == "post":
            posts[row.flow] = (row.start, y + HALF)
            draw_post(axes, row.start, y)
            seen.append(f"{row.lane} posts the interrupt at {row.start:.2f}")
        elif row.what == "handler":
            draw_handler(axes, row.start, y, posts.get(row.flow))
            seen.append(f"the handler of {row.lane} starts at {row.start:.2f}")
        else:
            draw_span(axes, row.what, row.start, row.end, y)
            if row.what != "guest":
                seen.append(f"{row.lane}: {row.what} from {row.start:.2f} to {row.end:.2f}")
    axes.set_ylim(-0.45, len(lanes) - 0.25)
    axes.set_yticks(list(place.values()), list(place))
    axes.tick_params(axis="y", length=0)
    return seen


def draw_post(axes: Axes, at: float, y: int) -> None:
    """Name the moment at which the interrupt is posted."""
    where: Any = {"ha": "right", "va": "center", "textcoords": "offset points"}
    axes.annotate("post", (at, y), (-3, 0), fontsize=SMALL, bbox=PAPER, **where)


def draw_handler(axes: Axes, at: float, y: int, post: tuple[float, float] | None) -> None:
    """Mark the start of the guest's handler, with an arrow from the post that led to it."""
    axes.plot(at, y, "^", color="black", markersize=10, zorder=5)
    axes.annotate("handler", (at, y), (7, 0), va="center", textcoords="offset points", fontsize=SMALL)
    if post is not None:
        arrow: Any = {"arrowstyle": "-|>", "linewidth": 2, "color": "black", "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (at, y - HALF), post, arrowprops=arrow, zorder=5)


def draw_span(axes: Axes, what: str, start: float, end: float, y: int) -> None:
    """Draw a span of time as a box; all but guest time are named."""
    style = SPANS.get(what, SPANS["HLT"])
    box = Rectangle((start, y - HALF), end - start, 2 * HALF, facecolor=style.color, linewidth=0.8)
    box.set(hatch=style.hatch, edgecolor="black")
    axes.add_patch(box)
    if what != "guest":
        where: Any = {"ha": "left", "va": "bottom", "textcoords": "offset points"}
        axes.annotate(what, (start, y + HALF), (0, 1), fontsize=SMALL, bbox=PAPER, **where)
