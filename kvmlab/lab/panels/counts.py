"""Counts and jitter: the same world under every policy, one row each."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.panel import Panel, some_controls, some_policies
from kvmlab.lab.panels.simulation import HOST, MACHINERY, run_each
from kvmlab.policy import REVISIONS, Policy
from kvmlab.results.run import Run
from kvmlab.scenario import checks
from kvmlab.scenario.variants import variant

COLUMNS = ("exits", "latency", "taken", "gap", "places", "load")
"""What a counts panel can show: VM exits by reason; latency of timer interrupts; share of time lost to exits; longest
gap; who fired; load of the busiest housekeeping CPU."""


class Counts(Panel):
    """The panel that `counts_panel` makes."""

    @property
    def runs(self) -> dict[str, Run]:
        """The runs of these settings by Python, by policy."""
        names = self.options.get("policies") or list(REVISIONS)
        kernels = {name: variant(KERNELS[MACHINERY], name) for name in names}
        own = self.own_kernel(self.policy_name or "")
        if own:
            kernels[own.name] = own
        return run_each(HOST.scenario(self.settings), kernels)

    @property
    def run(self) -> Run:
        """The run of these settings by Python, under the reader's policy if there is one, else under the last shown."""
        return list(self.runs.values())[-1]


def counts_panel(
    *columns: str,
    policy: Policy | None = None,
    policies: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    first: Sequence[str] | None = None,
    **settings: Value,
) -> Counts:
    """Return a panel with a row per policy: VM exits by reason, latency, time lost ... while controls move.

    - `columns`: some of `COLUMNS`; exits, latency and taken unless told.
    - `policy`: a reader's own, shown below the revisions.
    - `policies`: names of the revisions to show; all unless told.
    - `controls`: the controls to offer; all unless told. `first`: those shown at once, the others under "more".
    - settings: of `kvmlab.lab.panels.simulation.HostSettings`, by their names.

    ValueError names a column, a control or a value that is not allowed.

    >>> from kvmlab import panels
    >>> panel = panels.counts_panel("exits", tick_hz=250)
    >>> round(panel.runs["before"].summary()["MSR_WRITE"] / panel.run.duration_ns * 1e9 / 4)
    250
    """
    for column in columns:
        checks.choice("column", column, COLUMNS)
    shown = {"columns": list(columns)} if columns else {}
    return Counts(
        "counts", HOST, settings, shown | some_controls(HOST, controls, first) | some_policies(policies), policy
    )
