"""A real guest on /dev/kvm: arms its LAPIC timer, and measures how late the handler runs. Optional; Linux on x86-64.

`available` says whether it can run here; `measure` runs it. It needs the device and nothing else; the trace events
also need tracefs, which mostly means root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kvmlab.host.live import evidence, guest_code, host
from kvmlab.host.live.result import Arguments, LiveRun
from kvmlab.scenario import checks

if TYPE_CHECKING:
    from kvmlab.host.live.guest import Settings as GuestSettings

__all__ = ["LiveRun", "available", "measure"]

MAX_TIMERS = 1_000_000


def available() -> str | None:
    """Return why a live guest is not available on this machine, in one sentence; None if it is."""
    if reason := host.unfit():
        return reason
    from kvmlab.host.live.kvm_ioctl import LiveError, Vm

    try:
        with Vm(guest_code.LARGE_PAGE):
            return None
    except LiveError as error:
        return str(error)


def measure(
    timers: int = 1000,
    period_us: float = 1000.0,
    timer_mode: str = "tsc_deadline",
    waits_by: str = "hlt",
    hlt_in_guest: bool = False,
    pause_in_guest: bool = False,
    *,
    pcpu: int | None = None,
    traced_timers: int = 10,
    timeout_s: float = 10.0,
) -> LiveRun:
    """Run a bare guest that arms its LAPIC timer again and again, and measure deadline -> handler.

    - `timers`: how many timers are measured, `period_us` (us) apart. A run takes timers x period_us.
    - `timer_mode`: "tsc_deadline", "oneshot" or "periodic".
    - `waits_by`: how the guest waits, "hlt", "pause" or "spin".
    - `hlt_in_guest`, `pause_in_guest`: switch those exits off.
    - `pcpu`: the CPU that the vCPU's thread runs on; None: wherever it may.
    - `traced_timers`: additional timers that are run afterwards with trace events on, where tracefs may be used, so
      that tracing does not disturb what is measured; 0: none.
    - `timeout_s`: the run is stopped after this many seconds.

    Returns a `LiveRun`: `.latency` (ns), `.counters`, `.backend`, `.evidence`, `.comparison`, `.summary()`.

    Raises ValueError for an argument that is invalid, and RuntimeError that says in one sentence why no live guest is
    available, or that it did not finish.

    Example: `kl.live.measure(timers=500, waits_by="spin").latency`
    """
    period_us = checks.number("period_us", period_us, 20, 1e7, "us")
    settings: Arguments = {
        "timers": checks.whole("timers", timers, 1, MAX_TIMERS),
        "period_us": period_us,
        "timer_mode": checks.choice("timer_mode", timer_mode, guest_code.LVTT_MODES),
        "waits_by": checks.choice("waits_by", waits_by, guest_code.WAITS),
        "hlt_in_guest": checks.flag("hlt_in_guest", hlt_in_guest),
        "pause_in_guest": checks.flag("pause_in_guest", pause_in_guest),
        "pcpu": pcpu,
        "traced_timers": checks.whole("traced_timers", traced_timers, 0, 1000),
    }
    timeout_s = checks.number("timeout_s", timeout_s, 0.01, 3600, "s")
    needed_s = (settings["timers"] + settings["traced_timers"]) * period_us / 1e6
    if needed_s > timeout_s:
        raise ValueError(f"timeout_s: {timeout_s:g} is less than the {needed_s:g} s that the timers take")
    if reason := host.unfit():
        raise RuntimeError(reason)
    if pcpu is not None and pcpu not in host.online():
        raise checks.refusal("pcpu", pcpu, f"one of {', '.join(map(str, host.online()))}")
    return live_run(settings, timeout_s)


def live_run(settings: Arguments, timeout_s: float) -> LiveRun:
    """Run the guest, and look at everything that the host shows of it."""
    from kvmlab.host.live.guest import run_guest

    parameters = host.parameters()
    period_us, notes = granted_period_us(settings, parameters)
    measured = run_guest(guest_settings(settings, period_us), timeout_s)
    latency_ns, lost = latencies(measured.samples, measured.tsc_khz, period_us * 1e3, settings["timer_mode"])
    traced = None
    if measured.listing:
        traced = evidence.read_trace(measured.listing, settings["traced_timers"], measured.tid)
    elif measured.refused:
        notes.append(measured.refused)
    observed = evidence.Observed(
        timers=settings["timers"],
        timer_mode=settings["timer_mode"],
        waits_by=settings["waits_by"],
        hlt_in_guest=settings["hlt_in_guest"],
        modules=host.vendor_modules(),
        parameters=parameters,
        counters=measured.counters,
        traced=traced,
    )
    backend, said = evidence.judge(observed)
    if host.is_guest():
        notes.append(
            "This host is itself a guest (CPU flag hypervisor): its exits cost what its own host makes them cost."
        )
    return LiveRun(
        settings=settings,
        latency_ns=latency_ns,
        lost_ticks=lost,
        counters=measured.counters,
        parameters=parameters,
        backend=backend,
        evidence=said + notes,
        modules=observed.modules,
        release=host.release(),
        tsc_khz=measured.tsc_khz,
        trace=measured.listing,
    )


def granted_period_us(settings: Arguments, parameters: dict[str, str]) -> tuple[float, list[str]]:
    """Return the period in us that KVM grants, and a sentence if that is not the one asked for."""
    period_us, slowest = settings["period_us"], parameters.get("kvm.min_timer_period_us", "")
    if settings["timer_mode"] == "periodic" and slowest.isdecimal() and period_us < int(slowest):
        note = f"kvm.min_timer_period_us is {slowest}: KVM slows the periodic timer of {period_us:g} us to that."
        return float(slowest), [note]
    return period_us, []


def guest_settings(settings: Arguments, period_us: float) -> GuestSettings:
    """Return what the guest's thread needs to know."""
    from kvmlab.host.live.guest import Settings

    return Settings(
        timers=settings["timers"],
        period_ns=round(period_us * 1e3),
        timer_mode=settings["timer_mode"],
        waits_by=settings["waits_by"],
        hlt_in_guest=settings["hlt_in_guest"],
        pause_in_guest=settings["pause_in_guest"],
        pcpu=settings["pcpu"],
        traced_timers=settings["traced_timers"],
    )


def latencies(
    samples: npt.NDArray[np.uint64], tsc_khz: int, period_ns: float, timer_mode: str
) -> tuple[npt.NDArray[np.float64], int]:
    """Return deadline -> handler in ns (float64), and periods lost, from the guest's samples (timers, 2) in TSC cycles.

    A periodic timer that misses a period stays one behind its nominal deadlines: whole periods are taken off.
    """
    cycles = samples[:, 0].astype(np.int64) - samples[:, 1].astype(np.int64)
    ns = cycles.astype(np.float64) * (1e6 / tsc_khz)
    if timer_mode != "periodic":
        return ns, 0
    lost = np.maximum(np.floor(ns / period_ns), 0)
    return ns - lost * period_ns, int(lost[-1])
