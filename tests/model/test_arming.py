"""What a write of the timer does to what was armed before, and how far the preemption timer reaches."""

import pytest

import kvmlab as kl
from kvmlab.model.lapic import start_apic_timer
from kvmlab.model.names import NEVER, NONE, Trace
from kvmlab.model.vmx import HV_ERANGE, vmx_set_hv_timer
from tests.model.machines import machine

NOW = 50_000


def armed(live=0, pending=0, **host):
    """Return a machine whose vCPU has a timer that is armed, or one that has expired and is not injected yet."""
    host = kl.Host(pcpus=2, isolated=(1,), pi_inject_timer=False, lapic_timer_advance_ns=0, **host)
    m = machine(host, kl.Guest(pcpus=(1,), workload=kl.Workload(tick_hz=0, timer_us=1000)), kernel="v5.18")
    m.vcpus[0].live, m.vcpus[0].pending = live, pending
    return m


@pytest.mark.parametrize("deadline", [1_000_000, NEVER])
@pytest.mark.parametrize(("live", "pending"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_write_cancels_what_was_armed_and_what_is_pending(live, pending, deadline):
    m = armed(live, pending)
    start_apic_timer(m, 0, deadline, NOW)
    vcpu = m.vcpus[0]
    assert vcpu.cancelled == live + pending
    assert vcpu.pending == 0
    assert (vcpu.live, vcpu.armed, vcpu.deadline) == (int(deadline < NEVER), int(deadline < NEVER), deadline)


@pytest.mark.parametrize("mode", ["tsc_deadline", "oneshot"])
def test_a_write_takes_the_hrtimer_out_that_was_queued(mode):
    host = kl.Host(pcpus=2, isolated=(1,), preemption_timer=False)
    m = machine(host, kl.Guest(pcpus=(1,), workload=kl.Workload(tick_hz=0, timer_us=1000, timer_mode=mode)))
    start_apic_timer(m, 0, 1_000_000, NOW)
    assert m.timers[0].cpu != NONE
    start_apic_timer(m, 0, NEVER, NOW)
    assert m.timers[0].cpu == NONE


@pytest.mark.parametrize(("beyond", "serves"), [(-1, True), (0, False), (1, False)])
def test_a_deadline_beyond_the_preemption_timer_s_32_bits_is_an_hrtimer_s(beyond, serves):
    """vmx_set_hv_timer() says -ERANGE, and the trace says so."""
    m = armed()
    reach = m.host.hv_range_ns
    m.vcpus[0].deadline = NOW + reach + beyond
    assert vmx_set_hv_timer(m, 0, NOW) == (reach + beyond if serves else HV_ERANGE)
    assert m.vcpus[0].hv_deadline == (NOW + reach + beyond if serves else 0)
    start_apic_timer(m, 0, NOW + reach + beyond, NOW)
    assert m.vcpus[0].hv_timer_in_use == serves
    codes = [step.code for step in m.trace[: m.loop.trace_used]]
    assert codes.count(Trace.HV_ERANGE) == (0 if serves else 2)
    assert (m.timers[0].cpu == NONE) == serves
