"""What must hold in any run, whatever is simulated."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.engine.layout import TABLES
from kvmlab.model.names import EXITS, PLACES, State
from tests.strategies import COSTS, all_kernels, constant_costs, few, hosts, scenarios

HV, OWN, POSTED, KICKED, NOT_IN_GUEST, AT_ARM = range(6)


def owners(scenario):
    """Each vCPU's guest, and the pCPUs it may be on."""
    pairs = zip(scenario.guests, scenario.placement, strict=True)
    return [(guest, pool if guest.moves_every_ms else (pool[i],)) for guest, pool in pairs for i in range(guest.vcpus)]


def facts_on(host, guest, cpu):
    """The five facts in the words of the policies, for a vCPU on `cpu`."""
    return policy.VcpuFacts(
        bool(host.nohz_full and host.isolated) if host.pi_inject_timer is None else host.pi_inject_timer,
        host.apicv,
        not (host.nohz_full and cpu in host.isolated),
        guest.mwait_in_guest,
        guest.hlt_in_guest,
    )


def can_post(scenario, guest, cpus):
    """What the policy answers on each of the pCPUs."""
    return {bool(scenario.kernel.policy(facts_on(scenario.host, guest, cpu))) for cpu in cpus}


def places(run):
    return run.machine.places.reshape(-1, len(PLACES))


def exit_counts(run, name):
    """Exits of this kind of each vCPU, with the one that the end of the run found under way."""
    vcpus, reason = run.machine.vcpus, EXITS.index(name)
    under_way = ~np.isin(vcpus["state"], (State.GUEST, State.DONE)) & (vcpus["exit_reason"] == reason)
    return run.exit_rows["count"][:, reason] + under_way


# --- the engine itself ------------------------------------------------------------------------------------------------


@given(scenarios())
@few(60)
def test_compiled_and_plain_python_agree_event_by_event(scenario):
    compiled, plain = kl.simulate(scenario, plain=False), kl.simulate(scenario, plain=True)
    assert compiled.duration_ns == plain.duration_ns
    for table in TABLES:
        np.testing.assert_array_equal(getattr(compiled.machine, table), getattr(plain.machine, table), table)


@given(scenarios())
@few(60)
def test_one_seed_gives_one_result(scenario):
    runs = [kl.simulate(scenario) for _ in range(2)]
    for table in TABLES:
        first, second = (getattr(run.machine, table) for run in runs)
        np.testing.assert_array_equal(first, second, table)


def test_another_seed_gives_another_result():
    scenario = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.1)
    sums = {int(kl.simulate(scenario.replace(seed=seed)).machine.exits["sum_ns"].sum()) for seed in range(10)}
    assert len(sums) == 10


@given(scenarios(costs=COSTS))
@few(100)
def test_a_run_ends_at_its_time_or_when_every_guest_has_stopped(scenario):
    run = kl.simulate(scenario)
    end = round(scenario.duration_s * 1e9)
    limited = all(guest.workload.timers for guest in scenario.guests)
    assert 0 < run.duration_ns <= end
    assert limited or run.duration_ns == end
    if run.duration_ns < end:
        allowed = [guest.workload.timers for guest, _ in owners(scenario)]
        assert all(run.machine.vcpus["delivered"] >= allowed)


@pytest.mark.parametrize(("costs", "duration"), [(1, 0.002), (5, 0.5)], ids=["no cost", "10 ms a step"])
@pytest.mark.parametrize("mode", ["tsc_deadline", "oneshot", "periodic"])
@pytest.mark.parametrize("kernel", list(kl.KERNELS))
def test_a_storm_of_timers_ends(kernel, mode, costs, duration):
    """Periods of 10 us, one busy housekeeping CPU for seven vCPUs, timers served later than they come."""
    workload = kl.Workload(
        tick_hz=0, timer_us=10, timer_mode=mode, device_irq_hz=1e6, other_exit_hz=1e6, host_irq_hz=1e6
    )
    host = kl.Host(
        isolated=range(1, 8), housekeeping="timers", housekeeping_timer_us=5, min_timer_period_us=0, hz=10_000
    )
    guest = kl.Guest(7, workload=workload, hlt_in_guest=True, moves_every_ms=0.01, preempt_hz=1e5, preempt_us=0.001)
    scenario = kl.Scenario(
        host,
        guest,
        kernel=kernel,
        duration_s=duration,
        costs=(*COSTS, constant_costs(10_000_000))[costs],
        trace_steps=0,
    )
    run = kl.simulate(scenario)
    assert run.duration_ns == round(duration * 1e9)
    assert costs == 5 or run.machine.vcpus["armed"].sum() > 0
    assert kl.simulate(scenario.replace(duration_s=1e-6)).duration_ns == 1000


