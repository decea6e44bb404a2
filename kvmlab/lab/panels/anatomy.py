"""The anatomy: one VM exit, what perf sees of it, what the guest loses, and what a second of them adds up to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.exit_costs import EXITS_WORLD, REASONS, figures
from kvmlab.lab.panels.panel import Panel, some_controls
from kvmlab.scenario import checks


class Anatomy(Panel):
    """The panel that `anatomy_panel` makes."""

    @property
    def figures(self) -> dict[str, Any]:
        """What these settings cost, as `kvmlab.lab.panels.exit_costs.figures` says it: perf_ns, lost_ns, share ..."""
        return figures(self.settings)


def anatomy_panel(
    *, reasons: Sequence[str] | None = None, controls: Sequence[str] | None = None, **settings: Value
) -> Anatomy:
    """Return one VM exit as a bar: the way out, KVM's handling, the way in; and what a second of such exits costs.

    - `reasons`: those to choose from, the first of which is shown unless told; all unless told.
    - `controls`: the controls to offer; all unless told.
    - settings: reason (of `kvmlab.lab.panels.exit_costs.REASONS`), exits_per_s, wait_ns (for the deadline, after
      kvm_entry; expiries only), asleep_us (HLT only).

    ValueError names a reason, a control, a setting or a value that is not allowed.

    >>> from kvmlab import panels
    >>> figures = panels.anatomy_panel(reason="EXTERNAL_INTERRUPT", exits_per_s=1000).figures
    >>> figures["perf_us"], figures["lost_us"]
    (710.0, 1030.0)
    """
    for name in reasons or ():
        checks.choice("reasons", name, tuple(REASONS))
    options = ({"reasons": list(reasons)} if reasons else {}) | some_controls(EXITS_WORLD, controls)
    return Anatomy("anatomy", EXITS_WORLD, {**({"reason": reasons[0]} if reasons else {}), **settings}, options)
