"""What the reader says of the recorded host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kvmlab.host.host_facts import HostFacts
from kvmlab.host.inference import GLOBAL_FACTS, HOUSEKEEPING, Fact, Observation
from kvmlab.scenario import checks


@dataclass(frozen=True)
class Given:
    """Facts that the reader gave to `explain`."""

    flags: dict[str, bool]
    """Facts by name; those not given are missing."""
    housekeeping_cpus: frozenset[int] | None
    """All housekeeping CPUs; None: not given."""
    tsc_ghz: float | None
    """The guest's TSC frequency in GHz; None: not given."""
    host: HostFacts | None = None
    """What a text says of the host's settings."""

    @staticmethod
    def checked(
        flags: Mapping[str, bool | None],
        cpus: Iterable[int] | None,
        tsc_ghz: float | None,
        host: HostFacts | None = None,
    ) -> Given:
        """Check the arguments of `explain`; ValueError names one that is invalid, or that `host` contradicts."""
        given = {name: checks.flag(name, value) for name, value in flags.items() if value is not None}
        for name, value in (host.flags() if host else {}).items():
            if given.get(name, value) != value:
                raise ValueError(f"{name}: {given[name]} does not fit: {host and host.name} says {value}")
        housekeeping = None if cpus is None else frozenset(checks.cpus("housekeeping_cpus", cpus, 1 << 20))
        isolated = housekeeping & (host.nohz_full or frozenset()) if housekeeping and host else frozenset()
        if isolated:
            raise ValueError(
                f"housekeeping_cpus: {sorted(isolated)} do not fit: {host and host.name} has them in nohz_full="
            )
        ghz = None if tsc_ghz is None else checks.number("tsc_ghz", tsc_ghz, 0.1, 10, "GHz")
        return Given(given, housekeeping, ghz, host)

    def facts(self, observations: Iterable[Observation], seen: Iterable[Fact]) -> list[Fact]:
        """Return them as facts about each vCPU and pCPU; ValueError where `seen`, the recording, shows otherwise."""
        vcpus = dict.fromkeys(each.vcpu for each in observations)
        cpus = dict.fromkeys(each.cpu for each in observations if each.cpu is not None)
        facts = []
        read = self.host.flags() if self.host else {}
        for name, value in {**read, **self.flags}.items():
            sentence = (
                f"You say {name}={value}." if name in self.flags else f"{self.host and self.host.name}: {name}={value}."
            )
            places: Iterable[str | None] = [None] if name in GLOBAL_FACTS else vcpus
            facts += [Fact(name, value, place, sentence) for place in places]
        if self.housekeeping_cpus is not None:
            listed = ", ".join(map(str, sorted(self.housekeeping_cpus))) or "none"
            sentence = f"You say housekeeping_cpus={listed}."
            facts += [Fact(HOUSEKEEPING, cpu in self.housekeeping_cpus, cpu, sentence) for cpu in cpus]
        elif self.host and self.host.nohz_full is not None:
            for cpu in cpus:
                isolated = cpu in self.host.nohz_full
                sentence = f"{self.host.name}: pCPU {cpu} is {'' if isolated else 'not '}in nohz_full=."
                facts.append(Fact(HOUSEKEEPING, not isolated, cpu, sentence))
        given = {(fact.name, fact.of): fact for fact in facts}
        for fact in seen:
            said = given.get((fact.name, fact.of))
            if said is not None and said.value != fact.value:
                raise ValueError(f"{fact.name}: {said.sentence} The recording shows otherwise: {fact.sentence}")
        return facts
