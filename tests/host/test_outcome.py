"""How late a recorded timer was, by hand."""

from __future__ import annotations

import re

import pytest

import kvmlab as kl
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
