"""The beads of the time line: patches and mails that have to do with the line of C that says who may post.

What each changed, by whom and when, comes from data/patches.toml. Only who gains and who pays is said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvmlab import data
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.rounds import CAST
from kvmlab.policy import VcpuFacts

GUESTS = ("the database", "the poller", "the ordinary guest")
"""The course's three guests, as `CAST` has them."""
FACTS = {
    "pi_inject_timer": "pi_inject_timer",
    "kvm_vcpu_apicv_active(vcpu)": "apicv_active",
    "housekeeping_cpu(vcpu->cpu, HK_FLAG_TIMER)": "housekeeping_cpu",
    "kvm_mwait_in_guest(vcpu->kvm)": "mwait_in_guest",
    "kvm_hlt_in_guest(vcpu->kvm)": "hlt_in_guest",
}
"""What the kernel's conditions are called in `VcpuFacts`."""
FUNCTION = "kvm_can_post_timer_interrupt"
EARLY_FUNCTION = "posted_interrupt_inject_timer"
RENAMED = "2020-05"
"""Its name in the mails of 2019, and the month of the series that renamed it (for v5.8)."""


@dataclass(frozen=True)
class Note:
    """What is said of a bead beside its row in data/patches.toml."""

    label: str
    """What the time line calls it."""
    gains: str
    pays: str


NOTES: Mapping[str, Note] = {
    "affine": Note(
        "timers move away",
        "isolated pCPUs: no timer that could fire elsewhere interrupts them.",
        "guests there: their LAPIC timer fires on another pCPU, and the interrupt may come a millisecond late.",
    ),
    "pinned": Note(
        "pinned",
        "guests on isolated pCPUs: their interrupts are in time again.",
        "the same guests: a timer that stays on their pCPU costs an exit at each deadline.",
    ),
    "hv": Note(
        "preemption timer",
        "guests on Intel CPUs: a cheaper exit at the deadline, and no timer interrupt of the host.",
        "nobody. But the exit stays.",
    ),
    "posted-v2": Note(
        "draft of June 2019, v2",
        "guests whose MWAIT does not exit.",
        "none of the three: nothing changes for them.",
    ),
    "posted-v5": Note(
        "draft of June 2019, v5",
        "the database, whose HLT does not exit.",
        'nobody, but the poller gets nothing: it never halts. Marcelo Tosatti objects: "think DPDK style workloads".',
    ),
    "unpinned": Note(
        "no longer pinned",
        "guests on isolated pCPUs: their timers may move to a housekeeping CPU.",
        "nobody yet. Without posting, a timer that fires there kicks the vCPU: an exit all the same.",
    ),
    "rev1": Note(
        "rev 1",
        "the database and the poller: what a housekeeping CPU fires is posted, without an exit.",
        "the ordinary guest: it loses the preemption timer, and nothing is posted to it.",
    ),
    "rev2": Note(
        "rev 2",
        "the ordinary guest: it has the preemption timer back. The database and the poller keep what they had.",
        "a vCPU that moves: the answer changes with its pCPU, and may be about the pCPU that it has just left.",
    ),
    "rev2-v2": Note(
        "rev 2, v2",
        "the same guests as rev 2.",
        "guests on a housekeeping CPU whose HLT does not exit: they would lose the preemption timer.",
    ),
    "rev3-v1": Note(
        "rev 3, v1",
        "the ordinary guest: it has the preemption timer back.",
        "the database and the poller: their MWAIT exits, so nothing is posted to them any more.",
    ),
    "rev3-idea": Note(
        "the line of rev 3",
        "the ordinary guest, which has the preemption timer back, and the database, whose HLT does not exit.",
        "the poller: it never halts, so nobody has asked for HLT without exits.",
    ),
    "rev3-v2": Note(
        "rev 3, v2",
        "the same guests as by the line of December.",
        "the poller.",
    ),
    "rev3": Note(
        "rev 3",
        "the ordinary guest, which has the preemption timer back. The database keeps what it had.",
        "the poller: nothing is posted to it any more, and it exits at each deadline.",
    ),
    "apic-timer-virt": Note(
        "timer virtualization",
        "guests on CPUs that have it: neither the write nor the expiry exits, and KVM has nothing to post.",
        "nobody: it is not merged. In v7.1 the line is still that of rev 3.",
    ),
}  # fmt: skip
"""Who gains and who pays, by the patch's id."""
LAST = {"before": "hv", "rev1": "rev1", "rev2": "rev2", "rev3": "rev3"}
"""The last bead up to a revision."""


