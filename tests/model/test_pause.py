"""How long a guest may spin with PAUSE before it exits (pause-loop exiting, vmx.c)."""

import pytest

import kvmlab as kl
from kvmlab.model.vmx import grow_ple_window, vmx_sched_in
from tests.model.machines import machine
from tests.strategies import constant_costs

SPINS = kl.Workload(tick_hz=0, timer_us=10_000, idle_us=1, waits_by="pause")


def test_the_window_doubles_up_to_its_maximum_and_is_reset_as_the_thread_is_scheduled_in():
    """4096 cycles, at most 2**32 - 1."""
    m = machine(kl.Host(tsc_ghz=1.0))
    windows = []
    for _ in range(22):
        windows.append(m.vcpus[0].ple_window)
        grow_ple_window(m, 0)
    assert windows[:3] == [4096, 8192, 16384]
    assert windows[-2:] == [2**32 - 1, 2**32 - 1]
    vmx_sched_in(m, 0)
    assert m.vcpus[0].ple_window == 4096


@pytest.mark.parametrize("away", [{"preempt_hz": 100, "preempt_us": 10}, {"moves_every_ms": 10, "pcpus": (1, 2)}])
def test_a_guest_that_is_scheduled_in_again_and_again_goes_on_exiting(away):
    host = kl.Host(pcpus=3, isolated=(1, 2))
    exits = []
    for options in ({}, away):
        guest = kl.Guest(**{"pcpus": (1,), "workload": SPINS} | options)
        run = kl.simulate(kl.Scenario(host, guest, duration_s=1, costs=constant_costs()))
        exits.append(run.exits["Samples"]["PAUSE_INSTRUCTION"])
    alone, disturbed = exits
    assert alone < 25
    assert disturbed > 400
