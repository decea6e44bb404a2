"""How late a recorded timer was, by hand."""

from __future__ import annotations

import re

import pytest

import kvmlab as kl
from kvmlab.host.outcome import fate
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
