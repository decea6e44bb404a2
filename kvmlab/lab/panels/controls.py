"""What a control of a panel is: a name, the values it can take, and what the reader sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kvmlab.scenario.checks import refusal

Value = bool | int | float | str
"""What a control can be set to."""
Settings = Mapping[str, Value]
"""What the controls of a panel say, by their names."""


class Need(NamedTuple):
    """What a control's effect depends on: unless it is met, nothing that a panel shows changes with the control."""

    any_of: tuple[tuple[str, tuple[Value, ...]], ...]
    """Other controls, each with some of its values: one of them has to have one of these. None: it is never met."""
    why: str
    """Why there is no effect where it is not met, for the reader."""
    revisions_only: bool = False
    """It holds for the revisions; a reader's own policy may see a difference."""

    def met(self, settings: Settings) -> bool:
        """Return True if all settings meet it."""
        return any(settings[name] in values for name, values in self.any_of)


@dataclass(frozen=True)
class Control:
    """One control: one of a list of values."""

    label: str
    kind: str
    """"slider", "buttons", "choice" or "switch"."""
    values: tuple[Value, ...]
    default: Value
    texts: tuple[str, ...]
    """What the reader sees of each value."""
    needs: tuple[Need, ...] = ()
    """All of them have to be met for the control to have an effect."""

    def check(self, name: str, value: object) -> None:
        """Raise ValueError if the control called `name` cannot be set to `value`."""
        if not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in self.values):
            raise refusal(name, value, f"one of {', '.join(map(str, self.values))}")

    def to_dict(self) -> dict[str, Any]:
        """Return the control as the browser gets it."""
        return {
            "label": self.label,
            "kind": self.kind,
            "values": list(self.values),
            "texts": list(self.texts),
            "default": self.default,
            "needs": [need._asdict() for need in self.needs],
        }


def slider(
    label: str,
    values: Sequence[int],
    default: int,
    text: Callable[[int], str] = str,
    needs: tuple[Need, ...] = (),
) -> Control:
    """Return a slider over numbers; `text` makes of a number what the reader sees."""
    return Control(label, "slider", tuple(values), default, tuple(map(text, values)), needs)


def choice(label: str, texts: Mapping[str, str] | Sequence[str], default: str, kind: str = "choice") -> Control:
    """Return a choice between names; `texts`: the names, or what the reader sees of each. `kind`: or "buttons"."""
    shown = texts if isinstance(texts, Mapping) else dict(zip(texts, texts, strict=True))
    return Control(label, kind, tuple(shown), default, tuple(shown.values()))


def switch(label: str, default: bool, needs: tuple[Need, ...] = ()) -> Control:
    """Return a switch."""
    return Control(label, "switch", (False, True), default, ("no", "yes"), needs)
