"""How late a recorded timer was, by hand."""

from __future__ import annotations

import re

import pytest

import kvmlab as kl
from kvmlab.host.outcome import Outcome, fate, latency_ns, outcome_of
from kvmlab.host.timers import Timer
from tests.places import RECORDED

POSTED = (RECORDED / "vmx-6.1-rev1-posted.trace.txt").read_text(encoding="utf-8")


def first_latency(delta, **facts):
    """Return the latency of the first timer, whose guest is said to have waited this many cycles after its deadline."""
    text = re.sub(r"delta 52\b", f"delta {delta}", POSTED, count=1)
    latencies = kl.explain(text, **facts).timers["latency_ns"]
    assert latencies[1:].notna().all() == bool(facts)
    return latencies[0]


@pytest.mark.parametrize(("delta", "ghz", "ns"), [(52, 1, 52), (300, 3, 100), (3 * 10**12, 3, 10**12), (-52, 1, 0)])
def test_a_latency_is_what_the_kernel_measured_in_cycles(delta, ghz, ns):
    assert first_latency(delta, tsc_ghz=ghz) == ns


@pytest.mark.parametrize("delta", [(1 << 63) - 1, -(1 << 63)])
def test_later_than_any_recording_is_not_late_but_unknown(delta):
    assert first_latency(delta, tsc_ghz=0.1) is kl.explain(POSTED).timers["latency_ns"].dtype.na_value


@pytest.mark.parametrize(
    ("seen", "ends"),
    [
        ({}, "still armed"),
        ({"ended_ns": 900}, "armed anew"),
        ({"value": 0}, "disarmed"),
        ({"fired_ns": 500, "fired_cpu": 1}, "not visible"),
        ({"fired_ns": 500, "fired_cpu": 1, "ended_ns": 900}, "not visible"),
        ({"fired_ns": 500, "fired_cpu": 1, "accepted_ns": 510, "entry_ns": 520}, "delivered"),
        ({"accepted_ns": 100, "at_arm": True, "entry_ns": 120}, "delivered"),
    ],
)
def test_how_a_timer_ended(seen, ends):
    timer = Timer(vcpu=0, pid=1, armed_ns=100, pcpu=1, arm_exit="MSR_WRITE", **{"value": 7, "msr": 0x6E0, **seen})
    assert fate(timer) == ends


def armed(**seen):
    """Return a timer that was armed on pCPU 1."""
    return Timer(vcpu=0, pid=1, armed_ns=100, pcpu=1, arm_exit="MSR_WRITE", **{"value": 7, "msr": 0x6E0, **seen})


FIRED = {"backend": "hrtimer", "fired_ns": 500, "fired_cpu": 3, "vcpu_cpu": 1}
IRQ = "EXTERNAL_INTERRUPT"
UNSEEN = "not visible"


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        # backend, fires_on, expiry_exit, delivery, fate
        ({}, (UNSEEN, None, None, UNSEEN, "still armed")),
        ({"value": 0, "backend": "hrtimer"}, (None, None, None, None, "disarmed")),
        ({"value": None, "backend": "hv"}, ("hv", None, None, UNSEEN, "still armed")),
        ({"value": 1, "backend": "hv", "ended_ns": 900}, ("hv", None, None, UNSEEN, "armed anew")),
        ({"at_arm": True, "fired_ns": 110, "accepted_ns": 110}, (None, None, None, "at_arm", "delivered")),
        (FIRED, ("hrtimer", "housekeeping", None, UNSEEN, UNSEEN)),
        ({**FIRED, "posted": True, "accepted_ns": 510}, ("hrtimer", "housekeeping", None, "posted", "delivered")),
        ({**FIRED, "fired_cpu": 1, "expiry_exit": IRQ}, ("hrtimer", "own", IRQ, UNSEEN, UNSEEN)),
        # The vCPU has moved since: where it was armed, or to a housekeeping CPU, cannot be told.
        ({**FIRED, "fired_cpu": 1, "vcpu_cpu": 2}, ("hrtimer", UNSEEN, None, UNSEEN, UNSEEN)),
        ({**FIRED, "fired_cpu": 2, "vcpu_cpu": 2}, ("hrtimer", "own", None, UNSEEN, UNSEEN)),
        # Delivered, or fired, but not where.
        ({"accepted_ns": 510, "backend": "hrtimer"}, ("hrtimer", UNSEEN, None, "vm_entry", "delivered")),
        ({"fired_ns": 500, "backend": "hrtimer"}, ("hrtimer", UNSEEN, None, UNSEEN, UNSEEN)),
    ],
)
def test_the_outcome_of_a_timer(seen, outcome):
    assert outcome_of(armed(**seen)) == Outcome(*outcome)


WAITED = {"delta": 90, "wait_ns": 600, "accepted_ns": 610, "entry_ns": 650}
COUNTED = {"msr": 0x838, "backend": "hrtimer", "late_ns": 30, "fired_ns": 500, "entry_ns": 540}


@pytest.mark.parametrize(
    ("seen", "ghz", "ns"),
    [
        ({}, 3.0, None),
        # 90 cycles of a third of a ns late when it waited, and 50 ns later in the guest.
        (WAITED, 3.0, 80),
        (WAITED, None, None),
        ({**WAITED, "delta": -90}, 3.0, 20),
        ({**WAITED, "delta": -900}, 3.0, 0),
        ({**WAITED, "delta": 0}, 3.0, 50),
        ({**WAITED, "delta": 5}, 3.0, 52),  # 1.67 ns are 2
        ({**WAITED, "delta": None}, 3.0, None),
        ({**WAITED, "wait_ns": None}, 3.0, None),
        # A post reaches the guest when the virtual APIC takes it, and waits before or after.
        ({**WAITED, "posted": True}, 3.0, 40),
        ({**WAITED, "at_arm": True}, 3.0, 40),
        ({**WAITED, "posted": True, "accepted_ns": 590}, 3.0, 30),
        ({**WAITED, "entry_ns": None}, 3.0, None),
        ({**WAITED, "delta": (1 << 62) - 1024}, 1.0, (1 << 62) - 1024 + 50),
        ({**WAITED, "delta": 1 << 62}, 1.0, None),
        ({**WAITED, "delta": -(1 << 62)}, 1.0, None),
        # Of a count, the hrtimer's own expiry is the deadline: 30 ns late, and 40 ns later in the guest.
        (COUNTED, None, 70),
        (COUNTED, 3.0, 70),
        ({**COUNTED, "late_ns": -100}, None, 0),
        ({**COUNTED, "late_ns": None}, None, None),
        ({**COUNTED, "fired_ns": None}, None, None),
        ({**COUNTED, "backend": "hv"}, None, None),
        ({**COUNTED, "msr": None}, None, None),
        ({**COUNTED, "msr": 0x6E0}, None, None),
        ({**COUNTED, "entry_ns": None}, None, None),
        ({**COUNTED, "posted": True, "accepted_ns": 505}, None, 35),
    ],
)
def test_how_late_a_timer_was(seen, ghz, ns):
    assert latency_ns(armed(**seen), ghz) == ns
