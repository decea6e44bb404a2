"""The costs that the simulator uses: a step each, with numbers and source."""

import math
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

import kvmlab as kl
from kvmlab.model.draws import TABLE
from kvmlab.model.names import STEPS
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.published import fit, implied_totals
from tests.scenario.rows import BEFORE, sysbench

CYCLES_PER_NS = 2.5


def test_steps_are_the_names_of_the_costs_in_order() -> None:
    assert STEPS[0] == "external_interrupt"
    assert len(STEPS) == len(set(STEPS)) == 20
    assert [field.name for field in fields(Costs)] == list(STEPS)


def test_fitted_costs_are_the_fit_of_their_row() -> None:
    default = Costs.default()
    assert default is Costs.default()
    for step, row in ((default.external_interrupt, BEFORE), (default.preemption_timer, sysbench("PREEMPTION_TIMER"))):
        assert (step.shift_ns, step.mean_ns) == pytest.approx((row.min_us * 1000, row.avg_us * 1000))
        assert step.sd_ns == pytest.approx(fit(row).sd_ns, abs=0.01)


def test_derived_costs_follow_from_published_rows() -> None:
    default = Costs.default()
    assert default.other_exit.mean_ns == pytest.approx(implied_totals(BEFORE).other_mean_us.value * 1000, abs=5)
    pause = sysbench("PAUSE_INSTRUCTION")
    total = pause.samples * pause.avg_us
    squares = (pause.samples - 1) * pause.sd_us**2 + pause.samples * pause.avg_us**2
    second = math.sqrt(squares - pause.max_us**2)
    rest = (total - pause.max_us - second) / (pause.samples - 2)
    assert default.pause.mean_ns == pytest.approx(rest * 1000, abs=5)


def test_a_fast_path_is_faster_than_the_slow_way_throughout() -> None:
    default = Costs.default()
    assert np.all(default.msr_write_fastpath.table() < default.msr_write.table())
    assert np.all(default.preemption_timer_fastpath.table() < default.preemption_timer.table())


@pytest.mark.parametrize(
    ("step", "published_cycles"),
    [
        ("msr_write", 3028.5),
        ("msr_write_fastpath", 2494.75),
        ("preemption_timer", 5765.7 - 3000),
        ("preemption_timer_fastpath", 5285 - 3000),
    ],
)
def test_a_round_trip_fits_kvm_unit_tests(step: str, published_cycles: float) -> None:
    """tscdeadline_immed and tscdeadline (the latter less its 3000 cycles ahead) also run the guest's handler."""
    default = Costs.default()
    trip = default.exit_transition.mean_ns + getattr(default, step).mean_ns + default.entry_transition.mean_ns
    assert 0.8 < trip * CYCLES_PER_NS / published_cycles < 1


def test_zero_costs_take_no_time() -> None:
    assert not Costs.zero().stacked().any()


def test_stacked_has_one_row_per_step() -> None:
    default = Costs.default()
    stacked = default.stacked()
    assert stacked.shape == (len(STEPS), TABLE)
    assert stacked.dtype == np.int64
    assert stacked.flags.c_contiguous
    for i, name in enumerate(STEPS):
        assert np.array_equal(stacked[i], getattr(default, name).table())
    with pytest.raises(ValueError, match="read-only"):
        stacked[:] = 0


def test_runs_with_the_same_costs_share_their_tables() -> None:
    """A notebook keeps dozens of runs: a megabyte each."""
    scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.001)
    for plain in (False, True):
        one, other = (kl.simulate(scenario.replace(seed=seed), plain=plain).machine for seed in range(2))
        assert np.shares_memory(one.costs, other.costs)
        assert np.shares_memory(one.exponential, other.exponential)


def test_costs_can_be_replaced_one_by_one_and_say_so() -> None:
    mine = replace(Costs.default(), kick=Costs.default().kick.scaled(2))
    status = {row["name"]: row["status"] for row in mine.provenance()}
    assert status.pop("kick") == "yours"
    assert "yours" not in status.values()
    assert mine != Costs.default()


def test_costs_refuse_what_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="tick: 5 is not allowed; it must be a ShiftedLognormal"):
        replace(Costs.default(), tick=5)


def test_provenance_shows_every_step_with_its_numbers_and_source() -> None:
    rows = Costs.default().provenance()
    assert [row["name"] for row in rows] == list(STEPS)
    for row in rows:
        assert {"shift_ns", "mean_ns", "sd_ns", "status", "sd_status", "source"} <= row.keys()
        assert row["source"]
    assert rows[0]["status"] == "fitted"


def test_importing_costs_is_light() -> None:
    script = (
        "import sys, kvmlab.scenario.costs; sys.exit(any(m in sys.modules for m in ('pandas', 'scipy', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
