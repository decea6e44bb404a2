"""The stage: one timer's life, played."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvmlab.kernels import KERNELS, Kernel
from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.panel import Panel, some_controls
from kvmlab.lab.panels.still import steps
from kvmlab.lab.words import microseconds
from kvmlab.policy import Policy
from kvmlab.results.follow import follow_timer
from kvmlab.results.story import Story
from kvmlab.scenario import checks


class Stage(Panel):
    """The panel that `stage_panel` makes."""

    @property
    def story(self) -> Story:
        """The story of these settings, by Python."""
        options: dict[str, Any] = self.settings
        return follow_timer(self.kernel, **{name: value for name, value in options.items() if name != "kernel"})

    def still(self) -> str:
        """Return the steps of the story."""
        story = self.story
        told = (
            f"{microseconds(step.time_ns)}, {step.where}: {step.function}. {step.sentence}" for step in story.timeline
        )
        return steps(f"In the end {story.summary()}", told)

    @property
    def kernel(self) -> Kernel:
        """The kernel that is shown: one of the course, or the reader's policy in the machinery of `MACHINERY`."""
        name = str(self.settings["kernel"])
        return self.own_kernel(name) or KERNELS[name]


def stage_panel(
    policy: Policy | None = None,
    *,
    kernels: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    first: Sequence[str] | None = None,
    **settings: Value,
) -> Stage:
    """Return the stage: who fires one timer, and what it costs, played step by step.

    - `policy`: a reader's own, which becomes one more kernel.
    - `kernels`: those to choose from, the first of which is shown unless told; all unless told.
    - `controls`: the controls to offer; all unless told. `first`: those shown at once, the others under "more".
    - settings: options of `kvmlab.follow_timer` (times in ns).

    ValueError names a kernel, a control or a value that is not allowed.

    >>> from kvmlab import panels
    >>> stage = panels.stage_panel(kernel="v5.2")
    >>> stage.story.expiry_exit
    'PREEMPTION_TIMER'
    """
    for name in kernels or ():
        checks.choice("kernels", name, tuple(KERNELS))
    options = ({"kernels": list(kernels)} if kernels else {}) | some_controls(TIMER, controls, first)
    return Stage("stage", TIMER, {**({"kernel": kernels[0]} if kernels else {}), **settings}, options, policy)
