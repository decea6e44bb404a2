"""Where an hrtimer is queued, what its CPU believes comes next, and interrupts that find nothing (hrtimer.c)."""

import pytest

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.model.hrtimer import (
    enqueue_hrtimer,
    hrtimer_cancel,
    hrtimer_check_target,
    hrtimer_reprogram,
    hrtimer_start,
    idle_cpu,
)
from kvmlab.model.interrupts import hrtimer_interrupt
from kvmlab.model.kvm_main import kvm_vcpu_wake_up
from kvmlab.model.loop import run
from kvmlab.model.names import NEVER, Lane, State
from kvmlab.model.schedule import schedule, scheduled
from tests.model.machines import machine
from tests.strategies import constant_costs

US = 1000
HOME, AWAY = 2, 0
"""The isolated pCPU of the vCPU, and the housekeeping CPU that its timer goes to; 1 is a second one."""
TICK = 4_000 * US


def idle_machine(kernel="v5.18", **host):
    """Return a started machine at time 1 whose guest does nothing: only CPU 0 has a timer, the tick after 4 ms."""
    options = {"isolated_domains": False, "housekeeping": "idle", "preemption_timer": False} | host
    m = machine(
        kl.Host(pcpus=3, isolated=(HOME,), **options),
        kl.Guest(pcpus=(HOME,), boot_us=1e6, workload=kl.Workload(tick_hz=0)),
        kernel=kernel,
        costs=constant_costs(US),
    )
    run(m, 1)
    return m


def away_machine(**options):
    """Return one whose timer, for 5 ms, is queued on CPU 0, after the tick there: so its expires_next is this timer."""
    m = idle_machine(**options)
    hrtimer_start(m, 0, 5_000 * US, HOME, 1)
    assert m.timers[0].cpu == AWAY
    assert m.pcpus[AWAY].expires_next == TICK
    run(m, 4_100 * US)
    assert m.pcpus[AWAY].expires_next == 5_000 * US
    return m


@pytest.mark.parametrize(("expires", "refused"), [(99, True), (100, False), (101, False)])
def test_a_timer_that_comes_as_the_next_one_does_is_taken(expires, refused):
    assert hrtimer_check_target(expires, 100) is refused
    assert hrtimer_check_target(expires, NEVER)


# --- expires_next is stale once another CPU has taken the first timer out ---------------------------------------------


@pytest.mark.parametrize("kernel", ["v5.3", "v5.13", "v5.15+rev2", "v5.18", "v6.18"])
def test_a_cancelled_timer_still_opens_the_door(kernel):
    """The tick of CPU 0 is at 8 ms, so that a timer for 5.3 ms would be refused, but for the one that was for 5 ms."""
    m = away_machine(kernel=kernel)
    assert m.pcpus[AWAY].taken_stale == 0
    assert hrtimer_cancel(m, 0, 4_200 * US)
    assert m.pcpus[AWAY].expires_next == 5_000 * US
    hrtimer_start(m, 0, 4_999 * US, HOME, 4_200 * US)
    assert m.timers[0].cpu == HOME
    hrtimer_cancel(m, 0, 4_300 * US)
    hrtimer_start(m, 0, 5_300 * US, HOME, 4_300 * US)
    assert m.timers[0].cpu == AWAY
    counts = m.pcpus[AWAY]
    assert (counts.offered, counts.refused, counts.taken_stale) == (3, 1, 1)


def test_without_a_stale_value_the_same_timer_stays_at_home():
    m = idle_machine()
    run(m, 4_300 * US)
    hrtimer_start(m, 0, 5_300 * US, HOME, 4_300 * US)
    assert m.timers[0].cpu == HOME
    assert m.pcpus[AWAY].taken_stale == 0


def test_a_stale_value_costs_one_interrupt_for_nothing():
    m = away_machine()
    hrtimer_cancel(m, 0, 4_200 * US)
    run(m, 4_999 * US)
    assert m.pcpus[AWAY].spurious == 0
    busy = m.pcpus[AWAY].timer_busy_ns
    run(m, 5_100 * US)
    assert m.pcpus[AWAY].spurious == 1
    assert m.pcpus[AWAY].timer_busy_ns == busy + US
    assert m.pcpus[AWAY].expires_next == 2 * TICK
    run(m, 20_000 * US)
    assert m.pcpus[AWAY].spurious == 1


