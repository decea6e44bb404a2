"""Trace events of one vCPU's thread, from tracefs where it may be used (mostly by root).

A trace instance of its own is made and removed, so a trace that somebody else takes is not disturbed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
THREAD_EVENTS = (
    *("kvm/kvm_entry", "kvm/kvm_exit", "kvm/kvm_hv_timer_state", "kvm/kvm_msr", "kvm/kvm_eoi", "kvm/kvm_inj_virq"),
    *("kvm/kvm_vcpu_wakeup", "timer/hrtimer_start"),
)
"""Events that happen in the vCPU's thread, and are filtered by it."""
ANYWHERE_EVENTS = (
    *("kvm/kvm_apic_accept_irq", "kvm/kvm_apicv_accept_irq", "kvm/kvm_wait_lapic_expire"),
    "timer/hrtimer_expire_entry",
)
"""An hrtimer fires in whatever thread its CPU runs, and posts from there."""
BUFFER_KB = 4096

TIMER = re.compile(r"hrtimer=(\S+) function=apic_timer_fn\b")
LINE = re.compile(r".*-(?P<pid>\d+)\s+(?:\(\s*[\d-]+\)\s+)?\[(?P<cpu>\d+)\].*?: (?P<event>\w+): (?P<message>.*)")


def tracefs() -> Path | None:
    """Return where tracefs is mounted and may be written to, or None."""
    for path in TRACEFS:
        with contextlib.suppress(OSError):
            if os.access(path / "instances", os.W_OK) and (path / "events/kvm").is_dir():
                return path
    return None


class Trace:
    """The events of thread `tid` between entering and leaving; `listing` holds them then, as tracefs lists them."""

    def __init__(self, root: Path, tid: int) -> None:
        self.instance = root / "instances" / f"kvmlab-{tid}"
        self.tid = tid
        self.listing = ""

    def __enter__(self) -> Trace:
        """Switch the events on; raise OSError where tracefs refuses."""
        self.instance.mkdir()
        try:
            self.write("tracing_on", "0")
            self.write("buffer_size_kb", str(BUFFER_KB))
            for event in THREAD_EVENTS:
                self.enable(event, f"common_pid == {self.tid}")
            for event in ANYWHERE_EVENTS:
                self.enable(event)
            self.write("tracing_on", "1")
        except OSError:
            self.instance.rmdir()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Keep the listing, and remove the instance."""
        with contextlib.suppress(OSError):
            self.write("tracing_on", "0")
            self.listing = "\n".join(own_lines((self.instance / "trace").read_text().splitlines(), self.tid)) + "\n"
        with contextlib.suppress(OSError):
            self.instance.rmdir()

    def write(self, name: str, value: str) -> None:
        """Write a control file of the instance."""
        (self.instance / name).write_text(value)

    def enable(self, event: str, only: str | None = None) -> None:
        """Switch an event on, if this kernel has it."""
        folder = self.instance / "events" / event
        if folder.exists():
            if only:
                (folder / "filter").write_text(only)
            (folder / "enable").write_text("1")


def own_lines(lines: list[str], tid: int) -> Iterator[str]:
    """Yield comments, events of the thread and of its LAPIC hrtimer, and the post made where that one fires."""
    timers = own_timers(lines, tid)
    firing: dict[str, bool] = {}
    for line in lines:
        found = LINE.match(line)
        if not found:
            yield line
            continue
        if found["event"] == "hrtimer_expire_entry":
            timer = TIMER.match(found["message"])
            firing[found["cpu"]] = bool(timer and timer[1] in timers)
            if firing[found["cpu"]]:
                yield line
        elif int(found["pid"]) == tid:
            if found["event"] != "hrtimer_start" or TIMER.match(found["message"]):
                yield line
        elif firing.get(found["cpu"]) and found["event"].startswith("kvm_"):
            yield line


def own_timers(lines: list[str], tid: int) -> set[str]:
    """Return the addresses of the LAPIC hrtimers that the thread armed."""
    timers = set()
    for line in lines:
        found = LINE.match(line)
        if found and found["event"] == "hrtimer_start" and int(found["pid"]) == tid:
            timer = TIMER.match(found["message"])
            timers |= {timer[1]} if timer else set()
    return timers
