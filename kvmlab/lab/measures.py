"""What panels and charts read from a run: single numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmlab.model.names import EXITS

if TYPE_CHECKING:
    from kvmlab.results.run import Run


def exit_rate(run: Run, reason: str) -> float:
    """Return the exits of one reason (a name of EXITS) per vCPU and second."""
    count = run.exit_rows["count"][:, EXITS.index(reason)].sum()
    return float(count) / len(run.exit_rows) / (max(1, run.duration_ns) / 1e9)


def total_rate(run: Run) -> float:
    """Return the exits of all reasons per vCPU and second."""
    return sum(exit_rate(run, reason) for reason in EXITS)


def p99_us(run: Run) -> float:
    """Return the 99th percentile of the latency of timer interrupts in us; NaN without any."""
    return run.latency_percentile(0.99) / 1e3


def thousandths_taken(run: Run) -> float:
    """Return how much of the guests' time exits take, in thousandths, as the mean over vCPUs."""
    return 1000 * float(run.disturbance["share_taken"].mean())
