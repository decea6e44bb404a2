"""The answer to a recording in three sentences: what fired the timers, which revision fits, what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kvmlab.host.explain.elsewhere import has_no_lapic_timer
from kvmlab.host.formats.unlisted import unlisted_of
from kvmlab.host.inference import VM_FACTS
from kvmlab.host.names import HLT_EXITS, MWAIT_EXITS, TIMER_ROWS
from kvmlab.host.outcome import Outcome

if TYPE_CHECKING:
    from kvmlab.host.explain.explanation import Explanation

RECORD = (
    "trace-cmd record -e kvm -e timer:hrtimer_start -e timer:hrtimer_cancel -e timer:hrtimer_expire_entry sleep 1 && "
    "trace-cmd report > listing.txt"
)
"""The command that records every event which `explain` follows."""
REPORT = "perf kvm stat report > table.txt"
"""The command that prints a whole table."""
LOOK = (
    "(grep . /sys/module/kvm*/parameters/*; cat /proc/cmdline; sysctl kernel.timer_migration; "
    "tr '\\0' ' ' </proc/QEMU_PID/cmdline) > host.txt"
)
"""The command that writes down what a host is set to, for --host-facts."""
QEMU = "ps -ww -o args -C qemu-system-x86_64 | grep -o cpu-pm=[a-z]*"
"""The command that shows whether QEMU leaves HLT and MWAIT to its guest (-overcommit cpu-pm=on)."""
NEEDED = ("kvm_exit", "kvm_entry", "kvm_msr", "hrtimer_start", "hrtimer_expire_entry")
"""Events without which some step of a timer is not seen."""
FIRED = {
    ("hv", "vm_entry"): "the VMX preemption timer (a PREEMPTION_TIMER exit each)",
    ("housekeeping", "posted"): "a host hrtimer on a housekeeping CPU that posted them (no exit)",
    ("housekeeping", "vm_entry"): "a host hrtimer on a housekeeping CPU that kicked the vCPU (an exit each)",
    ("own", "vm_entry"): "a host hrtimer on the vCPU's own pCPU (an exit each)",
    ("any", "posted"): "a host hrtimer on another pCPU that posted them (no exit)",
    ("any", "wake_up"): "a host hrtimer that woke the vCPU from its halt",
    ("any", "vm_entry"): "a timer of which only the interrupt was seen, at a VM entry",
    ("any", "at_arm"): "no timer, for they were due when they were armed",
}
"""What fired timers, by who fired and how the guest got the interrupt."""


def three_sentences(e: Explanation) -> tuple[str, str, str]:
    """Return what fired the timers and on which evidence, which revision fits, and what to look at or record next."""
    return fired_by(e), fitting(e), next_step(e)


def fired_by(e: Explanation) -> str:
    """Return what fired the timers, and what shows it."""
    delivered: Counter[str] = Counter()
    for outcome, count in e.counts.items():
        if outcome.fate == "delivered":
            delivered[who_fired(outcome)] += count
    if delivered:
        each = joined(f"{count} by {who}" for who, count in delivered.most_common())
        count = delivered.total()
        return f"The events show what fired {count} timer{'s' * (count != 1)}: {each}."
    if e.policy.observations:
        seen = " ".join(observation.sentence for observation in e.policy.observations)
        return f"The counts of exits show it. {seen}" if not e.policy.assumed else f"{seen[:-1]}, {provided(e)}."
    return f"What fired the timers cannot be told from this: {why_not(e)}."


def who_fired(outcome: Outcome) -> str:
    """Return who fired the timers of one outcome, in words."""
    fired = "hv" if outcome.backend == "hv" else str(outcome.fires_on)
    delivery = str(outcome.delivery)
    return FIRED.get((fired, delivery)) or FIRED.get(("any", delivery), "a timer that was not seen")


def provided(e: Explanation) -> str:
    """Return what the evidence rests on, as a condition."""
    return f"if {' and '.join(e.policy.assumed)}"


def why_not(e: Explanation) -> str:
    """Return why the evidence is not enough."""
    names = set(map(str, e.exits.index)) if len(e.exits) else set()
    if other := has_no_lapic_timer(names):
        return other.removesuffix(".")
    if e.table is not None and not unlisted_of(e.table).nothing:
        return "the table is incomplete, and nothing follows from rows that are not there"
    if names & (HLT_EXITS | MWAIT_EXITS):
        return "the guest halts, and a timer that wakes it costs no exit of its own, whoever fires it"
    if "APIC_WRITE" in names:
        return "which of the APIC_WRITE exits arm the timer is not in it"
    if names & TIMER_ROWS:
        return "the table shows which writes arm the timer, not what fires it"
    if e.table is None and e.counts:
        return "the listing has no events that show who fires them"
    return "it has too few exits that arm a timer"


def fitting(e: Explanation) -> str:
    """Return which revisions fit, and under which condition."""
    inference = e.policy
    if inference.consistent and not inference.excluded and inference.observations:
        return (
            f"No revision is excluded: {joined(inference.consistent)} can all behave like this, on conditions (below)."
        )
    [*conditions] = {text for name in inference.consistent if (text := inference.conditions[name])}
    if len(inference.consistent) == 1 and conditions:
        return f"{inference.sentence.removesuffix('.')}, if {conditions[0]}."
    return inference.sentence


def next_step(e: Explanation) -> str:
    """Return what to look at or to record next, with the exact command."""
    names = set(map(str, e.exits.index)) if len(e.exits) else set()
    file = "FILE" if e.name.startswith("the ") else e.name
    if has_no_lapic_timer(names):
        return "Next: record a guest on x86; kvmlab follows LAPIC timers only."
    if e.table is not None and unlisted_of(e.table).samples:
        return f"Next: print the whole table, `{REPORT}`; or record the events, `{RECORD}`."
    if not e.policy.consistent:
        return f"Next: record a shorter time, in which nothing is changed: `{RECORD}`."
    if missing := [event for event in NEEDED if event not in e.events]:
        why = "the events of each timer" if e.table is not None else f"the events that are missing, {joined(missing)}"
        return f"Next: record {why}: `{RECORD}`, then `kvmlab explain listing.txt`."
    if e.policy.unknown and set(e.policy.unknown) <= set(VM_FACTS):
        what = joined(e.policy.unknown, last="or")
        return f"Next: look how QEMU was started: `{QEMU}`; cpu-pm=on means {what}, which would tell more."
    if e.policy.unknown and e.host is None:
        what = joined(e.policy.unknown, last="or")
        then = f"`{LOOK}`, then `kvmlab explain {file} --host-facts host.txt`"
        return f"Next: look up {what}, which would tell more: {then}."
    return f"Next: ask what the other revisions would do there: `kvmlab what-if {file}`."


def joined(parts: Iterable[str], last: str = "and") -> str:
    """Return some parts as part of a sentence: "a, b and c"."""
    *first, end = parts
    return f"{', '.join(first)} {last} {end}" if first else end