def beads(until: str | None, drafts: bool) -> list[dict[str, Any]]:
    """Return the beads, oldest first; nothing later than the revision `until`; `drafts`: also what was never merged.

    Rev 2 was never merged either, but it is a revision. Keys of each: id, label, title, author, date, released,
    merged, revision, changes, why, function, terms (of the line; empty before there was one), posts (guest -> may be
    posted), gains, pays, url.
    """
    history = data.history().set_index("id")
    ids = [patch for patch in history.index if patch in NOTES]
    if until is not None:
        ids = ids[: ids.index(LAST[until]) + 1]
    return [bead(patch, history.loc[patch]) for patch in ids if drafts or history["role"][patch] != "proposal"]


def bead(patch: str, row: Any) -> dict[str, Any]:
    """Return one bead; `row`: of the patch history."""
    note = NOTES[patch]
    predicate = row["predicate"] if isinstance(row["predicate"], str) else None
    merged = isinstance(row["commit"], str)
    released = f"merged, {row['release']}" if merged else "never merged"
    url = (
        f"https://git.kernel.org/linus/{row['commit']}"
        if merged
        else f"https://lore.kernel.org/all/{row['message_id']}"
    )
    return {
        "id": patch,
        "label": note.label,
        "title": row["subject"],
        "author": row["author"],
        "date": row["date"],
        "released": released,
        "merged": merged,
        "revision": row["role"] == "revision",
        "changes": row["changes"],
        "why": row["why"],
        "function": "" if not predicate else FUNCTION if row["date"] >= RENAMED else EARLY_FUNCTION,
        "terms": split(predicate) if predicate else [],
        "posts": {guest: predicate is not None and holds(predicate, facts_of(guest)) for guest in GUESTS},
        "gains": note.gains,
        "pays": note.pays,
        "url": url,
    }


def split(predicate: str) -> list[str]:
    """Return the conditions that a line of C joins by ``&&``, those in brackets as one.

    >>> split("a && (b && c || d) && !e(f, g)")
    ['a', '(b && c || d)', '!e(f, g)']
    """
    terms, depth = [""], 0
    for part in re.split(r"(&&|[()])", predicate):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "&&" and depth == 0:
            terms.append("")
        else:
            terms[-1] += part
    return [term.strip() for term in terms]


def facts_of(guest: str) -> VcpuFacts:
    """Return what a policy may look at for one of the course's guests, on its host."""
    settings = {**TIMER.defaults, **CAST[guest]}
    housekeeping = settings["pcpu"] == "housekeeping"
    known = {name: bool(settings[name]) for name in VcpuFacts._fields if name in settings}
    return VcpuFacts(housekeeping_cpu=housekeeping, **known)


def holds(predicate: str, facts: VcpuFacts) -> bool:
    """Return the answer of a line of C. What is none of the five facts (a feature of newer CPUs) counts as false."""
    return all(holds_term(term, facts) for term in split(predicate))


def holds_term(term: str, facts: VcpuFacts) -> bool:
    """Return the answer of one condition: a fact, its negation, or several in brackets, joined by ``||``."""
    if term.startswith("("):
        return any(holds_term(each.strip(), facts) for each in term[1:-1].split("||"))
    if term.startswith("!"):
        return not holds_term(term[1:], facts)
    return bool(getattr(facts, FACTS[term])) if term in FACTS else False
