"""Counts and latencies of one guest, worked out by hand: kernel, place, load and facts decide; costs are constant."""

import itertools

import pytest

import kvmlab as kl
from kvmlab.model.names import Place
from tests.model.observed import exit_counts, places
from tests.strategies import constant_costs

TIMERS = 5
TIMER_US = 13_001
TICKS = 6
"""Ticks of a host with HZ=100 within those five timers: every 10 ms up to 60 ms."""

# Who may post: pi_inject_timer, APICv, whether the vCPU's pCPU does housekeeping, MWAIT and HLT in the guest.
MAY_POST = {
    "v5.2": lambda p, a, hk, m, h: False,
    "v5.3": lambda p, a, hk, m, h: p and a,
    "v5.13": lambda p, a, hk, m, h: p and a,
    "v5.15+rev2": lambda p, a, hk, m, h: p and a and not hk,
    "v5.18": lambda p, a, hk, m, h: p and a and (m or h),
    "v6.18": lambda p, a, hk, m, h: p and a and (m or h),
    "v7.1": lambda p, a, hk, m, h: p and a and (m or h),
}


NAMES = ("MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT")


def expected(kernel, vendor, migrates, own_is_housekeeping, halts, p, a, m, h):
    """Return where each of the five timers expires, and the exits: `NAMES`."""
    posts = MAY_POST[kernel](p, a, own_is_housekeeping, m, h)
    writes = TIMERS * (1 if a else 2)  # without APICv the EOI exits, too
    if (
        halts and not h
    ):  # it is asleep, and whatever the timer is, it has become an hrtimer; no tick finds it in the guest
        return Place.NOT_IN_GUEST, (writes, 0, 0, TIMERS)
    ticks = TICKS if own_is_housekeeping else 0
    if vendor == "intel" and not m and not posts:
        return Place.HV, (writes, TIMERS, ticks, 0)
    if kernel == "v5.2" or not migrates or own_is_housekeeping:
        return Place.OWN, (writes, 0, TIMERS + ticks, 0)
    return (Place.POSTED, (writes, 0, 0, 0)) if posts else (Place.KICKED, (writes, 0, TIMERS, 0))


@pytest.mark.parametrize("halts", [False, True])
@pytest.mark.parametrize("vendor", ["intel", "amd"])
@pytest.mark.parametrize("kernel", list(kl.KERNELS))
def test_exits_of_a_guest_of_five_timers(kernel, vendor, halts):
    """The housekeeping CPU ticks in each case, so that it takes every timer from the isolated one that may move."""
    for load, migrates, cpu, p, a, m, h in itertools.product(("idle", "ticking"), *[(False, True)] * 6):
        host = kl.Host(
            pcpus=2,
            isolated=(1,),
            hz=100,
            housekeeping=load,
            vendor=vendor,
            pi_inject_timer=p,
            apicv=a,
            timer_migration=migrates,
        )
        workload = kl.Workload(
            tick_hz=0, timer_us=TIMER_US, timers=TIMERS, idle_us=100_000 if halts else 0, waits_by="hlt"
        )
        guest = kl.Guest(pcpus=(int(cpu),), boot_us=0, mwait_in_guest=m, hlt_in_guest=h, workload=workload)
        run = kl.simulate(kl.Scenario(host, guest, kernel=kernel, costs=constant_costs(), trace_steps=0))
        place, exits = expected(kernel, vendor, migrates, not cpu, halts, p, a, m, h)
        assert places(run)[0].tolist() == [TIMERS * (place == other) for other in Place]
        assert tuple(int(exit_counts(run, name)[0]) for name in NAMES) == exits


def cost(*steps):
    """Return how long these steps take together, in ns."""
    return sum(round(getattr(constant_costs(), step).mean_ns) for step in steps)


HOP = cost("exit_transition", "entry_transition")
ASLEEP = {"workload.idle_us": 1e6, "workload.waits_by": "hlt"}
HLT_STAYS = {"guest.hlt_in_guest": True}
LATENCIES = {
    "preemption timer": ({"host.pi_inject_timer": False}, HOP + cost("preemption_timer_fastpath"), 13),
    "hrtimer at home": (
        {"host.preemption_timer": False, "host.timer_migration": False},
        HOP + cost("external_interrupt"),
        0,
    ),
    "hrtimer elsewhere, kicked": (
        {"host.preemption_timer": False, "host.pi_inject_timer": False},
        HOP + cost("hrtimer_interrupt", "kick", "external_interrupt"),
        0,
    ),
    "hrtimer elsewhere, posted": (HLT_STAYS, cost("hrtimer_interrupt", "post", "posted_delivery"), 0),
    "posted, 1 us in advance": (
        HLT_STAYS | {"host.lapic_timer_advance_ns": 1000},
        cost("hrtimer_interrupt", "post", "posted_delivery") - 1000,
        0,
    ),
    "posted, 5 us in advance": (
        HLT_STAYS | {"host.lapic_timer_advance_ns": 5000},
        cost("post", "posted_delivery"),  # the housekeeping CPU has waited for the deadline
        0,
    ),
    "asleep": (
        ASLEEP | {"host.halt_poll_us": 0},
        cost("hrtimer_interrupt", "wake_up", "cstate_exit", "entry_transition"),
        0,
    ),
    "halted in guest mode, posted": (
        ASLEEP | HLT_STAYS,
        cost("hrtimer_interrupt", "post", "posted_delivery", "cstate_exit"),
        0,
    ),
}
"""What is not as in the test below, the latency in ns, and how much earlier it may be: the preemption timer's grain."""


@pytest.mark.parametrize("way", LATENCIES)
def test_latencies(way):
    """The sum of the steps from the deadline to the handler, each time."""
    options, latency, early = LATENCIES[way]
    host = kl.Host(pcpus=2, isolated=(1,), hz=100, lapic_timer_advance_ns=0)
    guest = kl.Guest(pcpus=(1,), boot_us=0, workload=kl.Workload(tick_hz=0, timer_us=TIMER_US, timers=TIMERS))
    scenario = kl.Scenario(host, guest, kernel="v6.18", costs=constant_costs()).replace(**options)
    v = kl.simulate(scenario).machine.vcpus[0]
    assert v["lat_n"] == TIMERS
    assert latency - early <= v["lat_min"] <= v["lat_max"] <= latency
