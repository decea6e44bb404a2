"""The start of a run: units, what follows from the host's parameters, where vCPUs go, and how large tables are."""

import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.model.draws import HIST_BINS
from kvmlab.model.loop import run
from kvmlab.model.names import LANE_BITS, NEVER, NONE, STREAMS, Exit, Lane, Owner, Place, State
from kvmlab.model.schedule import scheduled
from kvmlab.model.start import (
    US,
    gap_ns,
    has_hv_timer,
    hv_range_ns,
    injects_timer,
    is_housekeeping,
    next_free,
    ns_of,
    place_vcpus,
    start,
    ticks,
)
from tests.model.machines import machine
from tests.strategies import few, subsets

# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("us", "ns"),
    [(0, 0), (1, 1000), (333.3, 333_300), (0.0004, 0), (0.0006, 1), (0.0005, 0), (0.0015, 2), (-1, NEVER)],
)
def test_times_are_rounded_to_whole_ns_and_halves_to_even(us, ns):
    assert ns_of(float(us), US) == ns


@pytest.mark.parametrize(
    ("per_second", "ns"),
    [(0, NEVER), (1, 10**9), (3, 333_333_333), (1000, 10**6), (3e9, 0), (0.5, 2 * 10**9)],
)
def test_a_rate_becomes_a_mean_gap(per_second, ns):
    assert gap_ns(float(per_second)) == ns


# --- the host ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("as_set", "nohz_full", "isolated", "in_force"),
    [(0, True, 3, False), (1, False, 0, True), (-1, True, 1, True), (-1, True, 0, False), (-1, False, 3, False)],
)
def test_the_kernel_chooses_pi_inject_timer_by_nohz_full(as_set, nohz_full, isolated, in_force):
    assert injects_timer(as_set, nohz_full, isolated) is in_force


def test_isolated_pcpus_are_no_housekeeping_cpus_under_nohz_full():
    assert [is_housekeeping(n, i) for n in (False, True) for i in (False, True)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("ghz", "shift", "there"),
    [(0.429496729, 0, True), (0.42949673, 0, False), (13.7, 5, True), (13.8, 5, False), (13.743895359, 5, True)],
)
def test_a_preemption_timer_reaches_10_s_or_is_none(ghz, shift, there):
    assert has_hv_timer(False, True, ghz, shift) is there
    assert not has_hv_timer(True, True, ghz, shift)
    assert not has_hv_timer(False, False, ghz, shift)


@pytest.mark.parametrize(
    ("ghz", "shift", "ns"),
    [
        (1.0, 0, 1 << 32),
        (1.0, 5, 1 << 37),
        (3.0, 0, 1_431_655_766),  # rounded up
        (2.5, 31, 3_689_348_814_741_910_528),
        (2.0, 31, NEVER),
        (1.0, 31, NEVER),
        (0.1, 31, NEVER),
    ],
)
def test_the_preemption_timer_reaches_2_to_the_32_grains_and_never_beyond_never(ghz, shift, ns):
    assert hv_range_ns(round(ghz * 1e6), shift) == ns


# --- where vCPUs go ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pools", "isolated", "pcpus", "placed"),
    [
        ([NONE, NONE, NONE], [2, 1], 4, [2, 1, 3]),
        ([NONE, NONE, NONE, NONE], [2, 1], 4, [2, 1, 3, 0]),
        ([NONE, NONE], [], 3, [2, 1]),
        ([NONE, 1, NONE], [1, 2], 4, [2, 1, 3]),
        ([3, NONE], [3], 4, [3, 2]),
        ([0, NONE, NONE], [], 2, [0, 1, NONE]),
        ([], [1], 2, []),
    ],
)
def test_vcpus_go_to_isolated_pcpus_then_down_from_the_highest(pools, isolated, pcpus, placed):
    place_vcpus(pools, isolated, [0] * pcpus)
    assert pools == placed


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), subsets(range(n)), subsets(range(n)))), st.data())
@few(200)
def test_each_vcpu_gets_the_next_free_pcpu(host, data):
    pcpus, isolated, fixed = host
    pools = list(data.draw(st.permutations([*fixed, *[NONE] * data.draw(st.integers(0, pcpus + 1))])))
    placed = pools.copy()
    place_vcpus(placed, list(isolated), [0] * pcpus)
    turns = [*isolated, *(cpu for cpu in reversed(range(pcpus)) if cpu not in isolated)]
    free = iter([cpu for cpu in turns if cpu not in fixed])
    assert placed == [next(free, NONE) if cpu == NONE else cpu for cpu in pools]


def test_where_no_pcpu_is_free_the_turns_are_over():
    assert next_free([1], [1, 1], 0) == 3
    assert next_free([1], [0, 1], 0) == 2


# --- tables -----------------------------------------------------------------------------------------------------------


