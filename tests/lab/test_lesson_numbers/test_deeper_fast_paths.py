"""The numbers that "Which kernel takes which fast path?" quotes."""

from __future__ import annotations

import pytest

import kvmlab as kl

POSTED = {"hlt_in_guest": True}
HV_TIMER = {"pi_inject_timer": False}


@pytest.mark.parametrize(
    ("kernel", "served", "arming", "expiry"),
    [
        ("v5.3", HV_TIMER, False, False),
        ("v5.3", POSTED, False, None),
        ("v5.13", HV_TIMER, True, True),
        ("v5.13", POSTED, False, None),
        ("v5.18", POSTED, False, None),
        ("v6.18", HV_TIMER, True, True),
        ("v6.18", POSTED, True, None),
        ("v6.18", {"timer_mode": "oneshot"}, False, True),
        ("v5.18", {"timer_mode": "oneshot"}, False, True),
        ("v5.18", {"apicv_active": False}, True, False),
        ("v5.18", {"hv_timer": False}, False, False),
        ("v6.18", {"hv_timer": False}, True, False),
    ],
)
def test_fast_paths_what_and_who(kernel, served, arming, expiry):
    story = kl.follow_timer(kernel, **served)
    assert story.arm_fastpath is arming
    assert story.expiry_exit is None if expiry is None else story.expiry_fastpath is expiry


def test_fast_paths_far():
    far = kl.follow_timer("v5.18", deadline_ns=100 * 10**9)
    assert far.arm_fastpath
    assert far.backend == "hrtimer"


def test_fast_paths_lost():
    alone = kl.Guest(name="alone", pcpus=(4,), hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    world = kl.three_guests(guests=(alone,), duration_s=5)
    kernels = ["v5.3", "v5.13", "v6.18"]
    posted = kl.compare_guests(world, kernels)["lost us"].round(-1).to_list()
    hv_timer = kl.compare_guests(world.replace(**{"host.pi_inject_timer": False}), kernels)["lost us"].round(-1)
    assert posted == [1190, 1100, 890]
    assert hv_timer.to_list() == [2090, 1690, 1690]


def test_fast_paths_back():
    back = kl.compare_guests(kl.three_guests(), ["v5.18", "v6.18"])
    lost, p99 = back["lost us"].unstack(), back["p99 us"].unstack()
    given = lost["v5.18"] - lost["v6.18"]
    assert given["database"] / lost.loc["database", "v5.18"] == pytest.approx(0.2, abs=0.01)
    assert given["poller"] == 0
    assert given["ordinary"] == pytest.approx(-139, abs=0.5)
    assert p99.loc["ordinary"].round(1).to_list() == [14.1, 12.6]
