"""How long the search for a busy housekeeping CPU takes (get_nohz_timer_target, kernel/sched/core.c)."""

from dataclasses import replace

import pytest

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.model.hrtimer import get_nohz_timer_target, search_ns
from kvmlab.scenario.distribution import ShiftedLognormal
from tests.model.machines import machine
from tests.strategies import constant_costs

ONE_NS = replace(constant_costs(), searched_cpu=ShiftedLognormal(1, 1, 0))
"""So that the time of a search is the number of CPUs that it looks at."""
V5_3 = kernels.release("v5.3", policy.rev1)


def looked_at(cpu, kernel=V5_3, **host):
    """Return how many CPUs the search on `cpu` looks at, and what it finds; 8 pCPUs, 2 to 7 isolated."""
    m = machine(kl.Host(**host), kl.Guest(pcpus=(7,)), kernel=kernel, costs=ONE_NS)
    target = get_nohz_timer_target(m, cpu, 0)
    return search_ns(m, cpu, target, 0), target


TWO_NODES = ((0, 2, 3, 4), (1, 5, 6, 7))


@pytest.mark.parametrize(
    ("cpu", "host", "expected"),
    [
        (4, {}, (1, 0)),
        (4, {"loaded": (1,)}, (2, 1)),
        (4, {"housekeeping": "idle"}, (7, 0)),  # the others all, and then any housekeeping CPU
        (1, {}, (0, 1)),  # a housekeeping CPU does not search
        (4, {"isolated_domains": False}, (0, 0)),
        (4, {"domains": TWO_NODES}, (1, 0)),
        (6, {"domains": TWO_NODES}, (1, 1)),
        (4, {"domains": TWO_NODES, "loaded": (1,)}, (3 + 2, 1)),  # its own node, then the host up to number 1
        (6, {"domains": TWO_NODES, "loaded": (0,)}, (3 + 1, 0)),
        (4, {"domains": TWO_NODES, "housekeeping": "idle"}, (3 + 7, 0)),
    ],
)
def test_every_cpu_is_looked_at_until_a_busy_housekeeping_cpu_is_found(cpu, host, expected):
    assert looked_at(cpu, **host) == expected


@pytest.mark.parametrize(("release", "counted"), [("v5.3", 7), ("v5.5", 7), ("v5.6", 0), ("v7.1", 0)])
def test_from_v5_6_on_only_housekeeping_cpus_are_looked_at(release, counted):
    assert looked_at(4, kernels.release(release, policy.rev1), housekeeping="idle")[0] == counted


@pytest.mark.parametrize(("housekeeping", "looks_at"), [("idle", 39), ("ticking", 1)])
def test_the_write_that_arms_takes_longer_by_the_search(housekeeping, looks_at):
    """One housekeeping CPU, 39 nohz_full ones: 3.5 us more where the housekeeping CPU is idle. Counts are the same."""
    host = kl.Host(pcpus=40, isolated=tuple(range(1, 40)), housekeeping=housekeeping)
    guest = kl.Guest(pcpus=(20,), hlt_in_guest=True, workload=kl.Workload(tick_hz=0, timer_us=7001))
    costs = constant_costs()
    rows = {}
    for release in ("v5.3", "v5.6"):
        kernel = kernels.release(release, policy.rev1)
        run = kl.simulate(kl.Scenario(host, guest, kernel=kernel, duration_s=0.5, costs=costs))
        rows[release] = run.exits["Samples"].to_dict(), run.exits["Avg time"]["MSR_WRITE"] * 1000
    assert rows["v5.3"][0] == rows["v5.6"][0]
    assert rows["v5.3"][1] - rows["v5.6"][1] == pytest.approx(looks_at * 90, abs=1)
