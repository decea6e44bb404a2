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
from kvmlab.host.what_if.assumptions import Assumptions
from kvmlab.host.what_if.cost_fit import fitted_costs
from kvmlab.host.what_if.findings import Findings
from kvmlab.host.what_if.measure import Measured, measured_from
from kvmlab.host.what_if.predict import QUANTITIES, revision_rows
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
    pi_inject_timer: bool = True,
    apicv_active: bool = True,
    hv_timer: bool | None = None,
    mwait_in_guest: bool = False,
    hlt_in_guest: bool | None = None,
    isolated: bool = True,
    housekeeping: str | None = None,
    seconds: float | None = None,
    timer_hz: float | None = None,
    vcpus: int | None = None,
    waits_by: str | None = None,
    tsc_ghz: float = 2.5,
    replications: int = 3,
) -> WhatIf:
    """Predict what each revision would do on the host that a perf kvm stat table or a kvm trace was recorded on.

    - `recording`: what `explain` takes, or an `Explanation`.
    - `kernel`: whose machinery the revisions get (fast paths, unpinned hrtimers): a `Kernel`, or a name of `KERNELS`.
    - `revisions`: names of policies, or functions of VcpuFacts.
    - `replications`: each revision is run this many times in each world, with different seeds.

    The host as you say it is:

    - `pi_inject_timer`, `apicv_active`: kvm.pi_inject_timer is on, APICv is active.
    - `hv_timer`: there is a preemption timer. None: there is, but not on AMD.
    - `mwait_in_guest`, `hlt_in_guest`: MWAIT and HLT stay in the guest, without an exit. None: HLT exits.
    - `isolated`: the vCPUs sit on isolated (nohz_full) pCPUs.
    - `housekeeping`: what the housekeeping CPUs do, "idle", "ticking" or "timers". None: as recorded, or else varied.
    - `seconds`: how long a table took, in s; or else `timer_hz`: timers per vCPU and second.
    - `vcpus`: how many vCPUs a table is of. None: 1.
    - `waits_by`: how an idle guest waits, "hlt", "mwait", "pause" or "spin". None: "hlt" if it halts, else "spin".
    - `tsc_ghz`: the TSC's frequency, in GHz.

    Returns a `WhatIf`: `.table`, `.wide`, `.of(revision, quantity)`, `.known`, `.assumed`, `.cannot_be_known`.

    Raises ValueError as `explain` does, for an argument that is invalid or that the recording contradicts, and for a
    recording in which nothing arms a timer.

    Example: `kl.what_if("trace.txt", housekeeping="timers").of("rev1", "posted")`
    """
    findings = Findings()
    e = recording if isinstance(recording, Explanation) else explain(recording)
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
    worlds = [
        (scenario_of(measured, world, said, base), measured.spare_writes_hz(world.timers, world.factor))
        for world in worlds_of(measured, said.housekeeping)
    ]
    seeds = range(checks.whole("replications", replications, 1, 1000))
    rows = [row for each in chosen for row in revision_rows(each, worlds, seeds)]
    said.say(findings, measured, base)
    return WhatIf(e.name, measured, rows, findings, runs=len(chosen) * len(worlds) * len(seeds))
