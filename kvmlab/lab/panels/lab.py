"""The lab: every control at once, presets, and a state that can be shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from kvmlab.kernels import KERNELS
from kvmlab.lab.charts import Chart, ExitBars, Latencies
from kvmlab.lab.panels.settings import CONTROLS, MACHINERY, complete
from kvmlab.lab.panels.shell import Panel
from kvmlab.lab.panels.simulated import say_exits, say_latency
from kvmlab.lab.panels.simulation import simulation_panel
from kvmlab.lab.panels.state import read_state, state_text
from kvmlab.lab.widgets import Choice, Value
from kvmlab.policy import REVISIONS, Policy, table_bits
from kvmlab.results.run import Run
from kvmlab.scenario.variants import variant

PRESETS: dict[str, dict[str, Value]] = {
    "dedicated instance": {"hlt_in_guest": True},
    "mixed host": {"vcpus_on": "housekeeping pCPUs", "housekeeping_cpus": 2},
    "DPDK-like poller": {"guest": "polls between bursts", "housekeeping": "timers"},
    "cpu-pm guest on housekeeping CPUs": {
        "vcpus_on": "housekeeping pCPUs",
        "hlt_in_guest": True,
        "mwait_in_guest": True,
        "guest": "halts between bursts",
    },
    "database with halts": {"guest": "halts between bursts", "device_irq_hz": 1000},
}
"""Hosts and guests as one meets them: what differs from the defaults."""


class Lab(widgets.VBox):
    """A panel with every control, presets (keys of PRESETS), and its state as a string that can be shared."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.preset = Choice("preset", list(PRESETS), "dedicated instance")
        self.shared = widgets.Text(state_text(panel.settings), description="state", continuous_update=False)
        self.following = False
        super().__init__([widgets.HBox([self.preset, self.shared]), panel])
        self.preset.observe(lambda change: self.choose(str(self.preset.value)), "index")
        self.shared.observe(lambda change: self.restore(change["new"]), "value")
        panel.screen.observe(lambda change: self.follow(), "shown")
        self.choose(str(self.preset.value))

    def __repr__(self) -> str:
        return repr(self.panel)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Return the widget, and a picture of its panel for a page without a kernel."""
        html = self.panel._repr_mimebundle_(**kwargs)["text/html"]
        return {**super()._repr_mimebundle_(**kwargs), "text/html": html}

    def choose(self, preset: str) -> None:
        """Set all controls as a preset says."""
        self.panel.settings = complete(PRESETS[preset])

    def follow(self) -> None:
        """Keep the state string in step with the controls."""
        self.following = True
        self.shared.value = state_text(self.panel.settings)
        self.following = False

    def restore(self, text: str) -> None:
        """Set all controls as a state string says; an invalid one changes nothing, and the reader is told why."""
        if self.following:
            return
        try:
            self.panel.settings = read_state(text)
        except ValueError as error:
            self.panel.screen.shown = {**self.panel.screen.shown, "error": str(error)}


def lab_panel(my_policy: Policy | None = None) -> Lab:
    """Return the lab: every control at once, exits and latency of every revision.

    `my_policy`: a reader's own policy, a function of VcpuFacts that answers True or False; it runs beside the
    revisions. ValueError if it fails on any of the 32 inputs.

    >>> from kvmlab import panels
    >>> def mine(v):
    ...     return v.apicv_active and not v.housekeeping_cpu
    >>> lab = panels.lab_panel(mine)
    >>> lab.preset.value = "mixed host"
    >>> lab.panel.settings["housekeeping_cpus"]
    2
    """
    choices: tuple[str | Policy, ...] = REVISIONS
    if my_policy is not None:
        table_bits(my_policy)
        choices = (*REVISIONS, my_policy)
    names = [variant(KERNELS[MACHINERY], choice).name for choice in choices]
    chart = Chart(11.5, 6.2)
    chart.add(ExitBars(chart.axes(0.2, 0.11, 0.35, 0.78), names))
    chart.add(Latencies(chart.axes(0.63, 0.11, 0.35, 0.78), names))

    def say(runs: Mapping[str, Run]) -> str:
        return f"{say_exits(runs)}; {say_latency(runs)}."

    return Lab(simulation_panel(list(CONTROLS), chart, say, "Exits and latency by policy", choices))
