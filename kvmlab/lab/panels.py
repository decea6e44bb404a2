"""Panels: controls, a picture that follows them, and a sentence that says what is to be seen. One line in a notebook.

Each panel is built once; a control that moves sends one new value to the screen. A callback reads only its arguments,
and what goes wrong in it is shown to the reader.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from html import escape
from typing import Any

import ipywidgets as widgets

from kvmlab import policy as policies
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.lab.charts import Bars, Chart, DisturbanceBars, ExitBars, Latencies, Ledger, LoadBars, PlaceBars, exit_rate
from kvmlab.lab.plots import names_of
from kvmlab.lab.plots.picture import image_html, small_png
from kvmlab.lab.widgets import Choice, Control, Screen, Slider
from kvmlab.model.machine import EXITS, TIMER_MODES
from kvmlab.policy import REVISIONS, Policy, VcpuFacts
from kvmlab.results.follow import PCPUS, VCPU_STATES, follow_timer
from kvmlab.results.run import Run, simulate
from kvmlab.results.story import Story
from kvmlab.scenario.scenario import HOUSEKEEPING_LOADS, Guest, Host, Scenario, Workload
from kvmlab.scenario.variants import variant

MACHINERY = "v5.18"
"""The panels change the policy only; everything else is this kernel's."""
MAX_EXPIRIES = 6_000
"""What one move of a control may simulate, all policies together: more would be felt."""
LONGEST_S = 2.0
STILL_COLOURS = 48


@dataclass(frozen=True)
class Frame:
    """What a panel shows: an image (`source`, a data URL, with its size and `alt`) or `html`, and a sentence."""

    sentence: str
    html: str = ""
    source: str = ""
    width: int = 0
    height: int = 0
    alt: str = ""


class Panel(widgets.VBox):
    """Controls by name, and a screen. `settings` is what the controls say; setting it moves them."""

    still_settings: Mapping[str, Any] = {}
    """What a picture of the panel shows otherwise than the panel does."""

    def __init__(self, controls: Mapping[str, Any], draw: Callable[..., Frame], height: int = 0) -> None:
        self.controls = dict(controls)
        self.draw = draw
        self.screen = Screen(height=height, shown={})
        self.serial = 0
        self.error: Exception | None = None
        self.busy = False
        box = widgets.GridBox(
            list(self.controls.values()),
            layout={"grid_template_columns": "repeat(auto-fit, minmax(330px, 1fr))", "grid_gap": "2px 24px"},
        )
        super().__init__([box, self.screen])
        for control in self.controls.values():
            control.observe(self._moved, "index" if isinstance(control, Control) else "value")
        self.refresh()

    def __repr__(self) -> str:
        return f"Panel: {self.screen.shown['sentence']}"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and for a page without a kernel a picture of it."""
        bundle = super()._repr_mimebundle_(**kwargs)
        shown = (
            asdict(self.draw(**{**self.settings, **self.still_settings})) if self.still_settings else self.screen.shown
        )
        said = {name: control for name, control in self.controls.items() if name not in self.still_settings}
        return {**bundle, "text/html": still(shown, said)}

    @property
    def settings(self) -> dict[str, Any]:
        """What each control says."""
        return {name: control.value for name, control in self.controls.items()}

    @settings.setter
    def settings(self, values: Mapping[str, Any]) -> None:
        unknown = set(values) - set(self.controls)
        if unknown:
            raise ValueError(f"settings: {sorted(unknown)} are no controls; allowed: {', '.join(self.controls)}")
        self.busy = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self.busy = False
            self.refresh()

    def _moved(self, change: Any) -> None:
        if not self.busy:
            self.refresh()

    def refresh(self) -> None:
        """Show what the controls say: one message to the browser."""
        self.serial += 1
        self.error = None
        try:
            shown = asdict(self.draw(**self.settings))
        except Exception as error:  # a reader must see it; a test must fail on it (`Panel.error`)
            self.error = error
            shown = {**self.screen.shown, "error": f"{type(error).__name__}: {error}"}
        else:
            shown["error"] = ""
        self.screen.shown = {**shown, "serial": self.serial}


def still(shown: Mapping[str, Any], controls: Mapping[str, Any]) -> str:
    """A panel as it stands, for an exported page: picture, sentence, and what the controls say."""
    picture = shown["html"] or still_image(shown)
    said = "; ".join(
        f"{getattr(control, 'label', '') or control.description}: {setting_text(control)}"
        for control in controls.values()
    )
    return (
        f"{picture}<p>{escape(shown['sentence'])}</p>"
        f"<p><em>A picture of the panel; it moves in JupyterLab. It is set to: {escape(said)}.</em></p>"
    )


def still_image(shown: Mapping[str, Any]) -> str:
    """The image of a panel with few colours, to keep notebooks small."""
    drawn = io.BytesIO(base64.b64decode(shown["source"].partition(",")[2]))
    return image_html(small_png(drawn, STILL_COLOURS), shown["alt"], shown["width"])


def setting_text(control: Any) -> str:
    """What a control says, as the reader sees it."""
    if isinstance(control, Control):
        return control.texts[control.index]
    return {True: "yes", False: "no"}.get(control.value, str(control.value))


def checkbox(label: str, value: bool) -> widgets.Checkbox:
    """A switch; its label is its accessible name."""
    return widgets.Checkbox(value, description=label, indent=False, style={"description_width": "initial"})


# --- the policies -----------------------------------------------------------------------------------------------------


def term_html(text: str, holds: bool) -> str:
    """One term: true or false by sign, word and colour."""
    colour, sign = ("#005a3c", "✓") if holds else ("#a40000", "✗")
    code = f'<code style="color:inherit">{escape(text)}</code>'
    return f'<span style="color:{colour};white-space:nowrap">{sign} {code}</span>'


def policy_row(name: str, facts: VcpuFacts, hv_timer: bool) -> tuple[bool, bool, str]:
    """One revision's decision: may post, may use the preemption timer, and its row of the table."""
    can_post = policies.POLICIES[name](facts)
    can_hv = policies.can_use_hv_timer(facts, can_post, hv_timer)
    terms = " && ".join(term_html(text, holds(facts)) for text, holds in policies.terms(policies.POLICIES[name]))
    answers = "".join(f"<td>{'yes' if answer else 'no'}</td>" for answer in (can_post, can_hv))
    return can_post, can_hv, f"<tr><th scope='row'>{name}</th><td>{terms}</td>{answers}</tr>"


