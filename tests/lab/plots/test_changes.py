"""A revision view: the diff, the inputs that changed, the guests, and what is refused."""

from __future__ import annotations

import itertools

import pytest

import kvmlab as kl
from kvmlab.lab import plots
from tests.lab.plots.worlds import GUESTS, POLICIES


def test_a_revision_view_quotes_the_predicates_as_a_diff(pictures):
    assert pictures["revision"].diff.splitlines() == [
        "  return pi_inject_timer",
        "         && kvm_vcpu_apicv_active(vcpu)",
        "+        && (kvm_mwait_in_guest(vcpu->kvm) || kvm_hlt_in_guest(vcpu->kvm))",
    ]
    assert "- return false" in plots.revision_view("before", "rev1", scenario=GUESTS).diff
    assert "+ return always(vcpu)" in pictures["own"].diff
    assert "&amp;&amp; kvm_vcpu_apicv_active(vcpu)" in pictures["revision"]._repr_html_()


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(POLICIES, 2)))
def test_a_revision_view_counts_what_the_truth_tables_say(before, after):
    view = plots.revision_view(before, after, scenario=GUESTS)
    changed = len(kl.policy.differences(kl.policy.find(before), kl.policy.find(after)))
    assert f"{changed} of 8 inputs are answered otherwise; with either off, 0 of 24" in view.alt


def test_a_revision_view_shows_the_guests(pictures):
    assert "poller: rev1 0, rev3 98" in pictures["revision"].alt
    assert "with either off, 24 of 24" in pictures["own"].alt


def test_what_a_revision_view_cannot_show_is_refused():
    with pytest.raises(ValueError, match="policy: 'rev9'"):
        plots.revision_view("rev1", "rev9")
    with pytest.raises(ValueError, match="column: 'latency'"):
        plots.revision_view("rev1", "rev2", scenario=GUESTS, column="latency")
