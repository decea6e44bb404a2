"""The porter: its settings are what is simulated, and the trace holds what the panel plays."""

from __future__ import annotations

import itertools

import pytest

from kvmlab import panels
from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.porter_host import CONTROLS, TRACE_STEPS
from kvmlab.lab.panels.simulation import MACHINERY
from kvmlab.policy import VcpuFacts, table_bits


def test_ticks_together_fill_the_queue_and_spread_ticks_do_not() -> None:
    together, spread = (panels.porter_panel(ticks=ticks, vcpus=16).run for ticks in ("together", "spread"))
    assert together.housekeeping["deepest_queue"].max() >= 16
    assert spread.housekeeping["deepest_queue"].max() <= 4
    assert together.latency_percentile(0.99) > 5 * spread.latency_percentile(0.99)


@pytest.mark.parametrize("count", [2, 4])
def test_of_several_housekeeping_cpus_one_fires_all(count: int) -> None:
    fired = panels.porter_panel(housekeeping_cpus=count, ticks="spread").run.housekeeping["timers_fired"]
    assert len(fired) == count
    assert fired.gt(0).sum() == 1


def test_kernel_and_hlt_decide_whether_anything_is_posted() -> None:
    settings: list[dict[str, Value]] = [
        {"kernel": "v5.2"},
        {"kernel": "v5.13", "hlt_in_guest": False},
        {"kernel": "v5.18", "hlt_in_guest": False},
        {"kernel": "v5.18", "hlt_in_guest": True},
    ]
    posted = [panels.porter_panel(**each).run.placement["share"]["housekeeping posted"] > 0 for each in settings]
    assert posted == [False, True, False, True]


def test_own_policy_is_one_more_kernel() -> None:
    def nobody(v: VcpuFacts) -> bool:
        return False

    panel = panels.porter_panel(nobody, kernel="nobody", vcpus=2)
    assert table_bits(panel.scenario.kernel.policy) == table_bits(nobody)
    assert panel.scenario.kernel.with_policy(MACHINERY, KERNELS[MACHINERY].policy) == KERNELS[MACHINERY]
    assert panel.run.placement["share"]["hv"] == 1


def test_trace_holds_two_timers_of_each_vcpu_after_the_last_has_booted() -> None:
    extremes: dict[str, tuple[Value, ...]] = {
        "ticks": CONTROLS["ticks"].values,
        "kernel": ("v5.2", "v5.18"),
        "vcpus": (1, 12, 32),
        "tick_hz": (100, 4000),
        "housekeeping_cpus": (1, 4),
    }
    for chosen in itertools.product(*extremes.values()):
        settings = dict(zip(extremes, chosen, strict=True))
        trace = panels.porter_panel(**settings).run.trace
        entries = trace[trace["step"] == "kvm_entry"].drop_duplicates("vcpu")
        assert len(entries) == settings["vcpus"], settings
        booted = entries["time_ns"].max()
        fires = trace["step"].isin(["apic_timer_fn", "handle_preemption_timer"])
        first = trace[fires & (trace["time_ns"] - trace["arg"] > booted)]
        handled = trace[(trace["step"] == "guest handler") & (trace["time_ns"] > booted)]
        assert min(len(first), len(handled)) >= 2 * len(entries), (settings, len(trace) == TRACE_STEPS)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="vcpus: 5 is not allowed; it must be one of 1, 2, 3, 4, 6"):
        panels.porter_panel(vcpus=5)
    with pytest.raises(ValueError, match="control: 'hz' is not allowed"):
        panels.porter_panel(hz=100)