def draw_policy(hv_timer: bool, **facts: bool) -> Frame:
    """What each revision decides for these facts."""
    v = VcpuFacts(**facts)
    rows = {name: policy_row(name, v, hv_timer) for name in REVISIONS}
    head = "<tr><th scope='col'>revision</th><th scope='col'>may post if</th><th scope='col'>may post</th>"
    head += "<th scope='col'>may use the preemption timer</th></tr>"
    table = f"<table>{head}{''.join(row for *_, row in rows.values())}</table>"
    posting = [name for name, (can_post, *_) in rows.items() if can_post]
    using = [name for name, (_, can_hv, _) in rows.items() if can_hv]
    sentence = (
        f"{names_of(posting) if posting else 'No revision'} may post; "
        f"{names_of(using) if using else 'none'} may use the preemption timer."
    )
    return Frame(sentence[0].upper() + sentence[1:], html=table)


def policy_panel() -> Panel:
    """Five switches (and whether there is a preemption timer): what each revision decides, term by term."""
    defaults = {"pi_inject_timer": True, "apicv_active": True}
    controls = {name: checkbox(name, defaults.get(name, False)) for name in VcpuFacts._fields}
    return Panel({**controls, "hv_timer": checkbox("the preemption timer exists", True)}, draw_policy, height=220)


# --- one timer --------------------------------------------------------------------------------------------------------

LANES = ("the guest", "the vCPU's pCPU", "the housekeeping CPU")
STEP_SLOTS = 24


