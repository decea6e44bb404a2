"""How many exits: by reason, and by guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from kvmlab.lab.plots.picture import RC, Picture, new_figure
from kvmlab.lab.style import SIZE, SMALL, style_of
from kvmlab.lab.words import number
from kvmlab.model.names import EXITS
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

Groups = Mapping[str, Mapping[str, float]]
"""What a bar chart shows: group -> kernel or policy -> value; NaN where there is none."""


def draw_bars(axes: Axes, groups: Groups, room: float = 1.22) -> None:
    """Draw horizontal bars in groups, each labelled with its name and number.

    `room`: the length of the axis, in lengths of the longest bar.
    """
    names = list(next(iter(groups.values()), {}))
    step = len(names) + 0.8
    largest = max([1e-9, *(value for group in groups.values() for value in group.values() if value == value)])
    for i, group in enumerate(groups.values()):
        for j, (name, value) in enumerate(group.items()):
            style, length = style_of(name), value if value == value else 0
            axes.barh(i * step + j, length, color=style.color, hatch=style.hatch, edgecolor="black", linewidth=0.6)
            axes.text(length + largest / 80, i * step + j, f"{name}: {number(value)}", va="center", fontsize=SMALL)
    axes.set_yticks([i * step + (len(names) - 1) / 2 for i in range(len(groups))], list(groups))
    axes.invert_yaxis()
    axes.set_xlim(0, largest * room)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))


def in_words(groups: Groups) -> str:
    """Return the text alternative of the bars."""
    return "; ".join(
        f"{group}: {', '.join(f'{name} {number(value)}' for name, value in values.items())}"
        for group, values in groups.items()
    )


@matplotlib.rc_context(RC)
def bars(groups: Groups, *, title: str, label: str) -> Picture:
    """Draw grouped bars with a title; `label` stands at the axis and says unit and origin."""
    names = len(next(iter(groups.values()), {}))
    figure = new_figure(max(SIZE[1], 0.29 * len(groups) * (names + 0.8) + 1.2))
    axes = figure.subplots()
    draw_bars(axes, groups)
    axes.set_xlabel(label)
    axes.set_title(title)
    return Picture(figure, f"Bars, {label}. {title}. {in_words(groups)}.")


def exits_by_reason(table: pd.DataFrame, *, title: str, origin: str = "simulated", unit: str = "exits") -> Picture:
    """Draw exits by reason: a group of bars per reason, a bar per row of `table`, labelled with its number.

    `table`: as `kvmlab.compare` makes it: index kernels or policies, columns reasons (others are left out, and so are
    reasons that never occur). `title`: above the bars. `origin`: published, recorded, simulated or yours. `unit`: of
    the table's numbers, for the axis.

    >>> import kvmlab as kl
    >>> from kvmlab import plots
    >>> table = kl.compare(kl.three_guests(duration_s=0.1), ["rev1", "rev3"])
    >>> picture = plots.exits_by_reason(table, title="Who exits?", unit="exits in 0.1 s")
    """
    names = [str(name) for name in table.index]
    reasons = [reason for reason in EXITS if reason in table and table[reason].any()]
    groups = {reason: dict(zip(names, table[reason].astype(float), strict=True)) for reason in reasons}
    return bars(groups, title=title, label=f"{unit}, {origin}")


def guest_groups(table: pd.DataFrame, column: str) -> dict[str, dict[str, float]]:
    """Return one column of `kvmlab.compare_guests` as guest -> kernel -> value; ValueError lists the known columns."""
    checks.choice("column", column, list(table.columns))
    rows = zip(table.index, table[column].astype(float), strict=True)
    groups: dict[str, dict[str, float]] = {}
    for (guest, kernel), value in rows:
        groups.setdefault(str(guest), {})[str(kernel)] = value
    return groups


def in_title(column: str) -> str:
    """Return a column of `kvmlab.compare_guests` as a figure names it: a time with its unit behind it.

    >>> in_title("lost us"), in_title("deadline exits")
    ('time lost, µs', 'deadline exits')
    """
    return {"lost us": "time lost, µs"}.get(column, f"{column[:-3]}, µs" if column.endswith(" us") else column)


def by_guest(table: pd.DataFrame, column: str, *, title: str, unit: str, origin: str = "simulated") -> Picture:
    """Draw one column of `kvmlab.compare_guests`: a group of bars per guest, a bar per kernel or policy.

    `title`: above the bars. `unit`: what the column counts per, for the axis, such as a second. `origin`: published,
    recorded, simulated or yours. ValueError lists the known columns.

    >>> import kvmlab as kl
    >>> from kvmlab import plots
    >>> table = kl.compare_guests(kl.three_guests(duration_s=0.1), ["rev1", "rev3"])
    >>> picture = plots.by_guest(table, "lost us", title="Who loses?", unit="per vCPU per second")
    """
    return bars(guest_groups(table, column), title=title, label=f"{in_title(column)}, {unit}, {origin}")
