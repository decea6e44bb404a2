"""What counts of exits show of who fires the timers: of a table, or of a listing without the events that tell it."""

from __future__ import annotations

from collections.abc import Mapping

from kvmlab.host.inference import Observation
from kvmlab.host.names import HLT_EXITS, IRQ_EXITS, MWAIT_EXITS

SOME_VCPU = "some vCPU"
"""Whom observations and facts are of: a table does not distinguish vCPUs."""
FEW_WRITES = 100
"""From fewer writes nothing is concluded."""
MOST = 0.5
"""Most expiries were posted if interrupt exits are less than this share of writes."""
MSR_EXITS = ("MSR_WRITE", "MSR_WRITE_IMM", "msr", "EXIT_MSR")
"""Exits that write an MSR, as the timer in TSC-deadline mode and with x2APIC does."""


def count_observations(
    samples: Mapping[str, int], *, whole: bool, who: str = SOME_VCPU, armed: int | None = None
) -> tuple[list[Observation], list[str]]:
    """Return what counts of exits show, and what that rests on.

    - `samples`: count by reason of the exit.
    - `whole`: every exit is counted in it. Only then does something follow from a count that is small or missing.
    - `who`: the vCPU whose exits they are.
    - `armed`: how many writes are known to arm the timer; None: not known.
    """
    if hv := samples.get("PREEMPTION_TIMER", 0):
        sentence = f"{hv} PREEMPTION_TIMER exit{'s' * (hv != 1)}: the preemption timer was used."
        return [Observation(who, None, "can_use_hv_timer", True, hv, sentence)], []
    writes = sum(samples.get(name, 0) for name in MSR_EXITS)
    arms = writes if armed is None else armed
    irqs = sum(samples.get(name, 0) for name in IRQ_EXITS)
    halts = sum(samples.get(name, 0) for name in (*HLT_EXITS, *MWAIT_EXITS))
    # APIC_WRITE is an IPI, an EOI or a timer, and where there are many, the MSR writes may be anything, too.
    if not whole or arms < FEW_WRITES or halts or samples.get("APIC_WRITE", 0) > arms:
        return [], []
    what = "MSR writes" if armed is None else "writes that arm the timer"
    sentence = f"{arms} {what} and no PREEMPTION_TIMER exit: hrtimers were used."
    found = [Observation(who, None, "can_use_hv_timer", False, arms, sentence)]
    if irqs < MOST * arms:
        sentence = f"{arms} {what}, but only {irqs} interrupt exits and no HLT exits: most expiries were posted."
        found.append(Observation(who, None, "can_post_timer_interrupt", True, arms - irqs, sentence))
    if armed is not None:
        return found, []
    return found, [f"most of the {arms} MSR writes arm the timer (IPIs, and without APICv EOIs, may be among them)"]
