"""A recorded host rebuilt: bursts of work and of idleness, rates, and how long is simulated, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

import kvmlab as kl
from kvmlab.host.what_if.assumptions import Assumptions
from kvmlab.host.what_if.duration import Duration
from kvmlab.host.what_if.measure import Measured
from kvmlab.host.what_if.predict import background_of
from kvmlab.host.what_if.worlds import World, bursts_of, other_wakeups, scenario_of, wake_up_us, workload_of, worlds_of
from kvmlab.scenario.interval import Interval
from tests.strategies import constant_costs

FREE = constant_costs(0)
CENTRAL = World("central", "ticking", 1000.0, 1.0)
HOST = Measured(
    duration=Duration(10.0, 1),
    timers=Interval(1000.0, 1000.0, 1000.0),
    expiries_at_work=None,
    writes=1000.0,
    timer_mode="tsc_deadline",
    halts=0.0,
    halt_us=0.0,
    host_irqs=0.0,
    unsure_irqs=0.0,
    other_exits=0.0,
    handled_s=0.0,
    unsure=False,
    recorded={},
    costs=FREE,
)
"""10 s of one vCPU with 100 timers a second, which does not halt."""


def measured(**changes):
    return replace(HOST, **changes)


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ({"halts": 0.0}, 0),
        ({"halts": 1000.0}, 0),  # each timer wakes it, and nothing else does
        ({"halts": 2000.0}, 1000),
        ({"halts": 2000.0, "expiries_at_work": 250.0}, 1250),  # these timers found it at work, and woke nobody
        ({"halts": 50.0, "expiries_at_work": 900.0}, 1),  # 2 % of the halts at least
        ({"halts": 50.0, "expiries_at_work": 0.0}, 0),
    ],
)
def test_halts_that_no_timer_ended_were_ended_by_something_else(changes, others):
    assert other_wakeups(measured(**changes), CENTRAL) == others


@pytest.mark.parametrize(
    ("changes", "busy_us", "idle_us", "at_work"),
    [
        ({"halts": 1000.0}, 0, 1, 0),
        ({"halts": 2000.0}, 1, 9999, 0),
        ({"halts": 2000.0, "expiries_at_work": 250.0}, 2000, 6000, 0.25),
        ({"halts": 2000.0, "expiries_at_work": 250.0, "handled_s": 1.0}, 1200, 6000, 0.25),
        ({"halts": 2000.0, "expiries_at_work": 250.0, "handled_s": 2.4}, 200, 6000, 0.25),
        ({"halts": 50.0, "expiries_at_work": 900.0}, 9e6, 1e6, 0.9),
        ({"halts": 1000.2}, 1, 50_000_000 - 1, 0),
        ({"halts": 1000.09}, 0, 1, 0),  # too rare: less than one in 100 s
        ({"halts": 1001.0, "duration": Duration(100.0, 1)}, 1, 100_000_000 - 1, 0),
        ({"halts": 1e8}, 1, 1, 0),  # no shorter than the burst itself
    ],
)
def test_bursts_of_work_and_of_idleness_follow_from_what_timers_found(changes, busy_us, idle_us, at_work):
    assert bursts_of(measured(**changes), CENTRAL) == pytest.approx((busy_us, idle_us, at_work), rel=1e-6)


def test_at_twice_the_rate_bursts_are_half_as_long():
    halting = measured(halts=2000.0, expiries_at_work=250.0)
    assert bursts_of(halting, replace(CENTRAL, factor=2.0)) == pytest.approx((1000, 3000, 0.25))


def test_halting_and_waking_take_their_time_which_is_none_of_the_idleness():
    costs = constant_costs(10_000)
    assert wake_up_us(measured(costs=costs)) == 30
    assert bursts_of(measured(costs=costs, halts=2000.0), CENTRAL) == pytest.approx((1, 9969, 0))
    assert bursts_of(measured(costs=costs, halts=2000.0, expiries_at_work=250.0), CENTRAL)[1] == pytest.approx(5970)


def test_each_unknown_has_a_world_for_each_end_of_its_range():
    assert worlds_of(measured(), None) == [
        World("central", "ticking", 1000, 1),
        World("housekeeping idle", "idle", 1000, 1),
        World("housekeeping timers", "timers", 1000, 1),
    ]
    assert [each.housekeeping for each in worlds_of(measured(housekeeping_us=50.0), None)] == ["timers"]
    assert [each.housekeeping for each in worlds_of(measured(housekeeping_us=50.0), "idle")] == ["idle"]
    worlds = worlds_of(
        measured(
            timers=Interval(1000.0, 400.0, 1000.0),
            host_irqs=5.0,
            unsure_irqs=30.0,
            duration=Duration(10.0, 1, Interval(1000.0, 100.0, 4000.0)),
        ),
        "idle",
    )
    assert [(each.timers, each.factor, each.host_irqs) for each in worlds] == [
        (1000, 1, None),
        (400, 1, None),
        (1000, 1, 35),
        (1000, 0.1, None),
        (1000, 4, None),
    ]
    [_, fewer] = worlds_of(measured(timers=Interval(1000.0, 0.2, 1000.0)), "idle")
    assert fewer.timers == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"timer_us": 10_000, "other_exit_hz": 0, "host_irq_hz": 0, "busy_us": 0, "idle_us": 1}),
        ({"writes": 1200.0, "other_exits": 500.0, "host_irqs": 300.0}, {"other_exit_hz": 70, "host_irq_hz": 30}),
        ({"writes": 900.0, "other_exits": 500.0}, {"other_exit_hz": 50}),
        ({"other_exits": 2e7, "host_irqs": 2e7}, {"other_exit_hz": 1e5, "host_irq_hz": 1e5}),
        ({"other_exits": 0.05}, {"other_exit_hz": 0}),
        ({"other_exits": 0.1}, {"other_exit_hz": 0.01}),
        # A guest that no timer found at work has no time for exits of its own.
        ({"other_exits": 500.0, "halts": 2000.0}, {"other_exit_hz": 0, "busy_us": 1, "idle_us": 9999}),
        (
            {"other_exits": 500.0, "host_irqs": 10.0, "halts": 2000.0, "expiries_at_work": 250.0},
            {"other_exit_hz": 200, "host_irq_hz": 4, "busy_us": 2000, "idle_us": 6000},
        ),
        ({"duration": Duration(10.0, 2), "other_exits": 500.0}, {"timer_us": 20_000, "other_exit_hz": 25}),
    ],
)
def test_a_vcpu_does_what_was_counted_at_the_rate_at_which_it_was(changes, expected):
    workload = workload_of(measured(**changes), CENTRAL, "hlt")
    assert {name: getattr(workload, name) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("timers", "period_us"), [(0.05, 1e8), (5e6, 10), (2000.0, 5000)])
def test_a_period_is_one_that_a_guest_may_have(timers, period_us):
    world = replace(CENTRAL, timers=timers)
    assert workload_of(measured(writes=timers), world, "hlt").timer_us == pytest.approx(period_us)


def test_a_world_says_how_many_interrupts_are_the_host_s_and_who_spins_does_not_wait():
    workload = workload_of(measured(host_irqs=300.0), replace(CENTRAL, host_irqs=50.0), "spin")
    assert workload.host_irq_hz == pytest.approx(5)
    assert workload.idle_us == 0


def test_at_twice_the_rate_everything_is_twice_as_often():
    host = measured(writes=1200.0, other_exits=500.0, host_irqs=300.0)
    workload = workload_of(host, replace(CENTRAL, factor=2.0), "hlt")
    assert (workload.timer_us, workload.other_exit_hz, workload.host_irq_hz) == pytest.approx((5000, 140, 60))


def test_a_guest_that_does_not_halt_has_one_timer_and_no_tick():
    assert workload_of(HOST, CENTRAL, "spin") == kl.Workload(
        tick_hz=0, timer_us=10_000, waits_by="spin", nohz_idle=False
    )
    assert workload_of(measured(timer_mode="periodic"), CENTRAL, "mwait") == kl.Workload(
        tick_hz=0, timer_us=10_000, timer_mode="periodic", idle_us=1, waits_by="mwait", nohz_idle=False
    )


KERNEL = kl.KERNELS["v5.18"]


def test_a_recorded_host_is_one_scenario():
    """Its two vCPUs, each with half of the timers, and a CPU for all else; 2000 timers are enough."""
    said = Assumptions(pi_inject_timer=False, vendor="amd", hlt_in_guest=True, tsc_ghz=3.0, settings=(("hz", 100),))
    host = measured(duration=Duration(10.0, 2), housekeeping_us=50.0)
    assert scenario_of(host, replace(CENTRAL, housekeeping="timers"), said, KERNEL) == kl.Scenario(
        kl.Host(
            pcpus=3,
            isolated=(1, 2),
            housekeeping="timers",
            housekeeping_timer_us=50,
            pi_inject_timer=False,
            vendor="amd",
            tsc_ghz=3.0,
            hz=100,
        ),
        (
            kl.Guest(
                vcpus=2,
                pcpus=(1, 2),
                hlt_in_guest=True,
                workload=kl.Workload(tick_hz=0, timer_us=20_000, idle_us=1, nohz_idle=False),
            ),
        ),
        kernel=KERNEL,
        duration_s=20,
        costs=FREE,
        trace_steps=0,
    )


def test_of_many_vcpus_eight_are_simulated_where_they_are_said_to_sit():
    said = Assumptions(isolated=False, apicv=False, preemption_timer=False, mwait_in_guest=True, waits_by="spin")
    scenario = scenario_of(measured(duration=Duration(10.0, 9)), CENTRAL, said, KERNEL)
    host, [guest] = scenario.host, scenario.guests
    assert (host.pcpus, host.isolated, host.housekeeping, host.housekeeping_timer_us) == (9, (), "ticking", 100)
    assert (host.apicv, host.preemption_timer, host.pi_inject_timer) == (False, False, True)
    assert (guest.vcpus, guest.pcpus) == (8, (1, 2, 3, 4, 5, 6, 7, 8))
    assert (guest.hlt_in_guest, guest.mwait_in_guest, guest.workload.waits_by) == (False, True, "spin")


@pytest.mark.parametrize(
    ("changes", "timers", "housekeeping", "seconds"),
    [
        ({}, 1000.0, "ticking", 20),  # 2000 timers
        ({"duration": Duration(10.0, 2)}, 1000.0, "ticking", 20),  # of both together
        ({}, 100.0, "ticking", 200),
        ({}, 100.0, "timers", 20),
        ({}, 1.0, "idle", 1000),
        ({"duration": Duration(10.0, 4)}, 4e6, "ticking", 0.02),
        ({"other_exits": 400_000.0, "host_irqs": 100_000.0}, 1000.0, "ticking", 2),  # 100,000 others
        ({"other_exits": 400_000.0, "host_irqs": 100_000.0, "duration": Duration(10.0, 2)}, 1000.0, "ticking", 2),
        # 1250 bursts in 10 s, of which each has two parts.
        ({"halts": 1257.5, "expiries_at_work": 2.5}, 10.0, "ticking", 800),
    ],
)
def test_as_long_is_simulated_as_it_takes_to_see_enough(changes, timers, housekeeping, seconds):
    world = World("a world", housekeeping, timers, 1.0)
    host = measured(**{"writes": timers} | changes)
    assert scenario_of(host, world, Assumptions(), KERNEL).duration_s == pytest.approx(seconds, rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "world", "eois", "rates"),
    [
        ({}, {}, False, (0, 0, 0)),
        ({"writes": 1300.0, "host_irqs": 40.0, "other_exits": 20.0}, {}, False, (30, 4, 2)),
        ({"writes": 1300.0, "host_irqs": 40.0, "other_exits": 20.0}, {"factor": 2.0}, False, (60, 8, 4)),
        ({"writes": 1300.0, "host_irqs": 40.0}, {"host_irqs": 10.0}, False, (30, 1, 0)),
        ({"writes": 2300.0}, {}, True, (30, 0, 0)),  # a write arms, and another one ends its interrupt
        ({"writes": 3500.0, "halts": 2000.0}, {}, True, (50, 0, 0)),  # as it does those that woke it
        ({"writes": 900.0}, {}, True, (0, 0, 0)),
        ({"writes": 1300.0, "timer_mode": "periodic"}, {}, True, (130, 0, 0)),
    ],
)
def test_what_happens_beside_the_timers_stays_as_it_was(changes, world, eois, rates):
    beside = background_of(measured(**changes), replace(CENTRAL, **world), eoi_exits=eois)
    assert beside[:3] == pytest.approx(rates)
    assert beside.all_writes == (changes.get("timer_mode") == "periodic")
