"""The numbers that "What did the reviewers see?" quotes."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab import policy

TICKING = kl.Workload(tick_hz=1000)


def trace_of(first, second, **options):
    once = kl.Workload(tick_hz=0, timer_us=4000, timers=1)
    vcpu = kl.Guest(pcpus=(first, second), moves_every_ms=3, boot_us=0, workload=once, **options)
    run = kl.simulate(kl.Scenario(kl.three_guests().host, vcpu, kernel="v5.15+rev2"))
    return run.trace.query("vcpu == 0")


@pytest.mark.parametrize(
    ("path", "queued_on", "fires_on", "posted"),
    [
        ((4, 2), [0, 2], 2, False),
        ((4, 5), [0], 0, True),
        ((2, 4), [2], 2, True),
        ((2, 3), [2, 3], 3, False),
    ],
)
def test_review_four(path, queued_on, fires_on, posted):
    trace = trace_of(*path, mwait_in_guest=True)
    assert trace[trace["step"] == "hrtimer_start"]["arg"].to_list() == queued_on
    assert trace[trace["step"] == "apic_timer_fn"]["pcpu"].to_list() == [fires_on]
    assert trace["step"].str.contains("posted").any() == posted


def test_review_question_the_old_pcpu_is_asked_about():
    steps = trace_of(2, 4)["step"].to_list()
    assert steps.count("start_hv_timer") == 2
    assert "handle_preemption_timer" in steps
    assert "hrtimer_start" not in steps


def test_review_behind():
    restless = kl.Guest(pcpus=(2, 3, 4, 5), moves_every_ms=1.3, workload=TICKING)
    host = kl.Host(pcpus=8, isolated=(), pi_inject_timer=True)
    for rule, place, share in (("rev1", "housekeeping posted", 0.77), ("rev2", "hv", 1.0)):
        kernel = kl.KERNELS["v5.13"].with_policy(rule, policy.POLICIES[rule])
        found = kl.simulate(kl.Scenario(host, restless, kernel=kernel)).placement.share[place]
        assert found == pytest.approx(share, abs=0.01)


def test_review_wander():
    wanderer = kl.Guest(pcpus=(2, 3, 4, 5, 6, 7), moves_every_ms=1.3, workload=TICKING)
    host = kl.three_guests().host
    run = kl.simulate(kl.Scenario(host, wanderer, kernel="v5.15+rev2", duration_s=20, trace_steps=0))
    assert run.exits.loc["MSR_WRITE", "Samples"] - run.latency["count"].iloc[0] == 1
    assert run.placement.expiries[["hv", "own pCPU", "housekeeping posted"]].min() > 3000


def test_review_hlt():
    def version_1(v):
        return not (v.mwait_in_guest or policy.rev2(v))

    def version_2(v):
        return not (v.hlt_in_guest or policy.rev2(v))

    differ = [v for v in policy.every_input() if version_1(v) != version_2(v)]
    assert len(differ) == 14
    assert sum(v.mwait_in_guest and version_2(v) for v in differ) == 7
    assert all(v.mwait_in_guest != v.hlt_in_guest for v in differ)
