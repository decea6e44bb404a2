"""Explain a recording of a host: each timer's story, a timeline, and which revision the host behaves like."""

from __future__ import annotations

import functools
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from html import escape
from typing import TYPE_CHECKING, Any

from kvmlab.host.formats.events import Event, Listing
from kvmlab.host.formats.lines import open_source
from kvmlab.host.formats.perf_stat import read_perf_kvm_stat
from kvmlab.host.formats.sniff import PERF, TRACE, sniff
from kvmlab.host.inference import HOUSEKEEPING, Fact, Observation, PolicyInference, infer
from kvmlab.host.timers import EOI, HLT_EXITS, MWAIT_EXITS, TSC_DEADLINE, Thread, Timer, Tracker
from kvmlab.model.machine import EXIT
from kvmlab.model.trace import (
    T_APIC_TIMER_FN,
    T_ENTRY,
    T_EXIT,
    T_EXPIRED_AT_ONCE,
    T_EXPIRED_POSTED,
    T_INJECT,
    T_NOTHING_ARMED,
    T_START_HV_TIMER,
    T_SWITCH_TO_SW,
    T_WAIT,
    T_WRMSR,
)
from kvmlab.results.exit_table import perf_table
from kvmlab.results.story import NOT_VISIBLE, SENTENCES, Step, Story
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

MAX_TIMERS = 100_000
"""Timers whose stories are kept; those after them are counted only."""
MAX_SPANS = 20_000
MAX_PLACES = 100_000
"""Pairs of a vCPU and a pCPU, or of two pCPUs, that are kept apart."""
HV_SURE_NS = 5_000_000_000
"""The preemption timer reaches further than this on any CPU that has one (2**(32+N) cycles, N from 3 on)."""
CALIBRATION_NS = 1_000_000
"""Two readings of the TSC have to be so far apart to tell its frequency: times are printed in us."""
SVM_EXITS = frozenset({"msr", "interrupt", "hlt", "npf", "cpuid", "vintr", "vmmcall"})
COLUMNS = (
    "armed_ns", "vcpu", "pcpu", "arm_exit", "backend", "fired_on", "fires_on", "vcpu_was", "expiry_exit", "delivery",
    "fate", "latency_ns",
)  # fmt: skip
OUTCOME = ("backend", "fires_on", "expiry_exit", "delivery", "fate")


