"""What would each revision do on a host that was recorded? Costs and workload are fitted, the unknown is varied.

The recorded host is rebuilt as a scenario: the costs of its exits from the table, its timers, idleness and other exits
from the counts. Each revision is then run in several worlds: a central one, and others in which one thing that the
recording does not tell is at the end of its range. What comes out is a range, and what it rests on, in sentences.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any

from kvmlab import kernels
from kvmlab.host.explain import SVM_EXITS, Explanation, explain, fate
from kvmlab.host.timers import HLT_EXITS, IRQ_EXITS, MWAIT_EXITS, TMICT, WRITE_EXITS
from kvmlab.kernels import Kernel
from kvmlab.policy import REVISIONS, Policy
from kvmlab.results.run import Run, simulate
from kvmlab.scenario import checks
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.distribution import ShiftedLognormal
from kvmlab.scenario.published import PublishedRow, fit
from kvmlab.scenario.scenario import Guest, Host, Scenario, Workload
from kvmlab.scenario.variants import variant

if TYPE_CHECKING:
    import pandas as pd

MORE_THAN_TICKS_HZ = 2000
"""More hrtimers a second than a CPU's tick makes (CONFIG_HZ is 1000 at most)."""
FEW_SAMPLES = 10
"""A row with fewer is too little to fit a cost to."""
RATES_HZ = (100.0, 1000.0, 4000.0)
"""Timers a second and vCPU where a table does not say how long it took: low, central, high."""
MOST_VCPUS = 8
TIMERS_A_RUN = 2000
LONGEST_S, SHORTEST_S = 20.0, 0.02
WRITES, IRQS, HALTS, PREEMPTION = "writes", "interrupts", "halts", "PREEMPTION_TIMER"
MSR_TITLE = "MSR Access"
TIMER_MSRS = frozenset({"0x6e0:W", "0x838:W"})
"""Rows of perf's MSR table that arm the timer: TSC-deadline, and x2APIC's initial count."""
HANDLED = {"EXTERNAL_INTERRUPT": "external_interrupt", "interrupt": "external_interrupt", "PAUSE_INSTRUCTION": "pause"}
"""Rows that are one step of the model's."""
QUANTITIES = {
    "exits": "1/s a vCPU",
    "MSR_WRITE": "1/s a vCPU",
    "PREEMPTION_TIMER": "1/s a vCPU",
    "EXTERNAL_INTERRUPT": "1/s a vCPU",
    "HLT": "1/s a vCPU",
    "expiry exits": "% of timers",
    "posted": "% of timers",
    "time taken from the guest": "%",
    "latency p50": "us",
    "latency p99": "us",
    "busiest housekeeping CPU": "%",
}
"""What is said of each revision, and its unit."""


@dataclass(frozen=True)
class Range:
    """A number that is known between two bounds."""

    low: float
    central: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.central <= self.high:
            raise ValueError(f"range: {self.low!r}, {self.central!r}, {self.high!r} are not in order")


@dataclass(frozen=True)
class Measured:
    """What a recording says of the host: per vCPU and second, where it says so."""

    seconds: float
    """How long it took; made up from a rate where `rate_is_assumed`."""
    vcpus: int
    timers: Range
    """Timers that expired, over all."""
    writes: float
    """Writes that exit, those that do not arm a timer that expires included."""
    timer_mode: str
    halts: float
    halt_us: float
    """How long a halt lasts, on average."""
    host_irqs: float
    other_exits: float
    costs: Costs
    rate_is_assumed: bool
    housekeeping_us: float | None = None
    """Period of the timers that a housekeeping CPU was seen to have of its own; None: not seen."""

    def spare_writes_hz(self, timers: float, factor: float) -> float:
        """How often a vCPU writes without arming one of so many timers."""
        return self.per_second(max(0.0, self.writes - timers)) * factor

    def per_second(self, count: float) -> float:
        """A count as a rate, a second and vCPU."""
        return count / self.seconds / self.vcpus


@dataclass
class Sentences:
    """What is known, assumed, and can't be known."""

    known: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    cannot: list[str] = field(default_factory=list)


