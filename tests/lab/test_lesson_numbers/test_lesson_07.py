"""The numbers that lesson 07 quotes."""

from __future__ import annotations

import itertools

import pytest

import kvmlab as kl
from kvmlab import exercises
from kvmlab.lab import panels
from kvmlab.lab.exercises.course import lesson_07

POSTED = "housekeeping posted"


def beside_a_quiet_cpu(vcpus):
    host = kl.Host(pcpus=1 + vcpus, isolated=tuple(range(1, 1 + vcpus)), housekeeping="ticking")
    guest = kl.Guest(vcpus=vcpus, hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    return kl.simulate(kl.Scenario(host, guest, kernel="v5.18", duration_s=1))


def opening(**moved):
    panel = panels.porter_panel(vcpus=16, ticks="spread", housekeeping_cpus=1)
    panel.settings = moved
    return panel.run


@pytest.fixture(scope="module")
def database():
    return kl.compare_guests(kl.three_guests(), ["before", "rev3"]).loc["database"]


def test_l07_title_and_porter():
    run = opening()
    assert run.housekeeping.share_of_time[0] == pytest.approx(0.024, abs=0.001)
    assert run.placement.share[POSTED] == pytest.approx(0.905, abs=0.005)  # "one in ten"
    assert run.latency_percentile(0.99) / 1e3 == pytest.approx(2.4, abs=0.1)


def test_l07_door_and_l07_door_why():
    assert beside_a_quiet_cpu(1).placement.share[POSTED] == pytest.approx(0.25, abs=0.01)
    assert beside_a_quiet_cpu(2).placement.expiries["own pCPU"] == 3
    assert 2 * 1000 - beside_a_quiet_cpu(2).placement.expiries.sum() < 10


def test_l07_same_why():
    four = panels.porter_panel(vcpus=8, ticks="spread", housekeeping_cpus=4).run
    assert list(four.housekeeping.timers_fired > 0) == [True, False, False, False]


def test_l07_together():
    run = opening(ticks="together")
    busy = run.housekeeping.share_of_time[0]
    assert run.placement.share[POSTED] == pytest.approx(0.37, abs=0.005)
    assert busy == pytest.approx(0.01, abs=0.001)
    assert run.latency_percentile(0.99) / 1e3 == pytest.approx(25, abs=1)
    spread = opening()
    a_timer_us = 1e-3 * spread.duration_ns * spread.housekeeping.share_of_time[0] / spread.housekeeping.timers_fired[0]
    assert a_timer_us == pytest.approx(1.74, abs=0.05)
    in_a_row_us = 1e-3 * run.duration_ns * busy / run.housekeeping.timers_fired[0]
    assert 1.3 < in_a_row_us < a_timer_us


def test_l07_together_after_a_burst_that_is_posted_nearly_all_are_refused():
    trace = opening(ticks="together").trace
    fired = trace[trace["step"] == "apic_timer_fn"]
    bursts = (fired["pcpu"] == 0).groupby((fired["time_ns"] / 1e6).round()).mean().tolist()[3:]
    after = [then for now, then in itertools.pairwise(bursts) if now > 0.9]
    assert len(after) >= 5
    assert max(after) < 0.25


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        ({"vcpus": 8}, "right"),
        ({"vcpus": 8, "seed": 3}, "right"),
        ({"vcpus": 12}, "p99 is 18.3 µs"),
        ({"vcpus": 12, "housekeeping_cpus": 4}, "p99 is 18.3 µs"),
        ({"vcpus": 6}, "more vCPUs"),
        ({"vcpus": 8, "housekeeping_cpus": 2}, "fewer housekeeping CPUs"),
        ({"vcpus": 8, "ticks": "spread"}, "cannot be chosen: their ticks come"),
        ({"vcpus": 16, "hlt_in_guest": False}, "cannot be chosen: HLT does not exit"),
    ],
)
def test_l07_e1(moved, said):
    panel = panels.porter_panel(vcpus=4, ticks="together", housekeeping_cpus=2)
    panel.settings = {"housekeeping_cpus": 1, **moved}
    verdict = exercises.check("L07-E1", panel)
    assert said in verdict.text
    assert verdict.right is (said == "right")


def test_l07_e1_asks_for_the_panel():
    assert "panel 07-3 is asked for" in exercises.check("L07-E1", {"one": 8, "four": 8}).text


def test_l07_late(database):
    assert database.loc["before", "lost us"] == pytest.approx(1683, abs=1)
    assert database.loc["rev3", "lost us"] == pytest.approx(1107, abs=1)
    assert database.loc["before", "p50 us"] == pytest.approx(0.16, abs=0.01)
    assert database.loc["rev3", "p50 us"] == pytest.approx(1.26, abs=0.01)


def test_l07_e2():
    runs = [lesson_07.colleagues_run(cause) for cause in lesson_07.HOSTS]
    rows = {
        name: [int(run.exits["Samples"].get(name, 0)) for run in runs]
        for name in ("MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT")
    }
    assert rows["MSR_WRITE"] == [997, 1993, 997, 997]
    assert rows["PREEMPTION_TIMER"] == [0, 996, 0, 996]
    assert rows["EXTERNAL_INTERRUPT"] == [747, 0, 996, 0]


def test_l07_self_test():
    assert opening(ticks="together", housekeeping_cpus=4).latency_percentile(0.99) / 1e3 == pytest.approx(25, abs=1)