def test_tables_are_as_large_as_planned():
    host = kl.Host(pcpus=5, isolated=(3, 4))
    m = machine(host, kl.Guest(2, pcpus=(3, 4)), kl.Guest(1, pcpus=(1, 2), moves_every_ms=1), trace_steps=7)
    assert m.loop.n_vcpus == len(m.vcpus) == 3
    assert m.housekeeping == [0, 1, 2]
    assert len(m.timers) == 3 + 2 * 5
    assert len(m.lanes) == len(m.queue) == 3 * (1 << LANE_BITS) + 2 * 5
    assert len(m.exits) == 3 * len(Exit)
    assert len(m.places) == 3 * len(Place)
    assert len(m.histogram) == 3 * HIST_BINS
    assert len(m.streams) == (3 + 5) * STREAMS
    assert len(m.trace) == 7


def test_a_queue_has_room_for_all_timers_that_can_come_to_its_pcpu():
    host = kl.Host(pcpus=4, isolated=(2, 3))
    m = machine(host, kl.Guest(2, pcpus=(2, 3)), kl.Guest(1, pcpus=(1,)))
    # A tick and a background timer; on a housekeeping CPU any of 3 LAPIC timers, on an isolated one its guest's 2.
    assert [pcpu.base for pcpu in m.pcpus] == [0, 5, 10, 14]
    assert len(m.bases) == 18


def test_the_lanes_of_a_vcpu_fit_in_their_bits():
    assert Lane.PCPU <= 1 << LANE_BITS
    assert sorted(Lane)[-2:] == [Lane.PCPU, Lane.TASK]


# --- a machine at time 0 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("isolated", "nohz_full", "load", "ticking"),
    [
        ((2, 3), True, "idle", [0]),  # the timekeeper of the nohz_full pCPUs, though idle
        ((2, 3), True, "ticking", [0, 1]),
        ((2, 3), False, "idle", [3]),  # where the vCPU is
        ((), True, "idle", [3]),
    ],
)
def test_the_host_ticks_where_something_runs(isolated, nohz_full, load, ticking):
    host = kl.Host(pcpus=4, isolated=isolated, nohz_full=nohz_full, housekeeping=load, loaded=(0, 1))
    m = machine(host, kl.Guest(pcpus=(3,)))
    assert [cpu for cpu in range(4) if ticks(m, cpu)] == ticking
    armed = [t.owner for t in m.timers if t.kind == Owner.SCHED_TICK and t.time != NEVER]
    assert armed == ticking


def test_a_vcpu_boots_within_a_tick_of_the_host_or_when_told():
    m = machine(kl.Host(pcpus=4, isolated=(2, 3), hz=250), kl.Guest(2), kl.Guest(1, boot_us=70))
    assert all(1 <= vcpu.boot <= 4_000_000 for vcpu in m.vcpus[:2])
    assert m.vcpus[0].boot != m.vcpus[1].boot
    assert m.vcpus[2].boot == 70_001


def test_nothing_has_happened_before_the_start():
    m = machine()
    assert m.loop.seq == m.loop.queued == m.loop.events == 0
    assert all(lane.time == NEVER for lane in m.lanes)
    assert all(timer.cpu == NONE for timer in m.timers)
    assert all(vcpu.state == State.HOST and vcpu.deadline == NEVER for vcpu in m.vcpus)
    assert len({stream.key for stream in m.streams}) == len(m.streams)


def test_the_start_schedules_what_the_guest_has():
    workload = kl.Workload(device_irq_hz=100, other_exit_hz=0, host_irq_hz=100, busy_us=10, idle_us=20)
    m = machine(kl.Host(pcpus=4, isolated=(2, 3)), kl.Guest(workload=workload, moves_every_ms=2, pcpus=(2, 3)))
    start(m)
    assert scheduled(m, Lane.VCPU, 0) == m.vcpus[0].boot
    assert scheduled(m, Lane.MOVE, 0) == 2_000_000
    coming = {lane for lane in Lane if lane != Lane.PCPU and scheduled(m, lane, 0) != NEVER}
    assert coming == {Lane.VCPU, Lane.DEVICE, Lane.HOST_IRQ, Lane.MOVE}
    assert 0 < m.vcpus[0].work_left < NEVER


def test_the_first_call_of_run_starts_the_machine_and_no_later_one():
    m = machine()
    assert run(m, 0) == 0
    started = m.loop.seq
    assert started > 0
    assert run(m, 0) == 0
    assert m.loop.seq == started


def test_a_task_that_sleeps_by_turns_leaves_its_pcpu_idle():
    host = kl.Host(pcpus=4, isolated=(2, 3), housekeeping="timers", housekeeping_work_us=20)
    m = machine(host, kl.Guest(pcpus=(3,)))
    assert [pcpu.busy for pcpu in m.pcpus] == [0, 0, 0, 0]
    assert [cpu for cpu in range(4) if ticks(m, cpu)] == [0]
