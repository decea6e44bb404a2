"""What a policy decides, and what a revision changed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from kvmlab.data import history
from kvmlab.lab.plots.exits import draw_bars, guest_groups, in_words
from kvmlab.lab.plots.picture import (
    PALE,
    PURPLE,
    SKY,
    SMALL,
    TEXT,
    Picture,
    Style,
    names_of,
    new_figure,
)
from kvmlab.policy import POLICIES, Policy, VcpuFacts, ask, can_use_hv_timer, every_input, find
from kvmlab.results.per_guest import compare_guests
from kvmlab.scenario.example import three_guests
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd


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
    framed = (
        f" {changed} cells are framed: they differ from the table they are compared with." if before is not None else ""
    )
    return Picture(figure, f"Grid of 32 cells, policy {name}: {cells}.{framed}")


@dataclass(frozen=True)
class Side:
    """One side of a revision view."""

    name: str
    policy: Policy
    terms: tuple[str, ...]
    """The predicate's terms, joined by &&."""


class RevisionView(Picture):
    """What a revision changed, in one view: the predicate's lines, the inputs it answers otherwise, whom that meets."""

    def __init__(self, figure: Figure, alt: str, diff: str) -> None:
        super().__init__(figure, alt)
        self.diff = diff

    def _repr_html_(self) -> str:
        lines = "".join(f"<span{line_style(line)}>{escape(line)}</span>\n" for line in self.diff.splitlines())
        pre = "font-size:14px;line-height:1.45;margin:0 0 6px;padding:8px 12px;border:1px solid #bbb;overflow-x:auto"
        return f"<pre style='{pre}'>{lines}</pre>{super()._repr_html_()}"

    def __repr__(self) -> str:
        return f"{self.diff}\n{super().__repr__()}"


def line_style(line: str) -> str:
    """Added and removed lines have a ground of their own, besides their sign."""
    ground = {"+": "#dff3e4", "-": "#f9e1dc"}.get(line[:1])
    return f" style='background:{ground};color:#1a1a1a'" if ground else ""


def predicates() -> dict[str, tuple[str, ...]]:
    """The terms of each revision's predicate, as quoted in data/patches.toml."""
    table = history().set_index("id")["predicate"]
    return {name: tuple(table[name].split(" && ")) for name in POLICIES if name in table.index}


def side_of(choice: str | Policy) -> Side:
    """A policy by name, or a reader's own function; ValueError lists the known names."""
    if callable(choice):
        name = getattr(choice, "__name__", "policy")
        return Side(name, choice, (f"{name}(vcpu)",))
    return Side(choice, find(choice), predicates().get(choice, ("false",)))


def predicate_diff(old: Side, new: Side) -> str:
    """The two predicates as a diff: a line a term, + for what `new` adds and - for what it drops."""

    def lines(side: Side) -> list[str]:
        return [("return " if i == 0 else "       && ") + term for i, term in enumerate(side.terms)]

    return "\n".join(line.rstrip() for line in difflib.ndiff(lines(old), lines(new)) if line[0] != "?")


def verdict(policy: Policy, facts: VcpuFacts) -> str:
    """Who fires the timer under a policy, on a host that has the preemption timer."""
    can_post = ask(policy, facts)
    return answer(can_post, can_use_hv_timer(facts, can_post))


def draw_changed(axes: Axes, old: Side, new: Side) -> tuple[int, int]:
    """The eight inputs with pi_inject_timer and APICv on; return how many changed there, and how many elsewhere."""
    here = elsewhere = 0
    for facts in every_input():
        was, now = verdict(old.policy, facts), verdict(new.policy, facts)
        if not (facts.pi_inject_timer and facts.apicv_active):
            elsewhere += was != now
            continue
        x, y = 2 * facts.mwait_in_guest + facts.hlt_in_guest, int(facts.housekeeping_cpu)
        box: Any = {"facecolor": ANSWERS[now].color, "edgecolor": "white", "linewidth": 2, "alpha": 0.55}
        axes.add_patch(Rectangle((x, y), 1, 1, **box))
        if was != now:
            here += 1
            axes.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False, linewidth=2.5))
        text = now if was == now else f"{now}\nwas:\n{was}"
        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=SMALL)
    axes.set_xlim(0, 4)
    axes.set_ylim(0, 2)
    axes.set_yticks([0.5, 1.5], ["isolated", "house-\nkeeping"])
    axes.set_xticks([0.5, 1.5, 2.5, 3.5], ["none", "HLT", "MWAIT", "both"])
    axes.set_xlabel("left to the guest (no exit)")
    axes.set_ylabel("vCPU's pCPU")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return here, elsewhere


@matplotlib.rc_context(TEXT)
def revision_view(
    before: str | Policy, after: str | Policy, *, scenario: Scenario | None = None, column: str = "deadline exits"
) -> RevisionView:
    """What a revision changed: the predicate's diff, the inputs answered otherwise, and what guests see of it.

    `before`, `after`: names of policies, or functions of VcpuFacts. `scenario`: the running example unless given;
    `column`: one of `kvmlab.by_guest`. ValueError names what does not fit.
    """
    old, new = side_of(before), side_of(after)
    table = compare_guests(three_guests() if scenario is None else scenario, [before, after])
    groups = guest_groups(table, column)
    figure = new_figure(max(4.2, 0.62 * len(groups) * 1.6 + 1.4))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    here, elsewhere = draw_changed(left, old, new)
    more = f" (and {elsewhere} with either off)" if elsewhere else ""
    left.set_title(f"{here} of 8 inputs changed{more}")
    draw_bars(right, groups, room=1.75)
    right.xaxis.set_major_locator(MaxNLocator(4))
    right.set_xlabel("a second and vCPU, simulated")
    right.set_title(column)
    alt = (
        f"{old.name} to {new.name}. Left, with pi_inject_timer and APICv on: {here} of 8 inputs are answered "
        f"otherwise; with either off, {elsewhere} of 24. Right, {column} a second and vCPU, simulated: "
        f"{in_words(groups)}."
    )
    return RevisionView(figure, alt, predicate_diff(old, new))