def test_an_overloaded_housekeeping_cpu_falls_behind_but_not_for_ever():
    """Linux forwards a periodic timer beyond now. Here 1 ms a timer, one due every 20 us, in 10 ms."""
    host = kl.Host(pcpus=1, isolated=(), housekeeping="timers", housekeeping_timer_us=20)
    scenario = kl.Scenario(host, kl.Guest(), duration_s=0.01, costs=constant_costs(1_000_000), trace_steps=0)
    run = kl.simulate(scenario)
    assert run.machine.pcpus["irq_until"].max() < 1e9
    assert run.housekeeping["deepest_queue"].max() < 1000


# --- nothing is lost --------------------------------------------------------------------------------------------------


@given(scenarios(costs=COSTS))
@few(150)
def test_every_timer_armed_is_delivered_cancelled_coalesced_or_still_due(scenario):
    v = kl.simulate(scenario).machine.vcpus
    due = v["live"] + v["pending"] + v["posting"] + v["irr"]
    np.testing.assert_array_equal(v["armed"], v["delivered"] + v["cancelled"] + v["coalesced"] + due)
    assert all(np.all((v[name] >= 0) & (v[name] <= 1)) for name in ("live", "pending", "posting", "irr"))
    np.testing.assert_array_equal(v["lat_n"], v["delivered"])


@given(scenarios(costs=COSTS))
@few(100)
def test_tables_add_up(scenario):
    run = kl.simulate(scenario)
    rows = run.exit_rows
    assert (
        run.exits["Samples"].sum()
        == rows["count"].sum()
        == sum(run.exits_of(i)["Samples"].sum() for i in range(len(rows)))
    )
    assert np.all(rows["fast"] <= rows["count"])
    assert set(np.array(EXITS)[np.any(rows["fast"], axis=0)]) <= {"MSR_WRITE", "PREEMPTION_TIMER"}
    if len(run.exits):
        assert run.exits["Samples%"].sum() == pytest.approx(100)
        assert run.exits["Time%"].sum() == pytest.approx(100 if rows["sum_ns"].any() else 0)
    assert run.placement["share"].sum() == pytest.approx(1 if run.placement["expiries"].any() else 0)
    assert run.latency["count"].sum() == run.latency_histogram["count"].sum() == run.machine.vcpus["delivered"].sum()
    assert run.fired_on.sum() == np.sum(run.machine.pcpus["fired"])
    assert np.all(run.machine.vcpus["lost_ns"] >= 0)
    assert np.all(run.disturbance["longest_gap_us"] * 1000 <= run.machine.vcpus["lost_ns"] + 1e-6)


@given(scenarios(costs=COSTS[:1], host=hosts(lapic_timer_advance_ns=1000, pi_inject_timer=False)))
@few(150)
def test_no_interrupt_comes_before_its_time(scenario):
    """But for the preemption timer's grain and a TSC cycle: within both, real ones come early too."""
    vcpus = kl.simulate(scenario).machine.vcpus
    cycle = 1 / scenario.host.tsc_ghz
    early = cycle * (1 + 2**scenario.host.preemption_timer_shift)
    assert np.all(vcpus["lat_min"][vcpus["lat_n"] > 0] >= -early)