class Explanation:
    """What a recording says. Tables are made when asked for, once."""

    def __init__(
        self,
        name: str,
        kind: str,
        timers: list[Timer],
        tracker: Tracker,
        inference: PolicyInference,
        *,
        tsc_ghz: dict[int, float] | None = None,
        outcomes: Counter[tuple[str | None, ...]] | None = None,
        table: pd.DataFrame | None = None,
        lost_events: int = 0,
    ) -> None:
        self.name = name
        """What was explained: a file's name, or "the text"."""
        self.kind = kind
        """"kvm trace" or "perf kvm stat"."""
        self.policy = inference
        """Which revisions the host may run, and why."""
        self.table = table
        """The table of perf kvm stat, where it was one."""
        self.lost_events = lost_events
        self.tsc_ghz = tsc_ghz or {}
        """The guest's TSC frequency in GHz by vCPU thread: given, or worked out from the recording."""
        self.timers_kept = timers
        """What the tracker found of each timer, in the order of arming; of very many the first."""
        self._tracker = tracker
        self._counts: Counter[tuple[str | None, ...]] = outcomes or Counter()

    @functools.cached_property
    def stories(self) -> list[Story]:
        """The story of each timer, in the order of arming."""
        return [self._story(number, timer) for number, timer in enumerate(self.timers_kept)]

    @functools.cached_property
    def timers(self) -> pd.DataFrame:
        """One row a timer, in the order of arming.

        Columns: armed_ns (the exit that armed it, on the recording's clock), vcpu, pcpu (where it was armed), arm_exit
        (NA: a periodic timer went on by itself), backend ("hv", "hrtimer", "not visible"; NA: nothing had to be armed),
        fired_on (pCPU), fires_on ("own", "housekeeping", "not visible"), vcpu_was ("guest", "interrupted", "blocked",
        "host": where the expiry found the vCPU), expiry_exit (NA: none), delivery ("posted", "vm_entry", "wake_up",
        "at_arm", "not visible"), fate ("delivered", "armed anew", "disarmed", "still armed", "not visible"), latency_ns
        (deadline -> post or VM entry, the last that a host sees before the guest's handler; NA: not visible).
        """
        import pandas as pd

        rows = [self._row(timer) for timer in self.timers_kept]
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        kinds = dict.fromkeys(("armed_ns", "vcpu", "pcpu", "fired_on", "latency_ns"), "Int64")
        return frame.astype({**dict.fromkeys(COLUMNS, "string"), **kinds})

    @functools.cached_property
    def outcomes(self) -> pd.DataFrame:
        """How many timers went which way, the most frequent first. Columns as in `timers`, and timers (count)."""
        import pandas as pd

        rows = [(*outcome, count) for outcome, count in self._counts.most_common()]
        return pd.DataFrame(rows, columns=[*OUTCOME, "timers"])

    @functools.cached_property
    def timeline(self) -> pd.DataFrame:
        """Spans in order of time, as in `Run.timeline`. Columns: start_ns, end_ns, lane, what, flow.

        A handler stands at the time of its post: when the guest starts it is not visible from the host. Of a long
        recording it has the first spans only; attrs["left_out"] says how many more there were.
        """
        import pandas as pd

        spans = sorted(self._tracker.spans, key=lambda span: (span.start_ns, span.end_ns))
        rows = [(span.start_ns, span.end_ns, self._lane(*span.lane), span.what, span.flow) for span in spans]
        frame = pd.DataFrame(rows, columns=["start_ns", "end_ns", "lane", "what", "flow"])
        frame.attrs["left_out"] = self._tracker.spans_left_out
        return frame

    @functools.cached_property
    def exits(self) -> pd.DataFrame:
        """The exits of all vCPUs as perf kvm stat lists them: the table given, or what the listing adds up to."""
        return self.table if self.table is not None else exit_table(self._tracker.threads.values())

    @property
    def seconds(self) -> float | None:
        """How long the recording is; None for a table, which does not say."""
        return None if self.table is not None else (self._tracker.last_ns - (self._tracker.first_ns or 0)) / 1e9

    @property
    def vcpus(self) -> int | None:
        """How many vCPUs were recorded; None for a table."""
        return None if self.table is not None else len(self._tracker.threads)

    @property
    def housekeeping_hrtimers_hz(self) -> float | None:
        """The most hrtimers of its own, 1/s, that a pCPU without a vCPU fired; None where none is in the recording."""
        idle = self._tracker.host_hrtimers.keys() - {timer.pcpu for timer in self.timers_kept}
        most = max((self._tracker.host_hrtimers[cpu] for cpu in idle), default=0)
        return most / self.seconds if most and self.seconds else None

    def summary(self) -> str:
        """What was seen, in a few lines."""
        return "\n".join([self._headline(), *(f"  {line}" for line in self._outcome_lines()), "", str(self.policy)])

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        timers = self.timers.astype(object)
        return {
            "name": self.name,
            "kind": self.kind,
            "headline": self._headline(),
            "lost_events": self.lost_events,
            "outcomes": [
                {**dict(zip(OUTCOME, outcome, strict=True)), "timers": count}
                for outcome, count in self._counts.most_common()
            ],
            "policy": self.policy.to_dict(),
            "timers": timers.where(timers.notna(), None).to_dict("records"),
        }

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left = "text-align:left"
        verdict = escape(self.policy.sentence)
        points = "".join(f"<li>{escape(reason)}</li>" for reason in self.policy.reasons())
        table = self.outcomes if len(self.outcomes) else self.table
        caption = f"<p style='{left}'>{escape(self._headline())}</p>"
        html = "" if table is None else table.fillna("-").to_html(index=self.kind == PERF, border=0)
        return f"{caption}{html}<p style='{left}'><b>{verdict}</b></p><ul>{points}</ul>"

    # The parts.

    def _headline(self) -> str:
        if self.table is not None:
            return f"{self.name}: perf kvm stat, {int(self.table['Samples'].sum())} {self.table.index.name} samples."
        count, threads = self._counts.total(), len(self._tracker.threads)
        length = (self._tracker.last_ns - (self._tracker.first_ns or 0)) / 1e6
        lost = f" {self.lost_events} events were lost." if self.lost_events else ""
        return (
            f"{self.name}: {count} timer{'s' * (count != 1)} of {threads} vCPU{'s' * (threads != 1)} "
            f"in {length:.1f} ms.{lost}"
        )

    def _outcome_lines(self) -> Iterator[str]:
        if self.table is not None:
            for name, samples in self.table["Samples"].items():
                yield f"{samples:>9} {name}"
        for outcome, count in self._counts.most_common(8):
            backend, fires_on, expiry_exit, delivery, fate = outcome
            if fate != "delivered":
                yield f"{count:>9} {backend or 'nothing'} armed: {fate}"
                continue
            where = f", fired on {fires_on}" if fires_on else ""
            yield f"{count:>9} {backend or 'nothing'} armed{where}, {expiry_exit or 'no'} exit, {delivery}"
        latencies = [ns for row in self.timers_kept if (ns := latency_ns(row, self.tsc_ghz.get(row.pid))) is not None]
        if latencies:
            middle, most = statistics.median(latencies), max(latencies)
            yield f"deadline to post or VM entry: median {middle / 1e3:.2f} us, longest {most / 1e3:.2f} us"

    def _lane(self, kind: str, number: int) -> str:
        if kind == "pCPU":
            return f"pCPU {number}"
        thread = self._tracker.threads[number]
        return vcpu_name(thread, self._tracker.threads.values())

    def _row(self, timer: Timer) -> tuple[Any, ...]:
        return (
            timer.armed_ns,
            timer.vcpu if timer.vcpu >= 0 else None,
            timer.pcpu,
            timer.arm_exit,
            backend_of(timer),
            timer.fired_cpu,
            fires_on(timer),
            timer.vcpu_was,
            timer.expiry_exit,
            delivery_of(timer),
            fate(timer),
            latency_ns(timer, self.tsc_ghz.get(timer.pid)),
        )

    def _story(self, number: int, timer: Timer) -> Story:
        thread = self._tracker.threads[timer.pid]
        return Story(
            kernel=f"timer {number} of {vcpu_name(thread, self._tracker.threads.values())}",
            backend=backend_of(timer),
            fires_on=fires_on(timer),
            arm_exit=timer.arm_exit,
            arm_fastpath=timer.arm_fast,
            expiry_exit=timer.expiry_exit,
            expiry_fastpath=timer.expiry_fast if timer.expiry_exit == "PREEMPTION_TIMER" else False,
            delivery=delivery_of(timer),
            latency_ns=latency_ns(timer, self.tsc_ghz.get(timer.pid)),
            timeline=tuple(sorted(steps(timer), key=lambda step: step.time_ns)),
        )