def test_an_interrupt_for_nothing_takes_a_guest_out():
    """A vCPU on the housekeeping CPU pays with an exit."""
    host = kl.Host(pcpus=2, isolated=(1,), isolated_domains=False, housekeeping="idle", preemption_timer=False)
    quiet = kl.Workload(tick_hz=0)
    m = machine(
        host, kl.Guest(pcpus=(1,), boot_us=1e6, workload=quiet), kl.Guest(pcpus=(0,), boot_us=0, workload=quiet)
    )
    run(m, 100 * US)
    hrtimer_start(m, 0, 5_000 * US, 1, 100 * US)
    run(m, 4_100 * US)
    hrtimer_cancel(m, 0, 4_200 * US)
    before = [row.count for row in m.exits[len(m.exits) // 2 :]]
    run(m, 5_100 * US)
    assert m.pcpus[0].spurious == 1
    assert [row.count for row in m.exits[len(m.exits) // 2 :]] == [before[0] + 1, *before[1:]]


def test_a_cancelled_local_timer_sets_its_cpu_right():
    """__remove_hrtimer() with reprogram: by the CPU itself alone, for the timer that its device is set for."""
    m = idle_machine()
    hrtimer_start(m, 0, 1_000 * US, HOME, 1)
    assert m.timers[0].cpu == HOME
    assert m.pcpus[HOME].expires_next == scheduled(m, Lane.PCPU, HOME) == 1_000 * US
    hrtimer_cancel(m, 0, 2)
    assert m.pcpus[HOME].expires_next == scheduled(m, Lane.PCPU, HOME) == NEVER
    run(m, 2_000 * US)
    assert m.pcpus[HOME].spurious == 0


def test_an_earlier_timer_of_its_own_passes_a_stale_value_and_a_later_one_does_not():
    m = away_machine()
    hrtimer_cancel(m, 0, 4_200 * US)
    background = len(m.timers) - len(m.pcpus) + AWAY
    hrtimer_start(m, background, 6_000 * US, AWAY, 4_200 * US)
    assert m.pcpus[AWAY].expires_next == 5_000 * US
    hrtimer_start(m, background, 4_700 * US, AWAY, 4_300 * US)
    assert m.pcpus[AWAY].expires_next == 4_700 * US


def test_a_timer_removed_while_its_cpu_serves_others_leaves_nothing_stale():
    """hrtimer_interrupt() looks at the queue when its callbacks are done."""
    m = away_machine()
    pcpu = m.pcpus[AWAY]
    pcpu.irq_end = 4_250 * US
    hrtimer_cancel(m, 0, 4_200 * US)
    assert pcpu.expires_next == 2 * TICK


# --- the door is shut within hrtimer_interrupt() ----------------------------------------------------------------------


def test_within_an_interrupt_every_timer_is_refused():
    m = idle_machine()
    run(m, TICK)
    end = m.pcpus[AWAY].irq_end
    assert end == TICK + US
    hrtimer_start(m, 0, 9_000 * US, HOME, end - 1)
    assert m.timers[0].cpu == HOME
    hrtimer_cancel(m, 0, end - 1)
    hrtimer_start(m, 0, 9_000 * US, HOME, end)
    assert m.timers[0].cpu == AWAY


@pytest.mark.parametrize(("release", "shut"), [("v6.18", False), ("v7.1", True)])
def test_from_v7_1_on_the_door_is_shut_until_the_interrupted_exit_is_handled(release, shut):
    m = machine(
        kl.Host(pcpus=3, isolated=(HOME,), housekeeping="idle"),
        kl.Guest(pcpus=(AWAY,), boot_us=0, workload=kl.Workload(tick_hz=0)),
        kernel=kernels.release(release, policy.rev3),
        costs=constant_costs(US),
    )
    run(m, 100 * US)
    assert m.vcpus[0].state == State.GUEST
    m.pcpus[AWAY].expires_next = 200 * US  # what came here and is gone
    hrtimer_interrupt(m, AWAY, 200 * US)
    pcpu = m.pcpus[AWAY]
    assert pcpu.irq_end == 201 * US
    assert pcpu.shut_until == (202 * US if shut else 201 * US)


def test_while_a_hang_lasts_the_door_is_open_and_the_event_timer_waits():
    """hrtimer_interrupt() gives up after three rounds: expires_next is then as it is, the device set to a delay."""
    host = kl.Host(pcpus=6, isolated=(1, 2, 3, 4, 5), housekeeping="idle", isolated_domains=False)
    m = machine(host, kl.Guest(5, boot_us=1e6), costs=constant_costs(100 * US))
    run(m, 1)
    for timer, time in enumerate([200 * US, 250 * US, 350 * US, 450 * US]):
        enqueue_hrtimer(m, timer, AWAY, time)
        hrtimer_reprogram(m, timer)
    run(m, 200 * US)
    pcpu = m.pcpus[AWAY]
    assert (pcpu.fired, pcpu.hang_detected) == (3, 1)
    assert (pcpu.irq_end, pcpu.irq_until) == (500 * US, 800 * US)
    assert (pcpu.expires_next, scheduled(m, Lane.PCPU, AWAY)) == (450 * US, 800 * US)
    hrtimer_start(m, 4, 600 * US, 5, 500 * US)
    assert m.timers[4].cpu == AWAY
    hrtimer_cancel(m, 4, 510 * US)
    run(m, 800 * US)
    assert (pcpu.fired, pcpu.hang_detected, pcpu.expires_next) == (4, 0, TICK)


# --- from v5.15 on a timer that is started again stays ----------------------------------------------------------------


@pytest.mark.parametrize(("release", "stays"), [("v5.14", False), ("v5.15", True), ("v6.18", True), ("v7.1", True)])
def test_what_is_started_again_as_the_next_of_its_own_cpu_stays_there(release, stays):
    """For 5 ms it would be taken by CPU 0, whose tick comes at 4 ms."""
    m = idle_machine(kernel=kernels.release(release, policy.rev3))
    hrtimer_start(m, 0, 1_000 * US, HOME, 1)
    assert m.timers[0].cpu == HOME
    hrtimer_start(m, 0, 5_000 * US, HOME, 2)
    assert m.timers[0].cpu == (HOME if stays else AWAY)
    assert m.pcpus[AWAY].offered == (1 if stays else 2)
    assert m.pcpus[HOME].expires_next == (5_000 * US if stays else NEVER)


def test_what_was_cancelled_first_is_offered_as_ever():
    """As KVM does when a guest writes its timer."""
    m = idle_machine(kernel="v6.18")
    hrtimer_start(m, 0, 1_000 * US, HOME, 1)
    hrtimer_cancel(m, 0, 2)
    hrtimer_start(m, 0, 5_000 * US, HOME, 2)
    assert m.timers[0].cpu == AWAY


# --- a CPU on which a vCPU polls is busy ------------------------------------------------------------------------------


def blocked_machine(polls_us):
    """Return a machine whose vCPU, on CPU 1, blocked at 100 us and polls for so long."""
    m = machine(kl.Host(pcpus=3, isolated=(HOME,), housekeeping="idle"), kl.Guest(pcpus=(1,)))
    vcpu = m.vcpus[0]
    vcpu.state = State.BLOCKED
    vcpu.blocked_at = 100 * US
    vcpu.halt_poll_ns = polls_us * US
    schedule(m, Lane.VCPU, 0, NEVER)
    return m


@pytest.mark.parametrize(("now_us", "idle"), [(100, False), (150, False), (151, True)])
def test_a_cpu_is_busy_while_its_vcpu_polls(now_us, idle):
    assert idle_cpu(blocked_machine(50), 1, now_us * US) is idle


def test_a_cpu_is_busy_once_its_vcpu_is_woken():
    m = blocked_machine(0)
    assert idle_cpu(m, 1, 200 * US)
    kvm_vcpu_wake_up(m, 0, 200 * US)
    assert not idle_cpu(m, 1, 200 * US)


@pytest.mark.parametrize(("halt_poll_us", "share"), [(30_000.0, 0.95), (0.0, 0.05)])
def test_a_polling_guest_draws_the_timers_of_others(halt_poll_us, share):
    """Recorded on 6.1: with scheduler domains 95 % of the arms go to the CPU of a vCPU that polls, 5 % if it sleeps."""
    halts = kl.Workload(tick_hz=0, timer_us=10_000, idle_us=1)
    host = kl.Host(pcpus=3, isolated=(HOME,), housekeeping="idle", vendor="amd", apicv=False, halt_poll_us=halt_poll_us)
    guests = (
        kl.Guest(pcpus=(HOME,), workload=kl.Workload(tick_hz=0, timer_us=5_003, idle_us=1), boot_us=300_000),
        kl.Guest(pcpus=(1,), workload=halts, boot_us=0),
    )
    fired = kl.simulate(kl.Scenario(host, guests, duration_s=1.3)).machine.pcpus["fired"]
    on_1 = fired[1] - 129  # but for its own timers
    assert fired.sum() - 129 > 190
    assert abs(on_1 / (fired.sum() - 129) - share) < 0.08


# --- a housekeeping CPU whose task sleeps by turns --------------------------------------------------------------------


def test_a_task_that_sleeps_by_turns_has_a_timer_while_it_sleeps_only():
    """Timers go to its CPU for as great a part of the time: here, 150 us of 200."""
    host = kl.Host(
        pcpus=3, isolated=(HOME,), isolated_domains=False, preemption_timer=False, loaded=(AWAY,), hz=10,
        housekeeping="timers", housekeeping_timer_us=150, housekeeping_work_us=50,
    )  # fmt: skip
    workload = kl.Workload(tick_hz=0, timer_us=1000, rearm="relative", gap_us=4000, timers=2000)
    guest = kl.Guest(pcpus=(HOME,), workload=workload)
    pcpu = kl.simulate(kl.Scenario(host, guest, duration_s=20, kernel="v5.3", costs=constant_costs(0))).machine.pcpus[
        AWAY
    ]
    assert pcpu["offered"] == 2000
    assert 1 - pcpu["refused"] / 2000 == pytest.approx(0.75 + 0.25 * 0.01, abs=0.03)


def test_its_cpu_is_busy_while_it_works():
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping="timers", housekeeping_timer_us=100, housekeeping_work_us=1e4)
    m = machine(host, kl.Guest(pcpus=(1,), boot_us=1e6), costs=constant_costs(0))
    run(m, 1)
    assert idle_cpu(m, 0, 1)
    run(m, 101 * US)
    assert not idle_cpu(m, 0, 101 * US)
