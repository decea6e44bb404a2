"""What the figures of these tests show."""

from __future__ import annotations

import kvmlab as kl
from kvmlab import data

BUSY = kl.Scenario(kl.Host(housekeeping="timers"), (kl.Guest(hlt_in_guest=True, mwait_in_guest=True),), duration_s=2)
GUESTS = kl.three_guests(duration_s=0.2)
RECORDED = data.path("recorded", "perf-kvm-stat.pi0_all.txt")
POLICIES = ["before", "rev1", "rev2", "rev3"]
COMPARED = kl.compare_guests(GUESTS, POLICIES)


def always(v: kl.VcpuFacts) -> bool:
    """A reader's own policy."""
    return True
