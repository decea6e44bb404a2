"""The preemption timer: who uses it, and what happens to it around a block."""

import pytest
from hypothesis import given

import kvmlab as kl
from kvmlab.model.lapic import kvm_lapic_restart_hv_timer
from kvmlab.model.loop import run
from kvmlab.model.names import Lane, Place, Trace
from kvmlab.model.one_timer import arm_one_timer
from kvmlab.model.schedule import scheduled
from kvmlab.model.vmx import vmx_update_hv_timer
from tests.model.machines import machine
from tests.model.observed import can_post, exit_counts, owners, places
from tests.strategies import few, hosts, scenarios


@given(scenarios())
@few(150)
def test_who_may_not_use_the_preemption_timer_does_not(scenario):
    run = kl.simulate(scenario)
    host = scenario.host
    hv_exits = exit_counts(run, "PREEMPTION_TIMER")
    armed = run.machine.vcpus["hv_armed"]
    wraps_too_soon = host.tsc_ghz * 1e9 / 2**host.preemption_timer_shift > (2**32 - 1) / 10
    for i, (guest, cpus) in enumerate(owners(scenario)):
        never = guest.mwait_in_guest or host.vendor == "amd" or not host.preemption_timer or wraps_too_soon
        if never or can_post(scenario, guest, cpus) == {True}:
            assert (hv_exits[i], places(run)[i, Place.HV], armed[i]) == (0, 0, 0)


@given(scenarios(host=hosts(least=2, most=6, vendor="intel", preemption_timer=True, preemption_timer_shift=5)))
@few(100)
def test_who_may_use_the_preemption_timer_does(scenario):
    """It serves all that is armed, unless the vCPU blocks or was given a deadline already past."""
    run = kl.simulate(scenario)
    for i, (guest, cpus) in enumerate(owners(scenario)):
        if not guest.mwait_in_guest and can_post(scenario, guest, cpus) == {False}:
            assert places(run)[i, Place.POSTED] == 0
            if guest.hlt_in_guest or not guest.workload.idle_us or guest.workload.waits_by in ("spin", "pause"):
                assert places(run)[i, [Place.OWN, Place.KICKED]].tolist() == [0, 0]
                assert run.machine.vcpus["armed"][i] == 0 or run.machine.vcpus["hv_armed"][i] > 0


@pytest.mark.parametrize(
    ("kernel", "host", "arms"),
    [
        ("v5.13", {}, True),
        ("v5.13", {"vendor": "amd"}, False),
        ("v5.13", {"preemption_timer": False}, False),
        ("v5.18", {}, False),
    ],
)
def test_up_to_v5_16_a_block_ends_with_arming_again_where_there_is_a_preemption_timer(kernel, host, arms):
    """The guest's timer is an hrtimer before and after it slept, as MWAIT is not intercepted."""
    workload = kl.Workload(tick_hz=0, timer_us=1000, idle_us=1, waits_by="hlt", nohz_idle=False, device_irq_hz=5000)
    guest = kl.Guest(mwait_in_guest=True, workload=workload)
    run = kl.simulate(kl.Scenario(kl.Host(**host), guest, kernel=kernel, duration_s=0.05, trace_steps=50_000))
    steps = run.trace["step"]
    assert (steps == "kvm_vcpu_block").sum() > 100
    again = (steps == "kvm_lapic_switch_to_hv_timer").sum()
    assert again > 100 if arms else again == 0


@pytest.mark.parametrize("kernel", ["v5.13", "v5.18"])
def test_the_preemption_timer_takes_over_again_after_a_block(kernel):
    """A device wakes the guest long before its tick: the hrtimer stood in only while the guest slept."""
    workload = kl.Workload(tick_hz=100, busy_us=300, idle_us=300, waits_by="hlt", nohz_idle=False)
    host = kl.Host(pi_inject_timer=False)
    run = kl.simulate(kl.Scenario(host, kl.Guest(workload=workload), kernel=kernel, duration_s=5))
    expiries = run.placement["expiries"]
    assert expiries["hv"] > 100
    assert expiries["not in guest"] > 100
    assert expiries["own pCPU"] == expiries["housekeeping kicked"] == 0


@pytest.mark.parametrize(("kernel", "in_use"), [("v5.2", True), ("v5.18", False)])
def test_a_vcpu_that_is_loaded_elsewhere_arms_its_preemption_timer_again(kernel, in_use):
    """kvm_arch_vcpu_load(): what another pCPU's VMCS counted is gone. An hrtimer stays."""
    host = kl.Host(pcpus=2, isolated=(1,), pi_inject_timer=True)
    workload = kl.Workload(tick_hz=0, timers=1, timer_us=1000)
    m = machine(host, kl.Guest(pcpus=(1,), workload=workload, hlt_in_guest=True), kernel=kernel)
    arm_one_timer(m, 2_000_000, 1_000_000)
    assert m.vcpus[0].hv_timer_in_use == in_use

    def armings():
        return [step.code for step in m.trace[: m.loop.trace_used]].count(Trace.START_HV_TIMER)

    before = armings()
    kvm_lapic_restart_hv_timer(m, 0, 5_000)
    assert armings() == before + in_use


@pytest.mark.parametrize(("remaining", "loaded"), [(1_000_000, 999_424), (600, 600), (100_000, 98_304)])
def test_the_timer_is_loaded_in_whole_grains_and_rings_early_but_for_the_last_microsecond(remaining, loaded):
    """At 1 GHz a grain of 2**14 cycles is 16,384 ns."""
    host = kl.Host(pcpus=2, isolated=(1,), tsc_ghz=1.0, preemption_timer_shift=14)
    m = machine(host, kl.Guest(pcpus=(1,)))
    run(m, 1)
    vcpu = m.vcpus[0]
    vcpu.hv_timer_in_use, vcpu.in_guest_at, vcpu.hv_deadline = 1, 5_000, 5_000 + remaining
    vmx_update_hv_timer(m, 0)
    assert scheduled(m, Lane.HV, 0) == 5_000 + loaded
