"""What a guest does with its time."""

import pytest

import kvmlab as kl


@pytest.mark.parametrize("mode", ["oneshot", "periodic"])
def test_a_vcpu_boots_when_told_and_keeps_its_period(mode):
    """Beside a host timer every 5 us: before it boots, a vCPU has nothing to be delayed in."""
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping="timers", housekeeping_timer_us=5)
    workload = kl.Workload(tick_hz=0, timer_us=1000, timer_mode=mode)
    guest = kl.Guest(pcpus=(0,), boot_us=4000, workload=workload)
    run = kl.simulate(kl.Scenario(host, guest, duration_s=0.2, trace_steps=20_000))
    assert run.trace.query("step == 'kvm_entry'")["time_ns"].min() == pytest.approx(4e6, abs=10_000)
    assert 190 <= run.latency["count"].sum() <= 196


def test_a_burst_lasts_as_long_as_it_was_drawn_however_long_the_guest_slept_before():
    """A guest that halts in guest mode works busy/(busy + idle) of its time, as one whose HLT exits does."""
    workload = kl.Workload(tick_hz=0, busy_us=100, idle_us=300, nohz_idle=False)
    for hlt_in_guest in (False, True):
        guest = kl.Guest(hlt_in_guest=hlt_in_guest, workload=workload)
        run = kl.simulate(kl.Scenario(kl.Host(), guest, duration_s=2))
        idle = run.machine.vcpus["idle_ns"][0] / run.duration_ns
        assert idle == pytest.approx(0.75, abs=0.02), f"hlt_in_guest={hlt_in_guest}"
