"""Costs fitted to a table: from how many samples on, to which steps, and what becomes of the other path."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

import kvmlab as kl
from kvmlab.host.what_if.cost_fit import fitted_costs, row_cost, steps_of, with_cost
from kvmlab.host.what_if.findings import Findings
from kvmlab.scenario.distribution import ShiftedLognormal
from tests.host.made_up import table

DEFAULT = kl.Costs.default()


@pytest.mark.parametrize(
    ("row", "fast", "steps"),
    [
        ("MSR_WRITE", True, ("msr_write_fastpath", "msr_write")),
        ("msr", False, ("msr_write", "msr_write_fastpath")),
        ("PREEMPTION_TIMER", True, ("preemption_timer_fastpath", "preemption_timer")),
        ("PREEMPTION_TIMER", False, ("preemption_timer", "preemption_timer_fastpath")),
        ("EXTERNAL_INTERRUPT", True, ("external_interrupt",)),
        ("interrupt", False, ("external_interrupt",)),
        ("PAUSE_INSTRUCTION", False, ("pause",)),
        ("CPUID", False, ()),
    ],
)
def test_a_row_is_about_the_path_that_was_taken(row, fast, steps):
    assert steps_of(row, fast) == steps


@pytest.mark.parametrize(
    ("name", "samples", "average", "fits"),
    [
        ("MSR_WRITE", 9, 1.0, False),
        ("MSR_WRITE", 10, 1.0, True),
        ("MSR_WRITE", 10, 0.0, False),
        ("MSR_WRITE", 10, 0.5, True),
        ("MSR_WRITE", 10, 1e6, False),
        ("MSR_WRITE", 10, 1e6 + 0.5, False),
        ("HLT", 1000, 1.0, False),
    ],
)
def test_ten_samples_with_a_time_are_fitted(name, samples, average, fits):
    assert (row_cost(name, samples, average, 0.5 * average, 9 * average, 2.0) is not None) == fits


def test_what_perf_did_not_print_is_taken_as_usual():
    nan = math.nan
    assert row_cost("MSR_WRITE", 100, 2.0, nan, 9.0, 1.0) == row_cost("MSR_WRITE", 100, 2.0, 1.2, 9.0, 1.0)
    assert row_cost("MSR_WRITE", 400, 2.0, 1.0, 9.0, nan) == row_cost("MSR_WRITE", 400, 2.0, 1.0, 9.0, 5.0)
    assert row_cost("MSR_WRITE", 100, 2.0, 3.0, 9.0, 1.0) == row_cost("MSR_WRITE", 100, 2.0, 2.0, 9.0, 1.0)


def test_the_other_path_stays_as_far_from_it_as_by_default():
    by = DEFAULT.msr_write.mean_ns - DEFAULT.msr_write_fastpath.mean_ns
    costs = with_cost(DEFAULT, ("msr_write_fastpath", "msr_write"), ShiftedLognormal(1000, 1500, 70))
    assert costs.msr_write_fastpath == ShiftedLognormal(1000, 1500, 70)
    assert costs.msr_write == ShiftedLognormal(1000 + by, 1500 + by, 70)
    near = with_cost(DEFAULT, ("msr_write", "msr_write_fastpath"), ShiftedLognormal(1, 2, 3))
    assert near.msr_write_fastpath == ShiftedLognormal(0, 0, 3), "no time is below 0"


def test_only_what_the_table_has_rows_for_is_fitted_and_that_is_said():
    rows = kl.read_perf_kvm_stat(table({"MSR_WRITE": (500, 3.0), "CPUID": (500, 3.0), "EXTERNAL_INTERRUPT": (9, 2.0)}))
    findings = Findings()
    costs = fitted_costs(rows, findings, fast=False)
    changed = {f.name for f in fields(kl.Costs) if getattr(costs, f.name) != getattr(DEFAULT, f.name)}
    assert changed == {"msr_write", "msr_write_fastpath"}
    assert costs.msr_write.mean_ns == pytest.approx(3000, rel=0.05)
    assert findings.known == ["What an exit costs the host: fitted to the rows MSR_WRITE."]
    assert len(findings.assumed) == 1
    nothing = Findings()
    assert fitted_costs(rows[rows.index == "CPUID"], nothing, fast=True) == DEFAULT
    assert nothing.known == []
