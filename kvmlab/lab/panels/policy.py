"""The policies: what each revision decides for some facts, term by term."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from kvmlab.lab.panels.shell import Frame, Panel, checkbox
from kvmlab.lab.style import FALSE_INK, TRUE_INK
from kvmlab.lab.words import names_of
from kvmlab.policy import POLICIES, REVISIONS, VcpuFacts, can_use_hv_timer, terms

HEADS = ("revision", "may post if", "may post", "may use the preemption timer")


class Decision(NamedTuple):
    """What one revision decides."""

    can_post: bool
    can_hv: bool
    """May use the preemption timer."""
    row: str
    """Of the table, in HTML."""


def term_html(text: str, holds: bool) -> str:
    """Return one term in HTML: true or false by sign and colour."""
    colour, sign = (TRUE_INK, "✓") if holds else (FALSE_INK, "✗")
    code = f'<code style="color:inherit">{escape(text)}</code>'
    return f'<span style="color:{colour};white-space:nowrap">{sign} {code}</span>'


def decide(name: str, facts: VcpuFacts, hv_timer: bool) -> Decision:
    """Return what the revision called `name` decides; `hv_timer`: there is a preemption timer."""
    policy = POLICIES[name]
    can_post = policy(facts)
    can_hv = can_use_hv_timer(facts, can_post, hv_timer)
    said = " && ".join(term_html(text, holds(facts)) for text, holds in terms(policy))
    cells = "".join(f"<td>{'yes' if answer else 'no'}</td>" for answer in (can_post, can_hv))
    return Decision(can_post, can_hv, f"<tr><th scope='row'>{name}</th><td>{said}</td>{cells}</tr>")


def draw_policy(hv_timer: bool, **facts: bool) -> Frame:
    """Show what each revision decides for these facts."""
    decisions = {name: decide(name, VcpuFacts(**facts), hv_timer) for name in REVISIONS}
    head = "".join(f"<th scope='col'>{text}</th>" for text in HEADS)
    rows = "".join(decision.row for decision in decisions.values())
    posting = [name for name, decision in decisions.items() if decision.can_post]
    using = [name for name, decision in decisions.items() if decision.can_hv]
    sentence = (
        f"{names_of(posting) if posting else 'No revision'} may post; "
        f"{names_of(using) if using else 'none'} may use the preemption timer."
    )
    return Frame(sentence[0].upper() + sentence[1:], html=f"<table><tr>{head}</tr>{rows}</table>")


def policy_panel() -> Panel:
    """Return a panel of five switches, and one for the preemption timer: what each revision decides, term by term.

    Settings: the fields of `VcpuFacts`, and hv_timer; all are booleans.

    >>> from kvmlab import panels
    >>> panels.policy_panel()
    Panel: Rev1 and rev2 may post; before and rev3 may use the preemption timer.
    """
    on_at_first = ("pi_inject_timer", "apicv_active")
    controls = {name: checkbox(name, name in on_at_first) for name in VcpuFacts._fields}
    return Panel({**controls, "hv_timer": checkbox("the preemption timer exists", True)}, draw_policy, height=220)
