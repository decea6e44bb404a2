"""The state of a lab as text that can be read, sent and pasted: ``vcpus=7 hlt_in_guest=1``.

The browser reads and writes the same text (`web/state.js`), since it has to do so without a kernel.
"""

from __future__ import annotations

import re

from kvmlab.lab.panels.controls import Settings, Value
from kvmlab.lab.panels.simulation import HOST
from kvmlab.scenario.checks import refusal

ALL_DEFAULTS = "defaults"
"""The state in which every control says what it says at first."""
LONGEST_QUOTE = 40
BLANKS = re.compile(r"[ \t\r\n]+")


def text_of(value: Value) -> str:
    """Return a value as a state has it: 1 or 0 for a switch, no blank in a name."""
    return str(int(value)) if isinstance(value, bool) else str(value).replace(" ", "_")


def state_text(settings: Settings) -> str:
    """Return settings as text that `read_state` reads: those that differ from the defaults, or ``defaults``.

    >>> from kvmlab import panels
    >>> panels.state_text({**panels.defaults(), "vcpus": 7, "hlt_in_guest": True, "guest": "halts between bursts"})
    'vcpus=7 guest=halts_between_bursts hlt_in_guest=1'
    """
    said = HOST.complete(settings)
    changed = [f"{name}={text_of(said[name])}" for name, usual in HOST.defaults.items() if said[name] != usual]
    return " ".join(changed) or ALL_DEFAULTS


def read_state(text: str) -> dict[str, Value]:
    """Return all settings that a state stands for; what it does not name has its default.

    ValueError names what is not allowed, and what is.

    >>> from kvmlab import panels
    >>> panels.read_state("vcpus=7 hlt_in_guest=1")["vcpus"]
    7
    """
    if not isinstance(text, str):
        raise refusal("state", text, "text such as vcpus=7 hlt_in_guest=1")
    parts = [part for part in BLANKS.split(text) if part]
    if not parts:
        raise refusal("state", Quoted(text), f"name=value, such as vcpus=7, or {ALL_DEFAULTS}")
    changed: dict[str, Value] = {}
    for part in [] if parts == [ALL_DEFAULTS] else parts:
        name, sign, value = part.partition("=")
        if not sign:
            raise refusal("state", Quoted(part), "name=value, such as vcpus=7")
        if name not in HOST.controls:
            raise refusal("state: control", Quoted(name), f"one of {', '.join(HOST.controls)}")
        if name in changed:
            raise refusal("state", Quoted(part), f"the only value of {name}")
        changed[name] = value_of(name, value)
    return {**HOST.defaults, **changed}


def value_of(name: str, text: str) -> Value:
    """Return the value of a control that some text of a state stands for."""
    values = HOST.controls[name].values
    for value in values:
        if text_of(value) == text:
            return value
    raise refusal(f"state: {name}", Quoted(text), f"one of {', '.join(map(text_of, values))}")


class Quoted(str):
    """A piece of a state, which an error quotes as the browser does."""

    def __repr__(self) -> str:
        return f'"{self}"' if len(self) <= LONGEST_QUOTE else f'"{self[:LONGEST_QUOTE]}..."'
