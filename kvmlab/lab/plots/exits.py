"""How many exits: by reason, and by guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from kvmlab.lab.plots.picture import SIZE, SMALL, TEXT, Picture, new_figure, style_of
from kvmlab.model.machine import EXITS
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

Groups = Mapping[str, Mapping[str, float]]
"""What a bar chart shows: group -> kernel or policy -> value."""


def number(value: float) -> str:
    """A bar's label: whole from 10 on, with two digits below, "none" where there is nothing to show."""
    if value != value:
        return "none"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def draw_bars(axes: Axes, groups: Groups, room: float = 1.22) -> None:
    """Horizontal bars in groups, each labelled with its name and number; `room`: the axis in lengths of the longest."""
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
    """What the bars show, for whoever cannot see them."""
    return "; ".join(
        f"{group}: {', '.join(f'{name} {number(value)}' for name, value in values.items())}"
        for group, values in groups.items()
    )


@matplotlib.rc_context(TEXT)
def bars(groups: Groups, *, title: str, label: str) -> Picture:
    """Grouped bars with a title; `label` stands at the axis and says unit and origin."""
    names = len(next(iter(groups.values()), {}))
    figure = new_figure(max(SIZE[1], 0.29 * len(groups) * (names + 0.8) + 1.2))
    axes = figure.subplots()
    draw_bars(axes, groups)
    axes.set_xlabel(label)
    axes.set_title(title)
    return Picture(figure, f"Bars, {label}. {title}. {in_words(groups)}.")


def exits_by_reason(table: pd.DataFrame, *, title: str, origin: str = "simulated", unit: str = "exits") -> Picture:
    """Exits by reason, a bar for each row of `table` (as `kvmlab.compare` makes it), labelled with its number."""
    names = [str(name) for name in table.index]
    reasons = [reason for reason in EXITS if reason in table and table[reason].any()]
    groups = {reason: dict(zip(names, table[reason].astype(float), strict=True)) for reason in reasons}
    return bars(groups, title=title, label=f"{unit}, {origin}")


def guest_groups(table: pd.DataFrame, column: str) -> dict[str, dict[str, float]]:
    """One column of `kvmlab.compare_guests` as guest -> kernel -> value; ValueError lists the known columns."""
    checks.choice("column", column, list(table.columns))
    rows = zip(table.index, table[column].astype(float), strict=True)
    groups: dict[str, dict[str, float]] = {}
    for (guest, kernel), value in rows:
        groups.setdefault(str(guest), {})[str(kernel)] = value
    return groups


def by_guest(table: pd.DataFrame, column: str, *, title: str, unit: str, origin: str = "simulated") -> Picture:
    """One column of `kvmlab.compare_guests`: a group of bars a guest, a bar a kernel or policy."""
    return bars(guest_groups(table, column), title=title, label=f"{column}, {unit}, {origin}")
