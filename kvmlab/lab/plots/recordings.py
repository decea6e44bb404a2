"""Recorded runs of real kernels beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.ticker import FuncFormatter

from kvmlab.lab.plots.picture import (
    ORANGE,
    ORIGINS,
    PURPLE,
    SKY,
    TEXT,
    Picture,
    Style,
    new_figure,
)
from kvmlab.lab.style import INK

if TYPE_CHECKING:
    import pandas as pd


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
