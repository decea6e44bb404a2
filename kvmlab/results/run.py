"""What came out of a run: exits as perf prints them, latency, disturbance, placement, housekeeping load, timeline."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kvmlab.engine import execute, setup
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.model.machine import (
    EXITS,
    HIST_BINS,
    PLACES,
    SVM_EXITS,
    X_EXTERNAL_INTERRUPT,
    X_HLT,
    Machine,
    histogram_edges,
)
from kvmlab.model.trace import FAST, NAMES, T_ENTRY, T_EXIT, T_EXPIRED_POSTED, T_HANDLER, T_HRTIMER_INTERRUPT
from kvmlab.policy import Policy
from kvmlab.results import stats
from kvmlab.results.stats import PERCENTILES
from kvmlab.scenario import checks
from kvmlab.scenario.interval import Interval
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import numbered, variants

if TYPE_CHECKING:
    import pandas as pd

SHARES = tuple(PERCENTILES.values())


class Run:
    """The result of one simulation. Tables are made when asked for, once."""

    def __init__(self, scenario: Scenario, machine: Machine, duration_ns: int) -> None:
        self.scenario = scenario
        self.machine = machine
        self.duration_ns = duration_ns
        """Simulated time: the scenario's, or less if every guest stopped before."""

    @functools.cached_property
    def vcpu_names(self) -> list[str]:
        """Names of the vCPUs in order: guest/number."""
        return [f"{guest.name}/{i}" for guest in self.scenario.guests for i in range(guest.vcpus)]

    @functools.cached_property
    def exit_rows(self) -> np.ndarray:
        """Raw counts, shape (vCPUs, reasons): the EXIT records of machine.py, times in ns."""
        return self.machine.exits.reshape(-1, len(EXITS))  # type: ignore[no-any-return]

    @functools.cached_property
    def exits(self) -> pd.DataFrame:
        """Exits of all vCPUs, as ``perf kvm stat report`` lists them.

        Index VM-EXIT (VMX names, on AMD SVM names), most frequent first. Columns: Samples (count), Samples% and Time%
        (of all that are listed), Min Time, Max Time, Avg time (us from kvm_exit to kvm_entry: host time, for HLT with
        the time asleep), +-% (relative standard error of the mean).
        """
        return self.exit_table(self.exit_rows)

    def exits_of(self, vcpu: int) -> pd.DataFrame:
        """The same table for one vCPU, by number."""
        return self.exit_table(self.exit_rows[[checks.whole("vcpu", vcpu, 0, len(self.exit_rows) - 1)]])

    def exit_table(self, rows: np.ndarray) -> pd.DataFrame:
        """Sum EXIT records over vCPUs into perf's table."""
        names = SVM_EXITS if self.scenario.host.vendor == "amd" else EXITS
        return perf_table({name: rows[:, i] for i, name in enumerate(names) if rows["count"][:, i].any()})

    @functools.cached_property
    def fastpath_exits(self) -> int:
        """How many of the exits were dealt with in the fast path."""
        return int(self.exit_rows["fast"].sum())

    @functools.cached_property
    def kvm_stat(self) -> dict[str, int]:
        """KVM's own counters of the same run: exits, irq_exits, halt_exits.

        Kernels before v5.11 do not count fast-path exits in ``exits`` (recorded: 5.10 does not, 6.1 does).
        """
        count = self.exit_rows["count"].sum(axis=0)
        hidden = 0 if self.scenario.kernel.counts_fastpath_exits else self.fastpath_exits
        return {
            "exits": int(count.sum()) - hidden,
            "irq_exits": int(count[X_EXTERNAL_INTERRUPT]),
            "halt_exits": int(count[X_HLT]),
        }

    @functools.cached_property
    def latency(self) -> pd.DataFrame:
        """Deadline -> guest handler, one row a vCPU, in ns.

        Columns: count, mean, min, p50, p99, p99.9, max. Percentiles come from bins 1/64 wide (0.8 % off at most); the
        others are exact. A vCPU without a timer interrupt has count 0 and NaN.
        """
        import pandas as pd

        histograms = self.machine.histogram.reshape(-1, HIST_BINS)
        rows = [latency_row(vcpu, bins) for vcpu, bins in zip(self.machine.vcpus, histograms, strict=True)]
        return pd.DataFrame(rows, index=pd.Index(self.vcpu_names, name="vCPU"))

    @functools.cached_property
    def latency_histogram(self) -> pd.DataFrame:
        """Latencies of all vCPUs together. Columns: low_ns, high_ns (a bin's edges, the upper excluded), count."""
        import pandas as pd

        bins = self.machine.histogram.reshape(-1, HIST_BINS).sum(axis=0)
        rows = [(*histogram_edges(int(i)), int(bins[i])) for i in np.flatnonzero(bins)]
        return pd.DataFrame(rows, columns=["low_ns", "high_ns", "count"])

    def latency_percentile(self, share: float) -> float:
        """The latency in ns that a `share` (0 to 1) of all timer interrupts does not exceed; NaN without any."""
        share = checks.number("share", share, 0, 1)
        bins = self.machine.histogram.reshape(-1, HIST_BINS).sum(axis=0)
        return percentile(bins, share, int(self.machine.vcpus["lat_max"].max()))

    def latency_percentiles(self, confidence: float = 0.95) -> pd.DataFrame:
        """p50, p99 and p99.9 of all latencies, in ns, with their error. Columns: value, low, high.

        Between low and high lies the true percentile with this confidence, if latencies are independent of each other;
        where one delay holds up several timers they are not, and `replicate` says more. The bounds are edges of bins;
        NaN where there are too few latencies to say.
        """
        import pandas as pd

        bins = self.machine.histogram.reshape(-1, HIST_BINS).sum(axis=0)
        rows = [percentile_interval(bins, share, self.latency_percentile(share), confidence) for share in SHARES]
        return pd.DataFrame(rows, index=list(PERCENTILES))

    @functools.cached_property
    def disturbance(self) -> pd.DataFrame:
        """What the guest lost to exits, one row a vCPU.

        Columns: share_taken (of the time the guest did not idle; from leaving the guest to being back in it, the time
        asleep excluded), lost_us (the same as a time), longest_gap_us (the longest single gap).
        """
        import pandas as pd

        vcpus = self.machine.vcpus
        awake = np.maximum(1, self.duration_ns - vcpus["idle_ns"])
        return pd.DataFrame(
            {
                "share_taken": vcpus["lost_ns"] / awake,
                "lost_us": vcpus["lost_ns"] / 1e3,
                "longest_gap_us": vcpus["gap_max"] / 1e3,
            },
            index=pd.Index(self.vcpu_names, name="vCPU"),
        )

    @functools.cached_property
    def placement(self) -> pd.DataFrame:
        """Where expiries found the vCPU, and what became of them. Columns: expiries (count), share (of all).

        Rows: hv; own pCPU (hrtimer there, an exit); housekeeping posted (no exit); housekeeping kicked (an exit);
        not in guest (blocked, in the host or preempted: no exit of its own); at arm (already due when armed).
        """
        import pandas as pd

        count = self.machine.places.reshape(-1, len(PLACES)).sum(axis=0)
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
        """One row a housekeeping CPU: what LAPIC timers cost it.

        Columns: timers_fired, share_of_time (spent on them, with waiting for deadlines), deepest_queue (timers served
        in one interrupt, the host's own included), latest_us (the most that one had to wait before it was served).
        """
        import pandas as pd

        pcpus = self.machine.pcpus[list(self.scenario.host.timer_housekeeping)]
        return pd.DataFrame(
            {
                "timers_fired": pcpus["fired"],
                "share_of_time": pcpus["timer_busy_ns"] / max(1, self.duration_ns),
                "deepest_queue": pcpus["queue_max"],
                "latest_us": pcpus["late_max"] / 1e3,
            },
            index=pd.Index(pcpus["index"], name="pCPU"),
        )

    @functools.cached_property
    def trace(self) -> pd.DataFrame:
        """The first steps of the run (`Scenario.trace_steps`). Columns: time_ns, pcpu, vcpu (-1: none), step, arg."""
        import pandas as pd

        steps = self.machine.trace[: self.machine.g["trace_used"][0]]
        return pd.DataFrame(
            {
                "time_ns": steps["time"],
                "pcpu": steps["cpu"],
                "vcpu": steps["vcpu"],
                "step": [NAMES[code] for code in steps["code"]],
                "arg": steps["arg"],
            }
        )

    @functools.cached_property
    def timeline(self) -> pd.DataFrame:
        """Spans of the first steps, in order. Columns: start_ns, end_ns, lane, what, flow.

        Lanes: "vCPU n" (what: guest, or an exit's reason while the host handles it) and "pCPU n" (what: hrtimer, while
        it runs host timers; post). flow: two rows with one number, 0 or more, are the ends of an arrow from a post to
        the guest's handler; -1 without.
        """
        import pandas as pd

        steps = self.machine.trace[: self.machine.g["trace_used"][0]]
        rows = sorted(spans(steps, self.exit_names), key=lambda row: row[0])
        return pd.DataFrame(rows, columns=["start_ns", "end_ns", "lane", "what", "flow"])

    @property
    def exit_names(self) -> Sequence[str]:
        """What this host's vendor calls the exits."""
        return SVM_EXITS if self.scenario.host.vendor == "amd" else EXITS

    def summary(self) -> dict[str, Any]:
        """The figures that are compared between runs: counts, latencies in ns, shares."""
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
            "housekeeping_share": float(self.housekeeping["share_of_time"].max()),
        }

    def to_perf_kvm_stat(self) -> str:
        """The exits as text, as ``perf kvm stat report`` prints them."""
        from kvmlab.results.perf_text import perf_text

        return perf_text(self.exits)

    def to_csv(self, folder: str | Path) -> list[Path]:
        """Every table as a CSV file in `folder`, which is made if need be; return the files' paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name in CSV_TABLES:
            paths.append(folder / f"{name}.csv")
            getattr(self, name).to_csv(paths[-1])
        return paths

    def to_chrome_trace(self, path: str | Path | None = None) -> dict[str, Any]:
        """The timeline as Chrome trace JSON (opens in the Perfetto UI); written to `path` if one is given."""
        from kvmlab.results.chrome_trace import write_chrome_trace

        return write_chrome_trace(self.timeline, path)


CSV_TABLES = ("exits", "latency", "latency_histogram", "disturbance", "placement", "housekeeping", "timeline")
"""What `Run.to_csv` writes."""
PERF_TIMES = ["Min Time", "Max Time", "Avg time", "+-%"]


def perf_table(records: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """perf's table, most frequent exit first, from some EXIT records (machine.py) a reason."""
    import pandas as pd

    table = {name: perf_row(each) for name, each in records.items()}
    frame = pd.DataFrame.from_dict(table, orient="index", columns=["Samples", "sum_ns", *PERF_TIMES])
    frame.index.name = "VM-EXIT"
    total_ns = frame.pop("sum_ns")
    frame.insert(1, "Samples%", 100 * frame["Samples"] / max(1, frame["Samples"].sum()))
    frame.insert(2, "Time%", 100 * total_ns / max(1, total_ns.sum()))
    return frame.astype({"Samples": int}).sort_values("Samples", ascending=False, kind="stable")


