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
