"""What the tests of the model read out of a scenario and a run."""

import numpy as np

from kvmlab import policy
from kvmlab.model.names import EXITS, PLACES, State


def owners(scenario):
    """Each vCPU's guest, and the pCPUs it may be on."""
    pairs = zip(scenario.guests, scenario.placement, strict=True)
    return [(guest, pool if guest.moves_every_ms else (pool[i],)) for guest, pool in pairs for i in range(guest.vcpus)]


def facts_on(host, guest, cpu):
    """The five facts in the words of the policies, for a vCPU on `cpu`."""
    return policy.VcpuFacts(
        bool(host.nohz_full and host.isolated) if host.pi_inject_timer is None else host.pi_inject_timer,
        host.apicv,
        not (host.nohz_full and cpu in host.isolated),
        guest.mwait_in_guest,
        guest.hlt_in_guest,
    )


def can_post(scenario, guest, cpus):
    """What the policy answers on each of the pCPUs."""
    return {bool(scenario.kernel.policy(facts_on(scenario.host, guest, cpu))) for cpu in cpus}


def places(run):
    """Expiries: a row per vCPU, a column per `Place`."""
    return run.machine.places.reshape(-1, len(PLACES))


def exit_counts(run, name):
    """Exits of this kind of each vCPU, with the one that the end of the run found under way."""
    vcpus, reason = run.machine.vcpus, EXITS.index(name)
    under_way = ~np.isin(vcpus["state"], (State.GUEST, State.DONE)) & (vcpus["exit_reason"] == reason)
    return run.exit_rows["count"][:, reason] + under_way
