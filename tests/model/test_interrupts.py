"""What interrupts a pCPU: hrtimer_interrupt(), in which order, and when it cannot keep up (hrtimer.c)."""

from dataclasses import replace

import pytest

import kvmlab as kl
from kvmlab.model.hrtimer import enqueue_hrtimer, hrtimer_forward
from kvmlab.model.interrupts import HANG_MAX_NS, HRTIMER_RETRIES, hrtimer_interrupt, ipi_arrives, run_hrtimer
from kvmlab.model.loop import run
from kvmlab.model.names import NONE, Lane, State, Trace
from kvmlab.model.schedule import scheduled
from kvmlab.scenario.distribution import ShiftedLognormal
from tests.model.machines import machine
from tests.strategies import constant_costs


@pytest.mark.parametrize(("step_ns", "pause_ns"), [(1_000, 4_000), (20_000_000, 80_000_000), (50_000_000, HANG_MAX_NS)])
def test_an_interrupt_that_finds_no_end_gives_the_cpu_back_for_as_long_but_for_100_ms_at_most(step_ns, pause_ns):
    """Of two timers each is due again while the other is served: two in the first turn, one in each of two more."""
    m = machine(
        kl.Host(pcpus=2, isolated=(1,), housekeeping="timers", housekeeping_timer_us=5),
        kl.Guest(pcpus=(1,)),
        costs=constant_costs(step_ns),
    )
    tick, background = 1, 1 + 2
    for timer in (tick, background):
        m.timers[timer].period = 5
        enqueue_hrtimer(m, timer, 0, 1_000)
    hrtimer_interrupt(m, 0, 1_000)
    pcpu = m.pcpus[0]
    assert pcpu.queue_max == HRTIMER_RETRIES + 1
    assert pcpu.irq_end == 1_000 + pcpu.queue_max * step_ns
    assert pcpu.irq_until - pcpu.irq_end == pause_ns
    [told] = [step for step in m.trace[: m.loop.trace_used] if step.code == Trace.HRTIMER_INTERRUPT]
    assert (told.time, told.cpu, told.arg) == (1_000, 0, pcpu.queue_max * step_ns)


def test_an_ipi_waits_until_the_vcpu_is_in_the_guest():
    m = machine(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(pcpus=(1,)))
    run(m, 1)
    m.vcpus[0].state = State.GUEST
    m.vcpus[0].in_guest_at = 700
    ipi_arrives(m, 0, 500)
    assert scheduled(m, Lane.IPI, 0) == 700


def test_a_vcpu_that_moves_brings_its_timer_and_says_so():
    host = kl.Host(pcpus=3, isolated=(1, 2), preemption_timer=False, pi_inject_timer=False)
    guest = kl.Guest(pcpus=(1, 2), moves_every_ms=2, workload=kl.Workload(tick_hz=100))
    run_of_it = kl.simulate(kl.Scenario(host, guest, kernel="v5.2", duration_s=0.1, trace_steps=5_000))
    assert (run_of_it.machine.trace["code"] == Trace.MIGRATE).sum() > 5


def test_a_guest_that_has_had_all_its_timers_says_so_once():
    guest = kl.Guest(pcpus=(1,), workload=kl.Workload(tick_hz=0, timer_us=100, timers=3))
    run_of_it = kl.simulate(kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), guest, duration_s=0.1, trace_steps=1_000))
    assert (run_of_it.machine.trace["code"] == Trace.DONE).sum() == 1


def test_of_two_timers_due_at_once_the_one_that_was_queued_first_is_served_first():
    """A timer that is forwarded counts as queued again."""
    m = machine(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(pcpus=(1,)))
    tick, background = 1, 1 + 2
    first = m.pcpus[0].base
    m.timers[tick].period = 1_000
    enqueue_hrtimer(m, tick, 0, 1_000)
    enqueue_hrtimer(m, background, 0, 1_000)
    assert m.bases[first] == tick
    m.timers[background].period = 1_000
    hrtimer_forward(m, tick, 1_000)
    hrtimer_forward(m, background, 1_000)
    assert m.bases[first] == tick
    hrtimer_forward(m, background, 2_500)
    hrtimer_forward(m, tick, 2_500)
    assert m.timers[tick].time == m.timers[background].time == 3_000
    assert m.bases[first] == background


TICK_NS, OTHER_NS = 7_000, 2_000


@pytest.fixture
def two_timers():
    """A machine with a housekeeping CPU 0: its scheduler tick, and a timer of its own."""
    host = kl.Host(pcpus=2, isolated=(1,), housekeeping="timers", housekeeping_timer_us=50)
    costs = replace(constant_costs(0), tick=always(TICK_NS), hrtimer_interrupt=always(OTHER_NS))
    return machine(host, kl.Guest(pcpus=(1,)), costs=costs)


def always(ns):
    return ShiftedLognormal(ns, ns, 0)


@pytest.mark.parametrize(("timer", "cost_ns"), [(1, TICK_NS), (1 + 2, OTHER_NS)], ids=["tick", "background"])
def test_a_tick_costs_a_tick_and_any_other_callback_an_interrupt(two_timers, timer, cost_ns):
    m = two_timers
    m.timers[timer].period = 100_000
    enqueue_hrtimer(m, timer, 0, 1_000)
    assert run_hrtimer(m, 0, timer, NONE, 1_000) == 1_000 + cost_ns
    assert m.timers[timer].time == 101_000


def test_the_latest_timer_of_a_vcpu_is_kept(two_timers):
    """From its expiry to when the housekeeping CPU turns to it, not to the end of its callback."""
    m = two_timers
    for late in (300, 4_000, 900):
        m.vcpus[0].deadline = 1_000
        enqueue_hrtimer(m, 0, 0, 1_000)
        run_hrtimer(m, 0, 0, NONE, 1_000 + late)
    assert m.pcpus[0].late_max == 4_000
    called = [step for step in m.trace[: m.loop.trace_used] if step.code == Trace.APIC_TIMER_FN]
    assert [(step.time, step.arg) for step in called] == [
        (1_000 + late + OTHER_NS, late + OTHER_NS) for late in (300, 4_000, 900)
    ]
    assert m.pcpus[0].fired == 3
