"""What the essence says in numbers: one test for each, named after the cell."""

from __future__ import annotations

import functools

import pytest

import kvmlab as kl
from kvmlab import policy


@functools.cache
def prices(kernel):
    """Return the guest time per timer in us: by the hv timer, posted, refused by a target with a tick of 4 ms."""
    guest = kl.Guest(hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    alone = kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), guest, kernel=kernel, duration_s=5)
    lost = {
        load: kl.compare_guests(alone.replace(**{"host.housekeeping": load}), ["before", "rev3"])["lost us"] / 1000
        for load in ("timers", "ticking")
    }
    hv, posted = lost["timers"]
    return hv, posted, (lost["ticking"].iloc[1] - 0.25 * posted) / 0.75


@pytest.mark.parametrize(("kernel", "us"), [("v5.18", (1.69, 1.10, 2.38)), ("v6.18", (1.69, 0.89, 2.17))])
def test_prices_of_the_three_ways(kernel, us):
    assert prices(kernel) == pytest.approx(us, abs=0.006)


@pytest.mark.parametrize(("kernel", "share"), [("v5.18", 0.54), ("v6.18", 0.37)])
def test_prices_posting_pays_off_above_a_share(kernel, share):
    hv, posted, refused = prices(kernel)
    assert (refused - hv) / (refused - posted) == pytest.approx(share, abs=0.005)


def test_prices_disturbance_not_lateness():
    table = kl.by_guest(kl.simulate(kl.three_guests("v5.18")))
    assert table.loc["poller", "p50 us"] == pytest.approx(0.2, abs=0.05)
    assert table.loc["database", "p50 us"] == pytest.approx(1.3, abs=0.05)


def test_prices_of_a_posted_timer_on_a_housekeeping_pcpu_there_is_none():
    assert kl.follow_timer("v5.18", hlt_in_guest=True, pcpu="housekeeping").delivery != "posted"


def test_eight_rev_3_and_rev_2_differ_in_six_and_four_of_them():
    ways = {
        name: policy.truth_table(rule).query("pi_inject_timer and apicv_active")
        for name, rule in policy.POLICIES.items()
    }
    posts = {name: int(table["can_post_timer_interrupt"].sum()) for name, table in ways.items()}
    assert posts == {"before": 0, "rev1": 8, "rev2": 4, "rev3": 6}


def test_placement_76_51_and_4_of_100_stay_beside_a_tick():
    rows = {row["run"].removeprefix("vmx-6.1.176-nohzfull-"): row for row in kl.recorded_rows()}
    stay = [
        [
            int(row["irq_exits"])
            for row in rows.values()
            if spin(row, period_us) and row["cpu0_background"] == "tick only"
        ]
        for period_us in (1000, 2000, 5000)
    ]
    assert [max(set(counts), key=counts.count) for counts in stay] == [76, 51, 4]


def test_placement_at_most_2_stay_beside_early_timers():
    early = [row for row in kl.recorded_rows() if spin(row, 1000) and row["cpu0_background"] == "timers every 100 us"]
    assert early
    assert max(int(row["irq_exits"]) for row in early) <= 2


def spin(row, period_us):
    """Return whether a row is of a spinning, eligible guest on the isolated pCPU, with 100 timers of this period."""
    return (
        row["vcpu_on"] == "isolated"
        and row["guest_waits_by"] == "spin"
        and row["timer_mode"] == "tsc_deadline"
        and int(row["period_us"]) == period_us
        and int(row["timers"]) == 100
        and all(int(row[name]) for name in ("nohz_full", "pi_inject_timer", "apicv", "hlt_in_guest"))
        and row["policy"] in ("rev2", "rev3")
    )
