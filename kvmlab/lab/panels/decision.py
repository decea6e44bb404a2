"""The decision: who fires the timer, and on which facts that hangs."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.decision_chart import FACTS
from kvmlab.lab.panels.panel import Panel, some_policies
from kvmlab.lab.panels.simulation import affordable
from kvmlab.policy import POLICIES, Policy
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.scenario import Scenario


class Decision(Panel):
    """The panel that `decision_panel` makes."""

    @property
    def scenario(self) -> Scenario:
        """Four vCPUs of which these facts hold, under the chosen revision or the reader's policy."""
        name = self.settings["revision"]
        own = self.own_kernel(name)
        scenario = FACTS.scenario({**self.settings, "revision": next(iter(POLICIES)) if own else name})
        return scenario.replace(kernel=own) if own else scenario

    @property
    def run(self) -> Run:
        """The run of that scenario by Python."""
        return simulate(affordable(self.scenario))


def decision_panel(
    policy: Policy | None = None, *, policies: Sequence[str] | None = None, **settings: Value
) -> Decision:
    """Return the decision: a flow chart of who fires, lit by the facts, the predicates, and all 32 inputs.

    - `policy`: a reader's own, shown below the revisions.
    - `policies`: names of the revisions to show, the last of which has its way lit unless told; all unless told.
    - settings: the fields of `kvmlab.policy.VcpuFacts` and hv_timer, all booleans, and revision: whose way through the
      flow chart is lit.

    ValueError names a policy, a setting or a value that is not allowed.

    >>> from kvmlab import panels
    >>> panel = panels.decision_panel(hlt_in_guest=True, revision="rev3")
    >>> float(panel.run.placement["share"]["housekeeping posted"]) > 0.8
    True
    """
    shown: dict[str, Value] = {"revision": policies[-1]} if policies else {}
    return Decision("decision", FACTS, {**shown, **settings}, some_policies(policies), policy)
