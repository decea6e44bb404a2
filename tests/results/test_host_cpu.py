"""What a vCPU's thread takes of a host CPU, and how much of that is halt polling."""

from __future__ import annotations

import pytest

import kvmlab as kl

QUIET = {"tick_hz": 0, "nohz_idle": False}


def host_cpu(workload, *, halt_poll_us=200.0, kernel="v5.18", **guest):
    """Return the shares of one run, summed over the vCPUs."""
    vcpus = guest.get("vcpus", 1)
    host = kl.Host(pcpus=vcpus + 2, isolated=tuple(range(2, vcpus + 2)), halt_poll_us=halt_poll_us)
    scenario = kl.Scenario(host, kl.Guest(workload=workload, boot_us=0, **guest), kernel=kernel, duration_s=0.3)
    run = kl.simulate(scenario)
    table = run.host_cpu
    assert (table["host_cpu"] + table["asleep"]).tolist() == pytest.approx([1.0] * len(table))
    assert (table["halt_polling"] <= table["host_cpu"] + 1e-9).all()
    assert run.summary()["host_cpu"] == pytest.approx(table["host_cpu"].sum())
    return table.sum()


def test_a_busy_guest_takes_its_pcpu():
    shares = host_cpu(kl.Workload(tick_hz=1000))
    assert shares["host_cpu"] == pytest.approx(1, abs=1e-3)
    assert shares["halt_polling"] == 0


def test_a_guest_that_sleeps_takes_what_it_works():
    shares = host_cpu(kl.Workload(timer_us=10_000, idle_us=1, **QUIET), halt_poll_us=0)
    assert shares["host_cpu"] < 0.01
    assert shares["halt_polling"] == 0
    # It sleeps for longer than polling would, so that polling soon ends.
    assert host_cpu(kl.Workload(timer_us=10_000, idle_us=1, **QUIET))["host_cpu"] < 0.01


def test_idle_guests_that_are_woken_often_burn_the_host():
    """Four idle vCPUs, each with 15,000 device interrupts per second: polling takes more than two host CPUs."""
    io = kl.Workload(tick_hz=0, idle_us=1, device_irq_hz=15_000)
    polling = host_cpu(io, vcpus=4)
    sleeping = host_cpu(io, vcpus=4, halt_poll_us=0)
    assert polling["host_cpu"] > 2.2
    assert polling["halt_polling"] > 0.9 * polling["host_cpu"]
    assert sleeping["host_cpu"] < 0.54
    assert sleeping["halt_polling"] == 0


def test_polling_is_bounded_by_its_longest_time():
    """Timers 150 us apart are polled for, those 250 us apart are not: kvm.halt_poll_ns is 200 us."""
    near, far = (host_cpu(kl.Workload(timer_us=us, idle_us=1, **QUIET)) for us in (150, 250))
    assert near["halt_polling"] > 0.8
    assert far["halt_polling"] < 0.05


def test_a_guest_that_keeps_its_hlt_takes_its_pcpu():
    shares = host_cpu(kl.Workload(timer_us=10_000, idle_us=1, **QUIET), hlt_in_guest=True)
    assert shares["host_cpu"] == pytest.approx(1, abs=1e-3)


def test_what_another_task_takes_is_not_the_guests():
    shares = host_cpu(kl.Workload(tick_hz=1000), preempt_hz=100, preempt_us=2000)
    assert shares["host_cpu"] == pytest.approx(1 / 1.2, abs=0.08)
