"""What a policy decides, as a grid of its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kvmlab.lab.plots.picture import RC, Picture, new_figure
from kvmlab.lab.style import ANSWERS, SMALL
from kvmlab.lab.words import names_of
from kvmlab.policy import VcpuFacts

if TYPE_CHECKING:
    import pandas as pd

NO_YES = ("no", "yes")


def answer(can_post: bool, can_use_hv: bool) -> str:
    """Return what the two answers of a row in a truth table lead to: a key of ANSWERS."""
    return "post" if can_post else "hv timer" if can_use_hv else "hrtimer"


def draw_cell(axes: Axes, at: tuple[int, int], now: str, text: str, *, framed: bool) -> None:
    """Draw one input's cell, one wide and high, with its lower left corner `at` and the colour of the answer `now`."""
    x, y = at
    axes.add_patch(Rectangle(at, 1, 1, facecolor=ANSWERS[now].color, edgecolor="white", linewidth=2, alpha=0.55))
    if framed:
        axes.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False, linewidth=2.5))
    axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=SMALL)


def answers(table: pd.DataFrame) -> list[str]:
    """Return the answer of each row of a truth table."""
    columns = table["can_post_timer_interrupt"], table["can_use_hv_timer"]
    return [answer(can_post, can_use_hv) for can_post, can_use_hv in zip(*columns, strict=True)]


def changed_text(now: str, was: str) -> str:
    """Return what stands in the cell of an input whose answer has changed."""
    return f"{now}\n(was {was.removesuffix(' timer')})" if was == "hv timer" else f"{now}\n(was\n{was})"


def label_inputs(axes: Axes) -> None:
    """Name the inputs at the edges of the grid of 32 cells."""
    axes.set_yticks([0.5, 1.5, 2.5, 3.5], [f"{NO_YES[y // 2]} / {NO_YES[y % 2]}" for y in range(4)])
    columns = [f"{NO_YES[x // 4]}\n{NO_YES[x // 2 % 2]}\n{NO_YES[x % 2]}" for x in range(8)]
    axes.set_xticks([x + 0.5 for x in range(8)], columns)
    axes.set_ylabel("pi_inject_timer / apicv_active")
    axes.set_xlabel("top to bottom: housekeeping_cpu, mwait_in_guest, hlt_in_guest")
    axes.set_xlim(0, 8)
    axes.set_ylim(0, 4)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@matplotlib.rc_context(RC)
def policy_grid(table: pd.DataFrame, *, name: str, before: pd.DataFrame | None = None, title: str = "") -> Picture:
    """Draw a truth table (`kvmlab.policy.truth_table`) as a grid of 32 cells.

    Rows: pi_inject_timer and apicv_active. Columns: housekeeping_cpu, mwait_in_guest, hlt_in_guest. `name`: of the
    policy. `before`: a truth table to compare with; inputs that it answers differently are framed. `title`: above the
    grid, in place of one that is made from the name.

    >>> import kvmlab as kl
    >>> from kvmlab import plots
    >>> rev1, rev2 = kl.policy.truth_table(kl.policy.rev1), kl.policy.truth_table(kl.policy.rev2)
    >>> picture = plots.policy_grid(rev2, name="rev2", before=rev1)
    >>> "4 cells are framed" in picture.alt
    True
    """
    figure = new_figure()
    axes = figure.subplots()
    now = answers(table)
    was = now if before is None else answers(before)
    rows: Any = table.itertuples(index=False)
    for row, new, old in zip(rows, now, was, strict=True):
        facts = VcpuFacts(*(bool(getattr(row, field)) for field in VcpuFacts._fields))
        x = 4 * facts.housekeeping_cpu + 2 * facts.mwait_in_guest + facts.hlt_in_guest
        y = 2 * facts.pi_inject_timer + facts.apicv_active
        draw_cell(axes, (x, y), new, new if new == old else changed_text(new, old), framed=new != old)
    label_inputs(axes)
    axes.set_title(title or f"{name}: who fires the timer, for all 32 inputs")
    changed = sum(new != old for new, old in zip(now, was, strict=True))
    cells = names_of([f"{now.count(what)} of 32 inputs lead to {what}" for what in ANSWERS if what in now])
    framed = (
        f" {changed} cells are framed: they differ from the table they are compared with." if before is not None else ""
    )
    return Picture(figure, f"Grid of 32 cells, policy {name}: {cells}.{framed}")
