"""What vCPUs and pCPUs do around one deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kvmlab.lab.plots.picture import (
    FONT,
    PAPER,
    SMALL,
    SPANS,
    TEXT,
    Picture,
    names_of,
    new_figure,
)

if TYPE_CHECKING:
    import pandas as pd

    from kvmlab.results.run import Run


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
