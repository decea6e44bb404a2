"""Several runs side by side: their figures in one table, their timelines on one axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvmlab.kernels import KERNELS, Kernel
from kvmlab.policy import Policy
from kvmlab.results.chrome_trace import write_chrome_trace
from kvmlab.results.run import Run, simulate
from kvmlab.scenario import checks
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import numbered, variants

if TYPE_CHECKING:
    import pandas as pd


def compare(
    scenario: Scenario,
    kernels_or_policies: Iterable[str | Kernel | Policy] = tuple(KERNELS),
    *,
    progress: bool = False,
) -> pd.DataFrame:
    """Run one scenario under several kernels or policies: the same world for each.

    - `kernels_or_policies`: names of kernels ("v5.13") or of policies ("rev1"), Kernels, functions of `VcpuFacts`, or
      one of these alone. A policy is put into the machinery of the scenario's own kernel. All kernels of the course
      unless told.
    - `progress`: show a bar for each run.

    Returns one row per kernel (what is named twice comes once), index `kernel`; columns as in `Run.summary`.
    Raises ValueError for a name that is not known.

    >>> import kvmlab as kl
    >>> scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.1)
    >>> list(kl.compare(scenario, ["before", "rev1", kl.policy.rev3]).index)
    ['before', 'rev1', 'rev3']
    """
    import pandas as pd

    checks.instance("scenario", scenario, Scenario)
    chosen = variants(scenario.kernel, kernels_or_policies)
    rows = [simulate(scenario.replace(kernel=kernel), progress=progress).summary() for kernel in chosen.values()]
    return pd.DataFrame(rows, index=pd.Index(list(chosen), name="kernel"))


def to_chrome_trace(runs: Run | Iterable[Run] | Mapping[str, Any], path: str | Path | None = None) -> dict[str, Any]:
    """Return several timelines on one axis of time as Chrome trace JSON, which the Perfetto UI opens.

    - `runs`: a run, some runs (each called by its kernel's name), or a mapping of names to whatever has a ``timeline``
      (runs, explanations of recordings). Each is a process, with a track per pCPU and per vCPU.
    - `path`: the file to write as well; none unless told.

    Raises ValueError for what has no timeline.

    >>> import kvmlab as kl
    >>> scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.01)
    >>> runs = [kl.simulate(scenario.replace(kernel=name)) for name in ("v5.2", "v5.18")]
    >>> kl.to_chrome_trace(runs)["displayTimeUnit"]
    'ns'
    """
    if isinstance(runs, Run):
        runs = [runs]
    if not isinstance(runs, Mapping):
        several = [
            checks.instance("runs", each, Run) for each in checks.several("runs", runs, "Runs, or names to Runs")
        ]
        runs = dict(zip(numbered([each.scenario.kernel.name for each in several]), several, strict=True))
    for name, each in runs.items():
        if not hasattr(each, "timeline"):
            raise checks.refusal(f"runs[{name!r}]", each, "something with a timeline: a Run or an Explanation")
    return write_chrome_trace({name: each.timeline for name, each in runs.items()}, path)
