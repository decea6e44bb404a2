"""A policy in the rules: only its answers count."""

import numpy as np
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab import policy
from tests.strategies import few, hosts, scenarios


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


@given(scenarios(moving=False, host=hosts(pi_inject_timer=True)), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@few(60)
def test_what_the_policy_was_not_asked_about_changes_nothing(scenario, bits, others):
    run = kl.simulate(scenario.replace(kernel=scenario.kernel.with_policy("one", policy.Table(bits))))
    asked = int(run.machine.loop["asked"][0])
    elsewhere = policy.Table((bits & asked) | (others & ~asked & (2**32 - 1)))
    again = kl.simulate(scenario.replace(kernel=scenario.kernel.with_policy("other", elsewhere)))
    np.testing.assert_array_equal(again.machine.trace, run.machine.trace)


def test_the_rules_note_which_inputs_the_policy_was_asked_about():
    host = kl.Host(pcpus=2, isolated=(1,), pi_inject_timer=True)
    guest = kl.Guest(pcpus=(1,), hlt_in_guest=True)
    run = kl.simulate(kl.Scenario(host, guest, kernel="v5.18", duration_s=0.01))
    facts = policy.VcpuFacts(True, True, False, mwait_in_guest=False, hlt_in_guest=True)
    assert int(run.machine.loop["asked"][0]) == 1 << policy.index(facts)
