"""Figures guest by guest agree with the run's own, and the running example does what the lessons say."""

from __future__ import annotations

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.model.names import Exit

REVISIONS = ["before", "rev1", "rev2", "rev3"]


@pytest.fixture(scope="module")
def run():
    return kl.simulate(kl.three_guests("v5.18"))


@pytest.fixture(scope="module")
def compared():
    return kl.compare_guests(kl.three_guests("v5.18"), REVISIONS)


def test_rates_add_up_to_the_runs_counts(run):
    table = kl.by_guest(run)
    vcpu_seconds = 2 * run.duration_ns / 1e9
    assert list(table.index) == ["database", "poller", "ordinary"]
    count = run.exit_rows["count"]
    assert table["exits"].sum() * vcpu_seconds == pytest.approx(count.sum())
    assert table["arm exits"].sum() * vcpu_seconds == pytest.approx(count[:, Exit.MSR_WRITE].sum())
    assert table["HLT exits"].sum() * vcpu_seconds == pytest.approx(count[:, Exit.HLT].sum())
    expiries = run.placement["expiries"]
    at_deadline = expiries[["hv", "own pCPU", "housekeeping kicked"]].sum()
    assert table["deadline exits"].sum() * vcpu_seconds == pytest.approx(at_deadline)
    assert table["posted"].sum() * vcpu_seconds == pytest.approx(expiries["housekeeping posted"])
    assert table["not in guest"].sum() * vcpu_seconds == pytest.approx(expiries["not in guest"])
    lost = run.disturbance["lost_us"].groupby([name.split("/")[0] for name in run.vcpu_names]).sum()
    assert (table["lost us"] * vcpu_seconds).to_dict() == pytest.approx(lost.to_dict())


def test_latency_of_a_guest_with_one_vcpu_is_the_vcpus():
    one = kl.simulate(kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.5))
    row = kl.by_guest(one).iloc[0]
    assert row["p50 us"] == one.latency["p50"].iloc[0] / 1e3
    assert row["p99 us"] == one.latency["p99"].iloc[0] / 1e3


def test_guests_of_one_name_are_told_apart():
    host = kl.Host(pcpus=4, isolated=(1, 2, 3))
    run = kl.simulate(kl.Scenario(host, (kl.Guest(), kl.Guest()), duration_s=0.01))
    assert list(kl.by_guest(run).index) == ["guest", "guest 2"]


def test_each_revision_helps_one_guest_and_hurts_another(compared):
    exits = compared["deadline exits"].unstack()
    assert exits.loc["database", ["rev1", "rev2", "rev3"]].max() == 0 < 900 < exits.loc["database", "before"]
    assert exits.loc["poller", ["rev1", "rev2"]].max() == 0 < 900 < exits.loc["poller", ["before", "rev3"]].min()
    posted = compared["posted"].unstack()
    assert posted.loc["ordinary"].max() == 0
    lost = compared["lost us"].unstack()
    assert lost.loc["ordinary", "rev1"] > 1.03 * lost.loc["ordinary", "before"]
    assert lost.loc["ordinary", "before"] == lost.loc["ordinary", "rev2"] == lost.loc["ordinary", "rev3"]


def test_comparison_keeps_the_order_of_guests_and_kernels(compared):
    guests = ["database", "poller", "ordinary"]
    assert list(compared.index) == list(pd.MultiIndex.from_product([guests, REVISIONS]))


def test_example_takes_changes_as_a_scenario_does():
    changed = kl.three_guests("v5.3", **{"host.vendor": "amd", "duration_s": 0.1, "workload.tick_hz": 250})
    assert (changed.host.vendor, changed.duration_s, changed.kernel.name) == ("amd", 0.1, "v5.3")
    assert {guest.workload.tick_hz for guest in changed.guests} == {250}
    with pytest.raises(ValueError, match=r"field: 'host\.vendr'"):
        kl.three_guests(**{"host.vendr": "amd"})


def test_what_is_no_kernel_or_policy_is_refused():
    with pytest.raises(ValueError, match="kernel or policy: 'rev4'"):
        kl.compare_guests(kl.three_guests(), ["rev4"])


def test_what_is_no_run_and_no_scenario_is_refused():
    with pytest.raises(ValueError, match=r"^run: 'x' is not allowed; it must be a Run"):
        kl.by_guest("x")
    with pytest.raises(ValueError, match=r"^scenario: 'x' is not allowed; it must be a Scenario"):
        kl.compare_guests("x", ["rev1"])


@pytest.mark.parametrize("use", [kl.compare, kl.compare_guests])
def test_nothing_to_compare_is_refused(use):
    with pytest.raises(ValueError, match=r"^kernels_or_policies: \[\] is not allowed; it must be one or more names"):
        use(kl.three_guests(), [])