@pytest.mark.parametrize(("advance", "early_ns"), [(None, 5000 // 8), (5000, 0), (100_000, 0)])
def test_no_interrupt_is_taken_before_it_is_posted(advance, early_ns):
    """The housekeeping CPU sees the deadline out first; an exit of the guest meanwhile brings nothing forward.

    An adaptive advance is tuned, by an eighth of the error, just before the wait that it bounds.
    """
    workload = kl.Workload(tick_hz=0, timer_us=1000, host_irq_hz=100_000)
    host = kl.Host(housekeeping="timers", lapic_timer_advance_ns=advance)
    scenario = kl.Scenario(host, kl.Guest(workload=workload), kernel="v5.13", duration_s=2)
    run = kl.simulate(scenario)
    assert run.placement.expiries["housekeeping posted"] > 1000
    assert run.latency["min"].min() >= -early_ns


# --- who fires --------------------------------------------------------------------------------------------------------


@given(scenarios())
@few(150)
def test_only_an_expiry_elsewhere_that_finds_guest_mode_is_posted(scenario):
    run = kl.simulate(scenario)
    inside, on, called = {}, {}, {}
    for row in run.trace.itertuples():
        if row.step in ("kvm_entry", "kvm_exit"):
            inside[row.vcpu], on[row.vcpu] = row.step == "kvm_entry", row.pcpu
        elif row.step == "apic_timer_fn":
            called[row.vcpu] = row.pcpu
        elif row.step == "apic_timer_expired: posted":
            assert inside[row.vcpu]
            assert row.pcpu == called[row.vcpu] != on[row.vcpu]
            guest = owners(scenario)[row.vcpu][0]
            assert scenario.kernel.policy(facts_on(scenario.host, guest, on[row.vcpu]))
        elif row.step == "kvm_vcpu_kick":
            assert inside[row.vcpu]
            assert row.pcpu != on[row.vcpu]


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
            assert (hv_exits[i], places(run)[i, HV], armed[i]) == (0, 0, 0)


@given(scenarios(host=hosts(least=2, most=6, vendor="intel", preemption_timer=True, preemption_timer_shift=5)))
@few(100)
def test_who_may_use_the_preemption_timer_does(scenario):
    """It serves all that is armed, unless the vCPU blocks or was given a deadline already past."""
    run = kl.simulate(scenario)
    for i, (guest, cpus) in enumerate(owners(scenario)):
        if not guest.mwait_in_guest and can_post(scenario, guest, cpus) == {False}:
            assert places(run)[i, POSTED] == 0
            if guest.hlt_in_guest or not guest.workload.idle_us or guest.workload.waits_by in ("spin", "pause"):
                assert places(run)[i, [OWN, KICKED]].tolist() == [0, 0]
                assert run.machine.vcpus["armed"][i] == 0 or run.machine.vcpus["hv_armed"][i] > 0


@given(scenarios())
@few(150)
def test_who_may_not_post_does_not(scenario):
    run = kl.simulate(scenario)
    for i, (guest, cpus) in enumerate(owners(scenario)):
        if can_post(scenario, guest, cpus) == {False}:
            assert places(run)[i, POSTED] == 0


pinned_kernels = [kernel for kernel in all_kernels() if kernel.name.startswith("v5.2")]


@given(scenarios(moving=False, kernels=pinned_kernels) | scenarios(moving=False, host=hosts(timer_migration=False)))
@few(150)
def test_a_timer_that_may_not_leave_fires_on_its_own_pcpu(scenario):
    run = kl.simulate(scenario)
    own = {cpu for _, cpus in owners(scenario) for cpu in cpus}
    assert set(run.fired_on[run.fired_on > 0].index) <= own
    assert not places(run)[:, [POSTED, KICKED]].any()


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
            assert not places(run)[i, [POSTED, KICKED]].any()


@given(scenarios())
@few(100)
def test_every_exit_that_an_expiry_makes_is_counted(scenario):
    run = kl.simulate(scenario)
    at = places(run)
    assert np.all(exit_counts(run, "PREEMPTION_TIMER") >= at[:, HV])
    others = sum(g.workload.host_irq_hz + g.preempt_hz + bool(g.moves_every_ms) for g in scenario.guests)
    if not others:
        assert np.all(exit_counts(run, "PREEMPTION_TIMER") == at[:, HV])
    # Of two timers served in one interrupt, or whose kicks meet, the second finds the vCPU on its way out.
    assert np.all(exit_counts(run, "EXTERNAL_INTERRUPT") >= at[:, KICKED])


@given(scenarios())
@few(100)
def test_fast_paths_by_release(scenario):
    run = kl.simulate(scenario)
    fast = dict(zip(EXITS, run.exit_rows["fast"].sum(axis=0), strict=True))
    kernel = scenario.kernel
    if kernel.arm_fastpath == kernels.ArmFastpath.NEVER:
        assert run.fastpath_exits == 0
    if kernel.arm_fastpath == kernels.ArmFastpath.HV_ONLY and not run.machine.vcpus["hv_armed"].any():
        assert fast["MSR_WRITE"] == 0
    modes = {guest.workload.timer_mode for guest in scenario.guests}
    if "tsc_deadline" not in modes:
        assert fast["MSR_WRITE"] == 0


@given(scenarios(moving=False, host=hosts(pi_inject_timer=False)), st.sampled_from(["v5.3", "v5.13", "v6.18"]))
@few(60)
def test_without_pi_inject_timer_all_revisions_are_one(scenario, machinery):
    runs = [
        kl.simulate(scenario.replace(kernel=kl.KERNELS[machinery].with_policy(name, rule)))
        for name, rule in policy.POLICIES.items()
    ]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.machine.trace, runs[0].machine.trace)


@given(scenarios(moving=False))
@few(60)
def test_a_readers_policy_runs_like_the_kernel_s(scenario):
    def mine(v):
        return v.pi_inject_timer and v.apicv_active and (v.hlt_in_guest or v.mwait_in_guest)

    theirs = kl.simulate(scenario.replace(kernel=scenario.kernel.with_policy("theirs", policy.rev3)))
    own = kl.simulate(scenario.replace(kernel=scenario.kernel.with_policy("mine", mine)))
    np.testing.assert_array_equal(theirs.machine.trace, own.machine.trace)


@given(scenarios())
@few(40)
def test_the_trace_only_watches(scenario):
    """How much of it is kept changes nothing else."""
    assume(not scenario.guests[0].moves_every_ms)
    some, none = kl.simulate(scenario), kl.simulate(replace(scenario, trace_steps=0))
    for table in ("vcpus", "exits", "places", "histogram", "streams"):
        np.testing.assert_array_equal(getattr(some.machine, table), getattr(none.machine, table), table)


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


@pytest.mark.parametrize("mode", ["oneshot", "periodic"])
def test_a_vcpu_boots_when_told_and_keeps_its_period(mode):
    """Beside a host timer every 5 us: before it boots, a vCPU has nothing to be delayed in."""
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping="timers", housekeeping_timer_us=5)
    workload = kl.Workload(tick_hz=0, timer_us=1000, timer_mode=mode)
    guest = kl.Guest(pcpus=(0,), boot_us=4000, workload=workload)
    run = kl.simulate(kl.Scenario(host, guest, duration_s=0.2, trace_steps=20_000))
    assert run.trace.query("step == 'kvm_entry'")["time_ns"].min() == pytest.approx(4e6, abs=10_000)
    assert 190 <= run.latency["count"].sum() <= 196


def test_a_vcpu_that_wakes_during_a_host_interrupt_waits_for_its_end():
    """Or it would see a timer pending that the interrupt has not come to yet, and enter with it before its deadline."""
    host = kl.Host(
        pcpus=1,
        isolated=(),
        housekeeping="timers",
        housekeeping_timer_us=20,
        tsc_ghz=1,
        preemption_timer_shift=0,
        lapic_timer_advance_ns=1000,
    )
    workload = kl.Workload(tick_hz=0, timer_us=50, busy_us=20, idle_us=15, nohz_idle=False)
    for seed in range(5):
        run = kl.simulate(kl.Scenario(host, kl.Guest(workload=workload), kernel="v5.2", seed=seed))
        assert run.latency["min"].min() >= -2


def test_a_burst_lasts_as_long_as_it_was_drawn_however_long_the_guest_slept_before():
    """A guest that halts in guest mode works busy/(busy + idle) of its time, as one whose HLT exits does."""
    workload = kl.Workload(tick_hz=0, busy_us=100, idle_us=300, nohz_idle=False)
    for hlt_in_guest in (False, True):
        guest = kl.Guest(hlt_in_guest=hlt_in_guest, workload=workload)
        run = kl.simulate(kl.Scenario(kl.Host(), guest, duration_s=2))
        idle = run.machine.vcpus["idle_ns"][0] / run.duration_ns
        assert idle == pytest.approx(0.75, abs=0.02), f"hlt_in_guest={hlt_in_guest}"
