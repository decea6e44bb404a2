"""How Linux KVM fires a guest's LAPIC timer: an executable model of who fires it, and of what that costs.

See README.md for a start, and `simulate`, `compare` and `follow_timer` for the three things most readers want;
`explain` and `what_if` for a host of your own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvmlab import policy
from kvmlab.costs import Costs
from kvmlab.example import three_guests
from kvmlab.guests import by_guest, compare_guests
from kvmlab.kernels import KERNELS, Kernel, history
from kvmlab.policy import VcpuFacts
from kvmlab.run import Run, compare, simulate, to_chrome_trace, warm_up
from kvmlab.scenario import Guest, Host, Scenario, Workload
from kvmlab.scenario_file import read_scenario, scenario_to_toml

if TYPE_CHECKING:
    from kvmlab import live
    from kvmlab.explanation import Explanation, explain
    from kvmlab.formats import (
        read_any,
        read_kvm_trace,
        read_latencies,
        read_latency_histogram,
        read_perf_kvm_stat,
        read_unit_test_vmexit,
    )
    from kvmlab.recorded import check_recordings, recorded_rows, recorded_scenario
    from kvmlab.story import Story, follow_timer
    from kvmlab.sweeps import difference, replicate, sweep
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
    "by_guest",
    "check_recordings",
    "compare",
    "compare_guests",
    "difference",
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
    "replicate",
    "scenario_to_toml",
    "simulate",
    "sweep",
    "three_guests",
    "to_chrome_trace",
    "warm_up",
    "what_if",
]

# What only some lessons need is loaded when it is first asked for.
_LATER: dict[str, tuple[str, ...]] = {
    "explanation": ("Explanation", "explain"),
    "formats": tuple(name for name in __all__ if name.startswith("read_") and name != "read_scenario"),
    "live": (),
    "recorded": ("check_recordings", "recorded_rows", "recorded_scenario"),
    "story": ("Story", "follow_timer"),
    "sweeps": ("difference", "replicate", "sweep"),
    "whatif": ("WhatIf", "what_if"),
}
_MODULE_OF = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a name of `_LATER`, or one of its modules."""
    if name in _LATER:
        return import_module(f"kvmlab.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'kvmlab' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"kvmlab.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULE_OF})
