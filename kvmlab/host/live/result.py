"""What a live run measured, and what the model predicts for the same run."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from kvmlab import kernels, policy
from kvmlab.host.live import host
from kvmlab.results.stats import PERCENTILES
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("exits", "irq_exits", "halt_exits")
"""KVM's counters that the model has, too (`Run.kvm_stat`)."""


class Arguments(TypedDict):
    """The arguments of `measure`, checked."""

    timers: int
    period_us: float
    timer_mode: str
    waits_by: str
    hlt_in_guest: bool
    pause_in_guest: bool
    pcpu: int | None
    traced_timers: int


@dataclass(frozen=True)
class LiveRun:
    """One run of the live guest. Counts and times are measured, on this host."""

    settings: Arguments
    """The arguments of `measure`."""
    latency_ns: npt.NDArray[np.float64]
    """Deadline -> handler in ns, shape (timers,), float64. Both are readings of the guest's TSC. In periodic mode from
    the nominal deadline, so the TSC's drift against the host's clock is in it."""
    lost_ticks: int
    """Periods that brought no interrupt of their own (periodic mode; KVM injects one for several that it missed)."""
    counters: dict[str, int]
    """KVM's counters of the vCPU, by name: by how much they grew. {}: not available."""
    parameters: dict[str, str]
    """Module parameters that concern a LAPIC timer, as sysfs shows them: "kvm.pi_inject_timer" -> "N"."""
    backend: str | None
    """What fired the timers: "hv", "hrtimer", or None (cannot tell)."""
    evidence: list[str]
    """Why, one sentence each, and what could not be seen."""
    modules: list[str]
    """KVM's vendor modules that are loaded."""
    release: str
    """The host's kernel."""
    tsc_khz: int
    """Frequency of the guest's TSC."""
    trace: str = field(default="", repr=False)
    """Trace events of additional timers, as tracefs lists them ("" without tracefs); for `kvmlab.read_kvm_trace`."""

    @functools.cached_property
    def latency(self) -> pd.DataFrame:
        """Deadline -> handler in ns, one row. Columns as in `Run.latency`, percentiles exact."""
        import pandas as pd

        ns = self.latency_ns
        row = {
            "count": len(ns),
            "mean": float(ns.mean()),
            "min": float(ns.min()),
            **{name: float(np.quantile(ns, share)) for name, share in PERCENTILES.items()},
            "max": float(ns.max()),
        }
        return pd.DataFrame([row], index=pd.Index(["live/0"], name="vCPU"))

    def scenario(self) -> Scenario:
        """Return the scenario in which the model does what this run did, on a host with this one's settings.

        What the host does not show is at its default: its tick, its load, its costs. A kernel that is older or newer
        than those the model knows is taken for the nearest of them, as the scenario's kernel says by its name
        ("v7.1 (for 7.4.2)"). A host with neither kvm_intel nor
        kvm_amd is taken for one without preemption timer and APICv; one that runs in a virtual machine itself, or
        interprets its guests, has other costs than the model, and other exits.
        """
        return live_scenario(self)

    @functools.cached_property
    def comparison(self) -> pd.DataFrame:
        """The model's counts and KVM's. Index: counter; columns: simulated, measured (NA: not available)."""
        import pandas as pd

        from kvmlab.results.run import simulate

        simulated = simulate(self.scenario()).kvm_stat
        rows = {name: (simulated[name], self.counters.get(name)) for name in COMPARED}
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=["simulated", "measured"])
        return frame.astype("Int64").rename_axis("counter")

    def summary(self) -> str:
        """Return the run in a few lines: what was done, latency, counters, backend and evidence."""
        row = self.latency.iloc[0]
        s = self.settings
        grown = ", ".join(f"{name} {value}" for name, value in self.counters.items() if value)
        lines = [
            f"live: {s['timers']} timers, {s['period_us']:g} us, {s['timer_mode']}, waits by {s['waits_by']}; "
            f"Linux {self.release}, {', '.join(self.modules) or 'no vendor module listed'}",
            "latency (measured, ns): " + ", ".join(f"{name} {row[name]:.0f}" for name in row.index if name != "count"),
            *([f"lost ticks: {self.lost_ticks}"] if self.lost_ticks else []),
            f"counters (measured): {grown or 'none'}",
            "parameters: " + (", ".join(f"{name}={value}" for name, value in self.parameters.items()) or "none"),
            f"backend: {self.backend or 'cannot tell'}",
            *(f"  - {sentence}" for sentence in self.evidence),
        ]
        return "\n".join(lines)

    __str__ = summary

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict of everything; latencies in ns, one per timer."""
        return {
            "settings": self.settings,
            "release": self.release,
            "modules": self.modules,
            "parameters": self.parameters,
            "tsc_khz": self.tsc_khz,
            "latency": {str(name): float(value) for name, value in self.latency.iloc[0].items()},
            "latency_ns": [round(float(ns), 1) for ns in self.latency_ns],
            "lost_ticks": self.lost_ticks,
            "counters": self.counters,
            "backend": self.backend,
            "evidence": self.evidence,
        }

    def _repr_html_(self) -> str:
        from html import escape

        sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.evidence)
        table = self.latency.to_html(float_format="{:.0f}".format, border=0)
        counted = self.comparison.to_html(border=0)
        kernel = escape(self.scenario().kernel.name)
        return (
            f"<p>Measured on this host. Backend: <b>{escape(self.backend or 'cannot tell')}</b></p><ul>{sentences}</ul>"
            f"<p>Deadline to handler, ns</p>{table}<p>Counts; simulated: Linux {kernel}</p>{counted}"
        )


def live_host(run: LiveRun) -> Host:
    """Return this host, as far as it can be read."""
    vendor = next((host.VENDORS[name] for name in run.modules if name in host.VENDORS), "amd")
    apicv = host.is_on(run.parameters.get({"intel": "kvm_intel.enable_apicv", "amd": "kvm_amd.avic"}[vendor]))
    cpus = max((*host.online(), run.settings["pcpu"] or 0)) + 1
    isolated = tuple(cpu for cpu in sorted({*host.isolated(), *host.nohz_full()}) if cpu < cpus)
    known: dict[str, Any] = {
        "pi_inject_timer": host.is_on(run.parameters.get("kvm.pi_inject_timer")),
        "preemption_timer": host.is_on(run.parameters.get("kvm_intel.preemption_timer")),
        "halt_poll_us": scaled(run.parameters.get("kvm.halt_poll_ns"), 1e-3),
        "min_timer_period_us": scaled(run.parameters.get("kvm.min_timer_period_us"), 1.0),
        "lapic_timer_advance_ns": advance_ns(run.parameters),
    }
    return Host(
        pcpus=cpus,
        isolated=isolated[: cpus - 1],
        nohz_full=bool(host.nohz_full()),
        vendor=vendor,
        apicv=bool(apicv),
        timer_migration=host.timer_migration(),
        tsc_ghz=run.tsc_khz / 1e6,
        **{name: value for name, value in known.items() if value is not None},
    )


def advance_ns(parameters: dict[str, str]) -> float | None:
    """Return the timer advance in ns, None for adaptive: a number or -1 in older kernels, a switch in newer ones."""
    if host.is_on(parameters.get("kvm.lapic_timer_advance")) is False:
        return 0
    return scaled(parameters.get("kvm.lapic_timer_advance_ns"), 1)


def scaled(value: str | None, factor: float) -> float | None:
    """Return a number that sysfs shows, in another unit; None if it shows none."""
    return int(value) * factor if value is not None and value.isdecimal() else None


def live_scenario(run: LiveRun) -> Scenario:
    """Return the scenario of a live run, see `LiveRun.scenario`."""
    s = run.settings
    machine = live_host(run)
    timers, period = s["timers"], s["period_us"]
    guest = Guest(
        name="live",
        pcpus=None if s["pcpu"] is None else (s["pcpu"],),
        hlt_in_guest=s["hlt_in_guest"],
        pause_in_guest=s["pause_in_guest"],
        workload=Workload(
            tick_hz=0,
            timer_us=period,
            rearm="relative",
            timers=timers,
            timer_mode=s["timer_mode"],
            idle_us=1.0,
            waits_by=s["waits_by"],
        ),
    )
    known = kernels.nearest_known(run.release)
    name = run.release if known == run.release else f"{known} (for {run.release})"
    kernel = kernels.release(known, policy_of(known), name=name)
    return Scenario(machine, (guest,), kernel=kernel, duration_s=0.1 + 3 * timers * period / 1e6)


def policy_of(release: str) -> policy.Policy:
    """Return the policy of an upstream release: `before` up to v5.2, rev 1 up to v5.17, rev 3 from v5.18 on.

    Stable kernels took rev 3 too (5.15.135 has it), so for those this may be wrong.
    """
    at = kernels.parse_release(release)
    return policy.before if at < (5, 3) else policy.rev1 if at < (5, 18) else policy.rev3
