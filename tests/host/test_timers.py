"""One recorded timer: which state it is in, and how the guest got its interrupt."""

from __future__ import annotations

from typing import Any

import pytest

from kvmlab.host.timers import Timer


def timer(**seen: Any) -> Timer:
    return Timer(0, 7, 100, 1, "MSR_WRITE", **seen)


def test_a_timer_runs_until_it_has_fired() -> None:
    one = timer()
    assert one.running
    assert (one.switched, one.posted, one.at_arm) == (False, False, False)
    one.fire(500, 3, "guest", 1)
    assert not one.running
    assert one == timer(fired_ns=500, fired_cpu=3, vcpu_was="guest", vcpu_cpu=1)
    one.note_exit("EXTERNAL_INTERRUPT", 510, 0xFD)
    assert (one.expiry_exit, one.expiry_exit_ns, one.expiry_vector) == ("EXTERNAL_INTERRUPT", 510, 0xFD)


@pytest.mark.parametrize(
    ("seen", "awaits"),
    [
        ({"vcpu_was": "guest"}, True),
        ({"vcpu_was": "host"}, False),
        ({}, False),
        ({"vcpu_was": "guest", "posted": True}, False),
        ({"vcpu_was": "guest", "expiry_exit": "EXTERNAL_INTERRUPT"}, False),
        ({"vcpu_was": "host", "posted": True}, False),
    ],
)
def test_a_kick_is_awaited_where_the_vcpu_was_in_the_guest(seen: dict[str, Any], awaits: bool) -> None:
    assert timer(**seen).awaits_kick is awaits


@pytest.mark.parametrize(
    ("seen", "delivery"),
    [
        ({}, None),
        ({"posted": True, "accepted_ns": 1}, "posted"),
        ({"at_arm": True, "accepted_ns": 1, "entry_ns": 2}, "at_arm"),
        ({"accepted_ns": 1}, "vm_entry"),
        ({"entry_ns": 1, "vcpu_was": "interrupted"}, "vm_entry"),
        ({"entry_ns": 1, "accepted_ns": 1, "vcpu_was": "blocked"}, "wake_up"),
        ({"vcpu_was": "blocked"}, None),
    ],
)
def test_how_the_guest_got_its_interrupt(seen: dict[str, Any], delivery: str | None) -> None:
    assert timer(**seen).delivery == delivery