def perf_row(records: np.ndarray) -> tuple[float, ...]:
    """Samples, total ns, and perf's Min Time, Max Time, Avg time (us) and +-% of one reason over some vCPUs."""
    some = records[records["count"] > 0]
    n, total = int(some["count"].sum()), int(some["sum_ns"].sum())
    mean = total / n
    variance = max(0.0, float(some["sum_sq"].sum()) - n * mean * mean) / (n - 1) if n > 1 else 0.0
    error = 100 * (variance / n) ** 0.5 / mean if mean else 0.0
    return n, total, some["min_ns"].min() / 1e3, some["max_ns"].max() / 1e3, mean / 1e3, error


def percentile(bins: np.ndarray, share: float, largest: int) -> float:
    """The middle of the bin that holds the given share of a histogram, but not above the largest value."""
    total = int(bins.sum())
    if total == 0:
        return float("nan")
    index = int(np.searchsorted(np.cumsum(bins), max(1, share * total)))
    low, high = histogram_edges(index)
    return float(min((low + high - 1) / 2, largest))


def percentile_interval(bins: np.ndarray, share: float, value: float, confidence: float) -> Interval:
    """A percentile of a histogram with its error."""
    n = int(bins.sum())
    first, last = stats.rank_interval(n, share, confidence)
    low = histogram_edges(stats.bin_of_rank(bins, first))[0] if first > 0 else float("nan")
    high = histogram_edges(stats.bin_of_rank(bins, last))[1] if last <= n else float("nan")
    return Interval(value, low, high)


