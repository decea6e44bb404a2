"""What the notebook on the model says, computed. Each test has the name of the cell that says it.

That all runs are predicted is tested with the recordings (tests/host).
"""

from __future__ import annotations

import pandas as pd
import pytest

import kvmlab as kl


@pytest.fixture(scope="module")
def score() -> pd.DataFrame:
    return kl.check_recordings()


def test_sums(score: pd.DataFrame):
    apart = score["irq_exits recorded"] - score["irq_exits predicted"]
    assert (len(score), score["counts right"].sum(), score["placement right"].sum()) == (130, 130, 130)
    assert (apart.abs() <= 1).sum() == 121


def test_largest_read(score: pd.DataFrame):
    apart = score["irq_exits recorded"] - score["irq_exits predicted"]
    assert sorted(apart[apart.abs() >= 2]) == [-2, 2, 2, 3, 3, 4, 4, 4, 4]
    assert (score["halt_exits recorded"] == score["halt_exits predicted"]).all()
    assert (score["exits recorded"] - score["exits predicted"] == apart).all()
    rows = pd.DataFrame(kl.recorded_rows()).set_index("run")
    assert (rows.loc[score["run"][apart >= 3], "vcpu_on"] == "isolated").all()
    assert (rows.loc[score["run"][apart.abs() == 2], "nohz_full"] == "0").all()


def test_latency_read():
    rows = {row["run"]: row for row in kl.recorded_rows()}
    two, five = (rows[f"vmx-6.1.176-nohzfull-pi1_dehlt_spin_p{ms}ms"] for ms in (2, 5))
    assert (two["irq_exits"], float(two["latency_p50"]) > 3000) == ("51", True)
    assert (five["irq_exits"], five["latency_max"]) == ("4", "302")


def test_rearmed_read_equal_runs_differ():
    shares = [
        int(row["expired_on"].split("cpu0:")[1].split()[0])
        / sum(int(part.split(":")[1]) for part in row["expired_on"].split())
        for row in kl.rearmed_rows()
        if row["pattern"] == "norearm2" and row["cpu0_background"] == "tick 4ms only"
    ]
    assert (round(min(shares), 2), round(max(shares), 2)) == (0.46, 0.65)


def test_read_try_it():
    [row] = [row for row in kl.recorded_rows() if row["run"] == "vmx-6.1.176-nohzfull-pi1_none_pause"]
    assert (row["policy"], row["pi_inject_timer"], row["irq_exits"]) == ("rev3", "1", "4")
    assert "PREEMPTION_TIMER:10" in row["traced_exits"]