def timer_svg(story: Story, shown: int) -> str:
    """The steps of a story on three lanes, in order; the current one filled and named."""
    left, width, top, gap = 215, 900, 46, 70
    steps = story.timeline
    slot = (width - left - 20) / max(STEP_SLOTS, len(steps))
    parts = [f'<svg viewBox="0 0 {width} 270" role="img" aria-label="{escape(story.summary(), quote=True)}">']
    for lane, name in enumerate(LANES):
        y = top + lane * gap
        parts.append(f'<line x1="{left}" x2="{width - 10}" y1="{y}" y2="{y}" stroke="#999"/>')
        parts.append(f'<text x="{left - 12}" y="{y + 5}" text-anchor="end" font-size="15">{name}</text>')
    points = [(left + 14 + i * slot, top + LANES.index(step.where) * gap) for i, step in enumerate(steps)]
    trail = " ".join(f"{x:.1f},{y}" for x, y in points[: shown + 1])
    parts.append(f'<polyline points="{trail}" fill="none" stroke="#0072B2" stroke-width="2"/>')
    for i, (x, y) in enumerate(points):
        fill = "#0072B2" if i == shown else "#9ecae1" if i < shown else "white"
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="{9 if i == shown else 6}" fill="{fill}" stroke="#0072B2"/>')
    step, (x, y) = steps[shown], points[shown]
    anchor = "start" if x < 400 else "end"
    parts.append(f'<text x="{x:.1f}" y="{y - 16}" text-anchor="{anchor}" font-size="17" font-family="monospace">')
    parts.append(f"{escape(step.function)}</text>")
    parts.append(f'<text x="{left}" y="250" font-size="17">{step.time_ns / 1e3:.2f} us: {escape(step.sentence)}</text>')
    return "".join([*parts, "</svg>"])


def draw_timer(step: int, **options: Any) -> Frame:
    """One step of one timer's story."""
    story = follow_timer(**options)
    shown = min(step, len(story.timeline) - 1)
    now = story.timeline[shown]
    sentence = (
        f"Step {shown + 1} of {len(story.timeline)}, {now.where}, {now.function}: {now.sentence} "
        f"In the end {story.summary()}"
    )
    return Frame(sentence, html=timer_svg(story, shown))


def time_text(ns: int) -> str:
    """A time for a slider."""
    unit, name = next((unit, name) for unit, name in ((1e9, "s"), (1e6, "ms"), (0, "us")) if ns >= unit)
    return f"{ns / (unit or 1e3):g} {name}"


def timer_panel() -> Panel:
    """Follow one timer: choose kernel, host and guest, then step through its life, forward and back."""
    times = [0, 500, *(step * 10**power for power in range(3, 11) for step in (1, 2, 5)), 10**11]
    controls = {
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
        "deadline_ns": Slider("deadline, from the guest's write", times, 2_000_000, time_text),
        "housekeeping_next_event_ns": Slider("housekeeping CPU's next event", times, 1_000_000, time_text),
        "step": Slider("step", range(STEP_SLOTS + 8), 0, lambda i: str(i + 1)),
    }
    panel = Panel(controls, draw_timer, height=300)
    panel.still_settings = {"step": controls["step"].values[-1]}
    return panel


# --- many timers ------------------------------------------------------------------------------------------------------

