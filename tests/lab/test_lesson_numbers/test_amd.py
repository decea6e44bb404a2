"""What the deeper notebook on AMD says in numbers: one test for each, named after the cell."""

from __future__ import annotations

import dataclasses

import pytest

import kvmlab as kl


@pytest.fixture(scope="module")
def amd():
    return kl.three_guests(**{"host.vendor": "amd"})


def test_run_rev_1_has_no_victim_and_rev_3_takes_the_pollers_gain_back(amd):
    lost = kl.compare_guests(amd, ["before", "rev1", "rev3"])["lost us"].unstack()
    assert lost.loc["ordinary", "before"] == lost.loc["ordinary", "rev1"]
    assert lost.loc["poller", ["before", "rev1", "rev3"]].round().tolist() == [2333, 1102, 2333]


def test_run_1713_us_on_intel():
    assert kl.by_guest(kl.simulate(kl.three_guests())).loc["poller", "lost us"] == pytest.approx(1713, abs=0.5)


def test_recorded_101_and_76_and_two_of_ten_left():
    rows = {row["run"].removeprefix("vmx-6.1.176-nohzfull-"): row for row in kl.recorded_rows()}
    pair = [rows["pi0_none_spin_nopt"], rows["pi1_dehlt_spin_nopt"]]
    assert [row["irq_exits"] for row in pair] == ["101", "76"]
    assert {row["traced_expiry_on"] for row in pair} == {"cpu1:8 cpu0:2"}


def test_svm_46_to_57_of_200_left():
    once = [row for row in kl.rearmed_rows() if row["pattern"] == "norearm" and row["vcpu_on"] == "2"]
    left = [int(row["last_arms_on_cpu0"]) for row in once if row["cpu0_background"].startswith("tick")]
    assert [min(left), max(left)] == [46, 57]


def test_pin_helps_the_poller_and_takes_the_databases_posting(amd):
    today = kl.KERNELS["v6.18"]
    pinned = dataclasses.replace(today, name="pinned", hrtimer_pinned=True)
    both = kl.compare_guests(amd, [today, pinned])
    assert both.loc[("poller", "pinned"), "lost us"] < both.loc[("poller", "v6.18"), "lost us"]
    assert both.loc[("database", "pinned"), "posted"] == 0


@pytest.mark.parametrize(("kernel", "fast"), [("v5.18", False), ("v6.18", True)])
def test_avic_every_arming_was_slow_until_v6_17(kernel, fast):
    assert kl.follow_timer(kernel, hv_timer=False, hlt_in_guest=True).arm_fastpath is fast
