"""What the panels that simulate share: every policy in the same world, for as long as can be simulated unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kvmlab.kernels import Kernel
from kvmlab.lab.charts import Chart
from kvmlab.lab.panels.settings import CONTROLS, scenario_of
from kvmlab.lab.panels.shell import Frame, Panel
from kvmlab.policy import REVISIONS, Policy
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import variant

MAX_EXPIRIES = 6_000
"""What one move of a control may simulate, all policies together: more would be felt."""
LONGEST_S = 2.0


def affordable(scenario: Scenario, policies_run: int) -> tuple[Scenario, str]:
    """Return the scenario for as long as can be simulated unnoticed, LONGEST_S at most, and a remark if that is short.

    `policies_run`: how many times it will be simulated.

    >>> from kvmlab import panels
    >>> panels.affordable(panels.scenario_of({"tick_hz": 4000}), 4)[1].strip()
    'Simulated for 0.094 s, to keep up with the controls.'
    """
    rate = sum(
        g.vcpus * (g.workload.tick_hz + g.workload.device_irq_hz + g.workload.other_exit_hz) for g in scenario.guests
    )
    if scenario.host.housekeeping == "timers":
        rate += len(scenario.host.loaded_cpus) * 1e6 / scenario.host.housekeeping_timer_us / 3
    seconds = min(LONGEST_S, MAX_EXPIRIES / max(1.0, rate * policies_run))
    remark = f" Simulated for {seconds:.2g} s, to keep up with the controls." if seconds < LONGEST_S else ""
    return replace(scenario, duration_s=seconds), remark


def run_all(scenario: Scenario, choices: Sequence[str | Kernel | Policy]) -> tuple[dict[str, Run], str]:
    """Run the same world under each policy; return the runs by name, and the remark on how long it was simulated."""
    short, remark = affordable(scenario, len(choices))
    kernels = [variant(short.kernel, choice) for choice in choices]
    return {kernel.name: simulate(replace(short, kernel=kernel)) for kernel in kernels}, remark


def frame(chart: Chart, runs: Mapping[str, Run], sentence: str, subject: str) -> Frame:
    """Return a chart's picture with its texts; `subject`: what the chart is about."""
    width, height = chart.size
    return Frame(sentence, source=chart.png(runs), width=width, height=height, alt=f"{subject}: {sentence}")


def simulation_panel(
    names: Sequence[str],
    chart: Chart,
    say: Callable[[Mapping[str, Run]], str],
    subject: str,
    choices: Sequence[str | Kernel | Policy] = REVISIONS,
) -> Panel:
    """Return a panel with the CONTROLS of these `names` that runs every policy and draws the chart.

    `say`: makes the sentence of the runs. `subject`: what the chart is about. `choices`: the policies, or kernels.
    """

    def draw(**settings: Any) -> Frame:
        runs, remark = run_all(scenario_of(settings), choices)
        return frame(chart, runs, say(runs) + remark, subject)

    return Panel({name: CONTROLS[name]() for name in names}, draw, height=chart.size[1])