def exit_table(threads: Iterable[Thread]) -> pd.DataFrame:
    """perf's table of the exits of some threads, most frequent first; columns as in `read_perf_kvm_stat`."""
    import numpy as np

    rows: dict[str, list[tuple[float, ...]]] = {}
    for thread in threads:
        for reason, handling in thread.handling.items():
            rows.setdefault(reason, []).append(tuple(getattr(handling, name) for name in EXIT.names or ()))
    return perf_table({reason: np.array(several, EXIT) for reason, several in rows.items()})


def vcpu_name(thread: Thread, threads: Iterable[Thread]) -> str:
    """What a vCPU is called: by its number, and by its thread where several VMs have that number."""
    several = sum(other.vcpu == thread.vcpu for other in threads) > 1
    number = thread.vcpu if thread.vcpu >= 0 else "?"
    return f"vCPU {number} (thread {thread.pid})" if several or thread.vcpu < 0 else f"vCPU {number}"


# One timer.


def is_disarm(timer: Timer) -> bool:
    """The guest wrote 0."""
    return timer.value == 0


def backend_of(timer: Timer) -> str | None:
    """ "hv", "hrtimer", None (nothing had to be armed) or "not visible"."""
    return None if is_disarm(timer) or timer.at_arm else timer.backend or NOT_VISIBLE