def latency_row(vcpu: np.void, bins: np.ndarray) -> dict[str, float]:
    """One row of `Run.latency`."""
    n = int(vcpu["lat_n"])
    nan = float("nan")
    return {
        "count": n,
        "mean": vcpu["lat_sum"] / n if n else nan,
        "min": float(vcpu["lat_min"]) if n else nan,
        **{name: percentile(bins, share, int(vcpu["lat_max"])) for name, share in PERCENTILES.items()},
        "max": float(vcpu["lat_max"]) if n else nan,
    }


def spans(steps: np.ndarray, exit_names: Sequence[str]) -> Iterator[tuple[int, int, str, str, int]]:
    """Turn trace steps into spans: guest and exits on vCPU lanes, host timers and posts on pCPU lanes."""
    since: dict[int, tuple[int, str]] = {}
    posts: dict[int, int] = {}
    flows = itertools.count()
    for time, cpu, vcpu, code, arg in steps.tolist():
        if code in (T_EXIT, T_ENTRY):
            start, what = since.get(vcpu, (time, ""))
            if what and time > start:
                yield start, time, f"vCPU {vcpu}", what, -1
            since[vcpu] = (time, "guest" if code == T_ENTRY else exit_names[arg & ~FAST])
        elif code == T_HRTIMER_INTERRUPT and arg > 0:
            yield time, time + arg, f"pCPU {cpu}", "hrtimer", -1
        elif code == T_EXPIRED_POSTED:
            posts[vcpu] = flow = next(flows)
            yield time, time, f"pCPU {cpu}", "post", flow
        elif code == T_HANDLER and vcpu in posts:
            yield time, time, f"vCPU {vcpu}", "handler", posts.pop(vcpu)


