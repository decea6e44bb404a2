"""The advance of a LAPIC timer: how the host waits for the deadline, and what it learns from it (lapic.c)."""

import pytest

import kvmlab as kl
from kvmlab.model.lapic import kvm_wait_lapic_expire
from tests.model.machines import machine
from tests.strategies import constant_costs

NOW = 5_000_000


@pytest.mark.parametrize(("kernel", "waits"), [("v5.2", 1000), ("v5.3", 1000), ("v5.13", 875), ("v6.18", 875)])
def test_the_advance_is_tuned_after_the_wait_and_from_v5_13_on_before_it(kernel, waits):
    """Seen as early as can be, the advance of 1000 ns shrinks by an eighth; the wait is as long as the advance."""
    m = machine(kl.Host(), kernel=kernel)
    m.vcpus[0].expired_deadline = NOW + 1000
    assert kvm_wait_lapic_expire(m, 0, 0, NOW) == NOW + waits
    assert m.vcpus[0].advance_ns == 875


@pytest.mark.parametrize("mode", ["tsc_deadline", "oneshot", "periodic"])
@pytest.mark.parametrize("kernel", ["v5.2", "v5.3", "v5.13", "v6.18"])
def test_up_to_v5_12_only_a_tsc_deadline_is_waited_for_after_the_preemption_timer(kernel, mode):
    """Its advance here is longer than the way back into the guest, so that an interrupt may come early."""
    host = kl.Host(pi_inject_timer=False, lapic_timer_advance_ns=20_000)
    guest = kl.Guest(workload=kl.Workload(tick_hz=0, timer_us=1000, timer_mode=mode))
    run = kl.simulate(kl.Scenario(host, guest, kernel=kernel, duration_s=0.05, costs=constant_costs()))
    assert run.placement["expiries"]["hv"] > 40
    earliest = run.machine.vcpus["lat_min"][0]
    if kernel in ("v5.2", "v5.3") and mode != "tsc_deadline":
        assert -20_000 < earliest < -10_000
    else:
        assert earliest >= 0
