"""One timer: its life step by step, on three lanes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.shell import AnyControl, Frame, Panel, checkbox
from kvmlab.lab.style import BLUE
from kvmlab.lab.widgets import Choice, Slider
from kvmlab.lab.words import duration
from kvmlab.model.names import TIMER_MODES
from kvmlab.results.follow import PCPUS, VCPU_STATES, follow_timer
from kvmlab.results.story import Step, Story

LANES = ("the guest", "the vCPU's pCPU", "the housekeeping CPU")
STEP_SLOTS = 24
"""Steps that the picture has room for before they move closer together."""
MOST_STEPS = STEP_SLOTS + 8
LEFT, WIDTH, HEIGHT, TOP, GAP = 215, 900, 270, 46, 70
"""Of the picture, in its own units: where the lanes begin, its size, the first lane, and from lane to lane."""
AHEAD = "white"
BEHIND = "#9ecae1"
"""The steps after the current one, and those before."""
TIMES_NS = [0, 500, *(step * 10**power for power in range(3, 11) for step in (1, 2, 5)), 10**11]

Points = Sequence[tuple[float, int]]


def timer_svg(story: Story, shown: int) -> str:
    """Return the steps of a story on three lanes as SVG, in order; the one numbered `shown` is filled and named."""
    slot = (WIDTH - LEFT - 20) / max(STEP_SLOTS, len(story.timeline))
    points = [(LEFT + 14 + i * slot, TOP + LANES.index(step.where) * GAP) for i, step in enumerate(story.timeline)]
    summary = escape(story.summary(), quote=True)
    parts = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{summary}">',
        lanes_svg(),
        steps_svg(points, shown),
        name_svg(story.timeline[shown], points[shown]),
        "</svg>",
    )
    return "".join(parts)


def lanes_svg() -> str:
    """Return the lanes and their names."""
    parts = []
    for lane, name in enumerate(LANES):
        y = TOP + lane * GAP
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y}" y2="{y}" stroke="#999"/>')
        parts.append(f'<text x="{LEFT - 12}" y="{y + 5}" text-anchor="end" font-size="15">{name}</text>')
    return "".join(parts)


def steps_svg(points: Points, shown: int) -> str:
    """Return a dot per step, and the way to the one that is shown."""
    trail = " ".join(f"{x:.1f},{y}" for x, y in points[: shown + 1])
    parts = [f'<polyline points="{trail}" fill="none" stroke="{BLUE}" stroke-width="2"/>']
    for i, (x, y) in enumerate(points):
        fill = BLUE if i == shown else BEHIND if i < shown else AHEAD
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="{9 if i == shown else 6}" fill="{fill}" stroke="{BLUE}"/>')
    return "".join(parts)


def name_svg(step: Step, point: tuple[float, int]) -> str:
    """Return the name of a step beside its dot, and its sentence below all lanes."""
    x, y = point
    anchor = "start" if x < 400 else "end"
    return (
        f'<text x="{x:.1f}" y="{y - 16}" text-anchor="{anchor}" font-size="17" font-family="monospace">'
        f"{escape(step.function)}</text>"
        f'<text x="{LEFT}" y="250" font-size="17">{step.time_ns / 1e3:.2f} us: {escape(step.sentence)}</text>'
    )


def draw_timer(step: int, **options: Any) -> Frame:
    """Show one step, from 0, of one timer's story; `options` are those of `follow_timer`."""
    story = follow_timer(**options)
    shown = min(step, len(story.timeline) - 1)
    now = story.timeline[shown]
    sentence = (
        f"Step {shown + 1} of {len(story.timeline)}, {now.where}, {now.function}: {now.sentence} "
        f"In the end {story.summary()}"
    )
    return Frame(sentence, html=timer_svg(story, shown))


def timer_panel() -> Panel:
    """Return a panel that follows one timer: choose kernel, host and guest, then step through its life and back.

    Settings: options of `kvmlab.follow_timer` (times in ns), and step, from 0.

    >>> from kvmlab import panels
    >>> panel = panels.timer_panel()
    >>> panel.settings = {"kernel": "v5.2", "step": 3}
    """
    controls: dict[str, AnyControl] = {
        "kernel": Choice("kernel", list(KERNELS), "v5.13"),
        "pcpu": Choice("the vCPU's pCPU is", PCPUS, "isolated"),
        "vcpu_at_expiry": Choice("at expiry the vCPU is (in)", VCPU_STATES, "guest"),
        "timer_mode": Choice("timer mode", TIMER_MODES, "tsc_deadline"),
        "pi_inject_timer": checkbox("pi_inject_timer", True),
        "apicv_active": checkbox("apicv_active", True),
        "hv_timer": checkbox("the preemption timer exists", True),
        "hlt_in_guest": checkbox("hlt_in_guest", False),
        "mwait_in_guest": checkbox("mwait_in_guest", False),
        "timer_migration": checkbox("timer_migration", True),
        "deadline_ns": Slider("deadline, from the guest's write", TIMES_NS, 2_000_000, duration),
        "housekeeping_next_event_ns": Slider("housekeeping CPU's next event", TIMES_NS, 1_000_000, duration),
        "step": Slider("step", range(MOST_STEPS), 0, lambda i: str(i + 1)),
    }
    return Panel(controls, draw_timer, height=300, still_settings={"step": MOST_STEPS - 1})
