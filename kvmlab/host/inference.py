"""Which revisions a host may run, from what was seen of it: every combination of facts is tried, none is assumed.

An observation is an answer that the kernel gave: that the preemption timer may be used (`can_use_hv_timer`), or that an
expiry may be posted (`can_post_timer_interrupt`). A revision is consistent with the observations if some values of the
unknown facts let it give all these answers. A pCPU's housekeeping flag is chosen for each vCPU by itself, so that the
truth is never excluded.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvmlab import policy
from kvmlab.policy import VcpuFacts

GLOBAL_FACTS = ("pi_inject_timer", "hv_timer")
"""Facts about the whole host."""
VM_FACTS = ("apicv_active", "mwait_in_guest", "hlt_in_guest")
"""Facts about a VM: the same on every pCPU."""
HOUSEKEEPING = "housekeeping_cpu"
"""The fact about a pCPU."""
FACTS = (*GLOBAL_FACTS, *VM_FACTS, HOUSEKEEPING)
WORDS = {
    "pi_inject_timer": ("kvm.pi_inject_timer is off", "kvm.pi_inject_timer is on"),
    "hv_timer": ("there is no preemption timer", "there is a preemption timer"),
    "apicv_active": ("APICv is not active", "APICv is active"),
    "mwait_in_guest": ("MWAIT exits", "MWAIT does not exit"),
    "hlt_in_guest": ("HLT exits", "HLT does not exit"),
    HOUSEKEEPING: ("{cpu} is isolated", "{cpu} is a housekeeping CPU"),
}
"""Each fact in words: where it is false, where it is true."""
LONGEST_TERM = 3
"""A condition names at most this many facts."""


@dataclass(frozen=True)
class Observation:
    """One answer of the kernel's, seen `count` times."""

    vcpu: str
    """The vCPU's name."""
    cpu: int | None
    """The pCPU of the vCPU, whose housekeeping flag counts; None: not known."""
    question: str
    """"can_use_hv_timer" or "can_post_timer_interrupt"."""
    answer: bool
    """What the kernel answered."""
    count: int
    """How often it was seen."""
    sentence: str
    """The observation in words."""


@dataclass(frozen=True)
class Fact:
    """A fact that is known, and how."""

    name: str
    """One of `FACTS`."""
    value: bool
    of: str | int | None
    """The vCPU (text), the pCPU (number), or None for the whole host."""
    sentence: str
    """How it is known."""


@dataclass(frozen=True)
class PolicyInference:
    """Which revisions are consistent with what was seen, and why."""

    consistent: tuple[str, ...]
    """Names of the policies that are."""
    excluded: dict[str, str]
    """The others, each with the evidence that excludes it."""
    conditions: dict[str, str]
    """What has to be true for a consistent policy, beyond what is known; "" if nothing."""
    evidence: tuple[str, ...]
    """What was seen, one sentence each."""
    implied: tuple[str, ...]
    """What follows from it under every consistent policy."""
    unknown: tuple[str, ...]
    """Facts that would decide more: arguments of `explain`."""
    assumed: tuple[str, ...] = field(default=())
    """What the evidence rests on and was not seen; each goes on after "if"."""
    observations: tuple[Observation, ...] = field(default=())
    """What was seen of the kernel's answers."""
    facts: tuple[Fact, ...] = field(default=())
    """What is known of the host."""

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if not self.consistent:
            return "No revision gives all these answers: facts changed while it was recorded, or a fact given is wrong."
        if not self.observations and not self.excluded:
            return "Nothing that tells the revisions apart was seen."
        others = f", not like {listed(self.excluded)}" if self.excluded else ""
        provided = f", if {' and '.join(self.assumed)}" if self.assumed else ""
        return f"Behaves like {listed(self.consistent)}{others}{provided}."

    def reasons(self) -> list[str]:
        """Return why, one line per reason."""
        lines = [f"{name} if {condition}" for name, condition in self.conditions.items() if condition]
        lines += [f"not {name}: {why}" for name, why in self.excluded.items()]
        lines += [f"seen: {sentence}" for sentence in self.evidence]
        so = "if so" if self.assumed else "so"
        lines += [f"assumed: {sentence}." for sentence in self.assumed]
        lines += [f"{so}: {sentence}" for sentence in self.implied]
        return lines + ([f"would tell more: {', '.join(self.unknown)}"] if self.unknown else [])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict: the fields, and `sentence`."""
        return {
            "sentence": self.sentence,
            "consistent": list(self.consistent),
            "excluded": dict(self.excluded),
            "conditions": dict(self.conditions),
            "evidence": list(self.evidence),
            "implied": list(self.implied),
            "unknown": list(self.unknown),
            "assumed": list(self.assumed),
        }

    def __str__(self) -> str:
        return "\n  ".join([self.sentence, *self.reasons()])


def listed(names: Iterable[str]) -> str:
    """Return some names as part of a sentence: "a, b or c"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


