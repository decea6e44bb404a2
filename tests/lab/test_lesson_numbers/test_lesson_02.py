"""What lesson 02 says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import data, panels

HRTIMER = {"pi_inject_timer": False, "hv_timer": False}
WAYS = {
    "preemption timer": {"pi_inject_timer": False},
    "local": {**HRTIMER, "timer_migration": False},
    "kicked": HRTIMER,
    "posted": {},
}
PLACES = ("guest", "host", "blocked", "preempted")


def trace(name: str) -> pd.DataFrame:
    return kl.read_kvm_trace(data.path("recorded", name))


def test_title() -> None:
    """Preemption timer: a hole. Without it: the other lane, late. With pi_inject_timer: no hole."""
    panel = panels.stage_panel(kernels=["v5.3", "v5.2"], pi_inject_timer=False)
    first = panel.story
    panel.settings = {"hv_timer": False}
    kicked = panel.story
    panel.settings = {"pi_inject_timer": True}
    assert (first.expiry_exit, first.fires_on) == ("PREEMPTION_TIMER", "own")
    assert (kicked.expiry_exit, kicked.fires_on) == ("EXTERNAL_INTERRUPT", "housekeeping")
    assert kicked.latency_ns > first.latency_ns
    assert panel.story.expiry_exit is None


def test_caption_range_of_the_preemption_timer() -> None:
    assert round(2**32 * 2**5 / 2.5e9) == 55


def test_p1_why() -> None:
    """The four lines that are printed, in their order."""
    rows = trace("vmx-6.1-rev1-housekeeping-pcpu.trace.txt")
    start = rows["reason"].fillna("").tolist().index("EXTERNAL_INTERRUPT")
    first = rows.iloc[start : start + 7]
    shown = first[first["event"].isin(["kvm_exit", "hrtimer_expire_entry", "kvm_apic_accept_irq", "kvm_entry"])]
    assert shown["event"].tolist() == ["kvm_exit", "hrtimer_expire_entry", "kvm_apic_accept_irq", "kvm_entry"]
    assert shown["time_s"].round(6).tolist() == [8.274633, 8.274636, 8.274638, 8.274641]
    assert {*shown["cpu"]} == {0}
    assert shown["fields"].iloc[1]["function"] == "apic_timer_fn"


def test_remote() -> None:
    """The kick is the latest of all. Not isolated, or pinned: local."""
    late = {name: kl.follow_timer("v5.3", **way).latency_ns or 0 for name, way in WAYS.items()}
    assert max(late, key=lambda name: late[name]) == "kicked"
    assert kl.follow_timer("v5.3", pcpu="housekeeping").fires_on == "own"
    assert kl.follow_timer("v5.2", hv_timer=False).fires_on == "own"


def test_e1_solution() -> None:
    assert kl.exit_interrupts(trace("perf-script.no-apicv.txt"))["exits"].to_dict() == {"0xfd": 8, "0xec": 2}


def test_p2_why() -> None:
    recorded = next(r for r in kl.recorded_rows() if r["run"].endswith("rev1_tick0_pi0_none_hlt_cpu1"))
    assert (recorded["traced_hv_armed"], recorded["traced_expiry_on"]) == ("10", "cpu0:10")
    assert kl.follow_timer("v5.3", pi_inject_timer=False, vcpu_at_expiry="blocked").fires_on == "housekeeping"


def test_p3_why() -> None:
    """Five of sixteen; in guest mode three of four; outside only the preemption timer, if nobody has taken over."""
    exits = {
        (name, place): kl.follow_timer("v5.3", vcpu_at_expiry=place, **way).expiry_exit
        for name, way in WAYS.items()
        for place in PLACES
    }
    with_exit = {case for case, reason in exits.items() if reason}
    assert with_exit == {
        ("preemption timer", "guest"), ("local", "guest"), ("kicked", "guest"),
        ("preemption timer", "host"), ("preemption timer", "preempted"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("letter", "kernel", "options"),
    [
        ("a", "v5.3", {"mwait_in_guest": True}),
        ("b", "v5.3", {"apicv_active": False}),
        ("c", "v5.3", {"pcpu": "housekeeping"}),
        ("d", "v5.3", {"hv_timer": False}),
        ("e", "v5.2", {"mwait_in_guest": True}),
        ("f", "v5.2", {"vcpu_at_expiry": "blocked"}),
    ],
)
def test_e2_solution(letter: str, kernel: str, options: dict[str, bool | str]) -> None:
    assert (kl.follow_timer(kernel, **options).expiry_exit is None) == (letter in "adf")
