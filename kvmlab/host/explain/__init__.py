"""Explain a recording of a host: each timer's story, a timeline, and which revision the host behaves like."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from kvmlab.host.explain.elsewhere import other_machines
from kvmlab.host.explain.evidence import Evidence
from kvmlab.host.explain.explanation import Explanation
from kvmlab.host.explain.given import Given
from kvmlab.host.explain.perf_table import explain_table
from kvmlab.host.formats.events import Event, Listing
from kvmlab.host.formats.lines import open_source
from kvmlab.host.formats.perf_stat import read_perf_kvm_stat
from kvmlab.host.formats.sniff import PERF, TRACE, sniff
from kvmlab.host.gaps import GapFinder
from kvmlab.host.host_facts import HostFacts, read_host_facts
from kvmlab.host.inference import infer
from kvmlab.host.interrupts import InterruptCounter
from kvmlab.host.outcome import Outcome, is_disarm, outcome_of
from kvmlab.host.recording_events import FrameEvents, Recorded
from kvmlab.host.threads import Thread
from kvmlab.host.timers import Timer
from kvmlab.host.tracker import Tracker
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Explanation", "explain"]

MAX_TIMERS = 100_000
"""Timers whose stories are kept; those after them are counted only."""
MAX_SPANS = 20_000
"""Spans of a timeline that are kept."""
GAPS_KEPT = 10
"""The longest times out of the guest that are kept."""
MAX_KINDS = 10_000
"""Kinds of events in one listing; a kernel has some two thousand."""
CALIBRATION_NS = 1_000_000
"""Two readings of the TSC have to be this far apart to tell its frequency: times are printed in us."""


def explain(
    trace: str | os.PathLike[str] | pd.DataFrame,
    *,
    pi_inject_timer: bool | None = None,
    apicv_active: bool | None = None,
    hv_timer: bool | None = None,
    mwait_in_guest: bool | None = None,
    hlt_in_guest: bool | None = None,
    housekeeping_cpus: Iterable[int] | None = None,
    tsc_ghz: float | None = None,
    host_facts: HostFacts | str | os.PathLike[str] | None = None,
    table: int | None = None,
    file: str | None = None,
    max_timers: int = MAX_TIMERS,
) -> Explanation:
    """Explain a listing of kvm and hrtimer events, or a table of perf kvm stat.

    A listing is read event by event, so it may be of any length.

    - `trace`: text, a path, or what `read_kvm_trace` or `read_perf_kvm_stat` returned.
    - `table`: which one, where a text has several tables: counted from 0, and -1 is the last.
    - `file`: which one, where a listing is of several files (`trace-cmd report -i trace.dat -i trace-vm1.dat`), as it
      stands before each event, without the colon.
    - `max_timers`: stories are kept of the first `max_timers` timers; the others are counted.

    The rest is what you know of the host; leave it None where you do not know:

    - `pi_inject_timer`: the module parameter kvm.pi_inject_timer is on.
    - `apicv_active`: APICv is active for the vCPUs.
    - `hv_timer`: there is a preemption timer (kvm_intel.preemption_timer).
    - `mwait_in_guest`, `hlt_in_guest`: MWAIT and HLT stay in the guest, without an exit.
    - `housekeeping_cpus`: the pCPUs that are housekeeping CPUs for timers; all others are not.
    - `tsc_ghz`: the guest's TSC frequency, in GHz.
    - `host_facts`: what `read_host_facts` reads, as text or a path: the module parameters and the command line.

    Returns an `Explanation`: `.policy`, `.timers`, `.stories`, `.timeline`, `.exits`, `.interrupts`, `.gaps`,
    `.answer`, `.summary()`.

    Raises ValueError as the readers do, for a text of another kind, for an argument that is invalid, and for a fact
    that the recording contradicts. Raises FileNotFoundError for a Path that does not exist.

    Example: `kl.explain("trace.txt", pi_inject_timer=True, housekeeping_cpus=[0]).policy.sentence`
    """
    flags = {
        "pi_inject_timer": pi_inject_timer,
        "hv_timer": hv_timer,
        "apicv_active": apicv_active,
        "mwait_in_guest": mwait_in_guest,
        "hlt_in_guest": hlt_in_guest,
    }
    host = host_facts if isinstance(host_facts, HostFacts | None) else read_host_facts(host_facts)
    given = Given.checked(flags, housekeeping_cpus, tsc_ghz, host)
    checks.whole("max_timers", max_timers, 1, 10_000_000)
    if not isinstance(trace, str | os.PathLike):
        if "Samples" in getattr(trace, "columns", ()):
            return explain_table(trace, "the table", given)
        return explain_events(FrameEvents(trace), "the trace", given, max_timers)
    kind = sniff(trace)
    if kind == PERF:
        if file is not None:
            raise ValueError(f"file: {file!r} does not fit: {name_of(trace)} is a table; allowed: only for kvm traces")
        return explain_table(read_perf_kvm_stat(trace, table=table), name_of(trace), given)
    if kind != TRACE:
        raise ValueError(
            f"{name_of(trace)}: found the output of {kind}; expected a kvm trace or a perf kvm stat table "
            f"(kl.read_any and `kvmlab convert` read {kind})"
        )
    if table is not None:
        raise ValueError(f"table: {table} does not fit: {name_of(trace)} is a kvm trace; allowed: only for tables")
    with closing(open_source(trace)) as source:
        return explain_events(Listing(source, file), name_of(trace), given, max_timers)


def name_of(text_or_path: str | os.PathLike[str]) -> str:
    """Return what to call the input: a file's name, or "the text"."""
    is_path = isinstance(text_or_path, os.PathLike) or os.path.exists(text_or_path)
    return os.path.basename(os.fspath(text_or_path)) if is_path else "the text"


