"""The state of a lab as a string that can be shared."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from kvmlab.lab.panels.settings import CONTROLS, complete, defaults
from kvmlab.lab.widgets import Value

LONGEST_QUOTE = 40


def state_text(settings: Mapping[str, Value]) -> str:
    """Return settings as a string that `read_state` restores: what differs from the defaults, in URL-safe base64.

    >>> from kvmlab import panels
    >>> panels.state_text({**panels.defaults(), "seed": 7})
    'eyJzZWVkIjo3fQ=='
    """
    changed = {name: value for name, value in settings.items() if value != defaults()[name]}
    return base64.urlsafe_b64encode(json.dumps(changed, separators=(",", ":")).encode()).decode()


def read_state(text: str) -> dict[str, Value]:
    """Return all settings (see `Settings`) that a state string stands for; ValueError says what is wrong with it.

    >>> from kvmlab import panels
    >>> panels.read_state("eyJzZWVkIjo3fQ==")["seed"]
    7
    """
    try:
        changed = json.loads(base64.urlsafe_b64decode(text.strip().encode("ascii")))
    except ValueError as error:
        raise no_state(text, f"is no state ({error})") from None
    if not isinstance(changed, dict):
        raise no_state(text, "holds no settings")
    for name, value in changed.items():
        check(name, value)
    return complete(changed)


def no_state(text: str, reason: str) -> ValueError:
    """Return the error for a text that is no state."""
    return ValueError(f"state: {text[:LONGEST_QUOTE]!r} {reason}; allowed: what a lab shows as its state")


def check(name: str, value: Any) -> None:
    """Raise ValueError if there is no such setting, or if its control refuses the value."""
    if name not in CONTROLS:
        raise ValueError(f"state: {name!r} is no setting; allowed: {', '.join(CONTROLS)}")
    try:
        CONTROLS[name]().value = value
    except Exception as error:
        raise ValueError(f"state: {name} = {value!r} does not fit: {error}") from None
