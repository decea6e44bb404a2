"""Any run: repeatable, finite, and the same whether it is traced or not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given

import kvmlab as kl
from kvmlab.engine import execute
from kvmlab.engine.layout import TABLES
from kvmlab.model.names import NONE
from tests.model.observed import owners
from tests.strategies import COSTS, constant_costs, few, scenarios


@given(scenarios())
@few(60)
def test_one_seed_gives_one_result(scenario):
    runs = [kl.simulate(scenario) for _ in range(2)]
    for table in TABLES:
        first, second = (getattr(run.machine, table) for run in runs)
        np.testing.assert_array_equal(first, second, table)


def test_another_seed_gives_another_result():
    scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.1)
    sums = {int(kl.simulate(scenario.replace(seed=seed)).machine.exits["sum_ns"].sum()) for seed in range(10)}
    assert len(sums) == 10


@given(scenarios(costs=COSTS))
@few(100)
def test_a_run_ends_at_its_time_or_when_every_guest_has_stopped(scenario):
    run = kl.simulate(scenario)
    end = round(scenario.duration_s * 1e9)
    limited = all(guest.workload.timers for guest in scenario.guests)
    assert 0 < run.duration_ns <= end
    assert limited or run.duration_ns == end
    if run.duration_ns < end:
        allowed = [guest.workload.timers for guest, _ in owners(scenario)]
        assert all(run.machine.vcpus["delivered"] >= allowed)


@pytest.mark.parametrize("mode", ["tsc_deadline", "oneshot", "periodic"])
def test_a_run_is_over_as_soon_as_every_guest_has_stopped(mode):
    """Two guests of 3 and of 5 timers, 1 ms each: 5 ms, of a second."""
    guests = [
        kl.Guest(boot_us=0, workload=kl.Workload(tick_hz=0, timer_us=1000, timer_mode=mode, timers=n)) for n in (3, 5)
    ]
    run = kl.simulate(kl.Scenario(kl.Host(), guests, duration_s=1, costs=constant_costs()))
    assert run.machine.vcpus["delivered"].tolist() == [3, 5]
    assert 5_000_000 < run.duration_ns < 5_050_000


@given(scenarios(costs=COSTS))
@few(100)
def test_a_vcpu_loses_and_idles_no_longer_than_the_run_takes(scenario):
    """The last exit may end behind the end of the run, where the vCPU is back in its guest."""
    run = kl.simulate(scenario)
    v = run.machine.vcpus
    assert np.all(v["lost_ns"] + v["idle_ns"] <= np.maximum(run.duration_ns, np.maximum(v["in_guest_at"], v["boot"])))


@pytest.mark.parametrize(("costs", "duration"), [(1, 0.002), (5, 0.25)], ids=["no cost", "10 ms a step"])
@pytest.mark.parametrize("mode", ["tsc_deadline", "oneshot", "periodic"])
@pytest.mark.parametrize("kernel", list(kl.KERNELS))
def test_a_storm_of_timers_ends(kernel, mode, costs, duration):
    """Periods of 10 us, one busy housekeeping CPU for seven vCPUs, timers served later than they come.

    A quarter of a second sees twice what a CPU that cannot keep up does: it pauses for 100 ms.
    """
    workload = kl.Workload(
        tick_hz=0, timer_us=10, timer_mode=mode, device_irq_hz=1e6, other_exit_hz=1e6, host_irq_hz=1e6
    )
    host = kl.Host(
        isolated=range(1, 8), housekeeping="timers", housekeeping_timer_us=5, min_timer_period_us=0, hz=10_000
    )
    guest = kl.Guest(7, workload=workload, hlt_in_guest=True, moves_every_ms=0.01, preempt_hz=1e5, preempt_us=0.001)
    scenario = kl.Scenario(
        host,
        guest,
        kernel=kernel,
        duration_s=duration,
        costs=(*COSTS, constant_costs(10_000_000))[costs],
        trace_steps=0,
    )
    run = kl.simulate(scenario)
    assert run.duration_ns == round(duration * 1e9)
    assert costs == 5 or run.machine.vcpus["armed"].sum() > 0
    assert kl.simulate(scenario.replace(duration_s=1e-6)).duration_ns == 1000


def test_an_overloaded_housekeeping_cpu_falls_behind_but_not_for_ever():
    """Linux forwards a periodic timer beyond now. Here 1 ms a timer, one due every 20 us, in 10 ms."""
    host = kl.Host(pcpus=1, isolated=(), housekeeping="timers", housekeeping_timer_us=20)
    scenario = kl.Scenario(host, kl.Guest(), duration_s=0.01, costs=constant_costs(1_000_000), trace_steps=0)
    run = kl.simulate(scenario)
    assert run.machine.pcpus["irq_until"].max() < 1e9
    assert run.housekeeping["deepest_queue"].max() < 1000


@given(scenarios())
@few(40)
def test_the_trace_only_watches(scenario):
    """How much of it is kept changes nothing else."""
    assume(not scenario.guests[0].moves_every_ms)
    some, none = kl.simulate(scenario), kl.simulate(replace(scenario, trace_steps=0))
    for table in ("vcpus", "exits", "places", "histogram", "streams"):
        np.testing.assert_array_equal(getattr(some.machine, table), getattr(none.machine, table), table)


@pytest.mark.parametrize("plain", [False, True])
def test_a_run_stops_after_as_many_events_as_it_is_given(plain):
    machine = execute.machine(kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.1), plain=plain)
    for events in (7, 14):
        assert machine.advance_some(100_000_000, 7) == NONE
        assert machine.tables().loop["events"][0] == events
    assert machine.advance_some(100_000_000, 1_000_000) == 100_000_000
    assert machine.now() == 100_000_000
