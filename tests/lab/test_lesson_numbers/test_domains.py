"""The numbers that the notebook about domains and silent switches quotes."""

from __future__ import annotations

import pytest

import kvmlab as kl


def crowd(vcpus, housekeeping_cpus, **host):
    first = housekeeping_cpus
    pcpus = {"pcpus": first + vcpus, "isolated": tuple(range(first, first + vcpus))}
    guest = kl.Guest(vcpus=vcpus, hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    return kl.Scenario(kl.Host(housekeeping="timers", **pcpus, **host), guest, kernel="v5.18", duration_s=1)


def fired(scenario):
    return kl.simulate(scenario).fired_on.head(4).tolist()


def test_domains_migration_and_domains_list():
    off = kl.three_guests().replace(**{"host.timer_migration": False})
    table = kl.compare_guests(off, ["before", "rev3"]).loc["database"]
    assert (table["posted"] == 0).all()
    assert table.loc["rev3", "lost us"] / table.loc["before", "lost us"] == pytest.approx(1.33, abs=0.03)


def test_domains_sockets_read():
    assert fired(crowd(32, 4)) == [30_044, 0, 0, 0]
    two = fired(crowd(32, 4, domains=((0, 1, *range(4, 20)), (2, 3, *range(20, 36)))))
    assert two[1] == two[3] == 0
    assert two[0] + two[2] > 30_044


def test_domains_question():
    scenario = crowd(8, 4, domains=((0, 1, 4, 5, 6, 7), (2, 3, 8, 9, 10, 11)))
    guest = kl.Guest(vcpus=4, pcpus=(8, 9, 10, 11), hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    assert kl.simulate(scenario.replace(guests=(guest,))).fired_on.idxmax() == 2


def test_domains_none_read():
    with_domains = fired(crowd(8, 4, loaded=(2,)))
    without = fired(crowd(8, 4, loaded=(2,), isolated_domains=False))
    assert [max(range(4), key=cpus.__getitem__) for cpus in (with_domains, without)] == [2, 0]
    assert with_domains.count(0) == without.count(0) == 3