def fires_on(timer: Timer) -> str | None:
    """ "own", "housekeeping", None (it did not fire) or "not visible".

    An hrtimer that fires elsewhere than where it was armed was sent there, and is sent to housekeeping CPUs only
    (get_nohz_timer_target).
    """
    if is_disarm(timer) or timer.at_arm:
        return None
    if timer.fired_cpu is None:
        return NOT_VISIBLE if timer.accepted_ns is not None or fate(timer) == NOT_VISIBLE else None
    if timer.fired_cpu == timer.vcpu_cpu:
        return "own"
    return "housekeeping" if timer.fired_cpu != timer.pcpu else NOT_VISIBLE


def fate(timer: Timer) -> str:
    """What became of a timer."""
    if is_disarm(timer):
        return "disarmed"
    if timer.delivery is not None:
        return "delivered"
    if timer.fired_ns is not None:
        return NOT_VISIBLE
    return "armed anew" if timer.ended_ns is not None else "still armed"


def delivery_of(timer: Timer) -> str | None:
    """How the guest got it; None where nothing was armed."""
    return None if is_disarm(timer) else timer.delivery or NOT_VISIBLE


def latency_ns(timer: Timer, tsc_ghz: float | None) -> int | None:
    """Deadline -> post or VM entry, in ns; None where the recording does not show it.

    The deadline follows from kvm_wait_lapic_expire, which says how many TSC cycles it is away; for a one-shot or
    periodic hrtimer it is the time that the hrtimer was set for.
    """
    reached = timer.accepted_ns if timer.posted or timer.at_arm else timer.entry_ns
    if reached is None:
        return None
    if timer.delta is not None and timer.wait_ns is not None and tsc_ghz:
        deadline = timer.wait_ns - round(timer.delta / tsc_ghz)
        return max(0, max(reached, timer.wait_ns) - deadline)
    exact = timer.backend == "hrtimer" and timer.msr is not None and timer.msr != TSC_DEADLINE
    if exact and timer.late_ns is not None and timer.fired_ns is not None:
        return max(0, timer.late_ns + reached - timer.fired_ns)
    return None


def steps(timer: Timer) -> Iterator[Step]:
    """The steps that were seen, with times from the exit that armed the timer."""

    def step(time_ns: int | None, where: str, function: str, sentence: str) -> Iterator[Step]:
        if time_ns is not None:
            yield Step(time_ns - timer.armed_ns, where, function, sentence)

    own = "the vCPU's pCPU"
    if timer.arm_exit:
        yield from step(timer.armed_ns, own, "kvm_exit", SENTENCES[T_EXIT].format(exit=timer.arm_exit))
        yield from step(timer.armed_ns, own, "write to the timer", SENTENCES[T_WRMSR])
    yield from step(timer.armed_ns, own, *armed_step(timer))
    if timer.switched:
        yield from step(timer.armed_ns, own, "kvm_lapic_switch_to_sw_timer", SENTENCES[T_SWITCH_TO_SW])
    if timer.expiry_exit:
        reason = SENTENCES[T_EXIT].format(exit=timer.expiry_exit)
        yield from step(timer.expiry_exit_ns, own, "kvm_exit", reason)
    fires = own if fires_on(timer) == "own" else f"pCPU {timer.fired_cpu}"
    if timer.fired_ns is not None and timer.backend == "hrtimer":
        ns = "some time" if timer.late_ns is None else f"{timer.late_ns / 1e3:.2f} us"
        yield from step(timer.fired_ns, fires, "apic_timer_fn", SENTENCES[T_APIC_TIMER_FN].format(ns=ns))
    waited = () if timer.delta is None else ("kvm_wait_lapic_expire", wait_sentence(timer.delta))
    if timer.posted:
        if waited:  # the CPU that fires it waits, and posts at the deadline
            yield from step(timer.wait_ns, fires, *waited)
        sentence = SENTENCES[T_EXPIRED_POSTED].format(cpu=own)
        yield from step(timer.accepted_ns, fires, "apic_timer_expired", sentence)
    elif timer.at_arm:
        yield from step(timer.accepted_ns, own, "apic_timer_expired", SENTENCES[T_EXPIRED_AT_ONCE])
    else:
        yield from step(timer.accepted_ns, own, "kvm_apic_inject_pending_timer_irqs", SENTENCES[T_INJECT])
    if not timer.posted:
        if waited:
            yield from step(timer.wait_ns, own, *waited)
        yield from step(timer.entry_ns, own, "kvm_entry", SENTENCES[T_ENTRY])
    if timer.ended_ns is not None:
        yield from step(
            timer.ended_ns, own, "start_apic_timer", "The guest writes its timer again: this one is forgotten."
        )


