"""One simulation and its result: exits as perf prints them, latency, disturbance, placement, housekeeping load."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kvmlab.engine import execute
from kvmlab.engine.layout import Tables
from kvmlab.model.draws import HIST_BINS
from kvmlab.model.names import EXITS, PLACES, SVM_EXITS, Exit, State
from kvmlab.results import until_end
from kvmlab.results.chrome_trace import write_chrome_trace
from kvmlab.results.exit_table import ExitRecords, perf_table
from kvmlab.results.latency import Bins, histogram_table, latency_row, percentile
from kvmlab.results.perf_text import perf_text
from kvmlab.results.stats import PERCENTILES
from kvmlab.results.timeline import TraceSteps, timeline_table, trace_table
from kvmlab.scenario import checks
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

CSV_TABLES = (
    "exits",
    "latency",
    "latency_histogram",
    "disturbance",
    "host_cpu",
    "placement",
    "housekeeping",
    "timeline",
)
"""What `Run.to_csv` writes."""
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.3g} of {total:.3g} s of simulated time [{elapsed}<{remaining}]"
"""How tqdm shows how far a run is."""


class Run:
    """The result of one simulation, as `simulate` returns it. Tables are made when asked for, once.

    - what it cost: `exits`, `exits_of`, `fastpath_exits`, `kvm_stat`, `disturbance`, `host_cpu`, `housekeeping`
    - how late the guest was served: `latency`, `latency_histogram`, `latency_percentile`
    - who fired: `placement`, `fired_on`
    - step by step: `trace`, `timeline`
    - all in one line: `summary`; for other tools: `to_perf_kvm_stat`, `to_csv`, `to_chrome_trace`

    >>> import kvmlab as kl
    >>> run = kl.simulate(kl.Scenario(kl.Host(), kl.Guest(hlt_in_guest=True), kernel="v5.18", duration_s=0.1))
    >>> run.placement["expiries"].idxmax()
    'housekeeping posted'
    """

    def __init__(self, scenario: Scenario, machine: Tables, duration_ns: int) -> None:
        self.scenario = scenario
        """What was simulated."""
        self.machine = machine
        """The machine's tables after the run."""
        self.duration_ns = duration_ns
        """Simulated time: the scenario's, or less if every guest stopped before."""

    # --- what was counted, as the model left it ---

    @functools.cached_property
    def vcpu_names(self) -> list[str]:
        """Names of the vCPUs in order: guest/number."""
        return [f"{guest.name}/{i}" for guest in self.scenario.guests for i in range(guest.vcpus)]

    @functools.cached_property
    def exit_rows(self) -> ExitRecords:
        """Raw counts of exits, shape (vCPUs, reasons): EXIT records, times in ns."""
        rows: ExitRecords = self.machine.exits.reshape(-1, len(EXITS))
        return rows

    @functools.cached_property
    def histograms(self) -> Bins:
        """Raw counts of latencies, shape (vCPUs, bins)."""
        bins: Bins = self.machine.histogram.reshape(-1, HIST_BINS)
        return bins

    @functools.cached_property
    def place_rows(self) -> np.ndarray:
        """Raw counts of expiries, shape (vCPUs, places)."""
        rows: np.ndarray = self.machine.places.reshape(-1, len(PLACES))
        return rows

    @property
    def trace_steps(self) -> TraceSteps:
        """The steps that were kept: STEP records."""
        steps: TraceSteps = self.machine.trace[: self.machine.loop["trace_used"][0]]
        return steps

    @property
    def exit_names(self) -> Sequence[str]:
        """What this host's vendor calls the exits, in the order of `EXITS`."""
        return SVM_EXITS if self.scenario.host.vendor == "amd" else EXITS

    # --- exits ---

    @functools.cached_property
    def exits(self) -> pd.DataFrame:
        """Exits of all vCPUs, as ``perf kvm stat report`` lists them.

        Index VM-EXIT (VMX names, on AMD SVM names), most frequent first. Columns: Samples (count), Samples% and Time%
        (of all that are listed), Min Time, Max Time, Avg time (us from kvm_exit to kvm_entry: host time, for HLT with
        the time asleep), +-% (relative standard error of the mean).
        """
        return self.exit_table(self.exit_rows)

    def exits_of(self, vcpu: int) -> pd.DataFrame:
        """Return the table of `exits` for one vCPU, by its number from 0; ValueError if there is no such vCPU."""
        return self.exit_table(self.exit_rows[[checks.whole("vcpu", vcpu, 0, len(self.exit_rows) - 1)]])

    def exit_table(self, rows: ExitRecords) -> pd.DataFrame:
        """Sum EXIT records, shape (vCPUs, reasons), into a table like `exits`."""
        counted = {name: rows[:, i] for i, name in enumerate(self.exit_names) if rows["count"][:, i].any()}
        return perf_table(counted)

    @functools.cached_property
    def fastpath_exits(self) -> int:
        """How many of the exits were dealt with in the fast path."""
        return int(self.exit_rows["fast"].sum())

    @functools.cached_property
    def kvm_stat(self) -> dict[str, int]:
        """KVM's own counters of the same run: exits, irq_exits, halt_exits.

        From v5.8 to v6.3 the kernel leaves fast-path exits out of ``exits``. v6.4 counts them (commit 8b703a49c9df),
        and so do stable updates of 6.1 and 5.15. Recorded: 5.10 does not, 6.1.176 does.
        """
        count = self.exit_rows["count"].sum(axis=0)
        hidden = 0 if self.scenario.kernel.counts_fastpath_exits else self.fastpath_exits
        return {
            "exits": int(count.sum()) - hidden,
            "irq_exits": int(count[Exit.EXTERNAL_INTERRUPT]),
            "halt_exits": int(count[Exit.HLT]),
        }

    @functools.cached_property
    def disturbance(self) -> pd.DataFrame:
        """What the guest lost to exits, one row per vCPU.

        Columns: share_taken (of the time the guest did not idle; from leaving the guest to being back in it, the time
        asleep excluded), lost_us (the same as a time), longest_gap_us (the longest single gap that the guest came back
        from). What is under way when the run ends counts up to there.
        """
        import pandas as pd

        vcpus = self.machine.vcpus
        awake = np.maximum(1, self.duration_ns - until_end.idle_ns(vcpus, self.duration_ns))
        lost = until_end.lost_ns(vcpus, self.duration_ns)
        return pd.DataFrame(
            {
                "share_taken": lost / awake,
                "lost_us": lost / 1e3,
                "longest_gap_us": vcpus["gap_max"] / 1e3,
            },
            index=pd.Index(self.vcpu_names, name="vCPU"),
        )

    @functools.cached_property
    def host_cpu(self) -> pd.DataFrame:
        """How much of a host CPU each vCPU's thread takes, as top shows it, one row per vCPU.

        Columns, each a share of the time: host_cpu (the thread has its pCPU: guest mode, exits, and halt polling),
        halt_polling (part of that: it polls after a HLT exit, kvm.halt_poll_ns), asleep (it does not: it sleeps, or
        another task runs). A guest that keeps its HLT or MWAIT has its pCPU all the time.

        >>> import kvmlab as kl
        >>> halts = kl.Guest(workload=kl.Workload(tick_hz=0, timer_us=100, idle_us=1))
        >>> runs = [kl.simulate(kl.Scenario(kl.Host(halt_poll_us=us), halts, duration_s=0.1)) for us in (0, 200)]
        >>> [bool(run.host_cpu["host_cpu"].iloc[0] > 0.9) for run in runs]
        [False, True]
        """
        import pandas as pd

        vcpus = self.machine.vcpus
        blocked = np.where(vcpus["state"] == State.BLOCKED, self.duration_ns - vcpus["blocked_at"], 0)
        polling = np.minimum(np.maximum(0, blocked), vcpus["halt_poll_ns"])
        polled = vcpus["polled_ns"] + polling
        away = vcpus["boot"] + vcpus["away_ns"] + blocked - polling
        there = np.clip(self.duration_ns - away, 0, self.duration_ns)
        duration = max(1, self.duration_ns)
        return pd.DataFrame(
            {"host_cpu": there / duration, "halt_polling": polled / duration, "asleep": 1 - there / duration},
            index=pd.Index(self.vcpu_names, name="vCPU"),
        )

    # --- latency ---

    @functools.cached_property
    def latency(self) -> pd.DataFrame:
        """Deadline -> guest handler, one row per vCPU, in ns.

        Columns: count, mean, min, p50, p99, p99.9, max. Percentiles come from bins 1/64 wide (0.8 % off at most); the
        others are exact. A vCPU without a timer interrupt has count 0 and NaN.
        """
        import pandas as pd

        rows = [latency_row(vcpu, bins) for vcpu, bins in zip(self.machine.vcpus, self.histograms, strict=True)]
        return pd.DataFrame(rows, index=pd.Index(self.vcpu_names, name="vCPU"))

    @functools.cached_property
    def latency_histogram(self) -> pd.DataFrame:
        """Latencies of all vCPUs together. Columns: low_ns, high_ns (a bin's edges, the upper excluded), count."""
        return histogram_table(self.histograms.sum(axis=0))

    def latency_percentile(self, share: float) -> float:
        """Return the latency in ns that a `share` (0 to 1) of all timer interrupts does not exceed; NaN without any.

        Raises ValueError for what is no share.
        """
        share = checks.number("share", share, 0, 1)
        return percentile(self.histograms.sum(axis=0), share, int(self.machine.vcpus["lat_max"].max()))

    # --- who fired ---

    @functools.cached_property
    def placement(self) -> pd.DataFrame:
        """Where expiries found the vCPU, and their outcome. Columns: expiries (count), share (of all).

        Rows: hv; own pCPU (hrtimer there, an exit); housekeeping posted (no exit); housekeeping kicked (an exit);
        not in guest (blocked, in the host or preempted: no exit of its own); at arm (already due when armed).
        """
        import pandas as pd

        count = self.place_rows.sum(axis=0)
        index = pd.Index(PLACES, name="place")
        return pd.DataFrame({"expiries": count, "share": count / max(1, count.sum())}, index=index)

    @functools.cached_property
    def fired_on(self) -> pd.Series:
        """How many LAPIC hrtimers each pCPU fired (apic_timer_fn ran there). Index: pCPU."""
        import pandas as pd

        pcpus = self.machine.pcpus
        return pd.Series(pcpus["fired"], index=pd.Index(pcpus["index"], name="pCPU"), name="timers_fired")

    @functools.cached_property
    def housekeeping(self) -> pd.DataFrame:
        """What LAPIC timers cost the housekeeping CPUs, one row per CPU.

        Columns: timers_fired (count), share_of_time (from 0 to 1: spent on them, with waiting for deadlines and with
        spurious interrupts), deepest_queue (timers served in one interrupt, the host's own included), latest_us (the
        most that one had to wait before it was served), spurious_interrupts (count: interrupts of the CPU's event timer
        that found nothing due, since another CPU had taken the timer out that it was set for).
        """
        import pandas as pd

        pcpus = self.machine.pcpus[list(self.scenario.host.timer_housekeeping)]
        return pd.DataFrame(
            {
                "timers_fired": pcpus["fired"],
                "share_of_time": until_end.timer_busy_ns(pcpus, self.duration_ns) / max(1, self.duration_ns),
                "deepest_queue": pcpus["queue_max"],
                "latest_us": pcpus["late_max"] / 1e3,
                "spurious_interrupts": pcpus["spurious"],
            },
            index=pd.Index(pcpus["index"], name="pCPU"),
        )

    # --- step by step ---

    @functools.cached_property
    def trace(self) -> pd.DataFrame:
        """The first steps of the run (`Scenario.trace_steps`). Columns: time_ns, pcpu, vcpu (-1: none), step, arg."""
        return trace_table(self.trace_steps)

    @functools.cached_property
    def timeline(self) -> pd.DataFrame:
        """Spans of the first steps, in order. Columns: start_ns, end_ns, lane, what, flow.

        Lanes: "vCPU n" (what: guest, or an exit's reason while the host handles it) and "pCPU n" (what: hrtimer, while
        it runs host timers; post). flow: two rows with one number, 0 or more, are the ends of an arrow from a post to
        the guest's handler; -1 without.
        """
        return timeline_table(self.trace_steps, self.exit_names)

    # --- all of it ---

    def summary(self) -> dict[str, Any]:
        """Return the figures that runs are compared by: counts, latencies in ns, gaps in us, shares from 0 to 1."""
        count = self.exit_rows["count"].sum(axis=0)
        vcpus, places = self.machine.vcpus, self.placement["share"]
        seconds = max(1, self.duration_ns) / 1e9
        return {
            "exits": int(count.sum()),
            **{name: int(n) for name, n in zip(EXITS, count, strict=True)},
            "exits_per_vcpu_second": float(count.sum() / seconds / len(vcpus)),
            "latency_mean_ns": float(vcpus["lat_sum"].sum() / max(1, vcpus["lat_n"].sum())),
            **{f"latency_{name}_ns": self.latency_percentile(share) for name, share in PERCENTILES.items()},
            "latency_max_ns": int(vcpus["lat_max"].max()),
            "share_taken": float(self.disturbance["share_taken"].mean()),
            "longest_gap_us": float(self.disturbance["longest_gap_us"].max()),
            **{f"{place} share": float(places[place]) for place in PLACES},
            "host_cpu": float(self.host_cpu["host_cpu"].sum()),
            "halt_polling": float(self.host_cpu["halt_polling"].sum()),
            "housekeeping_share": float(self.housekeeping["share_of_time"].max()),
        }

    def to_perf_kvm_stat(self) -> str:
        """Return the exits as text, as ``perf kvm stat report`` prints them."""
        return perf_text(self.exits)

    def to_csv(self, folder: str | Path) -> list[Path]:
        """Write each table of `CSV_TABLES` as a CSV file into `folder`, which is made if need be; return the paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name in CSV_TABLES:
            paths.append(folder / f"{name}.csv")
            getattr(self, name).to_csv(paths[-1])
        return paths

    def to_chrome_trace(self, path: str | Path | None = None) -> dict[str, Any]:
        """Return the timeline as Chrome trace JSON, which the Perfetto UI opens; written to `path` if one is given."""
        return write_chrome_trace(self.timeline, path)


def simulate(scenario: Scenario, *, plain: bool | None = None, progress: bool = False) -> Run:
    """Run a scenario and return what came out. The same scenario gives the same result everywhere.

    - `plain`: True keeps to plain Python, where None takes WebAssembly if it is there; the result is the same.
    - `progress`: show a bar of the simulated time.

    A run can be interrupted (Ctrl-C, a notebook's stop button); KeyboardInterrupt then says how far it was. Raises
    ValueError if `scenario` is no Scenario.

    >>> import kvmlab as kl
    >>> run = kl.simulate(kl.Scenario(kl.Host(), kl.Guest(), kernel="v5.2", duration_s=0.5))
    >>> run.exits.index[0]
    'MSR_WRITE'
    """
    checks.instance("scenario", scenario, Scenario)
    machine = execute.machine(scenario, plain=None if plain is None else checks.flag("plain", plain))
    with bar_of_time(scenario, checks.flag("progress", progress)) as reached:
        try:
            duration_ns = execute.run(machine, scenario.duration_ns, reached)
        except KeyboardInterrupt as stop:
            stop.add_note(
                f"simulate: stopped at {machine.now() / 1e9:g} of {scenario.duration_s:g} s of simulated time."
            )
            raise
    return Run(scenario, machine.tables(), duration_ns)


@contextlib.contextmanager
def bar_of_time(scenario: Scenario, shown: bool) -> Iterator[Callable[[int], object]]:
    """Show a bar of simulated time under the kernel's name, if it is wanted; yield what is told the time (ns)."""
    if not shown:
        yield lambda now: None
        return
    from tqdm.auto import tqdm

    with tqdm(desc=scenario.kernel.name, total=scenario.duration_s, bar_format=BAR) as bar:
        yield lambda now: bar.update(now / 1e9 - bar.n)
