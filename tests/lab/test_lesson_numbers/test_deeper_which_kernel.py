"""What "Which kernel has which line?" quotes."""

from __future__ import annotations

import pytest

import kvmlab as kl

STABLE = "vmx-5.10.262-plain-"


@pytest.mark.parametrize(("run", "hv_armed"), [("pi1_dehlt_spin", "0"), ("pi1_none_pause", "10")])
def test_which_kernel_recorded(run, hv_armed):
    [row] = [row for row in kl.recorded_rows() if row["run"] == STABLE + run]
    assert row["pi_inject_timer"] == row["apicv"] == "1"
    assert row["timers"] == "100"
    assert row["traced_timers"] == "10"
    assert row["traced_hv_armed"] == hv_armed


@pytest.mark.parametrize(
    ("kernel", "isolated", "housekeeping"),
    [("v5.13", "hrtimer", "hrtimer"), ("v5.15+rev2", "hrtimer", "hv"), ("v5.18", "hv", "hv")],
)
def test_which_kernel_model_and_question(kernel, isolated, housekeeping):
    assert kl.follow_timer(kernel).backend == isolated
    assert kl.follow_timer(kernel, pcpu="housekeeping").backend == housekeeping
    with_hint = kl.follow_timer(kernel, hlt_in_guest=True)
    assert with_hint.backend == "hrtimer"
