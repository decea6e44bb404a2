"""What would each revision do on a host that was recorded? Costs and workload are fitted, the unknown is varied.

The recorded host is rebuilt as a scenario: the costs of its exits from the table, its timers, idleness and other exits
from the counts. Each revision is then run in several worlds: a central one, and others in which one thing that the
recording does not show is at the end of its range. What comes out is a range, and what it rests on, in sentences.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kvmlab import kernels
from kvmlab.host.explain import Explanation, explain
from kvmlab.host.explain.elsewhere import has_no_lapic_timer
from kvmlab.host.host_facts import HostFacts
from kvmlab.host.what_if.assumptions import FIELDS, Assumptions, with_facts
from kvmlab.host.what_if.backcast import best_reading, say_first
from kvmlab.host.what_if.cost_fit import fitted_costs
from kvmlab.host.what_if.findings import Findings
from kvmlab.host.what_if.measure import Measured, measured_from
from kvmlab.host.what_if.predict import QUANTITIES, Predictor
from kvmlab.host.what_if.report import WhatIf
from kvmlab.host.what_if.worlds import World, scenario_of, worlds_of
from kvmlab.kernels import Kernel
from kvmlab.policy import REVISIONS, Policy
from kvmlab.scenario import checks
from kvmlab.scenario.variants import variant

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "QUANTITIES",
    "Assumptions",
    "Findings",
    "Measured",
    "WhatIf",
    "World",
    "fitted_costs",
    "measured_from",
    "scenario_of",
    "what_if",
    "worlds_of",
]


def what_if(
    recording: str | os.PathLike[str] | pd.DataFrame | Explanation,
    *,
    kernel: str | Kernel = "v5.18",
    revisions: Iterable[str | Policy] = REVISIONS,
    pi_inject_timer: bool | None = None,
    apicv_active: bool | None = None,
    hv_timer: bool | None = None,
    mwait_in_guest: bool | None = None,
    hlt_in_guest: bool | None = None,
    isolated: bool | None = None,
    housekeeping: str | None = None,
    seconds: float | None = None,
    timer_hz: float | None = None,
    vcpus: int | None = None,
    waits_by: str | None = None,
    tsc_ghz: float = 2.5,
    host_facts: HostFacts | str | os.PathLike[str] | None = None,
    replications: int = 3,
) -> WhatIf:
    """Predict what each revision would do on the host that a perf kvm stat table or a kvm trace was recorded on.

    - `recording`: what `explain` takes, or an `Explanation`.
    - `kernel`: whose machinery the revisions get (fast paths, unpinned hrtimers): a `Kernel`, or a name of `KERNELS`.
    - `revisions`: names of policies, or functions of VcpuFacts.
    - `host_facts`: what the recorded host is set to, as `explain` takes it; with an `Explanation`, give it to that.
    - `replications`: each revision is run this many times in each world, with different seeds.

    The host for which to predict, where it is not as recorded, or not known from that. None: as `explain` was told, or
    the recording shows; or else as said here:

    - `pi_inject_timer`, `apicv_active`: kvm.pi_inject_timer is on, APICv is active. Else: both are.
    - `hv_timer`: there is a preemption timer. Else: there is, but not on AMD.
    - `mwait_in_guest`, `hlt_in_guest`: MWAIT and HLT stay in the guest, without an exit. Else: they exit.
    - `isolated`: the vCPUs sit on isolated (nohz_full) pCPUs. Else: they do.
    - `housekeeping`: what the housekeeping CPUs do, "idle", "ticking" or "timers". None: as recorded, or else varied.
    - `seconds`: how long a table took, in s.
    - `timer_hz`: timers per vCPU per second, where nobody knows how long a table took.
    - `vcpus`: how many vCPUs a table is of. None: 1.
    - `waits_by`: how an idle guest waits, "hlt", "mwait", "pause" or "spin". None: "hlt" if it halts, else "spin".
    - `tsc_ghz`: the TSC's frequency, in GHz.

    First the recording itself is reproduced, under the revision that it is consistent with: `.backcast` has both, and
    `.doubtful` names the quantities whose predictions cannot be relied on, because that failed.

    Returns a `WhatIf`: `.table`, `.wide`, `.of(revision, quantity)`, `.backcast`, `.doubtful`, `.first`, `.known`,
    `.assumed`, `.cannot_be_known`.

    Raises ValueError as `explain` does, for an argument that is invalid or that the recording contradicts (seconds x
    vcpus shorter than its exits took), and for a recording in which there are no exits or nothing arms a timer.

    Example: `kl.what_if("trace.txt", housekeeping="timers").of("rev1", "posted")`
    """
    findings = Findings()
    if isinstance(recording, Explanation) and host_facts is not None:
        raise ValueError("host_facts: not allowed beside an Explanation; give it to explain(..., host_facts=...)")
    e = recording if isinstance(recording, Explanation) else explain(recording, host_facts=host_facts)
    if other := has_no_lapic_timer(set(map(str, e.exits.index))):
        raise ValueError(f"{e.name}: {other}")
    measured = measured_from(e, findings, seconds, vcpus, timer_hz)
    said = Assumptions.checked(
        e,
        measured,
        pi_inject_timer=pi_inject_timer,
        apicv_active=apicv_active,
        hv_timer=hv_timer,
        mwait_in_guest=mwait_in_guest,
        hlt_in_guest=hlt_in_guest,
        isolated=isolated,
        housekeeping=housekeeping,
        waits_by=waits_by,
        tsc_ghz=tsc_ghz,
    )
    base = kernels.find(kernel)
    chosen = [variant(base, each) for each in checks.several("revisions", revisions, "names of policies")]
    seeds = range(checks.whole("replications", replications, 1, 1000))
    predictors: dict[Assumptions, Predictor] = {}

    def predictor(host: Assumptions) -> Predictor:
        """Return what runs revisions on a host; each is run once."""
        if host not in predictors:
            predictors[host] = Predictor(measured, host, base, seeds)
        return predictors[host]

    reading, backcast = best_reading(e, measured, said, lambda host, name: predictor(host).rows(name))
    given = {"pi_inject_timer": pi_inject_timer, "apicv_active": apicv_active, "hv_timer": hv_timer}
    given |= {"mwait_in_guest": mwait_in_guest, "hlt_in_guest": hlt_in_guest}
    # What nobody says is as on the recorded host.
    open_facts = [name for name in reading.changed if given[name] is None]
    said = with_facts(said, {name: getattr(reading.host, FIELDS[name]) for name in open_facts})
    rows = [row for each in chosen for row in predictor(said).rows(each)]
    findings.first += say_first(e, reading, [each.name for each in chosen])
    said.say(findings, measured, base)
    findings.known += [note for note in e.notes if not any(note in sentence for sentence in findings.first)]
    return WhatIf(e.name, measured, rows, findings, sum(each.runs for each in predictors.values()), backcast)
