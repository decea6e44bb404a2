"""The anatomy: its figures are the costs', and what the model measures when such exits happen."""

from __future__ import annotations

import itertools

import pytest

import kvmlab as kl
from kvmlab import panels
from kvmlab.lab.panels.exit_costs import ASLEEP_US, CONTROLS, RATES, REASONS, WAITS_NS, anatomy_data, effective, figures
from kvmlab.scenario.costs import Costs

LOADS = {"EXTERNAL_INTERRUPT": "host_irq_hz", "EPT_MISCONFIG": "other_exit_hz"}
"""Exits that a guest can be given a number of per second, and by which option."""


@pytest.mark.parametrize("reason", LOADS)
def test_figures_are_what_a_run_measures(reason: str) -> None:
    seconds, rate = 20, 1000
    load = {LOADS[reason]: rate}
    scenario = kl.Scenario(
        kl.Host(pcpus=2, isolated=(1,)),
        kl.Guest(pcpus=(1,), boot_us=0, workload=kl.Workload(tick_hz=0, **load)),
        kernel="v5.18",
        duration_s=seconds,
    )
    run = kl.simulate(scenario)
    table = run.exits.loc[reason]
    mine = panels.anatomy_panel(reason=reason, exits_per_s=rate).figures
    exits = table["Samples"] / seconds
    assert exits == pytest.approx(rate, rel=0.03)
    assert run.exit_rows["sum_ns"].sum() / table["Samples"] == pytest.approx(mine["perf_ns"], rel=0.08)
    lost = float(run.disturbance["lost_us"].iloc[0]) / seconds
    assert lost / exits == pytest.approx(mine["lost_us"] / rate, rel=0.08)


def test_longest_gap_is_that_of_about_half_of_all_seconds() -> None:
    longest = panels.anatomy_panel(reason="EPT_MISCONFIG", exits_per_s=1000).figures["longest_us"]
    gaps = []
    for seed in range(20):
        guest = kl.Guest(pcpus=(1,), boot_us=0, workload=kl.Workload(tick_hz=0, other_exit_hz=1000))
        host = kl.Host(pcpus=2, isolated=(1,))
        gaps.append(kl.simulate(kl.Scenario(host, guest, seed=seed, duration_s=1)).summary()["longest_gap_us"])
    assert 4 <= sum(gap > longest for gap in gaps) <= 16


def test_perf_does_not_see_the_way_out_and_in() -> None:
    costs = Costs.default()
    way = costs.exit_transition.mean_ns + costs.entry_transition.mean_ns
    for reason in REASONS:
        mine = figures({**panels.anatomy_panel(reason=reason).settings, "exits_per_s": 100})
        assert mine["lost_ns"] - mine["perf_ns"] == way
        assert mine["share"] == pytest.approx(mine["lost_us"] / 1e6)
        assert mine["perf_us"] == pytest.approx(100 * mine["perf_ns"] / 1e3)


def test_the_wait_comes_after_perfs_clock_and_before_the_guest() -> None:
    steps = [step.function for step in kl.follow_timer("v5.18", hlt_in_guest=False).timeline]
    wait = steps.index("kvm_wait_lapic_expire")
    assert steps[wait - 1] == "kvm_entry"
    assert steps[wait + 1] == "guest handler"
    waiting = panels.anatomy_panel(reason="PREEMPTION_TIMER", wait_ns=500).figures
    still = panels.anatomy_panel(reason="PREEMPTION_TIMER").figures
    assert (waiting["perf_ns"], waiting["lost_ns"]) == (still["perf_ns"], still["lost_ns"] + 500)


def test_time_asleep_is_perfs_and_is_not_lost() -> None:
    asleep = panels.anatomy_panel(reason="HLT", asleep_us=100).figures
    awake = panels.anatomy_panel(reason="HLT").figures
    assert (asleep["perf_ns"], asleep["lost_ns"]) == (awake["perf_ns"] + 100_000, awake["lost_ns"])


def test_a_second_has_room_for_every_setting() -> None:
    assert all(0 < each["share"] < 0.1 for each in anatomy_data()["figures"].values())
    assert max(each["perf_us"] for each in anatomy_data()["figures"].values()) < 1e6


def test_the_browser_has_the_figures_of_every_setting() -> None:
    handed = anatomy_data()["figures"]
    for values in itertools.product(REASONS, RATES, WAITS_NS, ASLEEP_US):
        settings = dict(zip(CONTROLS, values, strict=True))
        assert handed["|".join(map(str, effective(settings).values()))] == figures(settings)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="exits_per_s: 7 is not allowed"):
        panels.anatomy_panel(exits_per_s=7)


def test_only_some_reasons_and_controls_are_offered():
    panel = panels.anatomy_panel(reasons=["HLT", "MSR_WRITE"], controls=["reason"])
    assert panel.settings["reason"] == "HLT"
    assert panel.options == {"reasons": ["HLT", "MSR_WRITE"], "controls": ["reason"]}
    with pytest.raises(ValueError, match="reason: 'CPUID' is not allowed; it must be one of HLT, MSR_WRITE"):
        panel.settings = {"reason": "CPUID"}
    with pytest.raises(ValueError, match="reasons: 'CALL' is not allowed"):
        panels.anatomy_panel(reasons=["CALL"])
    with pytest.raises(ValueError, match="control: 'speed' is not allowed"):
        panels.anatomy_panel(controls=["speed"])
