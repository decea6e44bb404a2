"""The times of a run cut at its end: what reaches beyond it counts up to there, and so does what is under way.

The model adds a time up when it knows how long that takes: a gap as the vCPU enters the guest again, which may be after
the end of the run, and a sleep as it ends, which may be never.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kvmlab.model.names import NEVER, State

Times = npt.NDArray[np.int64]
OUT_OF_THE_GUEST = (State.HOST, State.BLOCKED, State.PREEMPTED)
"""The states in which a vCPU that has been in the guest will come back to it."""


def idle_ns(vcpus: np.ndarray, end: int) -> Times:
    """Return for how long each guest was idle: not booted yet, asleep, or halted in guest mode.

    `vcpus`: VCPU records; `end`: the time at which the run ended, ns.
    """
    halted = np.where(vcpus["halted_at"] == NEVER, end, vcpus["halted_at"])
    since = np.where(vcpus["state"] == State.BLOCKED, vcpus["blocked_at"], halted)
    idle: Times = np.minimum(vcpus["idle_ns"] + np.maximum(0, end - since), end)
    return idle


def lost_ns(vcpus: np.ndarray, end: int) -> Times:
    """Return how much of its time each guest lost to exits: `Vcpu.lost_ns` up to the end. Arguments as `idle_ns`."""
    beyond = np.maximum(0, vcpus["in_guest_at"] - end)
    counted = np.maximum(0, vcpus["lost_ns"] - beyond)
    stopped = np.where(vcpus["state"] == State.BLOCKED, vcpus["blocked_at"], end)
    open_gap = np.maximum(0, stopped - vcpus["exit_at"] - vcpus["blocked_ns"])
    out = np.isin(vcpus["state"], OUT_OF_THE_GUEST) & (vcpus["exit_reason"] >= 0)
    lost: Times = counted + np.where(out, open_gap, 0)
    return lost


def timer_busy_ns(pcpus: np.ndarray, end: int) -> Times:
    """Return for how long LAPIC timers kept each pCPU: `Pcpu.timer_busy_ns`, without what an interrupt still takes.

    `pcpus`: PCPU records. An interrupt that ends with the host's own timers loses their time as well, some us.
    """
    busy: Times = np.maximum(0, pcpus["timer_busy_ns"] - np.maximum(0, pcpus["irq_end"] - end))
    return busy
