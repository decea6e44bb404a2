"""What a control of a panel is: a name, the values it can take, and what the reader sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = bool | int | float | str
"""What a control can be set to."""
Settings = Mapping[str, Value]
"""What the controls of a panel say, by their names."""


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
    needs: tuple[str, tuple[Value, ...], str] | None = None
    """Another control, the values of it with which this one has an effect, and why, for a reader: "only if ..."."""

    def check(self, name: str, value: object) -> None:
        """Raise ValueError if the control called `name` cannot be set to `value`."""
        if not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in self.values):
            raise ValueError(
                f"settings: {name} = {value!r} is not possible; allowed: {', '.join(map(repr, self.values))}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the control as the browser gets it."""
        return {
            "label": self.label,
            "kind": self.kind,
            "values": list(self.values),
            "texts": list(self.texts),
            "default": self.default,
            "needs": None if self.needs is None else [self.needs[0], list(self.needs[1]), self.needs[2]],
        }


def slider(
    label: str,
    values: Sequence[int],
    default: int,
    text: Callable[[int], str] = str,
    needs: tuple[str, tuple[Value, ...], str] | None = None,
) -> Control:
    """Return a slider over numbers; `text` makes of a number what the reader sees."""
    return Control(label, "slider", tuple(values), default, tuple(map(text, values)), needs)


def choice(label: str, texts: Mapping[str, str] | Sequence[str], default: str, kind: str = "choice") -> Control:
    """Return a choice between names; `texts`: the names, or what the reader sees of each. `kind`: or "buttons"."""
    shown = texts if isinstance(texts, Mapping) else dict(zip(texts, texts, strict=True))
    return Control(label, kind, tuple(shown), default, tuple(shown.values()))


def switch(label: str, default: bool) -> Control:
    """Return a switch."""
    return Control(label, "switch", (False, True), default, ("no", "yes"))
