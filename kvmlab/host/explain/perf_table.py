"""Explain a table of perf kvm stat: it has counts only, so its evidence is of another kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmlab.host.explain.evidence import NO_HV_TIMER
from kvmlab.host.explain.explanation import Explanation
from kvmlab.host.explain.given import Given
from kvmlab.host.formats.sniff import PERF
from kvmlab.host.inference import Fact, Observation, infer
from kvmlab.host.names import HLT_EXITS, MWAIT_EXITS, SVM_EXITS
from kvmlab.host.tracker import Tracker

if TYPE_CHECKING:
    import pandas as pd

SOME_VCPU = "some vCPU"
"""Whom observations and facts are of: a table does not distinguish vCPUs."""
FEW_WRITES = 100
"""From fewer writes nothing is concluded."""
MOST = 0.5
"""Most expiries were posted if interrupt exits are less than this share of writes."""


def explain_table(table: pd.DataFrame, name: str, given: Given) -> Explanation:
    """Infer what the counts of a table show."""
    samples: dict[str, int] = {}
    for row, count in table["Samples"].items():
        samples[str(row)] = samples.get(str(row), 0) + int(count)
    observations, assumed = table_observations(samples)
    seen = table_facts(samples)
    inference = infer(observations, [*given.facts(observations, seen), *seen], {}, assumed)
    return Explanation(name, PERF, [], Tracker(0), inference, table=table)


def table_observations(samples: dict[str, int]) -> tuple[list[Observation], list[str]]:
    """Return what a table shows, and what that rests on. `samples`: count by reason of the exit."""
    arms = sum(samples.get(name, 0) for name in ("MSR_WRITE", "APIC_WRITE", "msr"))
    irqs = sum(samples.get(name, 0) for name in ("EXTERNAL_INTERRUPT", "interrupt"))
    halts = sum(samples.get(name, 0) for name in (*HLT_EXITS, *MWAIT_EXITS))
    if hv := samples.get("PREEMPTION_TIMER", 0):
        sentence = f"{hv} PREEMPTION_TIMER exits: the preemption timer was used."
        return [Observation(SOME_VCPU, None, "can_use_hv_timer", True, hv, sentence)], []
    if arms < FEW_WRITES or halts:
        return [], []
    assumed = [f"Most of the {arms} writes arm the timer (EOI and ICR writes count there too, without APICv)."]
    sentence = f"{arms} writes and no PREEMPTION_TIMER exit: hrtimers were used."
    found = [Observation(SOME_VCPU, None, "can_use_hv_timer", False, arms, sentence)]
    if irqs < MOST * arms:
        sentence = f"{arms} writes, but only {irqs} interrupt exits and no HLT exits: most expiries were posted."
        found.append(Observation(SOME_VCPU, None, "can_post_timer_interrupt", True, arms - irqs, sentence))
    return found, assumed


def table_facts(samples: dict[str, int]) -> list[Fact]:
    """Return facts that a table shows, if all vCPUs are of one VM."""
    facts = []
    if samples.keys() & SVM_EXITS:
        facts.append(NO_HV_TIMER)
    for names, fact, word in ((HLT_EXITS, "hlt_in_guest", "HLT"), (MWAIT_EXITS, "mwait_in_guest", "MWAIT")):
        if count := sum(samples.get(name, 0) for name in names):
            facts.append(Fact(fact, False, SOME_VCPU, f"{word} exits ({count})."))
    return facts
