"""The move: outcomes are the model's, every beat has its words, and each question is about the pCPU that is claimed."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from kvmlab import panels
from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.front_end import web
from kvmlab.lab.panels.move_world import BEATS, FROM_CPU, FUNCTIONS, KERNEL_OF, KINDS, MOVE, TO_CPU, move_data
from kvmlab.model.names import Trace
from kvmlab.policy import POLICIES, VcpuFacts

EVERY = [
    dict(zip(MOVE.controls, values, strict=True))
    for values in itertools.product(*(control.values for control in MOVE.controls.values()))
]


def eligible(settings: dict[str, Any], kind: str) -> bool:
    """The policy's answer about a pCPU of that kind."""
    facts = VcpuFacts(True, True, kind == "housekeeping", settings["mwait_in_guest"], settings["hlt_in_guest"])
    return POLICIES[settings["revision"]](facts)


@pytest.mark.parametrize("settings", EVERY, ids=lambda each: "-".join(map(str, each.values())))
def test_each_question_is_about_the_pcpu_that_the_panel_names(settings: dict[str, Any]) -> None:
    trace = panels.move_panel(**settings).run.trace.query("vcpu == 0").reset_index(drop=True)
    steps = trace["step"]
    load = int(steps.eq(Trace.LOAD.label).idxmax())
    entry = load + int(steps[load:].eq(Trace.ENTRY.label).to_numpy().argmax())
    arming, moving = steps[:load], steps[load:entry]
    old, new = eligible(settings, settings["from_cpu"]), eligible(settings, settings["to_cpu"])
    hv = Trace.START_HV_TIMER.label
    assert (hv in set(arming)) == (not settings["mwait_in_guest"] and not old)
    assert (hv in set(moving)) == (hv in set(arming)), "the restart asks about the pCPU that was left"
    if hv not in set(arming):
        assert (Trace.MIGRATE.label in set(moving)) == (not new), "the request asks about the new pCPU"
        fires = int(trace["pcpu"][steps.eq(Trace.APIC_TIMER_FN.label).idxmax()])
        elsewhere = fires != TO_CPU[settings["to_cpu"]]
        assert (Trace.EXPIRED_POSTED.label in set(steps)) == (new and elsewhere)


@pytest.mark.parametrize("settings", EVERY[::3], ids=lambda each: "-".join(map(str, each.values())))
def test_only_arming_move_and_expiry_exit(settings: dict[str, Any]) -> None:
    panel = panels.move_panel(**settings)
    trace = panel.run.trace.query("vcpu == 0")
    exits = int(trace["step"].eq("kvm_exit").sum())
    assert exits == (2 if panel.outcome["exit"] is None else 3)
    assert int(trace["step"].eq("guest handler").sum()) == 1
    assert FROM_CPU[settings["from_cpu"]] == trace["pcpu"].iloc[0]


def test_outcome_of_the_four_moves_under_rev2() -> None:
    outcomes = {
        (start, end): panels.move_panel(from_cpu=start, to_cpu=end).outcome["exit"]
        for start, end in itertools.product(KINDS, KINDS)
    }
    assert outcomes == {
        ("isolated", "isolated"): None,
        ("isolated", "housekeeping"): "EXTERNAL_INTERRUPT",
        ("housekeeping", "isolated"): "PREEMPTION_TIMER",
        ("housekeeping", "housekeeping"): "PREEMPTION_TIMER",
    }


def test_each_revision_has_its_first_kernel() -> None:
    assert KERNEL_OF == {"before": "v5.2", "rev1": "v5.3", "rev2": "v5.15+rev2", "rev3": "v5.18"}
    assert {*KERNEL_OF.values()} <= {*KERNELS}


def test_every_beat_of_the_browser_has_its_words() -> None:
    script = web("beats.js")
    told = set(re.findall(r'beat\((?:"(\w+)"|[^"]+"(\w+)" : "(\w+)"|[^"]+"(\w+)")', script))
    named = {name for found in told for name in found if name} | set(
        re.findall(r'"(kicked|out|ask_migrate|migrate)"', script)
    )
    assert named == {*BEATS}
    assert {*BEATS} - {*FUNCTIONS} == {"start", "handler"}
    assert move_data()["asks"] == ["rev1", "rev2", "rev3"]


def test_policies_that_are_not_offered_cannot_be_chosen() -> None:
    panel = panels.move_panel(policies=["before", "rev1"])
    assert panel.settings["revision"] == "rev1"
    assert panel.options["policies"] == ["before", "rev1"]
    with pytest.raises(ValueError, match="revision: 'rev3' is not allowed"):
        panels.move_panel(policies=["rev1", "rev2"], revision="rev3")
    with pytest.raises(ValueError, match="policies: 'rev4' is not allowed"):
        panels.move_panel(policies=["rev4"])
    with pytest.raises(ValueError, match="to_cpu: 'home' is not allowed"):
        panels.move_panel(to_cpu="home")
