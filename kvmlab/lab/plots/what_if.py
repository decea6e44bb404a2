"""What each revision would do on somebody's host: a range per revision, because a recording leaves things open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib

from kvmlab.lab.plots.picture import RC, Picture, new_figure
from kvmlab.lab.style import SMALL, style_of
from kvmlab.lab.words import number
from kvmlab.scenario import checks

if TYPE_CHECKING:
    from kvmlab.host.what_if import WhatIf


@matplotlib.rc_context(RC)
def ranges(answer: WhatIf, quantity: str, *, title: str) -> Picture:
    """Draw one quantity of `kvmlab.what_if`: a line per revision from low to high, the central value marked.

    `quantity`: one of the column "quantity" of ``answer.table``, in the unit of that table; ValueError lists the known
    ones. `title`: above the figure.

    >>> import kvmlab as kl
    >>> from kvmlab import data, plots
    >>> recording = data.path("recorded", "perf-kvm-stat.pi0_all.txt")
    >>> answer = kl.what_if(recording, timer_hz=1000, replications=1)
    >>> picture = plots.ranges(answer, "expiry exits", title="What would each revision cost here?")
    """
    table = answer.table
    checks.choice("quantity", quantity, list(dict.fromkeys(table["quantity"])))
    rows = table[table["quantity"] == quantity].reset_index(drop=True)
    unit = rows["unit"].iloc[0]
    figure = new_figure(1.4 + 0.75 * len(rows))
    axes = figure.subplots()
    said = []
    for i, row in enumerate(rows.to_dict("records")):
        style, name = style_of(row["revision"]), row["revision"]
        axes.plot([row["low"], row["high"]], [i, i], "-", color=style.color, linewidth=5, solid_capstyle="butt")
        axes.plot(row["central"], i, style.marker, color=style.color, markeredgecolor="black", markersize=12)
        text = f"{number(row['central'])} ({number(row['low'])} to {number(row['high'])})"
        axes.annotate(text, (row["central"], i), (0, 10), textcoords="offset points", ha="center", fontsize=SMALL)
        said.append(f"{name} {text}")
    axes.set_yticks(range(len(rows)), rows["revision"])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.12)
    axes.set_xlabel(f"{quantity}, {unit}, simulated: central value, and from low to high")
    axes.set_title(title)
    return Picture(figure, f"Ranges of {quantity}, {unit}, simulated. {title}. {'; '.join(said)}.")
