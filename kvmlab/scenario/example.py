"""The running example of the lessons: one host, three guests, and each revision helps one of them or hurts it."""

from __future__ import annotations

from typing import Any

from kvmlab.kernels import Kernel
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

TICK_HZ = 1000.0


def three_guests(kernel: str | Kernel = "v5.18", **changes: Any) -> Scenario:
    """Return a host with eight pCPUs and three guests of two vCPUs; `changes` as in `Scenario.replace`.

    pCPUs 4 to 7 are isolated (``nohz_full=4-7``). The housekeeping CPUs 0 and 1 do the host's chores.

    - ``database``, alone on 4 and 5, works in bursts and waits by HLT, which is left to the guest.
    - ``poller``, alone on 6 and 7, looks for packets all the time: its HLT would exit, but it never executes one.
    - ``ordinary``, on the housekeeping CPUs 2 and 3, works in bursts and waits by HLT, which exits.

    >>> import kvmlab as kl
    >>> [guest.name for guest in kl.three_guests("v5.13", duration_s=0.5).guests]
    ['database', 'poller', 'ordinary']
    """
    host = Host(pcpus=8, isolated=(4, 5, 6, 7), housekeeping="timers", housekeeping_timer_us=200, loaded=(0, 1))
    polls = Workload(tick_hz=TICK_HZ)
    waits = Workload(tick_hz=TICK_HZ, busy_us=300, idle_us=200, nohz_idle=False, device_irq_hz=500)
    guests = (
        Guest(name="database", vcpus=2, pcpus=(4, 5), hlt_in_guest=True, workload=waits),
        Guest(name="poller", vcpus=2, pcpus=(6, 7), workload=polls),
        Guest(name="ordinary", vcpus=2, pcpus=(2, 3), workload=waits),
    )
    scenario = Scenario(host, guests, kernel=kernel, duration_s=2.0)  # type: ignore[arg-type]
    return scenario.replace(**changes) if changes else scenario