def armed_step(timer: Timer) -> tuple[str, str]:
    """What was armed: function and sentence."""
    if is_disarm(timer):
        return "start_apic_timer", SENTENCES[T_NOTHING_ARMED]
    if timer.at_arm:
        return "start_apic_timer", SENTENCES[T_EXPIRED_AT_ONCE]
    if timer.backend == "hv":
        return "start_hv_timer", SENTENCES[T_START_HV_TIMER]
    if timer.backend == "hrtimer":
        return "hrtimer_start", "A host hrtimer takes the job; on which CPU it waits shows when it fires."
    return "start_apic_timer", "The timer is armed; who shall fire it is not in the recording."


def wait_sentence(delta: int) -> str:
    """What kvm_wait_lapic_expire() saw."""
    if delta < 0:
        return SENTENCES[T_WAIT].format(ns=f"{-delta} TSC cycles")
    return f"The deadline was {delta} TSC cycles ago: nothing is left to wait for."


# From timers to observations.


class Notes:
    """What the kernel answered, counted while timers go by."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[int, int, str, bool]] = Counter()
        """(thread, pCPU of the vCPU, question, answer) -> how often."""
        self.left: Counter[tuple[int, int]] = Counter()
        """(pCPU that armed, pCPU that fired) of hrtimers that left the vCPU's pCPU."""
        self.pinned: Counter[bool] = Counter()

    def take(self, timer: Timer) -> None:
        """What one timer tells."""
        if max(len(self.answers), len(self.left)) > MAX_PLACES:
            raise ValueError(f"more than {MAX_PLACES} pairs of vCPUs and pCPUs; expected a listing of one host")
        if timer.pinned is not None:
            self.pinned[timer.pinned] += 1
        if timer.backend == "hv" and not is_disarm(timer):
            self.answers[timer.pid, timer.pcpu, "can_use_hv_timer", True] += 1
        elif timer.backend == "hrtimer" and timer.arm_exit and armed_near(timer):
            self.answers[timer.pid, timer.pcpu, "can_use_hv_timer", False] += 1
        if timer.vcpu_cpu is None:
            return
        if timer.posted:
            self.answers[timer.pid, timer.vcpu_cpu, "can_post_timer_interrupt", True] += 1
        elif timer.vcpu_was == "guest" and timer.expiry_exit and timer.fired_ns is not None and timer.accepted_ns:
            self.answers[timer.pid, timer.vcpu_cpu, "can_post_timer_interrupt", False] += 1
        if timer.backend is not None and timer.fired_cpu not in (None, timer.pcpu) and timer.vcpu_cpu == timer.pcpu:
            self.left[timer.pcpu, int(timer.fired_cpu or 0)] += 1

    def observations(self, tracker: Tracker) -> list[Observation]:
        """The answers; a kick where others were posted is a race with an exit, and tells nothing."""
        found = []
        for (pid, cpu, question, answer), count in self.answers.items():
            if question == "can_post_timer_interrupt" and not answer and self.answers[pid, cpu, question, True]:
                continue
            who = vcpu_name(tracker.threads[pid], tracker.threads.values())
            found.append(Observation(who, cpu, question, answer, count, say(who, cpu, question, answer, count)))
        return found


