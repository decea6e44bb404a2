"""Rows of a recording by vCPU, VM, thread, pCPU and time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kvmlab.host.formats.events import Event
from kvmlab.host.tracker import CALLBACK_EVENTS
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

OF_VCPU = ("kvm_entry", "kvm_exit", "kvm_hv_timer_state")
"""Events that the vCPU's own thread leaves, with the number of the vCPU."""


def select_events(
    trace: pd.DataFrame,
    *,
    vcpu: int | Iterable[int] | None = None,
    vm: int | None = None,
    thread: int | Iterable[int] | None = None,
    cpu: int | Iterable[int] | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> pd.DataFrame:
    """Return the rows of a table of `read_kvm_trace` that all of the arguments select.

    - `vcpu`: number or numbers of vCPUs; of several VMs each vCPU with that number. With it come the callbacks of the
      vCPU's LAPIC hrtimer, whichever pCPU and task they interrupt.
    - `vm`: the process of a VM (``tgid``), where the listing shows it.
    - `thread`: thread or threads (``pid``), with their LAPIC hrtimers' callbacks as above.
    - `cpu`: pCPU or pCPUs.
    - `start_s`, `end_s`: from and to, in s on the listing's clock, both included.

    The result has the same columns, and a new index; `kl.explain`, `kl.longest_gaps` and `kl.exit_interrupts` take it.

    Raises ValueError for an argument that is invalid or selects nothing that the recording has, naming what it has.

    Example: `kl.explain(kl.select_events(kl.read_kvm_trace("trace.txt"), vcpu=1, start_s=12.5))`
    """
    missing = [name for name in Event._fields if name not in getattr(trace, "columns", ())]
    if missing:
        raise ValueError(f"trace: no column {', '.join(missing)}; expected a table of read_kvm_trace")
    rows = trace["time_ns"] >= checked_ns("start_s", start_s, 0)
    rows &= trace["time_ns"] <= checked_ns("end_s", end_s, 2**63 - 1)
    if cpu is not None:
        rows &= trace["cpu"].isin(present("cpu", cpu, trace["cpu"]))
    if vm is not None:
        if trace["tgid"].isna().all():
            how = "record it with the option record-tgid of tracefs, or perf script -F +pid"
            raise ValueError(f"vm={vm!r}: the listing does not show processes; {how}")
        rows &= trace["pid"].isin(trace["pid"][trace["tgid"].isin(present("vm", vm, trace["tgid"]))])
    threads: set[int] | None = None if thread is None else present("thread", thread, trace["pid"])
    if vcpu is not None:
        of_vcpu = trace[trace["event"].isin(OF_VCPU)]
        numbers = present("vcpu", vcpu, of_vcpu["vcpu"])
        pids = set(of_vcpu["pid"][of_vcpu["vcpu"].isin(numbers)])
        threads = pids if threads is None else threads & pids
    if threads is not None:
        rows &= trace["pid"].isin(threads) | callbacks_of(trace, threads)
    chosen = trace[rows].reset_index(drop=True)
    chosen.attrs.update(trace.attrs)
    return chosen


def checked_ns(name: str, seconds: float | None, default: int) -> int:
    """Return a time in ns, `default` for None; raise ValueError for one that is invalid."""
    return default if seconds is None else round(checks.number(name, seconds, 0, 9e9, "s") * 1e9)


def present(name: str, wanted: int | Iterable[int], column: pd.Series) -> set[int]:
    """Return the numbers that were asked for; raise ValueError for one that the recording does not have."""
    numbers = list(wanted) if isinstance(wanted, Iterable) else [wanted]
    there = sorted(int(number) for number in column.dropna().unique())
    for number in numbers:
        if checks.finite(number) not in there:
            listed = ", ".join(map(str, there[:20])) + (", ..." if len(there) > 20 else "")
            raise ValueError(f"{name}={number!r} is not in the recording; there are: {listed or 'none'}")
    return {int(number) for number in numbers}


def callbacks_of(trace: pd.DataFrame, threads: set[int]) -> pd.Series:
    """Return which rows are of callbacks of these threads' LAPIC hrtimers: their expiry, and what it leaves."""
    import pandas as pd

    owners: dict[str, int] = {}
    running: dict[int, bool] = {}
    rows = []
    columns = ("event", "pid", "cpu", "fields")
    for event, pid, on, fields in zip(*(trace[name] for name in columns), strict=True):
        is_lapic = fields.get("function") == "apic_timer_fn"
        if event == "hrtimer_start" and is_lapic and on not in running:
            owners[fields["hrtimer"]] = pid
        if event == "hrtimer_expire_entry":
            running.pop(on, None)
            if is_lapic and fields["hrtimer"] in owners:
                running[on] = owners[fields["hrtimer"]] in threads
        elif event not in CALLBACK_EVENTS:
            running.pop(on, None)
        rows.append(running.get(on, False))
        if event == "hrtimer_expire_exit":
            running.pop(on, None)
    return pd.Series(rows, index=trace.index, dtype=bool)