def explain_events(events: Recorded, name: str, given: Given, max_timers: int) -> Explanation:
    """Follow every timer through the events, and infer what they show."""
    interrupts, gaps = InterruptCounter(), GapFinder(GAPS_KEPT, halts=False)
    tracker = Tracker(MAX_SPANS)
    evidence = Evidence(tracker)
    kept: list[Timer] = []
    outcomes: Counter[Outcome] = Counter()
    events_seen: set[str] = set()
    armed = 0
    for timer in tracker.follow(watched(events, events_seen, [interrupts.take, gaps.take])):
        evidence.take(timer)
        outcomes[outcome_of(timer)] += 1
        armed += timer.arm_exit is not None and not is_disarm(timer)
        if len(kept) < max_timers:
            kept.append(timer)
    kept.sort(key=lambda timer: timer.armed_ns)
    observations, assumed = evidence.observations(whole=not events.lost_events and not events.left_out)
    seen = evidence.facts()
    inference = infer(observations, [*given.facts(observations, seen), *seen], evidence.excluded(), assumed)
    threads = tracker.threads.values()
    rates = {thread.pid: rate for thread in threads if (rate := given.tsc_ghz or measured_ghz(thread))}
    return Explanation(
        name,
        TRACE,
        kept,
        tracker,
        inference,
        tsc_ghz=rates,
        outcomes=outcomes,
        armed=armed,
        events=frozenset(events_seen),
        lost_events=events.lost_events,
        left_out=events.left_out,
        notes=[
            *events.notes(),
            *other_machines({reason for thread in threads for reason in thread.exits}, events_seen),
        ],
        interrupts=interrupts.table(),
        gaps=gaps.table(),
        host=given.host,
    )


def watched(events: Iterable[Event], names: set[str], watchers: Sequence[Callable[[Event], None]]) -> Iterator[Event]:
    """Yield the events, note their names, and show them to others; ValueError for more kinds than a kernel has."""
    for event in events:
        for take in watchers:
            take(event)
        names.add(event.event)
        if len(names) > MAX_KINDS:
            raise ValueError(f"{event.event}: more than {MAX_KINDS} kinds of events; expected the trace of one host")
        yield event


def measured_ghz(thread: Thread) -> float | None:
    """Return the TSC's frequency in GHz, from two readings far enough apart; None without them."""
    if thread.first_tsc is None or thread.last_tsc is None:
        return None
    ns = thread.last_tsc[0] - thread.first_tsc[0]
    ghz = (thread.last_tsc[1] - thread.first_tsc[1]) / ns if ns >= CALIBRATION_NS else 0.0
    return ghz if 0.1 <= ghz <= 10 else None
