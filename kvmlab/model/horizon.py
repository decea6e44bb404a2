"""How long a machine can be simulated within a given number of events: for panels, which answer at once."""

from __future__ import annotations

from kvmlab.model.names import Load
from kvmlab.model.records import Machine

BACKGROUND_PER_EVENT = 3
"""A host's own timer costs about a third of what a guest's costs to simulate."""


def affordable_ns(m: Machine, events: int, longest_ns: int) -> int:
    """Return for how long to run so that about the given number of events comes, at most `longest_ns`.

    Counted are the guests' ticks, device interrupts and other exits, and the host's own timers. Ours.
    """
    per_second = 0.0
    for i in range(len(m.guests)):
        guest = m.guests[i]
        per_second += float(guest.vcpus) * (guest.tick_hz + guest.device_irq_hz + guest.other_exit_hz)
    if m.host.load == Load.TIMERS:
        for cpu in range(len(m.pcpus)):
            per_second += float(m.pcpus[cpu].loaded) * 1e6 / m.host.housekeeping_timer_us / float(BACKGROUND_PER_EVENT)
    if per_second * float(longest_ns) <= float(events) * 1e9:
        return longest_ns
    return round(float(events) * 1e9 / per_second)
