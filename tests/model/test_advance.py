"""The advance of a LAPIC timer: how the host waits for the deadline, and what it learns from it (lapic.c)."""

import pytest

import kvmlab as kl
from kvmlab.model.lapic import adjust_lapic_timer_advance, kvm_wait_lapic_expire
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


@pytest.mark.parametrize(
    ("kernel", "advance", "late_ns", "tuned", "done"),
    [
        # From v5.8 on: an eighth of the error, if that is from 100 to 10000 cycles of 0.4 ns.
        ("v5.13", 1000, 800, 1100, 0),
        ("v5.13", 1000, -800, 900, 0),
        ("v5.13", 1000, 39, 1000, 0),
        ("v5.13", 1000, 40, 1005, 0),
        ("v5.13", 1000, 4000, 1500, 0),
        ("v5.13", 1000, 4001, 1000, 0),
        ("v5.13", 4900, 800, 5000, 0),
        ("v5.13", 4901, 800, 1000, 0),
        ("v5.13", 100, -800, 0, 0),
        ("v5.13", 99, -800, 1000, 0),
        # Before: the error, but an eighth of the advance at most; less than 100 cycles end it.
        ("v5.3", 1000, 800, 1125, 0),
        ("v5.3", 1000, -800, 875, 0),
        ("v5.3", 1000, 50, 1050, 0),
        ("v5.3", 1000, 40, 1040, 0),
        ("v5.3", 1000, 39, 1039, 1),
        ("v5.3", 4900, 800, 1000, 0),
        ("v5.2", 1000, -50, 950, 0),
        ("v5.2", 1000, -30, 970, 1),
        ("v5.2", 4900, 800, 0, 1),
    ],
)
def test_an_advance_is_tuned_by_how_late_or_early_the_timer_was_seen(kernel, advance, late_ns, tuned, done):
    m = machine(kl.Host(tsc_ghz=2.5), kernel=kernel)
    vcpu = m.vcpus[0]
    vcpu.advance_ns = advance
    adjust_lapic_timer_advance(m, 0, late_ns)
    assert (vcpu.advance_ns, vcpu.advance_done) == (tuned, done)
    if done:
        adjust_lapic_timer_advance(m, 0, 800)
        assert vcpu.advance_ns == tuned


@pytest.mark.parametrize(("late_ns", "tuned"), [(99, 1000), (100, 1012), (10_000, 2250), (10_001, 1000)])
def test_an_error_of_100_to_10000_cycles_tunes_it(late_ns, tuned):
    m = machine(kl.Host(tsc_ghz=1.0), kernel="v6.18")
    m.vcpus[0].advance_ns = 1000
    adjust_lapic_timer_advance(m, 0, late_ns)
    assert m.vcpus[0].advance_ns == tuned
