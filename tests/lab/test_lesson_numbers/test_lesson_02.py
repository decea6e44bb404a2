"""What lesson 02 says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import data, panels
from kvmlab.lab.exercises.course import lesson_02
from kvmlab.results.follow import VCPU_STATES


def trace(name: str) -> pd.DataFrame:
    return kl.read_kvm_trace(data.path("recorded", name))


def test_title() -> None:
    """What the panel shows, switch after switch: another hole, another lane and late, no hole."""
    panel = panels.stage_panel(kernels=["v5.2", "v5.3"], pi_inject_timer=False)
    seen = [panel.story]
    for settings in ({"hv_timer": False}, {"kernel": "v5.3"}, {"pi_inject_timer": True}):
        panel.settings = {**panel.settings, **settings}
        seen.append(panel.story)
    assert [(story.expiry_exit, story.fires_on) for story in seen] == [
        ("PREEMPTION_TIMER", "own"),
        ("EXTERNAL_INTERRUPT", "own"),
        ("EXTERNAL_INTERRUPT", "housekeeping"),
        (None, "housekeeping"),
    ]
    assert max(seen, key=lambda story: story.latency_ns or 0) is seen[2]


def test_two() -> None:
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
    """Not isolated, or pinned: local."""
    assert kl.follow_timer("v5.3", pcpu="housekeeping").fires_on == "own"
    assert kl.follow_timer("v5.2", hv_timer=False).fires_on == "own"


def test_e1_solution() -> None:
    assert kl.exit_interrupts(trace("perf-script.no-apicv.txt"))["exits"].to_dict() == {"0xfd": 8, "0xec": 2}


def test_p1_why() -> None:
    recorded = next(r for r in kl.recorded_rows() if r["run"].endswith("rev1_tick0_pi0_none_hlt_cpu1"))
    assert (recorded["traced_hv_armed"], recorded["traced_expiry_on"]) == ("10", "cpu0:10")
    assert lesson_02.who_fires(vcpu_at_expiry="blocked") == "a housekeeping CPU"
    assert kl.follow_timer("v5.3", pi_inject_timer=False).backend == "hv"


def test_p2_why() -> None:
    """Five of sixteen: three ways in the guest; outside only the preemption timer, if nobody has taken over."""
    exits = {
        (way, place)
        for (way, (kernel, options)), place in itertools.product(lesson_02.WAYS.items(), VCPU_STATES)
        if kl.follow_timer(kernel, vcpu_at_expiry=place, **options).expiry_exit
    }
    in_guest = {(way, "guest") for way in ("the preemption timer", "a local hrtimer", "a kick")}
    assert exits == in_guest | {("the preemption timer", place) for place in ("host", "preempted")}
    answers = [lesson_02.exits_all_the_same(vcpu_at_expiry=place) for place in ("host", "preempted", "blocked")]
    assert answers == ["the preemption timer", "the preemption timer", "none"]


@pytest.mark.parametrize(
    ("letter", "kernel", "options"),
    [
        ("a", "v5.3", {"mwait_in_guest": True}),
        ("b", "v5.3", {"apicv_active": False}),
        ("c", "v5.3", {"pcpu": "housekeeping"}),
        ("d", "v5.3", {"hv_timer": False}),
        ("e", "v5.2", {"mwait_in_guest": True}),
        ("f", "v5.3", {"hv_timer": False, "pi_inject_timer": False}),
    ],
)
def test_e2_solution(letter: str, kernel: str, options: dict[str, bool | str]) -> None:
    assert (kl.follow_timer(kernel, **options).expiry_exit is None) == (letter in "ad")
