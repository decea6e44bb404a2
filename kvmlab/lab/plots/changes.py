"""What a revision changed: the lines of the predicate, the inputs that it answers differently, and whom that meets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvmlab.data import history
from kvmlab.lab.plots.exits import draw_bars, guest_groups, in_words
from kvmlab.lab.plots.picture import RC, Picture, new_figure
from kvmlab.lab.plots.policies import answer, draw_cell
from kvmlab.lab.style import ADDED, INK, REMOVED
from kvmlab.policy import POLICIES, Policy, Table, VcpuFacts, ask, can_use_hv_timer, every_input, find, table_bits
from kvmlab.results.per_guest import compare_guests
from kvmlab.scenario.example import three_guests
from kvmlab.scenario.scenario import Scenario

GROUNDS = {"+": ADDED, "-": REMOVED}
CELLS = {"post": "may be\nposted", "hv timer": "hv timer", "hrtimer": "hrtimer"}
"""What a cell says of an answer; whether a timer is posted in the end depends on more."""


@dataclass(frozen=True)
class Side:
    """One side of a revision view."""

    name: str
    policy: Policy
    terms: tuple[str, ...]
    """The predicate's terms, joined by &&."""


class RevisionView(Picture):
    """A picture of what a revision changed, below the `diff` of its predicate (text)."""

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
    """Return the HTML attribute that gives added and removed lines a ground of their own, in addition to their sign.

    The ground is that of a block: an inline one would end above the underscores, which a dark page would swallow.
    """
    ground = GROUNDS.get(line[:1])
    return f" style='display:inline-block;background:{ground};color:{INK}'" if ground else ""


def predicates() -> dict[str, tuple[str, ...]]:
    """Return the terms of each revision's predicate, in the kernel's words, as quoted in data/patches.toml."""
    table = history().set_index("id")["predicate"]
    return {name: tuple(table[name].split(" && ")) for name in POLICIES if name in table.index}


def side_of(choice: str | Policy) -> Side:
    """Return a policy by name, or a reader's own function; ValueError lists the known names."""
    if callable(choice):
        name = getattr(choice, "__name__", "policy")
        return Side(name, Table(table_bits(choice)), (f"{name}(vcpu)",))
    return Side(choice, find(choice), predicates().get(choice, ("false",)))


def predicate_diff(old: Side, new: Side) -> str:
    """Return the two predicates as a diff: a line per term, + for what `new` adds and - for what it drops."""

    def lines(side: Side) -> list[str]:
        return [("return " if i == 0 else "       && ") + term for i, term in enumerate(side.terms)]

    return "\n".join(line.rstrip() for line in difflib.ndiff(lines(old), lines(new)) if line[0] != "?")


def verdict(policy: Policy, facts: VcpuFacts) -> str:
    """Return who fires the timer under a policy, on a host that has the preemption timer."""
    can_post = ask(policy, facts)
    return answer(can_post, can_use_hv_timer(facts, can_post))


def draw_changed(axes: Axes, old: Side, new: Side) -> tuple[int, int]:
    """Draw the eight inputs with pi_inject_timer and APICv on; return how many changed there and how many elsewhere."""
    here = elsewhere = 0
    for facts in every_input():
        was, now = verdict(old.policy, facts), verdict(new.policy, facts)
        if not (facts.pi_inject_timer and facts.apicv_active):
            elsewhere += was != now
            continue
        here += was != now
        x, y = 2 * facts.mwait_in_guest + facts.hlt_in_guest, int(facts.housekeeping_cpu)
        text = CELLS[now] if was == now else f"{CELLS[now]}\nwas:\n{was}"
        draw_cell(axes, (x, y), now, text, framed=was != now)
    axes.set_xlim(0, 4)
    axes.set_ylim(0, 2)
    axes.set_yticks([0.5, 1.5], ["isolated", "house-\nkeeping"])
    axes.set_xticks([0.5, 1.5, 2.5, 3.5], ["neither", "HLT", "MWAIT", "both"])
    axes.set_xlabel("executed without an exit")
    axes.set_ylabel("vCPU's pCPU")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return here, elsewhere


@matplotlib.rc_context(RC)
def revision_view(
    before: str | Policy, after: str | Policy, *, scenario: Scenario | None = None, column: str = "deadline exits"
) -> RevisionView:
    """Show what a revision changed: the predicate's diff, the inputs answered differently, and what guests see of it.

    `before`, `after`: names of policies, or functions of VcpuFacts. `scenario`: what is simulated under both, the
    running example of three guests unless given. `column`: what guests see, a column of `kvmlab.by_guest`. ValueError
    names what is not valid.

    >>> import kvmlab as kl
    >>> from kvmlab import plots
    >>> view = plots.revision_view("rev1", "rev2", scenario=kl.three_guests(duration_s=0.1))
    >>> print(view.diff)
      return pi_inject_timer
             && kvm_vcpu_apicv_active(vcpu)
    +        && !housekeeping_cpu(vcpu->cpu, HK_FLAG_TIMER)
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
    right.set_xlabel("per vCPU per second, simulated")
    right.set_title(column)
    alt = (
        f"{old.name} to {new.name}. Left, with pi_inject_timer and APICv on: {here} of 8 inputs are answered "
        f"otherwise; with either off, {elsewhere} of 24. Right, {column} per vCPU per second, simulated: "
        f"{in_words(groups)}."
    )
    return RevisionView(figure, alt, predicate_diff(old, new))