def armed_near(timer: Timer) -> bool:
    """The deadline was in reach of any preemption timer, so that its refusal is an answer; and there was one at all."""
    if is_disarm(timer) or timer.switched or (timer.value is None and timer.expires is None):
        return False
    if timer.fired_ns is not None:
        return timer.fired_ns - timer.armed_ns < HV_SURE_NS
    return timer.expires is not None and 0 <= timer.expires - timer.armed_ns < HV_SURE_NS


def say(who: str, cpu: int, question: str, answer: bool, count: int) -> str:
    """An observation in a sentence."""
    times = f"{count} time{'s' * (count != 1)}"
    if question == "can_use_hv_timer":
        armed = "the preemption timer" if answer else "an hrtimer, not the preemption timer,"
        return f"{who} on pCPU {cpu}: {armed} was armed, {times}."
    if answer:
        return f"{who} on pCPU {cpu}: an expiry on another CPU was posted, {times}."
    return (
        f"{who} on pCPU {cpu}: an expiry on another CPU found it in the guest and was not posted but kicked, {times}."
    )


def facts_seen(tracker: Tracker, notes: Notes) -> list[Fact]:
    """Facts that the recording shows."""
    facts = []
    threads = tracker.threads.values()
    if any(thread.exits.keys() & SVM_EXITS for thread in threads):
        facts.append(Fact("hv_timer", False, None, "Exits have AMD's names: there is no preemption timer."))
    for thread in threads:
        facts += thread_facts(thread, vcpu_name(thread, threads))
    for (armed, fired), count in notes.left.items():
        sentence = f"{count} hrtimer{'s' * (count != 1)} armed on pCPU {armed} fired on pCPU {fired}"
        facts.append(Fact(HOUSEKEEPING, False, armed, f"{sentence}: timers leave isolated CPUs only."))
        facts.append(Fact(HOUSEKEEPING, True, fired, f"{sentence}: timers go to housekeeping CPUs only."))
    return facts


def thread_facts(thread: Thread, who: str) -> Iterator[Fact]:
    """Facts about one vCPU."""
    hlt = sum(thread.exits[name] for name in HLT_EXITS)
    mwait = sum(thread.exits[name] for name in MWAIT_EXITS)
    if hlt:
        yield Fact("hlt_in_guest", False, who, f"{who}: HLT exits ({hlt}).")
    if mwait:
        yield Fact("mwait_in_guest", False, who, f"{who}: MWAIT exits ({mwait}).")
    if thread.apicv:
        yield Fact("apicv_active", True, who, f"{who}: APICv took interrupts (kvm_apicv_accept_irq).")
    elif thread.msr_writes[EOI]:
        yield Fact("apicv_active", False, who, f"{who}: EOI exits ({thread.msr_writes[EOI]}), so APICv is not active.")


def excluded_by_release(tracker: Tracker, notes: Notes) -> dict[str, str]:
    """What the kernel's generation excludes: `before` is v5.2, the revisions are later."""
    if notes.pinned[True] and not notes.pinned[False]:
        why = "LAPIC hrtimers are pinned, as up to v5.2."
        return dict.fromkeys(("rev1", "rev2", "rev3"), why)
    if notes.pinned[False]:
        return {"before": "LAPIC hrtimers are not pinned; v5.2 pins them."}
    if tracker.modern_exit_format:
        return {"before": "kvm_exit is printed as from v5.10 on."}
    return {}


