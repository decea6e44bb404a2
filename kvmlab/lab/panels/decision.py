"""The decision: who fires the timer, and on which facts that hangs."""

from __future__ import annotations

from collections.abc import Sequence

from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.decision_chart import FACTS
from kvmlab.lab.panels.panel import Panel, some_policies
from kvmlab.lab.panels.simulation import affordable
from kvmlab.lab.panels.still import table
from kvmlab.policy import POLICIES, Policy, VcpuFacts, ask
from kvmlab.results.run import Run, simulate
from kvmlab.scenario import checks
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

    def still(self) -> str:
        """Return what each policy answers to these facts."""
        facts = VcpuFacts(*(bool(self.settings[name]) for name in VcpuFacts._fields))
        own = self.own_kernel(self.policy_name or "")
        names = self.options.get("policies") or POLICIES
        shown = {**{name: POLICIES[name] for name in names}, **({own.name: own.policy} if own else {})}
        rows = [(name, "yes" if ask(policy, facts) else "no") for name, policy in shown.items()]
        said = ", ".join(name if holds else f"!{name}" for name, holds in facts._asdict().items())
        return table(said, ("policy", "may it be posted?"), rows)


def decision_panel(
    policy: Policy | None = None, *, policies: Sequence[str] | None = None, table: bool = True, **settings: Value
) -> Decision:
    """Return the decision: a flow chart of who fires, lit by the facts, the predicates, and all 32 inputs.

    - `policy`: a reader's own, shown below the revisions.
    - `policies`: names of the revisions to show, the last of which has its way lit unless told; all unless told.
    - `table`: also show what each policy answers to each of the 32 inputs.
    - settings: the fields of `kvmlab.policy.VcpuFacts` and hv_timer, all booleans, and revision: whose way through the
      flow chart is lit.

    ValueError names a policy, a setting or a value that is not allowed.

    >>> from kvmlab import panels
    >>> panel = panels.decision_panel(hlt_in_guest=True, revision="rev3")
    >>> float(panel.run.placement["share"]["housekeeping posted"]) > 0.8
    True
    """
    shown: dict[str, Value] = {"revision": policies[-1]} if policies else {}
    options = {**some_policies(policies), "table": checks.flag("table", table)}
    return Decision("decision", FACTS, {**shown, **settings}, options, policy)
