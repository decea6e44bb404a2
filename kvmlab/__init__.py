"""How Linux KVM fires a guest's LAPIC timer: an executable model of who fires it, and of what that costs.

See README.md for a start, and `simulate`, `compare` and `follow_timer` for the three things most readers want.
"""

from kvmlab import live, policy
from kvmlab.costs import Costs
from kvmlab.explain import Explanation, explain
from kvmlab.formats import (
    read_any,
    read_kvm_trace,
    read_latencies,
    read_latency_histogram,
    read_perf_kvm_stat,
    read_unit_test_vmexit,
)
from kvmlab.kernels import KERNELS, Kernel, history
from kvmlab.policy import VcpuFacts
from kvmlab.recorded import check_recordings, recorded_rows, recorded_scenario
from kvmlab.run import Run, compare, simulate, sweep, warm_up
from kvmlab.scenario import Guest, Host, Scenario, Workload
from kvmlab.scenario_file import read_scenario, scenario_to_toml
from kvmlab.story import Story, follow_timer
from kvmlab.whatif import WhatIf, what_if

__version__ = "0.1.0"

__all__ = [
    "KERNELS",
    "Costs",
    "Explanation",
    "Guest",
    "Host",
    "Kernel",
    "Run",
    "Scenario",
    "Story",
    "VcpuFacts",
    "WhatIf",
    "Workload",
    "check_recordings",
    "compare",
    "explain",
    "follow_timer",
    "history",
    "live",
    "policy",
    "read_any",
    "read_kvm_trace",
    "read_latencies",
    "read_latency_histogram",
    "read_perf_kvm_stat",
    "read_scenario",
    "read_unit_test_vmexit",
    "recorded_rows",
    "recorded_scenario",
    "scenario_to_toml",
    "simulate",
    "sweep",
    "warm_up",
    "what_if",
]