PLACES_OF_VCPUS = {"isolated pCPUs": "isolated", "housekeeping pCPUs": "housekeeping"}
GUESTS: dict[str, dict[str, Any]] = {
    "works all the time": {"idle_us": 0.0},
    "polls between bursts": {"idle_us": 200.0, "busy_us": 100.0, "waits_by": "spin"},
    "halts between bursts": {"idle_us": 200.0, "busy_us": 100.0, "waits_by": "hlt"},
}
CONTROLS: dict[str, Callable[[], Any]] = {
    "vcpus": lambda: Slider("vCPUs", range(1, 17), 4),
    "tick_hz": lambda: Slider("guest's tick", (100, 250, 500, 1000, 2000, 4000), 1000, "{} Hz".format),
    "housekeeping_cpus": lambda: Slider("housekeeping CPUs", range(1, 9), 1),
    "housekeeping": lambda: Choice("housekeeping CPUs are", HOUSEKEEPING_LOADS, "ticking"),
    "housekeeping_timer_us": lambda: Slider(
        "their own timers' period", (20, 50, 100, 200, 500, 1000), 100, "{} us".format
    ),
    "hz": lambda: Slider("host's tick", (100, 250, 300, 1000), 250, "{} Hz".format),
    "guest": lambda: Choice("the guest", list(GUESTS), "works all the time"),
    "vcpus_on": lambda: Choice("vCPUs run on", list(PLACES_OF_VCPUS), "isolated pCPUs"),
    "hlt_in_guest": lambda: checkbox("HLT does not exit (hlt_in_guest)", False),
    "mwait_in_guest": lambda: checkbox("MWAIT does not exit (mwait_in_guest)", False),
    "pi_inject_timer": lambda: checkbox("pi_inject_timer", True),
    "apicv": lambda: checkbox("APICv", True),
    "preemption_timer": lambda: checkbox("preemption timer", True),
    "timer_migration": lambda: checkbox("timer_migration", True),
    "device_irq_hz": lambda: Slider("device interrupts", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "other_exit_hz": lambda: Slider("other exits", (0, 100, 1000, 5000, 20000), 0, "{} /s".format),
    "seed": lambda: Slider("seed", range(20), 0),
}
"""Every control of the panels that simulate, by the name of what it sets."""


def scenario_of(settings: Mapping[str, Any]) -> Scenario:
    """The scenario that the controls say; what a panel does not show keeps the control's default."""
    v = {**defaults(), **settings}
    vcpus, spare = v["vcpus"], v["housekeeping_cpus"]
    on_housekeeping = PLACES_OF_VCPUS[v["vcpus_on"]] == "housekeeping"
    first = spare + vcpus if on_housekeeping else spare
    host = Host(
        pcpus=first + vcpus,
        isolated=tuple(range(spare, spare + vcpus)),
        housekeeping=v["housekeeping"],
        housekeeping_timer_us=v["housekeeping_timer_us"],
        loaded=tuple(range(spare)),
        hz=v["hz"],
        apicv=v["apicv"],
        preemption_timer=v["preemption_timer"],
        pi_inject_timer=v["pi_inject_timer"],
        timer_migration=v["timer_migration"],
    )
    guest = Guest(
        vcpus=vcpus,
        pcpus=tuple(range(first, first + vcpus)),
        hlt_in_guest=v["hlt_in_guest"],
        mwait_in_guest=v["mwait_in_guest"],
        workload=Workload(
            tick_hz=v["tick_hz"],
            nohz_idle=False,
            device_irq_hz=v["device_irq_hz"],
            other_exit_hz=v["other_exit_hz"],
            **GUESTS[v["guest"]],
        ),
    )
    return Scenario(host, (guest,), kernel=KERNELS[MACHINERY], seed=v["seed"], trace_steps=0)


@cache
def defaults() -> dict[str, Any]:
    """What every control says at first."""
    return {name: make().value for name, make in CONTROLS.items()}


def affordable(scenario: Scenario, policies_run: int) -> tuple[Scenario, str]:
    """The scenario for as long as can be simulated without being felt, and a remark if that is short of LONGEST_S."""
    rate = sum(
        g.vcpus * (g.workload.tick_hz + g.workload.device_irq_hz + g.workload.other_exit_hz) for g in scenario.guests
    )
    if scenario.host.housekeeping == "timers":
        rate += len(scenario.host.loaded_cpus) * 1e6 / scenario.host.housekeeping_timer_us / 3
    seconds = min(LONGEST_S, MAX_EXPIRIES / max(1.0, rate * policies_run))
    remark = f" Simulated for {seconds:.2g} s, to keep up with the controls." if seconds < LONGEST_S else ""
    return replace(scenario, duration_s=seconds), remark


def run_all(scenario: Scenario, choices: Sequence[str | Kernel | Policy]) -> tuple[dict[str, Run], str]:
    """The same world under each policy; and the remark on how long it was simulated."""
    short, remark = affordable(scenario, len(choices))
    kernels = [variant(short.kernel, choice) for choice in choices]
    return {kernel.name: simulate(replace(short, kernel=kernel)) for kernel in kernels}, remark


def total_rate(run: Run) -> float:
    """Exits a second and vCPU."""
    return sum(exit_rate(run, reason) for reason in EXITS)


def figures(values: Mapping[str, float], unit: str) -> str:
    """Names with their values: "rev1 1,036, rev3 2,000 exits"."""
    return f"{', '.join(f'{name} {value:,.4g}' for name, value in values.items())} {unit}"


def frame(chart: Chart, runs: Mapping[str, Run], sentence: str, subject: str) -> Frame:
    """A chart's picture with its texts."""
    width, height = chart.size
    return Frame(sentence, source=chart.png(runs), width=width, height=height, alt=f"{subject}: {sentence}")


def simulation_panel(
    names: Sequence[str],
    chart: Chart,
    say: Callable[[Mapping[str, Run]], str],
    subject: str,
    choices: Sequence[str | Kernel | Policy] = REVISIONS,
) -> Panel:
    """A panel with some of CONTROLS that runs every policy and draws the chart."""

    def draw(**settings: Any) -> Frame:
        runs, remark = run_all(scenario_of(settings), choices)
        return frame(chart, runs, say(runs) + remark, subject)

    return Panel({name: CONTROLS[name]() for name in names}, draw, height=chart.size[1])


def axes_at(chart: Chart, left: float, bottom: float, width: float, height: float) -> Any:
    """Axes at a fixed place, so that no layout is computed when something moves."""
    return chart.figure.add_axes((left, bottom, width, height))


def legend(chart: Chart, bars: Bars) -> None:
    """Name the revisions, once for the whole chart."""
    handles = [bars.bars[bars.categories[0], name] for name in bars.names]
    chart.figure.legend(handles, bars.names, loc="upper right", ncols=len(bars.names), fontsize=12, frameon=False)


def exits_panel() -> Panel:
    """How many VM exits each revision costs."""
    chart = Chart(10, 5.2)
    bars = ExitBars(axes_at(chart, 0.24, 0.12, 0.73, 0.74), REVISIONS)
    legend(chart, bars)
    chart.pieces = [bars]

    def say(runs: Mapping[str, Run]) -> str:
        return f"Exits a second and vCPU: {figures({n: total_rate(r) for n, r in runs.items()}, '')}".strip() + "."

    names = ["vcpus", "tick_hz", "housekeeping", "hz", "guest", "vcpus_on", "hlt_in_guest", "pi_inject_timer"]
    return simulation_panel(names, chart, say, "VM exits by reason and revision")


def jitter_panel() -> Panel:
    """How late timer interrupts come under each revision, and how much of the guests' time exits take."""
    chart = Chart(11, 5.2)
    chart.pieces = [
        Latencies(axes_at(chart, 0.08, 0.13, 0.44, 0.78), REVISIONS),
        DisturbanceBars(axes_at(chart, 0.69, 0.13, 0.29, 0.78), REVISIONS),
    ]

    def say(runs: Mapping[str, Run]) -> str:
        late = {name: run.latency_percentile(0.99) / 1e3 for name, run in runs.items()}
        taken = {name: 1000 * float(run.disturbance["share_taken"].mean()) for name, run in runs.items()}
        return (
            f"99 of 100 timer interrupts come within, in us: {figures(late, '').strip()}; exits take, in "
            f"thousandths of the guests' time: {figures(taken, '').strip()}."
        )

    names = ["vcpus", "tick_hz", "housekeeping_cpus", "housekeeping", "guest", "hlt_in_guest", "other_exit_hz"]
    return simulation_panel(names, chart, say, "Latency of timer interrupts by revision")


def housekeeping_panel() -> Panel:
    """How many housekeeping CPUs, and what they do: watch the offload refuse, then reinforce itself."""
    chart = Chart(11, 5.2)
    places = PlaceBars(axes_at(chart, 0.21, 0.13, 0.31, 0.74), ("rev1", "rev3"))
    legend(chart, places)
    chart.pieces = [places, LoadBars(axes_at(chart, 0.61, 0.13, 0.36, 0.74), ("rev1", "rev3"), 8)]

    def say(runs: Mapping[str, Run]) -> str:
        run = runs["rev1"]
        posted = 100 * float(run.placement["share"]["housekeeping posted"])
        load = run.housekeeping["share_of_time"]
        return (
            f"Under rev1 {posted:.1f} % of the timers are posted; the busiest housekeeping CPU, CPU {load.idxmax()}, "
            f"spends {100 * load.max():.2f} % of its time on them."
        )

    names = ["vcpus", "tick_hz", "housekeeping_cpus", "housekeeping", "housekeeping_timer_us", "hz", "hlt_in_guest"]
    return simulation_panel(names, chart, say, "Where timers fired, and the housekeeping CPUs' load", ("rev1", "rev3"))


def compare_panel() -> Panel:
    """Two revisions on the same draws: which exits the second saves, which it adds."""
    chart = Chart(10, 5.2)
    chart.pieces = [Ledger(axes_at(chart, 0.24, 0.13, 0.73, 0.78))]
    names = ["vcpus", "tick_hz", "housekeeping", "guest", "vcpus_on", "hlt_in_guest", "mwait_in_guest"]
    controls = {
        "first": Choice("first", REVISIONS, "rev1"),
        "second": Choice("second", REVISIONS, "rev3"),
        **{name: CONTROLS[name]() for name in names},
    }

    def draw(first: str, second: str, **settings: Any) -> Frame:
        runs, remark = run_all(scenario_of(settings), (first, second))
        pair = {"first": runs[first], "second": runs[second]}
        change = total_rate(pair["second"]) - total_rate(pair["first"])
        late = [run.latency_percentile(0.99) / 1e3 for run in pair.values()]
        sentence = (
            f"Going from {first} to {second} changes the exits by {change:+,.0f} a second and vCPU, and the 99th "
            f"percentile of latency from {late[0]:.2f} to {late[1]:.2f} us.{remark}"
        )
        return frame(chart, pair, sentence, "Exit ledger")

    return Panel(controls, draw, height=chart.size[1])


# --- the lab ----------------------------------------------------------------------------------------------------------

PRESETS: dict[str, dict[str, Any]] = {
    "dedicated instance": {"hlt_in_guest": True},
    "mixed host": {"vcpus_on": "housekeeping pCPUs", "housekeeping_cpus": 2},
    "DPDK-like poller": {"guest": "polls between bursts", "housekeeping": "timers"},
    "cpu-pm guest on housekeeping CPUs": {
        "vcpus_on": "housekeeping pCPUs",
        "hlt_in_guest": True,
        "mwait_in_guest": True,
        "guest": "halts between bursts",
    },
    "database with halts": {"guest": "halts between bursts", "device_irq_hz": 1000},
}


class Lab(widgets.VBox):
    """Every control, presets, and a state that can be shared as a string."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.preset = Choice("preset", list(PRESETS), "dedicated instance")
        self.shared = widgets.Text(state_text(panel.settings), description="state", continuous_update=False)
        self.following = False
        super().__init__([widgets.HBox([self.preset, self.shared]), panel])
        self.preset.observe(lambda change: self.choose(self.preset.value), "index")
        self.shared.observe(lambda change: self.restore(change["new"]), "value")
        panel.screen.observe(lambda change: self.follow(), "shown")
        self.choose(self.preset.value)

    def __repr__(self) -> str:
        return repr(self.panel)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and for a page without a kernel a picture of its panel."""
        html = self.panel._repr_mimebundle_(**kwargs)["text/html"]
        return {**super()._repr_mimebundle_(**kwargs), "text/html": html}

    def choose(self, preset: str) -> None:
        """Set all controls as a preset says."""
        self.panel.settings = {**defaults(), **PRESETS[preset]}

    def follow(self) -> None:
        """Keep the state string in step with the controls."""
        self.following = True
        self.shared.value = state_text(self.panel.settings)
        self.following = False

    def restore(self, text: str) -> None:
        """Set all controls as a state string says; a string that is none shows why and changes nothing."""
        if self.following:
            return
        try:
            self.panel.settings = read_state(text)
        except ValueError as error:
            self.panel.screen.shown = {**self.panel.screen.shown, "error": str(error)}


def state_text(settings: Mapping[str, Any]) -> str:
    """The settings as a string that `read_state` restores: what differs from the defaults, in URL-safe base64."""
    changed = {name: value for name, value in settings.items() if value != defaults()[name]}
    return base64.urlsafe_b64encode(json.dumps(changed, separators=(",", ":")).encode()).decode()


def read_state(text: str) -> dict[str, Any]:
    """All settings that a state string stands for; ValueError says what is wrong with it."""
    try:
        changed = json.loads(
            base64.urlsafe_b64decode(
                text.strip().encode("ascii"),
            )
        )
    except ValueError as error:
        raise ValueError(
            f"state: {text[:40]!r} is no state ({error}); allowed: what a lab shows as its state"
        ) from None
    if not isinstance(changed, dict):
        raise ValueError(f"state: {text[:40]!r} holds no settings; allowed: what a lab shows as its state")
    for name, value in changed.items():
        control = CONTROLS[name]() if name in CONTROLS else None
        if control is None:
            raise ValueError(f"state: {name!r} is no setting; allowed: {', '.join(CONTROLS)}")
        try:
            control.value = value
        except Exception as error:
            raise ValueError(f"state: {name} = {value!r} does not fit: {error}") from None
    return {**defaults(), **changed}


def lab_panel(my_policy: Policy | None = None) -> Lab:
    """Every control at once; with a reader's own policy it runs beside the revisions.

    ValueError if the policy fails on any of the 32 inputs.
    """
    if my_policy is not None:
        policies.table_bits(my_policy)
    choices: tuple[Any, ...] = REVISIONS if my_policy is None else (*REVISIONS, my_policy)
    names = [*REVISIONS] + ([] if my_policy is None else [variant(KERNELS[MACHINERY], my_policy).name])
    chart = Chart(11.5, 6.2)
    bars = ExitBars(axes_at(chart, 0.2, 0.11, 0.35, 0.78), names)
    chart.pieces = [bars, Latencies(axes_at(chart, 0.63, 0.11, 0.35, 0.78), names)]

    def say(runs: Mapping[str, Run]) -> str:
        late = {name: run.latency_percentile(0.99) / 1e3 for name, run in runs.items()}
        return (
            f"Exits a second and vCPU: {figures({n: total_rate(r) for n, r in runs.items()}, '').strip()}; "
            f"99 of 100 timer interrupts come within, in us: {figures(late, '').strip()}."
        )

    return Lab(simulation_panel(list(CONTROLS), chart, say, "Exits and latency by policy", choices))


# --- predict, then see ------------------------------------------------------------------------------------------------


class Prediction(widgets.VBox):
    """A question, a guess to commit to, and the answer with how far off the guess was."""

    def __init__(self, question: str, guess: Any, answer: Callable[[], Any], say: Callable[[Any, Any], str]) -> None:
        self.guess = guess
        self.answer = answer
        self.say = say
        self.button = widgets.Button(description="Commit and reveal")
        self.screen = Screen(shown={"sentence": "", "error": "", "serial": 0})
        text = widgets.HTML(
            f"<p style='font-size:15px;line-height:1.4'><strong>Predict:</strong> {escape(question)}</p>"
        )
        super().__init__([text, guess, self.button, self.screen])
        self.button.on_click(lambda button: self.reveal())

    def __repr__(self) -> str:
        return f"Prediction: {self.screen.shown['sentence'] or 'not revealed yet'}"

    def reveal(self) -> None:
        """Show the answer beside the guess; the guess stays as it was committed."""
        try:
            sentence, error = self.say(self.guess.value, self.answer()), ""
        except Exception as failure:  # shown to the reader, like a panel's
            sentence, error = "", f"{type(failure).__name__}: {failure}"
        if not error:
            self.guess.disabled = self.button.disabled = True
        self.screen.shown = {"sentence": sentence, "error": error, "serial": self.screen.shown["serial"] + 1}


def off_by(guess: float, answer: float, unit: str) -> str:
    """How far a guessed number was off, in words."""
    if guess == answer:
        return f"You said {guess:g} {unit}, and it is {answer:g} {unit}."
    way = "above" if guess > answer else "below"
    share = f", {abs(guess - answer) / abs(answer):.0%} of it" if answer else ""
    return f"You said {guess:g} {unit}; it is {answer:g} {unit}: your guess is {abs(guess - answer):g} {way}{share}."


def predict(
    question: str,
    answer: Any,
    *,
    between: tuple[float, float] | None = None,
    choices: Sequence[str] = (),
    unit: str = "",
) -> Prediction:
    """Let the reader commit to a guess before the answer is shown.

    `answer`: the value, or a function that is called when the reader asks. Give either `between` (a slider of 101
    positions) or `choices`. ValueError if neither or both are given.
    """
    compute = answer if callable(answer) else lambda: answer
    if (between is None) == (not choices):
        raise ValueError("between, choices: give one of the two; allowed: between=(low, high) or choices=[...]")
    if between is None:
        options = Choice("your guess", list(choices), choices[0])
        return Prediction(
            question,
            options,
            compute,
            lambda guess, true: f"You said {guess}; {'right' if guess == true else f'it is {true}'}.",
        )
    low, high = between
    values = [low + (high - low) * i / 100 for i in range(101)]
    slider = Slider("your guess", values, values[50], lambda x: f"{x:g} {unit}".strip())
    return Prediction(question, slider, compute, lambda guess, true: off_by(guess, true, unit))
