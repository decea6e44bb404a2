"""The advance of a LAPIC timer: how the host waits for the deadline, and what it learns from it (lapic.c)."""

import pytest

import kvmlab as kl
from kvmlab.model.lapic import kvm_wait_lapic_expire
from tests.model.machines import machine

NOW = 5_000_000


@pytest.mark.parametrize(("kernel", "waits"), [("v5.2", 1000), ("v5.3", 1000), ("v5.13", 875), ("v6.18", 875)])
def test_the_advance_is_tuned_after_the_wait_and_from_v5_13_on_before_it(kernel, waits):
    """Seen as early as can be, the advance of 1000 ns shrinks by an eighth; the wait is as long as the advance."""
    m = machine(kl.Host(), kernel=kernel)
    m.vcpus[0].expired_deadline = NOW + 1000
    assert kvm_wait_lapic_expire(m, 0, 0, NOW) == NOW + waits
    assert m.vcpus[0].advance_ns == 875