# The whole.


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
    max_timers: int = MAX_TIMERS,
) -> Explanation:
    """Explain a listing of kvm and hrtimer events, or a table of perf kvm stat.

    `trace`: text, a path, or what `read_kvm_trace` or `read_perf_kvm_stat` returned. A listing is read event by event,
    so it may be of any length; stories are kept of the first `max_timers` timers, the others are counted.

    The rest is what you know of the host, None for what you don't: the module parameter kvm.pi_inject_timer; whether
    APICv is active, a preemption timer is there (kvm_intel.preemption_timer), MWAIT and HLT stay in the guest;
    the pCPUs that are housekeeping CPUs for timers (all others are not); the guest's TSC frequency.

    Raises ValueError as the readers do, for a text of another kind, and for a fact that the recording contradicts.
    """
    given = {
        "pi_inject_timer": pi_inject_timer,
        "hv_timer": hv_timer,
        "apicv_active": apicv_active,
        "mwait_in_guest": mwait_in_guest,
        "hlt_in_guest": hlt_in_guest,
    }
    known = {name: checks.flag(name, value) for name, value in given.items() if value is not None}
    cpus = (
        None if housekeeping_cpus is None else frozenset(checks.cpus("housekeeping_cpus", housekeeping_cpus, 1 << 20))
    )
    ghz = None if tsc_ghz is None else checks.number("tsc_ghz", tsc_ghz, 0.1, 10, "GHz")
    checks.whole("max_timers", max_timers, 1, 10_000_000)
    if not isinstance(trace, str | os.PathLike):
        if "Samples" in getattr(trace, "columns", ()):
            return explain_table(trace, "the table", known)
        return explain_events(frame_events(trace), "the trace", known, cpus, ghz, max_timers)
    kind = sniff(trace)
    if kind == PERF:
        return explain_table(read_perf_kvm_stat(trace), name_of(trace), known)
    if kind != TRACE:
        raise ValueError(f"{name_of(trace)}: found the output of {kind}; expected a kvm trace or a perf kvm stat table")
    with closing(open_source(trace)) as source:
        return explain_events(Listing(source), name_of(trace), known, cpus, ghz, max_timers)


def name_of(text_or_path: str | os.PathLike[str]) -> str:
    """What to call the input."""
    is_path = isinstance(text_or_path, os.PathLike) or os.path.exists(text_or_path)
    return os.path.basename(os.fspath(text_or_path)) if is_path else "the text"


def frame_events(frame: Any) -> Iterator[Event]:
    """The events of a table of `read_kvm_trace`."""
    missing = [name for name in Event._fields if name not in getattr(frame, "columns", ())]
    if missing:
        raise ValueError(
            f"trace: {type(frame).__name__} without {', '.join(missing)} does not fit; allowed: text, a path, or a "
            "table of read_kvm_trace or read_perf_kvm_stat"
        )
    for row in frame[list(Event._fields)].astype(object).itertuples(index=False, name=None):
        yield Event._make(None if value is not value or str(value) == "<NA>" else value for value in row)


def explain_events(
    events: Iterable[Event],
    name: str,
    given: dict[str, bool],
    housekeeping: frozenset[int] | None,
    tsc_ghz: float | None,
    max_timers: int,
) -> Explanation:
    """Follow every timer through the events, and see what they tell."""
    tracker, notes = Tracker(MAX_SPANS), Notes()
    kept: list[Timer] = []
    outcomes: Counter[tuple[str | None, ...]] = Counter()
    for timer in tracker.follow(events):
        notes.take(timer)
        outcomes[backend_of(timer), fires_on(timer), timer.expiry_exit, delivery_of(timer), fate(timer)] += 1
        if len(kept) < max_timers:
            kept.append(timer)
    kept.sort(key=lambda timer: timer.armed_ns)
    seen, observations = facts_seen(tracker, notes), notes.observations(tracker)
    told = given_facts(given, housekeeping, observations, seen)
    inference = infer(observations, [*told, *seen], excluded_by_release(tracker, notes))
    rates = {thread.pid: rate for thread in tracker.threads.values() if (rate := tsc_ghz or measured_ghz(thread))}
    lost = getattr(events, "lost_events", 0)
    return Explanation(name, TRACE, kept, tracker, inference, tsc_ghz=rates, outcomes=outcomes, lost_events=lost)


def measured_ghz(thread: Thread) -> float | None:
    """The TSC's frequency, from two readings far enough apart."""
    if thread.first_tsc is None or thread.last_tsc is None:
        return None
    ns = thread.last_tsc[0] - thread.first_tsc[0]
    ghz = (thread.last_tsc[1] - thread.first_tsc[1]) / ns if ns >= CALIBRATION_NS else 0.0
    return ghz if 0.1 <= ghz <= 10 else None


