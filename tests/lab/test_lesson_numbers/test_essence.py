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


def alone(**workload):
    """Compare the hv timer and posting for a vCPU that is never idle, beside a housekeeping CPU with timers."""
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping="timers")
    guest = kl.Guest(hlt_in_guest=True, workload=kl.Workload(**workload))
    return kl.compare_guests(kl.Scenario(host, guest, kernel="v5.18", duration_s=1), ["before", "rev3"])


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
    assert alone(tick_hz=1000)["p50 us"].to_list() == pytest.approx([0.2, 0.9], abs=0.05)


def test_set_mwait_without_exits_costs_the_hv_timer_under_any_rule_and_hlt_alone_under_rev_3():
    ordinary = kl.three_guests("v5.18").guests[2:]
    for mwait, fires in ((True, [0, 0]), (False, [1, 0])):
        guest = kl.three_guests("v5.18", guests=ordinary).replace(
            **{"guest.hlt_in_guest": True, "guest.mwait_in_guest": mwait}
        )
        exits = [kl.simulate(guest.replace(kernel=name)).exits for name in ("v5.15+rev2", "v5.18")]
        assert [int("PREEMPTION_TIMER" in table.index) for table in exits] == fires


def test_set_without_the_switch_a_cpu_pm_guest_pays_2_3_us_a_timer():
    [database] = kl.three_guests().guests[:1]
    off = kl.three_guests(guests=(database,)).replace(**{"guest.mwait_in_guest": True, "host.pi_inject_timer": False})
    row = kl.by_guest(kl.simulate(off)).loc["database"]
    assert row["lost us"] / row["deadline exits"] == pytest.approx(2.3, abs=0.05)
    assert row["posted"] == 0


def test_prices_of_a_posted_timer_on_a_housekeeping_pcpu_there_is_none():
    assert kl.follow_timer("v5.18", hlt_in_guest=True, pcpu="housekeeping").delivery != "posted"


def test_eight_rev_3_and_rev_2_differ_in_six_and_four_of_them():
    ways = {
        name: policy.truth_table(rule).query("pi_inject_timer and apicv_active")
        for name, rule in policy.POLICIES.items()
    }
    posts = {name: int(table["can_post_timer_interrupt"].sum()) for name, table in ways.items()}
    assert posts == {"before": 0, "rev1": 8, "rev2": 4, "rev3": 6}


def test_placement_76_51_and_4_of_100_deadlines_exit_beside_a_tick():
    exited = [[int(row["irq_exits"]) for row in beside_a_tick(period_us)] for period_us in (1000, 2000, 5000)]
    assert [max(set(counts), key=counts.count) for counts in exited] == [76, 51, 4]


def test_placement_the_4_were_not_the_timers():
    """A timer that fires on the guest's own pCPU takes thousands of instructions to its handler."""
    longest = {
        period_us: max(int(row["latency_max"]) for row in beside_a_tick(period_us)) for period_us in (2000, 5000)
    }
    assert longest[2000] > 2000
    assert longest[5000] < 1000


def test_placement_a_timer_that_is_put_off_holds_the_door_open_for_itself():
    moved = {}
    for pattern in ("norearm", "slide"):
        rows = [
            row
            for row in kl.rearmed_rows()
            if (row["pattern"], row["cpu0_background"], row["vcpu_on"]) == (pattern, "tick 4ms only", "2")
        ]
        ends = [sum(int(row[name]) for row in rows) for name in ("last_arms_on_cpu0", "last_arms")]
        moved[pattern] = round(100 * ends[0] / ends[1])
    assert moved == {"norearm": 26, "slide": 61}


def test_placement_at_most_2_stay_beside_early_timers():
    early = [row for row in kl.recorded_rows() if spin(row, 1000) and row["cpu0_background"] == "timers every 100 us"]
    assert early
    assert max(int(row["irq_exits"]) for row in early) <= 2


def beside_a_tick(period_us):
    """Return the recorded rows of such a guest whose housekeeping CPU has nothing but its tick."""
    return [row for row in kl.recorded_rows() if spin(row, period_us) and row["cpu0_background"] == "tick only"]


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