def simulate(scenario: Scenario, *, plain: bool | None = None) -> Run:
    """Run a scenario. `plain=True` keeps to plain Python where runs can be compiled; the result is the same."""
    checks.instance("scenario", scenario, Scenario)
    m = setup.machine(scenario)
    reached = execute.advance(m, setup.ns(scenario.duration_s), plain=plain)
    return Run(scenario, m, reached)


def compare(scenario: Scenario, kernels_or_policies: Iterable[str | Kernel | Policy] = tuple(KERNELS)) -> pd.DataFrame:
    """Run one scenario under several kernels, or policies in its own kernel's machinery: the same world for each.

    One row a kernel (what is named twice comes once), index `kernel`; columns as in `Run.summary`.
    """
    import pandas as pd

    checks.instance("scenario", scenario, Scenario)
    chosen = variants(scenario.kernel, kernels_or_policies)
    rows = [simulate(scenario.replace(kernel=kernel)).summary() for kernel in chosen.values()]
    return pd.DataFrame(rows, index=pd.Index(list(chosen), name="kernel"))


def to_chrome_trace(runs: Run | Iterable[Run] | Mapping[str, Any], path: str | Path | None = None) -> dict[str, Any]:
    """Several runs on one axis of time as Chrome trace JSON: a process each, with a track a pCPU and a vCPU.

    `runs`: a run, some runs (each called as its kernel), or a mapping of names to whatever has a ``timeline`` (runs,
    explanations of recordings). Written to `path` if one is given; opens in the Perfetto UI.
    """
    from kvmlab.results.chrome_trace import write_chrome_trace

    if isinstance(runs, Run):
        runs = [runs]
    if not isinstance(runs, Mapping):
        several = [
            checks.instance("runs", each, Run) for each in checks.several("runs", runs, "Runs, or names to Runs")
        ]
        runs = dict(zip(numbered([each.scenario.kernel.name for each in several]), several, strict=True))
    for name, each in runs.items():
        if not hasattr(each, "timeline"):
            raise ValueError(f"runs[{name!r}]: {checks.shown(each)} has no timeline; allowed: a Run or an Explanation")
    return write_chrome_trace({name: each.timeline for name, each in runs.items()}, path)


def warm_up() -> None:
    """Compile the engine, or load it from the cache: a fraction of a second when it is there, seconds when not."""
    from kvmlab.scenario.scenario import Guest, Host

    simulate(Scenario(Host(), (Guest(),), duration_s=0.01))
