"""Explain a table of perf kvm stat: it has counts only, so its evidence is of another kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kvmlab.host.explain.counts import SOME_VCPU, count_observations
from kvmlab.host.explain.elsewhere import other_machines
from kvmlab.host.explain.evidence import NO_HV_TIMER
from kvmlab.host.explain.explanation import Explanation
from kvmlab.host.explain.given import Given
from kvmlab.host.formats.sniff import PERF
from kvmlab.host.formats.unlisted import unlisted_of
from kvmlab.host.inference import Fact, Observation, infer
from kvmlab.host.names import HLT_EXITS, MWAIT_EXITS, TIMER_ROWS, is_amd
from kvmlab.host.tracker import Tracker

if TYPE_CHECKING:
    import pandas as pd

EOI_ROWS = frozenset({"0x80b:W", "0xfee000b0:W"})
"""Rows of these tables that are EOIs; with APICv they do not exit."""


def explain_table(table: pd.DataFrame, name: str, given: Given) -> Explanation:
    """Infer what the counts of a table show."""
    samples: dict[str, int] = {}
    for row, count in table["Samples"].items():
        samples[str(row)] = samples.get(str(row), 0) + int(count)
    unlisted = unlisted_of(table)
    observations, assumed = count_observations(samples, whole=unlisted.nothing)
    seen = table_facts(samples)
    inference = infer(observations, [*given.facts(observations, seen), *seen], {}, assumed)
    read = table.attrs.get("notes", ())
    unseen = fast_exits(observations, given) if not is_amd(samples) else ""
    notes = [*read, unlisted.sentence, *other_machines(samples), apic_writes(samples), armings(samples), unseen]
    said = dict.fromkeys(note for note in notes if note)
    return Explanation(name, PERF, [], Tracker(0), inference, table=table, notes=list(said), host=given.host)


def table_facts(samples: Mapping[str, int]) -> list[Fact]:
    """Return facts that a table shows, if all vCPUs are of one VM."""
    facts = []
    if is_amd(samples):
        facts.append(NO_HV_TIMER)
    for names, fact, word in ((HLT_EXITS, "hlt_in_guest", "HLT"), (MWAIT_EXITS, "mwait_in_guest", "MWAIT")):
        if count := sum(samples.get(name, 0) for name in names):
            facts.append(Fact(fact, False, SOME_VCPU, f"{word} exits ({count})."))
    if eois := sum(samples.get(name, 0) for name in EOI_ROWS):
        facts.append(Fact("apicv_active", False, SOME_VCPU, f"EOI exits ({eois}), so APICv is not active."))
    return facts


def fast_exits(observations: Iterable[Observation], given: Given) -> str:
    """Return what is to be said where a conclusion rests on a missing row that some kernels hide; "" otherwise.

    Fast paths came with v5.8; v5.11 moved the tracepoint kvm_entry to where they pass it (d95df9510679).
    """
    release = given.host.release if given.host else None
    hidden = release is None or (5, 8) <= release <= (5, 10)
    if not hidden or all(each.question != "can_use_hv_timer" or each.answer for each in observations):
        return ""
    return (
        "That there are no PREEMPTION_TIMER exits shows nothing on v5.8 to v5.10: perf misses exits that the fast path "
        "handles there."
    )


def apic_writes(samples: Mapping[str, int]) -> str:
    """Return what is to be said of APIC_WRITE exits; "" without them."""
    if not (count := samples.get("APIC_WRITE", 0)):
        return ""
    return (
        f"{count:,} APIC_WRITE exits: an IPI, an EOI or a write of the timer's initial count, the table does not show "
        "which. They are not taken for timers."
    )


def armings(samples: Mapping[str, int]) -> str:
    """Return how many rows of an MSR or MMIO table arm the timer; "" without such rows."""
    count = sum(samples.get(name, 0) for name in TIMER_ROWS)
    return f"{count:,} writes armed the guest's LAPIC timer, or disarmed it." if count else ""
