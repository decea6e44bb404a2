"""How Linux KVM fires a guest's LAPIC timer: an executable model of who fires it, and of what that costs.

See README.md for a start, and `simulate`, `compare` and `follow_timer` for the three things most readers want.
"""

from kvmlab import policy
from kvmlab.costs import Costs
from kvmlab.formats import read_kvm_trace, read_perf_kvm_stat
from kvmlab.kernels import KERNELS, Kernel, history
from kvmlab.policy import VcpuFacts
from kvmlab.recorded import check_recordings, recorded_rows, recorded_scenario
from kvmlab.run import Run, compare, simulate, warm_up
from kvmlab.scenario import Guest, Host, Scenario, Workload
from kvmlab.story import Story, follow_timer
from kvmlab.sweeps import difference, replicate, sweep

__version__ = "0.1.0"

__all__ = [
    "KERNELS",
    "Costs",
    "Guest",
    "Host",
    "Kernel",
    "Run",
    "Scenario",
    "Story",
    "VcpuFacts",
    "Workload",
    "check_recordings",
    "compare",
    "difference",
    "follow_timer",
    "history",
    "policy",
    "read_kvm_trace",
    "read_perf_kvm_stat",
    "recorded_rows",
    "recorded_scenario",
    "replicate",
    "simulate",
    "sweep",
    "warm_up",
]
