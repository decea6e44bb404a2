"""What the notebook on the door says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import kvmlab as kl

GUEST = kl.Guest(hlt_in_guest=True, workload=kl.Workload(tick_hz=0, timer_us=1000, rearm="relative"))


def moved(guest: kl.Guest, seed: int = 0, duration_s: float = 10, **host: object) -> float:
    """Return the share of a guest's timers that move beside a tick of 4 ms."""
    world = kl.Scenario(
        kl.Host(pcpus=2, isolated=(1,), **host), guest, kernel="v5.13", duration_s=duration_s, seed=seed
    )
    return float(kl.simulate(world).placement["share"]["housekeeping posted"])


@pytest.mark.parametrize(("period_us", "share"), [(100, 0.985), (1270, 0.840), (2000, 0.619), (2500, 0.550)])
def test_more_read(period_us: int, share: float):
    assert moved(GUEST, housekeeping="timers", housekeeping_timer_us=period_us) == pytest.approx(share, abs=0.001)


def test_more_read_in_step():
    ticks = kl.Guest(hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    assert moved(ticks, housekeeping="ticking") == pytest.approx(0.25, abs=0.005)


def test_periodic_read():
    periodic = replace(GUEST, workload=kl.Workload(tick_hz=0, timer_us=1000, timer_mode="periodic"))
    shares = [moved(periodic, seed, 0.2, housekeeping="ticking") for seed in range(12)]
    assert {round(share, 1) for share in shares} == {0, 1}
    assert sum(map(round, shares)) == 5


def test_periodic_read_recorded():
    [row] = [row for row in kl.recorded_rows() if row["run"].endswith("nohzfull-tickle100_pi1_periodic_dehlt_spin")]
    assert (row["timers"], row["irq_exits"], row["traced_expiry_on"]) == ("100", "1", "cpu0:10")


def test_stale_read():
    chosen = {"pattern": ("norearm", "slide"), "vcpu_on": ("2",), "cpu0_background": ("tick 4ms only",)}
    rows = [row for row in kl.rearmed_rows() if all(row[name] in some for name, some in chosen.items())]
    means = kl.check_recordings(rows).groupby("pattern").mean(numeric_only=True)
    assert means.loc["norearm", "last on cpu0 recorded"] == pytest.approx(0.25, abs=0.02)
    assert means.loc["slide", "last on cpu0 recorded"] == pytest.approx(0.6, abs=0.02)
    assert means.loc["slide", "spurious predicted"] / means.loc["slide", "spurious recorded"] == pytest.approx(
        8 / 7, abs=0.03
    )


def test_halting_read():
    *_, ordinary = kl.three_guests().guests
    gains = {}
    for wait_us in (0, 200, 1000, 5000):
        guest = replace(ordinary, pcpus=(4, 5), workload=replace(ordinary.workload, idle_us=wait_us))
        table = kl.compare_guests(kl.three_guests("v5.13", guests=(guest,)), ["before", "rev1"]).loc["ordinary"]
        gains[wait_us] = 1 - table.loc["rev1", "lost us"] / table.loc["before", "lost us"]
    assert gains[0] > 0.3
    assert gains[200] == pytest.approx(1 / 20, abs=0.01)
    assert gains[1000] < 0
    assert gains[5000] < 0


def test_halting_read_recorded():
    runs = [f"vmx-6.1.176-nohzfull-rev1_tick0_pi{switch}_none_hlt_cpu1" for switch in (0, 1)]
    rows = {row["run"]: row for row in kl.recorded_rows()}
    assert [(rows[run]["exits"], rows[run]["traced_expiry_on"]) for run in runs] == [("201", "cpu0:10")] * 2
