"""Recorded runs of real kernels beside the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from kvmlab.host.recordings import recorded_rows, recorded_scenario
from kvmlab.lab.plots.picture import RC, Picture, new_figure
from kvmlab.lab.style import COUNTERS, INK, ORANGE, ORIGINS, PURPLE, SKY
from kvmlab.results.run import simulate

BACKGROUNDS = {"tick only": INK, "timers every 100 us": ORANGE}
"""What the housekeeping CPU had to do in a recording, and its colour."""
OFFLOADED = re.compile("rev1_(?:idle0|tick0)_pi1_hlt_spin_cpu1|nohzfull-pi1_dehlt_spin_p")
"""Recorded runs in which the guest may be posted to and never leaves guest mode, beside a CPU 0 that has its tick."""
SIMULATED_US = (100, 250, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000)


@matplotlib.rc_context(RC)
def recorded_against_predicted(table: pd.DataFrame, *, tolerance: int = 5) -> Picture:
    """Draw KVM's counters as recorded and as predicted: each pair, and how far they are apart.

    `table`: as `kvmlab.check_recordings` returns it, one row per recorded run. `tolerance`: the largest difference, in
    counts, that the right figure shows and that counts as agreement.

    >>> import kvmlab as kl
    >>> from kvmlab import plots
    >>> picture = plots.recorded_against_predicted(kl.check_recordings())
    >>> "130 of 130 runs agree within 5" in picture.alt
    True
    """
    figure = new_figure()
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    draw_pairs(left, table)
    differences = {name: table[f"{name} recorded"] - table[f"{name} predicted"] for name in COUNTERS}
    draw_differences(right, differences, tolerance)
    largest = max(int(d.abs().max()) for d in differences.values())
    within = int(sum(all(abs(d.iloc[i]) <= tolerance for d in differences.values()) for i in range(len(table))))
    return Picture(
        figure,
        f"Left: {len(table)} recorded runs, three counters each, recorded against predicted; all lie on or next to the"
        f" diagonal. Right: how often they differ by how much. {within} of {len(table)} runs agree within {tolerance};"
        f" the largest difference is {largest}.",
    )


def draw_pairs(axes: Axes, table: pd.DataFrame) -> None:
    """Draw each counter of each run: predicted over recorded."""
    most = max(int(table[f"{name} {side}"].max()) for name in COUNTERS for side in ("recorded", "predicted"))
    axes.plot([0, most], [0, most], color="black", linewidth=1)
    for name, style in COUNTERS.items():
        recorded, predicted = table[f"{name} recorded"], table[f"{name} predicted"]
        look: Any = {"color": style.color, "markeredgecolor": "black", "alpha": 0.7, "markersize": 9}
        axes.plot(recorded, predicted, style.marker, label=name, **look)
    axes.legend(loc="lower right", frameon=False)
    axes.set_xlabel("recorded, counts a run")
    axes.set_ylabel("predicted (simulated)")
    axes.set_title(f"{len(table)} runs of real kernels")


def draw_differences(axes: Axes, differences: Mapping[str, pd.Series[int]], tolerance: int) -> None:
    """Draw how often each counter differs by how much."""
    span = range(-tolerance, tolerance + 1)
    for i, (name, style) in enumerate(COUNTERS.items()):
        counts = [int((differences[name] == d).sum()) for d in span]
        at = [d + (i - 1) * 0.28 for d in span]
        axes.bar(at, counts, 0.28, color=style.color, hatch=style.hatch, edgecolor="black", linewidth=0.5, label=name)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
    axes.set_xticks(list(span))
    axes.set_xlabel("recorded minus predicted")
    axes.set_ylabel("runs")
    axes.set_title(f"within {tolerance}: nothing was fitted")
    axes.legend(loc="upper left", frameon=False)


@matplotlib.rc_context(RC)
def offload(simulated: Mapping[float, float], recorded: pd.DataFrame, *, tick_ms: float = 4.0) -> Picture:
    """Draw what share of expiries is posted over D, how far ahead the timer is armed, with the line D/T, at most 1.

    `simulated`: D in us -> share (0 to 1). `recorded`: columns period_us (D), share, cpu0_background. `tick_ms`: T, the
    period of the housekeeping CPU's tick.

    >>> import pandas as pd
    >>> from kvmlab import plots
    >>> recorded = pd.DataFrame({"period_us": [1000.0], "share": [0.24], "cpu0_background": ["tick only"]})
    >>> picture = plots.offload({1000: 0.25, 2000: 0.5, 5000: 1.0}, recorded)
    """
    figure = new_figure()
    axes = figure.subplots()
    periods = np.array(sorted(simulated))
    shares = np.array([simulated[p] for p in periods])
    line = np.linspace(0, max(periods), 200) / 1e3
    axes.plot(line, np.minimum(1, line / tick_ms), "--", color="black", linewidth=1.5)
    axes.plot(periods / 1e3, shares, "o-", color=SKY, markeredgecolor="black", markersize=7, linewidth=1.5)
    groups = recorded.groupby("cpu0_background", sort=False)
    said = [draw_recorded(axes, str(background), rows) for background, rows in groups]
    axes.set_ylim(0, 1.12)
    axes.set_xlim(0, max(line) * 1.02)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
    axes.set_xlabel("D: how far ahead the guest arms its timer, ms")
    axes.set_ylabel("deadlines that cost no exit")
    axes.set_title("Real kernels, the model, and D/T")
    name_sources(axes, tick_ms)
    apart = max(abs(share - min(1, period / 1e3 / tick_ms)) for period, share in simulated.items())
    return Picture(
        figure,
        f"Share of deadlines that cost no exit, over D, how far ahead the timer is armed. Recorded, "
        f"{'; recorded, '.join(said)}. The simulated points lie within {100 * apart:.0f} percentage points of the line "
        f"D/T, at most 1, with T = {tick_ms:g} ms.",
    )


def recorded_offload(*, seconds: float = 4.0) -> Picture:
    """Draw `offload` for the recordings that come with the package, beside the model of their host.

    `seconds`: how long each of the simulated runs is.

    >>> from kvmlab import plots
    >>> "tick only: 24% at 1 ms, 49% at 2 ms, 96% at 5 ms" in plots.recorded_offload(seconds=1).alt
    True
    """
    rows = [row for row in recorded_rows() if OFFLOADED.search(row["run"])]
    host = recorded_scenario(next(row for row in rows if row["period_us"] == "2000")).replace(duration_s=seconds)
    runs = {us: simulate(host.replace(**{"workload.timer_us": us})) for us in SIMULATED_US}
    points = {
        "period_us": [float(row["period_us"]) for row in rows],
        "share": [1 - int(row["irq_exits"]) / int(row["timers"]) for row in rows],
        "cpu0_background": [row["cpu0_background"] for row in rows],
    }
    shares: dict[float, float] = {us: float(run.placement["share"]["housekeeping posted"]) for us, run in runs.items()}
    return offload(shares, pd.DataFrame(points))


def draw_recorded(axes: Axes, background: str, rows: pd.DataFrame) -> str:
    """Draw what was recorded beside one background, the mean per period; return it in words."""
    points = rows.groupby("period_us")["share"].mean()
    x, y = points.index.to_numpy() / 1e3, points.to_numpy()
    color = BACKGROUNDS.get(background, PURPLE)
    axes.plot(x, y, ORIGINS["recorded"], color=color, markersize=15, markeredgecolor="black")
    for period, share in zip(x, y, strict=True):
        axes.annotate(f"{share:.0%}", (period, share), (10, -20), textcoords="offset points", color="black")
    return f"{background}: " + ", ".join(f"{s:.0%} at {p:g} ms" for p, s in zip(x, y, strict=True))


def name_sources(axes: Axes, tick_ms: float) -> None:
    """Draw the legend: what is recorded, simulated and derived."""
    key = (
        ("X", INK, f"recorded, housekeeping CPU has its {tick_ms:g} ms tick only"),
        ("X", ORANGE, "recorded, it also has a timer every 100 µs"),
        ("o-", SKY, f"simulated, its {tick_ms:g} ms tick only"),
        ("--", "black", f"D/T, at most 100%, with T = {tick_ms:g} ms, derived"),
    )
    for marker, color, label in key:
        axes.plot([], [], marker, color=color, markeredgecolor="black", markersize=9, label=label)
    axes.legend(loc="lower right", frameon=False)
