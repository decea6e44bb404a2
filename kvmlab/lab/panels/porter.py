"""The porter: the one housekeeping CPU that fires everyone's timers."""

from __future__ import annotations

from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.panel import Panel
from kvmlab.lab.panels.porter_host import PORTER
from kvmlab.lab.panels.simulation import MACHINERY, affordable
from kvmlab.policy import Policy
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.scenario import Scenario


class Porter(Panel):
    """The panel that `porter_panel` makes."""

    @property
    def scenario(self) -> Scenario:
        """The crowd that the controls describe, for as long as the panel simulates it."""
        own = self.own_kernel(self.settings["kernel"])
        if own is None:
            return affordable(PORTER.scenario(self.settings))
        return affordable(PORTER.scenario({**self.settings, "kernel": MACHINERY}).replace(kernel=own))

    @property
    def run(self) -> Run:
        """The run of these settings by Python; its trace begins with what the panel plays."""
        return simulate(self.scenario)


def porter_panel(policy: Policy | None = None, **settings: Value) -> Porter:
    """Return the porter: vCPUs whose timers queue up on one housekeeping CPU, and what it posts; played in time.

    - `policy`: a reader's own, which becomes one more kernel.
    - settings: vcpus, ticks ("together" or "spread"), tick_hz, housekeeping_cpus, kernel, hlt_in_guest and seed, as in
      `kvmlab.lab.panels.porter_host.PorterSettings`.

    ValueError names a setting or a value that is not allowed.

    >>> from kvmlab import panels
    >>> together, spread = (panels.porter_panel(ticks=ticks).run for ticks in ("together", "spread"))
    >>> together.latency_percentile(0.99) > 5 * spread.latency_percentile(0.99)
    True
    """
    return Porter("porter", PORTER, settings, policy=policy)
