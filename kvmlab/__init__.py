"""How Linux KVM fires a guest's LAPIC timer: an executable model of who fires it, and of what that costs.

See README.md for a start, and `simulate`, `compare` and `follow_timer` for the three things most readers want;
`explain` and `what_if` for a host of your own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvmlab import policy
from kvmlab.data import history
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.policy import VcpuFacts
from kvmlab.results.compare import compare, to_chrome_trace
from kvmlab.results.per_guest import by_guest, compare_guests
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.example import three_guests
from kvmlab.scenario.files import read_scenario, scenario_to_toml
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from kvmlab.host import live
    from kvmlab.host.comparison import RecordingComparison, compare_recordings
    from kvmlab.host.explain import Explanation, explain
    from kvmlab.host.formats import (
        read_any,
        read_kvm_stat,
        read_kvm_trace,
        read_latencies,
        read_latency_histogram,
        read_perf_kvm_stat,
        read_unit_test_vmexit,
    )
    from kvmlab.host.gaps import longest_gaps
    from kvmlab.host.host_facts import HostFacts, read_host_facts
    from kvmlab.host.interrupts import exit_interrupts
    from kvmlab.host.recordings import check_recordings, rearmed_rows, recorded_rows, recorded_scenario
    from kvmlab.host.selection import select_events
    from kvmlab.host.what_if import WhatIf, what_if
    from kvmlab.results.follow import follow_timer
    from kvmlab.results.replicate import difference, replicate
    from kvmlab.results.story import Story
    from kvmlab.results.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "KERNELS",
    "Costs",
    "Explanation",
    "Guest",
    "Host",
    "HostFacts",
    "Kernel",
    "RecordingComparison",
    "Run",
    "Scenario",
    "Story",
    "VcpuFacts",
    "WhatIf",
    "Workload",
    "by_guest",
    "check_recordings",
    "compare",
    "compare_guests",
    "compare_recordings",
    "difference",
    "exit_interrupts",
    "explain",
    "follow_timer",
    "history",
    "live",
    "longest_gaps",
    "policy",
    "read_any",
    "read_host_facts",
    "read_kvm_stat",
    "read_kvm_trace",
    "read_latencies",
    "read_latency_histogram",
    "read_perf_kvm_stat",
    "read_scenario",
    "read_unit_test_vmexit",
    "rearmed_rows",
    "recorded_rows",
    "recorded_scenario",
    "replicate",
    "scenario_to_toml",
    "select_events",
    "simulate",
    "sweep",
    "three_guests",
    "to_chrome_trace",
    "what_if",
]

# What only some lessons need is loaded when it is first asked for: name -> where it stands.
_LATER: dict[str, str] = {
    **dict.fromkeys(("RecordingComparison", "compare_recordings"), "host.comparison"),
    **dict.fromkeys(("Explanation", "explain"), "host.explain"),
    **dict.fromkeys(("HostFacts", "read_host_facts"), "host.host_facts"),
    **dict.fromkeys(
        ("read_any", "read_kvm_trace", "read_latencies", "read_latency_histogram", "read_perf_kvm_stat"), "host.formats"
    ),
    **dict.fromkeys(("read_kvm_stat", "read_unit_test_vmexit"), "host.formats"),
    "exit_interrupts": "host.interrupts",
    "longest_gaps": "host.gaps",
    "select_events": "host.selection",
    **dict.fromkeys(("check_recordings", "rearmed_rows", "recorded_rows", "recorded_scenario"), "host.recordings"),
    **dict.fromkeys(("WhatIf", "what_if"), "host.what_if"),
    "follow_timer": "results.follow",
    "Story": "results.story",
    **dict.fromkeys(("difference", "replicate"), "results.replicate"),
    "sweep": "results.sweep",
}
# Modules under the names that lessons know: `from kvmlab import panels`.
_MODULES: dict[str, str] = {
    "formats": "host.formats",
    "live": "host.live",
    "costs": "scenario.costs",
    "capstone": "lab.capstone",
    "exercises": "lab.exercises",
    "panels": "lab.panels",
    "plots": "lab.plots",
}


def __getattr__(name: str) -> Any:
    """Load a name of `_LATER` or a module of `_MODULES`."""
    if name in _MODULES:
        value = import_module(f"kvmlab.{_MODULES[name]}")
    elif name in _LATER:
        value = getattr(import_module(f"kvmlab.{_LATER[name]}"), name)
    else:
        raise AttributeError(f"module 'kvmlab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})
