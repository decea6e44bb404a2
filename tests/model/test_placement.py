"""Who fires: on which pCPU a timer may be, and when its interrupt is posted."""

from hypothesis import given

import kvmlab as kl
from kvmlab.model.names import FAST, Place
from tests.model.observed import can_post, facts_on, owners, places
from tests.strategies import all_kernels, few, hosts, scenarios


@given(scenarios())
@few(150)
def test_only_an_expiry_elsewhere_that_finds_guest_mode_is_posted(scenario):
    """What counts is where the vCPU was as the callback ran: it may leave until the interrupt is posted."""
    run = kl.simulate(scenario)
    inside, on, called = {}, {}, {}
    for row in run.trace.itertuples():
        if row.step in ("kvm_entry", "kvm_exit"):
            # A fast path is part of guest mode, and nothing is kicked out of it.
            inside[row.vcpu], on[row.vcpu] = row.step == "kvm_entry" or row.arg & FAST, row.pcpu
        elif row.step == "apic_timer_fn":
            called[row.vcpu] = row.pcpu, inside.get(row.vcpu), on.get(row.vcpu)
        elif row.step == "apic_timer_expired: posted":
            by, was_inside, was_on = called[row.vcpu]
            assert was_inside
            assert row.pcpu == by != was_on
            guest = owners(scenario)[row.vcpu][0]
            assert scenario.kernel.policy(facts_on(scenario.host, guest, was_on))
        elif row.step == "kvm_vcpu_kick":
            assert inside[row.vcpu]
            assert row.pcpu != on[row.vcpu]


@given(scenarios())
@few(150)
def test_who_may_not_post_does_not(scenario):
    run = kl.simulate(scenario)
    for i, (guest, cpus) in enumerate(owners(scenario)):
        if can_post(scenario, guest, cpus) == {False}:
            assert places(run)[i, Place.POSTED] == 0


pinned_kernels = [kernel for kernel in all_kernels() if kernel.name.startswith("v5.2")]


@given(scenarios(moving=False, kernels=pinned_kernels) | scenarios(moving=False, host=hosts(timer_migration=False)))
@few(150)
def test_a_timer_that_may_not_leave_fires_on_its_own_pcpu(scenario):
    run = kl.simulate(scenario)
    own = {cpu for _, cpus in owners(scenario) for cpu in cpus}
    assert set(run.fired_on[run.fired_on > 0].index) <= own
    assert not places(run)[:, [Place.POSTED, Place.KICKED]].any()


@given(scenarios(moving=False))
@few(150)
def test_timers_leave_only_for_housekeeping_cpus_and_only_isolated_ones(scenario):
    run = kl.simulate(scenario)
    host = scenario.host
    isolated = set(host.isolated) if host.nohz_full else set()
    fired = set(run.fired_on[run.fired_on > 0].index)
    assert fired & isolated <= {cpu for _, cpus in owners(scenario) for cpu in cpus}
    for i, (_, (cpu,)) in enumerate(owners(scenario)):
        if cpu not in isolated:
            assert not places(run)[i, [Place.POSTED, Place.KICKED]].any()
