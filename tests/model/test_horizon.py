"""For how long a machine is simulated to stay within a number of events, worked out by hand."""

import pytest

import kvmlab as kl
from kvmlab.model.horizon import affordable_ns
from tests.model.machines import machine

LONGEST = 10_000_000_000


def guest(vcpus, **workload):
    return kl.Guest(vcpus, workload=kl.Workload(**({"tick_hz": 0} | workload)))


@pytest.mark.parametrize(
    ("events", "guests", "ns"),
    [
        (1000, [guest(1, tick_hz=1000)], 1_000_000_000),
        (1000, [guest(2, tick_hz=1000)], 500_000_000),
        (1000, [guest(2, tick_hz=200, device_irq_hz=250, other_exit_hz=50)], 1_000_000_000),
        (1000, [guest(1, tick_hz=600), guest(2, device_irq_hz=200)], 1_000_000_000),
        (20_000, [guest(1, tick_hz=1000)], LONGEST),
        (10_000, [guest(1, tick_hz=1000)], LONGEST),
        (9_999, [guest(1, tick_hz=1000)], 9_999_000_000),
        (1, [guest(1)], LONGEST),
        (2, [guest(1, tick_hz=700)], 2_857_143),
    ],
)
def test_guests_cost_their_events(events, guests, ns):
    assert affordable_ns(machine(kl.Host(), *guests), events, LONGEST) == ns


@pytest.mark.parametrize(("housekeeping", "ns"), [("timers", 300_000_000), ("ticking", 1_500_000_000)])
def test_timers_of_loaded_cpus_cost_a_third_of_an_event(housekeeping, ns):
    """Two of 3000 a second are 2000 events, beside 500 of the guest."""
    host = kl.Host(housekeeping=housekeeping, housekeeping_timer_us=1e6 / 3000, loaded=(0, 1))
    assert affordable_ns(machine(host, guest(1, tick_hz=500)), 750, LONGEST) == ns