class WhatIf:
    """What each revision would do on the recorded host."""

    def __init__(self, name: str, measured: Measured, table: pd.DataFrame, says: Sentences, runs: int) -> None:
        self.name = name
        """What was read."""
        self.measured = measured
        """The host as it was understood."""
        self.table = table
        """One row a revision and quantity. Columns: revision, quantity, low, central, high, unit."""
        self.known = tuple(says.known)
        """What the recording says, in sentences."""
        self.assumed = tuple(says.assumed)
        """What was taken for granted."""
        self.cannot_be_known = tuple(says.cannot)
        """What such a recording can't tell, and over which range it was varied."""
        self.runs = runs
        """How many runs it took."""

    @property
    def wide(self) -> pd.DataFrame:
        """The table for reading: a row a revision, a column a quantity, cells "central (low to high)"."""
        cells = self.table.assign(
            cell=[shown(*row) for row in self.table[["low", "central", "high"]].to_numpy(float)],
            column=self.table["quantity"] + ", " + self.table["unit"],
        )
        order = list(dict.fromkeys(cells["column"]))
        wide = cells.pivot(index="revision", columns="column", values="cell")
        return wide.loc[list(dict.fromkeys(self.table["revision"])), order].rename_axis(columns=None)

    def of(self, revision: str, quantity: str) -> Range:
        """One number with its range."""
        checks.choice("revision", revision, dict.fromkeys(self.table["revision"]))
        checks.choice("quantity", quantity, dict.fromkeys(self.table["quantity"]))
        rows = self.table[(self.table["revision"] == revision) & (self.table["quantity"] == quantity)]
        [(low, central, high)] = rows[["low", "central", "high"]].to_numpy(float)
        return Range(float(low), float(central), float(high))

    def summary(self) -> str:
        """The table and the sentences as text."""
        lines = [f"{self.name}: what each revision would do ({self.runs} runs; central, and low to high)", ""]
        lines += [self.wide.T.to_string(), ""]
        for title, sentences in self._sentences():
            lines += [f"{title}:", *(f"  {sentence}" for sentence in sentences)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        rows = self.table.astype(object)
        return {
            "name": self.name,
            "runs": self.runs,
            "table": rows.where(rows.notna(), None).to_dict("records"),
            "known": list(self.known),
            "assumed": list(self.assumed),
            "cannot_be_known": list(self.cannot_be_known),
        }

    def _sentences(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield "Known", self.known
        yield "Assumed", self.assumed
        yield "Cannot be known from this", self.cannot_be_known

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        caption = f"{self.name}: what each revision would do there. Simulated; central value (low to high)."
        parts = [f"<p style='text-align:left'>{escape(caption)}</p>", self.wide.T.to_html(border=0)]
        for title, sentences in self._sentences():
            points = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
            parts.append(f"<p style='text-align:left'><b>{title}</b></p><ul>{points}</ul>")
        return "".join(parts)


def shown(low: float, central: float, high: float) -> str:
    """A range in a cell."""
    if math.isnan(central):
        return "-"
    middle = f"{central:,.4g}" if abs(central) < 1000 else f"{central:,.0f}"
    ends = [f"{end:,.3g}" if abs(end) < 1000 else f"{end:,.0f}" for end in (low, high)]
    return middle if ends[0] == ends[1] else f"{middle} ({ends[0]} to {ends[1]})"


# From a recording to what is measured.


def counts_of(table: pd.DataFrame) -> dict[str, int]:
    """Samples by what they are: writes, interrupts, halts, PREEMPTION_TIMER, and every other row by its name."""
    counts: dict[str, int] = {}
    if table.index.name == MSR_TITLE:
        arms = [int(samples) for name, samples in table["Samples"].items() if str(name) in TIMER_MSRS]
        return {WRITES: sum(arms)}
    for name, samples in table["Samples"].items():
        row = str(name)
        kind = WRITES if row in WRITE_EXITS - {"EPT_MISCONFIG"} else IRQS if row in IRQ_EXITS else row
        kind = HALTS if row in HLT_EXITS | MWAIT_EXITS else kind
        counts[kind] = counts.get(kind, 0) + int(samples)
    return counts


def fitted_costs(table: pd.DataFrame, says: Sentences, *, fast: bool) -> Costs:
    """The default costs, with those that the table has rows for fitted to it.

    `fast`: the host's writes and preemption timer exits took the fast path. The other path is shifted by the published
    difference.
    """
    costs, fitted = Costs.default(), []
    for name, row in table.iterrows():
        dist = row_cost(str(name), row)
        if dist is None:
            continue
        steps = steps_of(str(name), fast)
        if steps:
            fitted.append(str(name))
            costs = with_cost(costs, steps, dist)
    if fitted:
        says.known.append(f"What an exit costs the host: fitted to the rows {', '.join(fitted)}.")
    says.assumed.append("Every other cost is the course's own (data/costs.toml): another machine's.")
    return costs


def steps_of(row: str, fast: bool) -> tuple[str, ...]:
    """The model's steps that a row of the table tells of: the path taken, then the other one."""
    if row in ("MSR_WRITE", "msr"):
        return ("msr_write_fastpath", "msr_write") if fast else ("msr_write", "msr_write_fastpath")
    if row == "PREEMPTION_TIMER":
        both = ("preemption_timer_fastpath", "preemption_timer")
        return both if fast else both[::-1]
    return (HANDLED[row],) if row in HANDLED else ()


def row_cost(name: str, row: pd.Series) -> ShiftedLognormal | None:
    """The cost that fits a row; None where the row is too small or has no times."""
    average, least, most, spread = (float(str(row[name])) for name in ("Avg time", "Min Time", "Max Time", "+-%"))
    samples = int(float(str(row["Samples"])))
    if samples < FEW_SAMPLES or not 0 < average < 1e6 or name in HLT_EXITS:
        return None
    # Perf before 3.13 prints no minimum, and its browser no spread.
    least = min(average, 0.6 * average if math.isnan(least) else least)
    spread = 100 / math.sqrt(samples) if math.isnan(spread) else spread
    return fit(PublishedRow("", name, samples, 0.0, 0.0, least, most, average, spread, "yours"))


def with_cost(costs: Costs, steps: Sequence[str], dist: ShiftedLognormal) -> Costs:
    """`costs` with the first step as fitted, and the second as far from it as by default."""
    changes = {steps[0]: dist}
    for other in steps[1:]:
        by = getattr(costs, other).mean_ns - getattr(costs, steps[0]).mean_ns
        shift = max(0.0, dist.shift_ns + by)
        changes[other] = ShiftedLognormal(shift, max(shift, dist.mean_ns + by), dist.sd_ns)
    return replace(costs, **changes)


def measured_from(
    e: Explanation, says: Sentences, seconds: float | None, vcpus: int | None, rate_hz: float | None
) -> Measured:
    """Read off how many timers there were, what else happened, and what it cost."""
    counts = counts_of(e.exits)
    vcpus = vcpus or e.vcpus or 1
    timers, own_irqs = timers_in_table(counts, says) if e.table is not None else timers_in_trace(e, says)
    if timers.central <= 0:
        raise ValueError(f"{e.name}: nothing that arms a timer was found; expected MSR_WRITE exits, or kvm_msr events")
    took = seconds or e.seconds
    assumed_rate = not took
    if not took:
        took = timers.central / (rate_hz or RATES_HZ[1]) / vcpus
        if rate_hz is None:
            says.cannot.append(
                f"How long the recording took: varied, as if each vCPU had {RATES_HZ[0]:g}, {RATES_HZ[1]:g} (central) "
                f"or {RATES_HZ[2]:g} timers a second. Say seconds= or timer_hz=."
            )
    host_irqs = max(0.0, counts.get(IRQS, 0) - own_irqs)
    others = {name: n for name, n in counts.items() if name not in (WRITES, IRQS, HALTS, PREEMPTION)}
    other = sum(others.values()) + max(0.0, counts.get(WRITES, 0) - timers.central)
    halts = counts.get(HALTS, 0)
    halt_us = halt_length_us(e.exits)
    says.known.append(what_else(halts, host_irqs, other))
    fast = counts.get(PREEMPTION, 0) > 0
    return Measured(
        seconds=float(took),
        vcpus=vcpus,
        timers=timers,
        writes=float(counts.get(WRITES, 0)),
        timer_mode=timer_mode_of(e),
        halts=halts,
        halt_us=halt_us,
        host_irqs=host_irqs,
        other_exits=other,
        costs=fitted_costs(e.exits, says, fast=fast),
        rate_is_assumed=assumed_rate and rate_hz is None,
        housekeeping_us=housekeeping_period_us(e, says),
    )


def housekeeping_period_us(e: Explanation, says: Sentences) -> float | None:
    """How often a housekeeping CPU fires timers of its own, where they are in the recording and more than a tick."""
    hz = e.housekeeping_hrtimers_hz
    if hz is None or hz < MORE_THAN_TICKS_HZ:
        return None
    says.known.append(f"A pCPU without a vCPU fires {hz:,.0f} hrtimers of its own a second: a busy housekeeping CPU.")
    return min(1e6, max(5.0, 1e6 / hz))


def what_else(halts: float, host_irqs: float, other: float) -> str:
    """What happened besides timers."""
    others = f"{host_irqs:.0f} interrupts that are not the timer's, {other:.0f} other exits"
    return f"Besides timers: {halts:.0f} halts, {others}."


def halt_length_us(table: pd.DataFrame) -> float:
    """The average of the HLT row: host time, and for HLT that is the time asleep."""
    rows = [row for name, row in table.iterrows() if str(name) in HLT_EXITS]
    return max(0.0, float(str(rows[0]["Avg time"]))) if rows else 0.0


def timers_in_table(counts: Mapping[str, int], says: Sentences) -> tuple[Range, float]:
    """How many timers a table may hold, and how many of its interrupts may be theirs."""
    writes, hv, irqs = counts.get(WRITES, 0), counts.get(PREEMPTION, 0), counts.get(IRQS, 0)
    if counts.keys() == {WRITES}:
        says.known.append(f"{writes} writes armed the timer, or disarmed it.")
        says.cannot.append("What an MSR table leaves out: halts, interrupts, other exits; none are simulated.")
        return Range(writes, writes, writes), 0.0
    halts = counts.get(HALTS, 0)
    # A guest that halts writes its timer to stop its tick and to start it again, too: few of its writes may expire.
    central = min(writes, hv + irqs + halts) if halts else writes
    least = min(central, max(hv, central // 2))
    says.known.append(f"At most {writes} timers were armed: so many writes exited, EOI and ICR writes among them.")
    if hv:
        says.known.append(f"At least {hv} timers expired by the preemption timer.")
    says.cannot.append(
        f"How many of the {writes} writes arm a timer that expires: varied from {least} to {central} (central), at "
        "most all. An MSR table (perf kvm stat report --event=msr) would tell how many arm one."
    )
    # With the preemption timer in use, no interrupt is the guest's timer.
    own = 0.0 if hv else float(min(irqs, writes))
    if not hv and irqs:
        says.cannot.append(
            f"Which of the {irqs} interrupt exits are the guest's timers, and which the host's own: taken as timers as "
            "far as there are writes."
        )
    return Range(min(least, central), central, writes), own


def timers_in_trace(e: Explanation, says: Sentences) -> tuple[Range, float]:
    """How many timers of a trace expired, and how many interrupts they cost."""
    timers = [timer for timer in e.timers_kept if fate(timer) != "disarmed"]
    armed = sum(timer.arm_exit is not None for timer in timers)
    # One that was armed anew before it fired costs a write and no expiry; where nothing of it is visible, who knows.
    expired = [timer for timer in timers if timer.delivery is not None]
    count = len(expired) + sum(timer.backend is None and timer.delivery is None for timer in timers)
    says.known.append(
        f"{armed} timers were armed in {e.seconds or 0:.4g} s by {e.vcpus} vCPU(s), {len(expired)} expired."
    )
    ahead = [timer.fired_ns - timer.armed_ns for timer in expired if timer.fired_ns is not None]
    if ahead:
        says.known.append(f"Half of these were set less than {statistics.median(ahead) / 1e3:.4g} us ahead.")
    if expired:
        costly = 100 * sum(timer.expiry_exit is not None for timer in expired) / len(expired)
        posted = 100 * sum(timer.posted for timer in expired) / len(expired)
        says.known.append(f"There, {costly:.0f} % of expiries cost an exit, {posted:.0f} % were posted.")
    own = sum(timer.expiry_exit in IRQ_EXITS for timer in expired)
    return Range(count, count, count), float(own)


def timer_mode_of(e: Explanation) -> str:
    """The mode of most timers: periodic if they went on by themselves, one-shot if an initial count was written."""
    kinds = [
        "periodic" if t.arm_exit is None else "oneshot" if t.msr == TMICT else "tsc_deadline" for t in e.timers_kept
    ]
    return max(("tsc_deadline", "oneshot", "periodic"), key=kinds.count)


# From what is measured to worlds.


@dataclass(frozen=True)
class World:
    """One way the unknown may be."""

    name: str
    housekeeping: str
    timers: float
    rate: float
    """Factor on the measured rate of everything."""


def worlds_of(measured: Measured, housekeeping: str | None) -> list[World]:
    """The central world first, then each unknown at the ends of its range."""
    seen = "timers" if measured.housekeeping_us else None
    load = housekeeping or seen or "ticking"
    worlds = [World("central", load, measured.timers.central, 1.0)]
    if housekeeping is None and seen is None:
        worlds += [World(f"housekeeping {each}", each, measured.timers.central, 1.0) for each in ("idle", "timers")]
    if measured.timers.low < measured.timers.central:
        worlds.append(World("fewer timers", load, max(1.0, measured.timers.low), 1.0))
    if measured.rate_is_assumed:
        worlds += [
            World(f"{rate:g} timers a second", load, measured.timers.central, rate / RATES_HZ[1])
            for rate in (RATES_HZ[0], RATES_HZ[2])
        ]
    return worlds


def bursts_of(halts_hz: float, halt_us: float, timers_hz: float) -> tuple[float, float]:
    """Mean length in us of a burst of work and of the idleness after it, for so many halts a second, so long each.

    A timer that finds the guest idle wakes it, and it halts again: those halts end no burst.
    """
    if not halts_hz:
        return 0.0, 0.0
    idle_share = min(0.99, halts_hz * halt_us / 1e6) if halt_us else 0.5
    bursts_hz = halts_hz - idle_share * timers_hz
    if bursts_hz < 0.01 * halts_hz:
        return 0.0, 1.0  # it only waits for its timers
    return 1e6 * (1 - idle_share) / bursts_hz, 1e6 * idle_share / bursts_hz


def workload_of(measured: Measured, world: World, waits_by: str) -> Workload:
    """What each vCPU does in a world. Writes that do not arm the timer are other exits."""

    def rate(count: float) -> float:
        per_second = measured.per_second(count) * world.rate
        return min(1e5, per_second) if per_second >= checks.MIN_RATE else 0.0

    period_us = 1e6 / max(1e-2, rate(world.timers))
    busy_us, idle_us = bursts_of(rate(measured.halts), measured.halt_us, rate(world.timers))
    if not idle_us and waits_by != "spin":
        idle_us = 1.0
    spare = measured.timers.central - world.timers
    return Workload(
        tick_hz=0,
        timer_mode=measured.timer_mode,
        timer_us=min(1e8, max(10.0, period_us)),
        busy_us=busy_us,
        idle_us=idle_us,
        waits_by=waits_by,
        nohz_idle=False,
        other_exit_hz=rate(measured.other_exits + spare),
        host_irq_hz=rate(measured.host_irqs),
    )


def scenario_of(
    measured: Measured, world: World, host: dict[str, Any], guest: dict[str, Any], base: Kernel
) -> Scenario:
    """The recorded host in one world: its vCPUs, and one housekeeping CPU for all of them."""
    vcpus = min(measured.vcpus, MOST_VCPUS)
    isolated = host["isolated"]
    cpus = tuple(range(1, vcpus + 1))
    workload = workload_of(measured, world, guest["waits_by"])
    duration = TIMERS_A_RUN * (workload.timer_us or 1e3) / 1e6 / vcpus
    return Scenario(
        Host(
            pcpus=vcpus + 1,
            isolated=cpus if isolated else (),
            housekeeping=world.housekeeping,
            housekeeping_timer_us=measured.housekeeping_us or 100.0,
            apicv=host["apicv"],
            preemption_timer=host["preemption_timer"],
            pi_inject_timer=host["pi_inject_timer"],
            vendor=host["vendor"],
            tsc_ghz=host["tsc_ghz"],
        ),
        Guest(
            vcpus=vcpus,
            pcpus=cpus,
            hlt_in_guest=guest["hlt_in_guest"],
            mwait_in_guest=guest["mwait_in_guest"],
            workload=workload,
        ),  # type: ignore[arg-type]
        kernel=base,
        duration_s=min(LONGEST_S, max(SHORTEST_S, duration)),
        costs=measured.costs,
        trace_steps=0,
    )


def quantities(run: Run, spare_writes_hz: float) -> dict[str, float]:
    """What is said of one run. Writes beyond those that arm its timers were run as other exits."""
    s, places = run.summary(), run.placement
    vcpu_seconds = max(1e-9, run.duration_ns / 1e9 * len(run.vcpu_names))
    timers = max(1, int(places["expiries"].sum()))
    costly = places["expiries"][["hv", "own pCPU", "housekeeping kicked"]].sum()
    return {
        "exits": s["exits"] / vcpu_seconds,
        "MSR_WRITE": s["MSR_WRITE"] / vcpu_seconds + spare_writes_hz,
        **{name: s[name] / vcpu_seconds for name in ("PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT")},
        "expiry exits": 100 * costly / timers,
        "posted": 100 * places["expiries"]["housekeeping posted"] / timers,
        "time taken from the guest": 100 * s["share_taken"],
        "latency p50": s["latency_p50_ns"] / 1e3,
        "latency p99": s["latency_p99_ns"] / 1e3,
        "busiest housekeeping CPU": 100 * s["housekeeping_share"],
    }


def revision_rows(
    name: str, worlds: Sequence[tuple[Scenario, float]], kernel: Kernel, seeds: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Run one revision in every world and with every seed: the central world's median, and the extremes of all.

    `worlds`: scenarios, each with the rate of writes that do not arm its timers.
    """
    seeds = list(seeds)
    central: dict[str, list[float]] = {quantity: [] for quantity in QUANTITIES}
    every: dict[str, list[float]] = {quantity: [] for quantity in QUANTITIES}
    for number, (scenario, spare_hz) in enumerate(worlds):
        for seed in seeds:
            for quantity, value in quantities(simulate(scenario.replace(kernel=kernel, seed=seed)), spare_hz).items():
                every[quantity].append(value)
                if number == 0:
                    central[quantity].append(value)
    for quantity, unit in QUANTITIES.items():
        values = [value for value in every[quantity] if not math.isnan(value)]
        middle = statistics.median(central[quantity]) if central[quantity] else math.nan
        low, high = (min(values), max(values)) if values else (math.nan, math.nan)
        yield {"revision": name, "quantity": quantity, "low": low, "central": middle, "high": high, "unit": unit}


def what_if(
    recording: str | os.PathLike[str] | pd.DataFrame | Explanation,
    *,
    kernel: str | Kernel = "v5.18",
    revisions: Iterable[str | Policy] = REVISIONS,
    pi_inject_timer: bool = True,
    apicv_active: bool = True,
    hv_timer: bool | None = None,
    mwait_in_guest: bool = False,
    hlt_in_guest: bool | None = None,
    isolated: bool = True,
    housekeeping: str | None = None,
    seconds: float | None = None,
    timer_hz: float | None = None,
    vcpus: int | None = None,
    waits_by: str | None = None,
    tsc_ghz: float = 2.5,
    replications: int = 3,
) -> WhatIf:
    """Say what each revision would do on the host that a perf kvm stat table or a kvm trace was recorded on.

    `recording`: what `explain` takes, or an `Explanation`. `kernel`: whose machinery the revisions get (fast paths,
    unpinned hrtimers). `revisions`: names of policies, or functions of VcpuFacts.

    The host as you say it is: kvm.pi_inject_timer, APICv, a preemption timer (None: not on AMD), whether MWAIT and HLT
    stay in the guest (`hlt_in_guest` None: HLT exits), whether the vCPUs sit on isolated (nohz_full) pCPUs, what the
    housekeeping CPUs do ("idle", "ticking", "timers"; None: as recorded, else varied).
    `seconds`: how long a table took, or else `timer_hz`, timers a second and vCPU. `vcpus`: how many a table is of
    (None: 1). `waits_by`: how an idle guest waits ("hlt", "mwait", "pause", "spin"; None: "hlt" if it halts).

    Each revision is run `replications` times in each world. ValueError names what does not fit.
    """
    says = Sentences()
    e = recording if isinstance(recording, Explanation) else explain(recording)
    if seconds is not None:
        seconds = checks.number("seconds", seconds, 1e-6, 1e7, "s")
    if timer_hz is not None:
        timer_hz = checks.number("timer_hz", timer_hz, checks.MIN_RATE, 1e5, "Hz")
    if vcpus is not None:
        vcpus = checks.whole("vcpus", vcpus, 1, 100_000)
    measured = measured_from(e, says, seconds, vcpus, timer_hz)
    keeps_hlt = checks.flag("hlt_in_guest", False if hlt_in_guest is None else hlt_in_guest)
    if measured.halts and keeps_hlt:
        raise ValueError(
            f"hlt_in_guest: True does not fit: the recording has {measured.halts:.0f} exits of HLT or MWAIT"
        )
    waits = "hlt" if measured.halts else "spin"
    guest = {
        "hlt_in_guest": keeps_hlt,
        "mwait_in_guest": checks.flag("mwait_in_guest", mwait_in_guest),
        "waits_by": waits
        if waits_by is None
        else checks.choice("waits_by", waits_by, ("spin", "hlt", "mwait", "pause")),
    }
    amd = bool(SVM_EXITS & set(map(str, e.exits.index)))
    host = {
        "isolated": checks.flag("isolated", isolated),
        "apicv": checks.flag("apicv_active", apicv_active),
        "preemption_timer": checks.flag("hv_timer", not amd if hv_timer is None else hv_timer),
        "pi_inject_timer": checks.flag("pi_inject_timer", pi_inject_timer),
        "vendor": "amd" if amd else "intel",
        "tsc_ghz": tsc_ghz,
    }
    if housekeeping is not None:
        checks.choice("housekeeping", housekeeping, ("idle", "ticking", "timers"))
    base = kernels.find(kernel)
    chosen = [variant(base, each) for each in checks.several("revisions", revisions, "names of policies")]
    worlds = worlds_of(measured, housekeeping)
    scenarios = [
        (scenario_of(measured, world, host, guest, base), measured.spare_writes_hz(world.timers, world.rate))
        for world in worlds
    ]
    seeds = range(checks.whole("replications", replications, 1, 1000))
    rows = [row for each in chosen for row in revision_rows(each.name, scenarios, each, seeds)]
    say_the_rest(says, measured, host, guest, base, housekeeping)
    import pandas as pd

    runs = len(chosen) * len(worlds) * len(seeds)
    return WhatIf(e.name, measured, pd.DataFrame(rows), says, runs)


def say_the_rest(
    says: Sentences, measured: Measured, host: dict[str, Any], guest: dict[str, Any], base: Kernel, load: str | None
) -> None:
    """What was assumed about the host, and what nobody can tell."""
    words, stays = {True: "on", False: "off"}, {True: "stays in the guest", False: "exits"}
    where = "isolated (nohz_full)" if host["isolated"] else "housekeeping"
    says.assumed += [
        f"kvm.pi_inject_timer is {words[host['pi_inject_timer']]}, APICv is {words[host['apicv']]}, the preemption "
        f"timer is {words[host['preemption_timer']]}; {base.name}'s machinery under every revision.",
        f"vCPUs sit on {where} pCPUs, one each, and do not move; HLT {stays[guest['hlt_in_guest']]}, "
        f"MWAIT {stays[guest['mwait_in_guest']]}.",
        "Timers come at even distances, and the guest does the same whatever its exits cost.",
    ]
    if measured.vcpus > MOST_VCPUS:
        says.assumed.append(f"{MOST_VCPUS} of the {measured.vcpus} vCPUs are simulated, with one housekeeping CPU.")
    if load is None and measured.housekeeping_us is None:
        says.cannot.append(
            'What the housekeeping CPUs do: varied from "idle" over "ticking" (central) to a timer of their own every '
            "100 us. It decides whether a timer can leave an isolated CPU at all."
        )
    says.cannot.append("Latency as the guest sees it: the recording has host times only, so latencies are the model's.")
