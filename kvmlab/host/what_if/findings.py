"""What a prediction rests on, in sentences."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Findings:
    """Sentences on what is known, assumed, and cannot be known; each step of `what_if` adds its own."""

    first: list[str] = field(default_factory=list)
    """What has to be read before any number: where the recording and what is assumed do not go together."""
    known: list[str] = field(default_factory=list)
    """What the recording shows."""
    assumed: list[str] = field(default_factory=list)
    """What was taken for granted."""
    cannot: list[str] = field(default_factory=list)
    """What such a recording cannot show, and over which range it was varied."""