Values = dict[str, bool]
"""Facts by name."""


@dataclass(frozen=True)
class Known:
    """The known facts, by what they are of."""

    host: Values
    """Of the whole host."""
    vcpus: dict[str, Values]
    """Of each vCPU, by its name."""
    cpus: dict[int, bool]
    """Which pCPUs are housekeeping CPUs."""

    @staticmethod
    def of(facts: Iterable[Fact]) -> Known:
        """Sort facts; one that is given twice is as the first says."""
        known = Known({}, {}, {})
        for fact in facts:
            if isinstance(fact.of, int):
                known.cpus.setdefault(fact.of, fact.value)
            elif fact.of is None:
                known.host.setdefault(fact.name, fact.value)
            else:
                known.vcpus.setdefault(fact.of, {}).setdefault(fact.name, fact.value)
        return known

    def about(self, vcpu: str, cpu: int | None) -> Values:
        """Return what is known where a vCPU runs on a pCPU."""
        values = {**self.host, **self.vcpus.get(vcpu, {})}
        if cpu is not None and cpu in self.cpus:
            values[HOUSEKEEPING] = self.cpus[cpu]
        return values


def answers(rule: policy.Policy, values: Values) -> dict[str, bool]:
    """Return what a policy answers to each question, where every fact has a value."""
    facts = VcpuFacts(**{name: values[name] for name in VcpuFacts._fields})
    can_post = rule(facts)
    return {
        "can_post_timer_interrupt": can_post,
        "can_use_hv_timer": policy.can_use_hv_timer(facts, can_post, values["hv_timer"]),
    }


def choices(known: Values, names: Sequence[str]) -> Iterator[Values]:
    """Yield every way to give `names` values, the known ones as they are."""
    free = [name for name in names if name not in known]
    for bits in itertools.product((False, True), repeat=len(free)):
        yield {**{name: known[name] for name in names if name in known}, **dict(zip(free, bits, strict=True))}


def fits(rule: policy.Policy, observations: Iterable[Observation], values: Values) -> bool:
    """Return True if a policy gives these answers (all on one pCPU), for one value of every fact."""
    given = answers(rule, values)
    return all(given[seen.question] == seen.answer for seen in observations)


Place = tuple[str, int | None]
"""A vCPU, and the pCPU on which it was seen; None: not known."""
Places = Mapping[Place, Sequence[Observation]]
"""Observations by place."""


def by_place(observations: Iterable[Observation]) -> dict[Place, list[Observation]]:
    """Group observations by place: a vCPU on a pCPU."""
    places: dict[Place, list[Observation]] = {}
    for seen in observations:
        places.setdefault((seen.vcpu, seen.cpu), []).append(seen)
    return places


def consistent(rule: policy.Policy, places: Places, known: Known) -> bool:
    """Return True if some values of the unknown facts let a policy give every answer that was seen."""
    vcpus = dict.fromkeys(vcpu for vcpu, _ in places)
    return any(
        all(vcpu_fits(rule, vcpu, places, known, host) for vcpu in vcpus) for host in choices(known.host, GLOBAL_FACTS)
    )


def vcpu_fits(rule: policy.Policy, vcpu: str, places: Places, known: Known, host: Values) -> bool:
    """Return True if that is so for one vCPU, whose VM facts are the same on every pCPU; `host`: the global facts."""
    cpus = [cpu for name, cpu in places if name == vcpu]
    return any(
        all(
            any(
                fits(rule, places[vcpu, cpu], last) for last in choices({**known.about(vcpu, cpu), **host, **vm}, FACTS)
            )
            for cpu in cpus
        )
        for vm in choices(known.vcpus.get(vcpu, {}), VM_FACTS)
    )


Terms = list[Values]
"""Alternatives: combinations of facts of which one is enough."""


