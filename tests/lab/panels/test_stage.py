"""The stage: which kernels and controls it offers."""

from __future__ import annotations

from typing import Any

import pytest

from kvmlab import panels


def test_the_kernels_asked_for_are_offered_and_the_first_is_shown() -> None:
    panel = panels.stage_panel(kernels=["v5.3", "v5.2"], controls=["kernel", "pcpu"], first=["kernel"])
    assert panel.options == {"kernels": ["v5.3", "v5.2"], "controls": ["kernel", "pcpu"], "first": ["kernel"]}
    assert panel.settings["kernel"] == "v5.3"
    assert not panel.moved
    panel.settings = {"kernel": "v5.2"}
    assert panel.story.expiry_exit == "PREEMPTION_TIMER"


def my_policy(facts: Any) -> bool:
    return False


def test_the_readers_own_policy_is_one_of_them() -> None:
    panel = panels.stage_panel(my_policy, kernels=["v5.2"], kernel="my_policy")
    assert (panel.kernel.name, panel.moved) == ("my_policy", False)
    panel.settings = {"kernel": "v5.2"}
    assert (panel.kernel.name, panel.moved) == ("v5.2", True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kernels": ["v9"]}, "kernels: 'v9' is not allowed"),
        ({"kernels": ["v5.2"], "kernel": "v5.18"}, "kernel: 'v5.18' is not allowed; it must be one of v5.2"),
        ({"controls": ["size"]}, "control: 'size' is not allowed"),
        ({"first": ["size"]}, "control: 'size' is not allowed"),
    ],
)
def test_what_is_not_possible_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        panels.stage_panel(**wrong)
