"""The host as the reader says it is; what nobody says is taken for granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kvmlab.host.explain import Explanation
from kvmlab.host.inference import GLOBAL_FACTS, HOUSEKEEPING, WORDS, Fact
from kvmlab.host.names import is_amd
from kvmlab.host.what_if.findings import Findings
from kvmlab.host.what_if.measure import Measured
from kvmlab.kernels import Kernel
from kvmlab.scenario import checks

FIELDS = {
    "pi_inject_timer": "pi_inject_timer",
    "apicv_active": "apicv",
    "hv_timer": "preemption_timer",
    "mwait_in_guest": "mwait_in_guest",
    "hlt_in_guest": "hlt_in_guest",
}
"""Facts about hosts and VMs -> fields of `Assumptions`."""
MOST_VCPUS = 8
"""vCPUs that are simulated; of more, only these."""
LOADS = ("idle", "ticking", "timers")
"""What housekeeping CPUs may do."""
WAITS = ("spin", "hlt", "mwait", "pause")
"""How an idle guest may wait."""


@dataclass(frozen=True)
class Assumptions:
    """What is not measured, but said or taken for granted; fields as the arguments of `what_if`, `Host` and `Guest`."""

    pi_inject_timer: bool = True
    apicv: bool = True
    preemption_timer: bool = True
    vendor: str = "intel"
    isolated: bool = True
    housekeeping: str | None = None
    """What the housekeeping CPUs do; None: as recorded, or else it is varied."""
    hlt_in_guest: bool = False
    mwait_in_guest: bool = False
    waits_by: str = "hlt"
    settings: tuple[tuple[str, float], ...] = ()
    """Other fields of `Host`, as the host was said to be set to."""
    tsc_ghz: float = 2.5

    @staticmethod
    def checked(
        e: Explanation,
        measured: Measured,
        *,
        pi_inject_timer: bool | None,
        apicv_active: bool | None,
        hv_timer: bool | None,
        mwait_in_guest: bool | None,
        hlt_in_guest: bool | None,
        isolated: bool | None,
        housekeeping: str | None,
        waits_by: str | None,
        tsc_ghz: float,
    ) -> Assumptions:
        """Check what the reader says, as arguments of `what_if`; take from the recording what None leaves open.

        Raises ValueError for an argument that is invalid, and for one that the recording contradicts.
        """
        if measured.halts and checks.flag("hlt_in_guest", bool(hlt_in_guest)):
            raise ValueError(
                f"hlt_in_guest: True does not fit: the recording has {measured.halts:.0f} exits of HLT or MWAIT"
            )
        waits = "hlt" if measured.halts else "spin"
        amd = is_amd(set(map(str, e.exits.index)))
        known = known_facts(e)
        # QEMU's cpu-pm=on asks for both, and most hosts have MWAIT; one that used the preemption timer has none.
        asked = bool(e.host and e.host.cpu_pm) and "PREEMPTION_TIMER" not in e.exits.index

        def fact(name: str, value: bool | None, otherwise: bool) -> bool:
            """Return a fact as the reader says, or as it is known of the recorded host, or as it mostly is."""
            return checks.flag(name, known.get(name, otherwise) if value is None else value)

        return Assumptions(
            hlt_in_guest=fact("hlt_in_guest", hlt_in_guest, False),
            mwait_in_guest=fact("mwait_in_guest", mwait_in_guest, asked),
            waits_by=waits if waits_by is None else checks.choice("waits_by", waits_by, WAITS),
            isolated=checks.flag("isolated", isolated_there(e, known) if isolated is None else isolated),
            apicv=fact("apicv_active", apicv_active, True),
            preemption_timer=fact("hv_timer", hv_timer, not amd),
            pi_inject_timer=fact("pi_inject_timer", pi_inject_timer, True),
            vendor="amd" if amd else "intel",
            tsc_ghz=tsc_ghz,
            settings=tuple(e.host.settings().items()) if e.host else (),
            housekeeping=None if housekeeping is None else checks.choice("housekeeping", housekeeping, LOADS),
        )

    def say(self, findings: Findings, measured: Measured, base: Kernel) -> None:
        """Add what was assumed about the host, and what nobody can know. `base`: whose machinery was simulated."""
        words, stays = {True: "on", False: "off"}, {True: "stays in the guest", False: "exits"}
        where = "isolated (nohz_full)" if self.isolated else "housekeeping"
        findings.assumed += [
            f"kvm.pi_inject_timer is {words[self.pi_inject_timer]}, APICv is {words[self.apicv]}, the preemption "
            f"timer is {words[self.preemption_timer]}; {base.name}'s machinery under every revision.",
            f"vCPUs sit on {where} pCPUs, one each, and do not move; HLT {stays[self.hlt_in_guest]}, "
            f"MWAIT {stays[self.mwait_in_guest]}.",
            "Timers come at even distances, and the guest does the same whatever its exits cost: writes that arm no "
            "timer, interrupts of the host's own and other exits are as many as recorded.",
        ]
        if measured.vcpus > MOST_VCPUS:
            findings.assumed.append(
                f"{MOST_VCPUS} of the {measured.vcpus} vCPUs are simulated, with one housekeeping CPU."
            )
        if self.housekeeping is None and measured.housekeeping_us is None:
            findings.cannot.append(
                'What the housekeeping CPUs do: varied from "idle" over "ticking" (central) to a timer of their own '
                "every 100 us. It decides whether a timer can leave an isolated CPU at all."
            )
        findings.cannot.append(
            "Latency as the guest sees it: the recording has host times only, so latencies are the model's."
        )


def known_facts(e: Explanation) -> dict[str, bool]:
    """Return the facts that are known of the recorded host and its vCPUs, where they are the same for all of them."""
    values: dict[str, set[bool]] = {}
    sits_on = {observation.cpu for observation in e.policy.observations}
    if e.host is not None:
        values = {name: {value} for name, value in e.host.flags().items()}
    for fact in e.policy.facts:
        if fact.name != HOUSEKEEPING or fact.of in sits_on:
            values.setdefault(fact.name, set()).add(fact.value)
    return {name: found.pop() for name, found in values.items() if len(found) == 1}


def isolated_there(e: Explanation, known: Mapping[str, bool]) -> bool:
    """Return True unless the vCPUs of a recording are known to sit on housekeeping CPUs."""
    if e.host is not None and e.host.nohz_full == frozenset():
        return False
    return not known.get(HOUSEKEEPING, False)


def facts_of(said: Assumptions, e: Explanation) -> list[Fact]:
    """Return what is assumed as facts about the vCPUs and pCPUs of a recording."""
    vcpus = dict.fromkeys(observation.vcpu for observation in e.policy.observations)
    # Of no pCPU in particular: a table does not say on which one a vCPU ran.
    facts = [Fact(HOUSEKEEPING, not said.isolated, None, "")]
    for name, field in FIELDS.items():
        places = [None] if name in GLOBAL_FACTS else vcpus
        facts += [Fact(name, getattr(said, field), place, "") for place in places]
    return facts


def in_words(said: Assumptions, names: Iterable[str]) -> str:
    """Return some of the assumed facts in words."""
    return " and ".join(WORDS[name][getattr(said, FIELDS[name])] for name in names)


def with_facts(said: Assumptions, facts: Mapping[str, bool]) -> Assumptions:
    """Return the same host with other facts, by their names; those that are no field of it are passed over."""
    named: dict[str, Any] = {field: facts[name] for name, field in FIELDS.items() if name in facts}
    return replace(said, **named)