def sufficient(rule: policy.Policy, observations: Sequence[Observation], known: Values) -> Terms:
    """Return the shortest combinations of unknown facts with which a policy gives these answers; [{}]: any do."""
    every = list(choices(known, FACTS))
    free = [name for name in FACTS if name not in known]
    # Sets of combinations, as bits of a number.
    bad = sum(1 << i for i, values in enumerate(every) if not fits(rule, observations, values))
    where = {
        (name, bit): sum(1 << i for i, values in enumerate(every) if values[name] == bit)
        for name in free
        for bit in (False, True)
    }
    everywhere = -1  # all bits
    terms: Terms = []
    for size in range(LONGEST_TERM + 1):
        for names in itertools.combinations(free, size):
            for bits in itertools.product((False, True), repeat=size):
                term = dict(zip(names, bits, strict=True))
                matching = functools.reduce(operator.and_, (where[fact] for fact in term.items()), everywhere)
                if not matching & bad and not any(shorter.items() <= term.items() for shorter in terms):
                    terms.append(term)
    return terms


def forced(rules: Iterable[policy.Policy], observations: Sequence[Observation], known: Values) -> Values:
    """Return the unknown facts that have one value wherever one of the policies gives these answers."""
    good = [v for v in choices(known, FACTS) for rule in rules if fits(rule, observations, v)]
    values = {name: {each[name] for each in good} for name in FACTS if name not in known}
    return {name: found.pop() for name, found in values.items() if len(found) == 1}


def in_words(term: Values, cpu: int | None) -> str:
    """Return some facts in words."""
    place = "the pCPU" if cpu is None else f"pCPU {cpu}"
    return " and ".join(WORDS[name][value].format(cpu=place) for name, value in term.items())


def infer(
    observations: Sequence[Observation], facts: Sequence[Fact], excluded: Mapping[str, str], assumed: Sequence[str] = ()
) -> PolicyInference:
    """Infer which policies are consistent with the observations, by trying every one.

    - `observations`: answers that the kernel gave.
    - `facts`: what is known of the host; of one that is there twice, the first counts.
    - `excluded`: policies that something else has excluded, and what.
    - `assumed`: what the observations rest on, as clauses that follow an "if".
    """
    places, known = by_place(observations), Known.of(facts)
    rules = policy.POLICIES
    left = {name: rule for name, rule in rules.items() if name not in excluded and consistent(rule, places, known)}
    about = {place: known.about(*place) for place in places}
    follows = {place: forced(left.values(), places[place], about[place]) for place in places}
    terms = {
        (name, place): sufficient(rule, places[place], about[place] | follows[place])
        for name, rule in left.items()
        for place in places
    }
    names = {name for several in terms.values() for term in several for name in term}
    return PolicyInference(
        consistent=tuple(left),
        excluded={
            name: excluded.get(name) or why_not(rule, observations, known)
            for name, rule in rules.items()
            if name not in left
        },
        conditions={name: conditions(name, terms) for name in left},
        evidence=tuple(dict.fromkeys([*(seen.sentence for seen in observations), *(fact.sentence for fact in facts)])),
        implied=tuple(dict.fromkeys(f"{in_words(follows[place], place[1])}." for place in places if follows[place])),
        unknown=tuple("housekeeping_cpus" if name == HOUSEKEEPING else name for name in FACTS if name in names),
        assumed=tuple(assumed),
        observations=tuple(observations),
        facts=tuple(facts),
    )


def fits_with(inference: PolicyInference, rule: policy.Policy, facts: Sequence[Fact]) -> bool:
    """Return True if a policy gives every answer that was seen, where `facts` hold besides what is known.

    Of a fact that is known already, what is known counts.
    """
    return consistent(rule, by_place(inference.observations), Known.of([*inference.facts, *facts]))


def why_not(rule: policy.Policy, observations: Sequence[Observation], known: Known) -> str:
    """Return the observation that excludes a policy, if a single one does."""
    for seen in observations:
        if not consistent(rule, by_place([seen]), known):
            return seen.sentence
    return "some of what was seen fits, all of it together does not."


def conditions(name: str, terms: Mapping[tuple[str, Place], Terms]) -> str:
    """Return what has to be true for one policy on every place, each condition said once."""
    places = {place: several for (owner, place), several in terms.items() if owner == name and several != [{}]}
    texts = dict.fromkeys(", or ".join(in_words(term, cpu) for term in several) for (_, cpu), several in places.items())
    found = list(texts)
    return "; and ".join(found[:3]) + ("; and more" if len(found) > 3 else "")