def given_facts(
    given: dict[str, bool],
    housekeeping: frozenset[int] | None,
    observations: Iterable[Observation],
    seen: Iterable[Fact],
) -> list[Fact]:
    """What the reader says, refused where the recording shows otherwise."""
    vcpus = dict.fromkeys(seen_at.vcpu for seen_at in observations)
    cpus = dict.fromkeys(seen_at.cpu for seen_at in observations if seen_at.cpu is not None)
    facts = []
    for name, value in given.items():
        sentence = f"You say {name}={value}."
        places: Iterable[str | None] = [None] if name in ("pi_inject_timer", "hv_timer") else vcpus
        facts += [Fact(name, value, place, sentence) for place in places]
    if housekeeping is not None:
        listed = ", ".join(map(str, sorted(housekeeping))) or "none"
        facts += [Fact(HOUSEKEEPING, cpu in housekeeping, cpu, f"You say housekeeping_cpus={listed}.") for cpu in cpus]
    told = {(fact.name, fact.of): fact for fact in facts}
    for fact in seen:
        said = told.get((fact.name, fact.of))
        if said is not None and said.value != fact.value:
            raise ValueError(f"{fact.name}: {said.sentence} The recording shows otherwise: {fact.sentence}")
    return facts


# A table of perf kvm stat has counts only.

ALL_VCPUS = "some vCPU"
MOST = 0.5


def explain_table(table: Any, name: str, given: dict[str, bool]) -> Explanation:
    """What the counts of a table tell."""
    samples: dict[str, int] = {}
    for row, count in table["Samples"].items():
        samples[str(row)] = samples.get(str(row), 0) + int(count)
    observations, assumed = table_observations(samples)
    seen = table_facts(samples)
    inference = infer(observations, [*given_facts(given, None, observations, seen), *seen], {}, assumed)
    return Explanation(name, PERF, [], Tracker(0), inference, table=table)


def table_observations(samples: dict[str, int]) -> tuple[list[Observation], list[str]]:
    """What a table tells, and what that rests on."""
    arms = sum(samples.get(name, 0) for name in ("MSR_WRITE", "APIC_WRITE", "msr"))
    irqs = sum(samples.get(name, 0) for name in ("EXTERNAL_INTERRUPT", "interrupt"))
    halts = sum(samples.get(name, 0) for name in (*HLT_EXITS, *MWAIT_EXITS))
    if hv := samples.get("PREEMPTION_TIMER", 0):
        sentence = f"{hv} PREEMPTION_TIMER exits: the preemption timer was used."
        return [Observation(ALL_VCPUS, None, "can_use_hv_timer", True, hv, sentence)], []
    if arms < 100 or halts:
        return [], []
    assumed = [f"Most of the {arms} writes arm the timer (EOI and ICR writes count there too, without APICv)."]
    sentence = f"{arms} writes and no PREEMPTION_TIMER exit: hrtimers were used."
    found = [Observation(ALL_VCPUS, None, "can_use_hv_timer", False, arms, sentence)]
    if irqs < MOST * arms:
        sentence = f"{arms} writes, but only {irqs} interrupt exits and no HLT exits: most expiries were posted."
        found.append(Observation(ALL_VCPUS, None, "can_post_timer_interrupt", True, arms - irqs, sentence))
    return found, assumed


def table_facts(samples: dict[str, int]) -> list[Fact]:
    """Facts that a table shows, if all vCPUs are of one VM."""
    facts = []
    if samples.keys() & SVM_EXITS:
        facts.append(Fact("hv_timer", False, None, "Exits have AMD's names: there is no preemption timer."))
    for names, fact, word in ((HLT_EXITS, "hlt_in_guest", "HLT"), (MWAIT_EXITS, "mwait_in_guest", "MWAIT")):
        if count := sum(samples.get(name, 0) for name in names):
            facts.append(Fact(fact, False, ALL_VCPUS, f"{word} exits ({count})."))
    return facts
