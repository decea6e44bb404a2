"""What comes at random times comes again and again, at the rate that was asked for (outside.py)."""

import pytest

import kvmlab as kl
from tests.model.observed import exit_counts
from tests.strategies import constant_costs

SECONDS = 2
RATE = 1000
SPREAD = 5 * (SECONDS * RATE) ** 0.5
"""Five standard deviations of the number of events in a run."""


def simulate(trace_steps=0, pcpus=(1,), workload=None, **guest):
    """Return the run of one guest with a timer every 100 ms, and with what the options add."""
    busy = kl.Workload(tick_hz=0, timer_us=100_000, **workload or {})
    host = kl.Host(pcpus=4, isolated=(1, 2), pi_inject_timer=False)
    guests = kl.Guest(pcpus=pcpus, workload=busy, **guest)
    costs = constant_costs()
    return kl.simulate(kl.Scenario(host, guests, duration_s=SECONDS, costs=costs, trace_steps=trace_steps))


@pytest.mark.parametrize(
    ("rate", "reason"), [("host_irq_hz", "EXTERNAL_INTERRUPT"), ("other_exit_hz", "EPT_MISCONFIG")]
)
def test_as_many_exits_as_asked_for(rate, reason):
    assert exit_counts(simulate(), reason)[0] == 0
    assert exit_counts(simulate(workload={rate: RATE}), reason)[0] == pytest.approx(SECONDS * RATE, abs=SPREAD)


def test_as_many_interrupts_of_devices_as_asked_for():
    steps = simulate(100_000, workload={"device_irq_hz": RATE}).trace["step"]
    assert (steps == "device interrupt").sum() == pytest.approx(SECONDS * RATE, abs=SPREAD)


def test_a_vcpu_is_preempted_as_often_and_for_as_long_as_asked_for():
    run = simulate(100_000, preempt_hz=RATE, preempt_us=20)
    times = (run.trace["step"] == "kvm_sched_out").sum()
    assert times == pytest.approx(SECONDS * RATE, abs=SPREAD)
    assert run.machine.vcpus["lost_ns"][0] / times == pytest.approx(20_000, rel=0.15)


def test_a_vcpu_moves_to_the_free_pcpu_of_its_pool_each_time():
    run = simulate(100_000, pcpus=(1, 2), moves_every_ms=10)
    loads = run.trace[run.trace["step"] == "kvm_arch_vcpu_load"]
    assert len(loads) == SECONDS * 100 - 1
    assert loads["pcpu"].tolist()[:4] == [2, 1, 2, 1]
    assert run.machine.vcpus["cpu"][0] == run.machine.vcpus["pcpu"][0] == loads["pcpu"].iloc[-1]
