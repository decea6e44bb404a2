"""`Explanation`: what `kvmlab.explain` found in a recording, as tables, stories and sentences."""

from __future__ import annotations

import functools
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from kvmlab.engine.layout import TABLES
from kvmlab.host.explain.answer import three_sentences
from kvmlab.host.explain.sections import records, sections
from kvmlab.host.explain.stories import story_of
from kvmlab.host.formats.sniff import PERF
from kvmlab.host.formats.unlisted import unlisted_of
from kvmlab.host.host_facts import HostFacts
from kvmlab.host.inference import PolicyInference
from kvmlab.host.outcome import Outcome, backend_of, delivery_of, fate, fires_on, is_disarm, latency_ns
from kvmlab.host.threads import Thread
from kvmlab.host.timers import Timer
from kvmlab.host.tracker import Tracker
from kvmlab.results.exit_table import perf_table
from kvmlab.results.story import NOT_VISIBLE, Story

if TYPE_CHECKING:
    import pandas as pd

EXIT_RECORD = TABLES["exits"].dtype
COLUMNS = (
    "armed_ns", "vcpu", "pcpu", "arm_exit", "backend", "fired_on", "fires_on", "vcpu_was", "expiry_exit", "delivery",
    "fate", "latency_ns",
)  # fmt: skip
NUMBERS = ("armed_ns", "vcpu", "pcpu", "fired_on", "latency_ns")
SHOWN_OUTCOMES = 8
"""Outcomes that a summary lists, the most frequent first."""


class Explanation:
    """What a recording shows. Made by `kvmlab.explain`; tables are made when asked for, once."""

    def __init__(
        self,
        name: str,
        kind: str,
        timers: list[Timer],
        tracker: Tracker,
        inference: PolicyInference,
        *,
        tsc_ghz: dict[int, float] | None = None,
        outcomes: Counter[Outcome] | None = None,
        table: pd.DataFrame | None = None,
        armed: int = 0,
        events: frozenset[str] = frozenset(),
        lost_events: int = 0,
        left_out: int = 0,
        notes: Sequence[str] = (),
        host: HostFacts | None = None,
        interrupts: pd.DataFrame | None = None,
        gaps: pd.DataFrame | None = None,
    ) -> None:
        self.name = name
        """What was explained: a file's name, or "the text"."""
        self.kind = kind
        """"kvm trace" or "perf kvm stat"."""
        self.policy = inference
        """Which revisions the host may run, and why."""
        self.table = table
        """The table of perf kvm stat, where it was one."""
        self.armed = armed
        """How many timers guests armed by an exit, of the whole listing."""
        self.events = events
        """The kinds of events in the listing."""
        self.notes = (*notes, *(host.sentences if host else ()))
        """What has to be known of the recording: what it leaves out, and what kind of machine it is from."""
        self.host = host
        """What was said of the host's settings, as text; None: nothing."""
        self.lost_events = lost_events
        """How many events the listing says were overrun."""
        self.left_out = left_out
        """In how many places of the listing lines were left out."""
        self.tsc_ghz = tsc_ghz or {}
        """The guest's TSC frequency in GHz by vCPU thread: given, or worked out from the recording."""
        self.interrupts = interrupts
        """The interrupts that ended guest mode, as `kvmlab.exit_interrupts` lists them; None for a table."""
        self.gaps = gaps
        """The longest times out of the guest, as `kvmlab.longest_gaps` lists them; None for a table."""
        self.timers_kept = timers
        """What the tracker found of each timer, in the order of arming; of very many the first."""
        self._tracker = tracker
        self.counts: Counter[Outcome] = outcomes or Counter()
        """How many timers had each outcome, of the whole listing."""

    @functools.cached_property
    def stories(self) -> list[Story]:
        """The story of each timer, in the order of arming."""
        return [
            story_of(f"timer {number} of {self._tracker.name(timer.pid)}", timer, self.tsc_ghz.get(timer.pid))
            for number, timer in enumerate(self.timers_kept)
        ]

    @functools.cached_property
    def timers(self) -> pd.DataFrame:
        """One row per timer, in the order of arming.

        Columns:

        - armed_ns: the exit that armed it, in ns on the recording's clock.
        - vcpu; pcpu: where it was armed.
        - arm_exit: the exit that armed it; NA: a periodic timer went on by itself.
        - backend: "hv", "hrtimer", "not visible"; NA: nothing had to be armed.
        - fired_on: pCPU; fires_on: "own", "housekeeping", "not visible"; NA: it did not fire.
        - vcpu_was: where the expiry found the vCPU, "guest", "interrupted", "blocked", "host"; NA: not visible.
        - expiry_exit: the exit that the expiry cost; NA: none.
        - delivery: "posted", "vm_entry", "wake_up", "at_arm", "not visible"; NA: nothing was armed.
        - fate: "delivered", "armed anew", "disarmed", "still armed", "not visible".
        - latency_ns: deadline -> post or VM entry, the last that a host sees before the guest's handler, in ns; NA: not
          visible.
        """
        import pandas as pd

        rows = [self._row(timer) for timer in self.timers_kept]
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        return frame.astype({**dict.fromkeys(COLUMNS, "string"), **dict.fromkeys(NUMBERS, "Int64")})

    @functools.cached_property
    def outcomes(self) -> pd.DataFrame:
        """How many timers had each outcome, the most frequent first. Columns as in `timers`, and timers (count)."""
        import pandas as pd

        rows = [(*outcome, count) for outcome, count in self.counts.most_common()]
        return pd.DataFrame(rows, columns=[*Outcome._fields, "timers"])

    @functools.cached_property
    def timeline(self) -> pd.DataFrame:
        """Spans in order of time, as in `Run.timeline`. Columns: start_ns, end_ns, lane, what, flow.

        A handler stands at the time of its post: when the guest starts it is not visible from the host. Of a long
        recording it has the first spans only; attrs["left_out"] says how many more there were.
        """
        import pandas as pd

        spans = sorted(self._tracker.timeline.spans, key=lambda span: (span.start_ns, span.end_ns))
        rows = [(span.start_ns, span.end_ns, self._lane(*span.lane), span.what, span.flow) for span in spans]
        frame = pd.DataFrame(rows, columns=["start_ns", "end_ns", "lane", "what", "flow"])
        frame.attrs["left_out"] = self._tracker.timeline.left_out
        return frame

    @functools.cached_property
    def exits(self) -> pd.DataFrame:
        """The exits of all vCPUs as perf kvm stat lists them: the table given, or what the listing adds up to."""
        return self.table if self.table is not None else exit_table(self._tracker.threads.values())

    @property
    def incomplete(self) -> bool:
        """Events of the listing are missing: they were overrun, or lines were left out."""
        return bool(self.lost_events or self.left_out)

    @property
    def seconds(self) -> float | None:
        """How long the recording is; None for a table, which does not contain that."""
        return None if self.table is not None else self._tracker.length_ns / 1e9

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

    @functools.cached_property
    def answer(self) -> tuple[str, str, str]:
        """What fired the timers and on which evidence, which revision fits, what to look at or to record next."""
        return three_sentences(self)

    def summary(self) -> str:
        """Return the answer in three sentences, then what was seen, in a few lines."""
        seen = [self._headline(), *self.notes, *(f"  {line}" for line in self._outcome_lines())]
        return "\n".join([*self.answer, "", *seen, *sections(self), "", str(self.policy)])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict.

        Its keys: name, kind, answer, headline, notes, lost_events, outcomes, policy, timers, interrupts, gaps.
        """
        return {
            "name": self.name,
            "kind": self.kind,
            "answer": list(self.answer),
            "headline": self._headline(),
            "notes": list(self.notes),
            "lost_events": self.lost_events,
            "outcomes": [{**outcome._asdict(), "timers": count} for outcome, count in self.counts.most_common()],
            "policy": self.policy.to_dict(),
            "timers": records(self.timers),
            "interrupts": records(self.interrupts),
            "gaps": records(self.gaps),
        }

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left = "text-align:left"
        verdict = escape(self.policy.sentence)
        points = "".join(f"<li>{escape(reason)}</li>" for reason in self.policy.reasons())
        table = self.outcomes if len(self.outcomes) else self.table
        answer = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.answer)
        notes = " ".join([self._headline(), *self.notes])
        caption = f"<ol style='{left}'>{answer}</ol><p style='{left}'>{escape(notes)}</p>"
        html = "" if table is None else table.fillna("-").to_html(index=self.kind == PERF, border=0)
        return f"{caption}{html}<p style='{left}'><b>{verdict}</b></p><ul>{points}</ul>"

    def _headline(self) -> str:
        """Return one line on what was read."""
        if self.table is not None:
            samples = unlisted_of(self.table).total_samples
            return f"{self.name}: perf kvm stat, {samples} {self.table.index.name} samples."
        count, threads = self.counts.total(), len(self._tracker.threads)
        lost = f" {self.lost_events} events were lost." if self.lost_events else ""
        return (
            f"{self.name}: {count} timer{'s' * (count != 1)} of {threads} vCPU{'s' * (threads != 1)} "
            f"in {self._tracker.length_ns / 1e6:.1f} ms{self._arming_rate()}.{lost}"
        )

    def _arming_rate(self) -> str:
        """Return how often a vCPU armed a timer, as part of the headline; "" where too few were armed to tell."""
        armed = [t.armed_ns for t in self.timers_kept if (t.arm_exit or t.value is not None) and not is_disarm(t)]
        vcpus = len(self._tracker.threads)
        span_ns = max(armed) - min(armed) if len(armed) > vcpus else 0
        if not span_ns or self.incomplete:
            return ""
        each = (len(armed) - vcpus) * 1e9 / span_ns / vcpus
        rate = f"{each:,.0f}" if each >= 1000 else f"{each:.4g}"
        return f", armed {rate} times a second" + (" by each" if vcpus > 1 else "")

    def _outcome_lines(self) -> Iterator[str]:
        """Yield the counts of a table, or of the most frequent outcomes, and the latencies.

        Of a listing in which no timer's end is seen, the exits are listed.
        """
        if self.table is not None or not any(outcome.fate == "delivered" for outcome in self.counts):
            for name, samples in self.exits["Samples"].items():
                yield f"{samples:>9} {name}"
        for outcome, count in self.counts.most_common(SHOWN_OUTCOMES):
            armed = (
                "armed, by what is not visible"
                if outcome.backend == NOT_VISIBLE
                else (f"{outcome.backend or 'nothing'} armed")
            )
            if outcome.fate != "delivered":
                yield f"{count:>9} {armed}: {outcome.fate}"
                continue
            where = f", fired on {outcome.fires_on}" if outcome.fires_on else ""
            cost = f"{outcome.expiry_exit or 'no'} exit"
            yield f"{count:>9} {armed}{where}, {cost}, {outcome.delivery}"
        latencies = [ns for row in self.timers_kept if (ns := latency_ns(row, self.tsc_ghz.get(row.pid))) is not None]
        if latencies:
            middle, most = statistics.median(latencies), max(latencies)
            yield f"deadline to post or VM entry: median {middle / 1e3:.2f} us, longest {most / 1e3:.2f} us"

    def _lane(self, kind: str, number: int) -> str:
        """Return the name of a lane of the timeline."""
        return f"pCPU {number}" if kind == "pCPU" else self._tracker.name(number)

    def _row(self, timer: Timer) -> tuple[int | str | None, ...]:
        """Return a timer's row of `timers`."""
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


def exit_table(threads: Iterable[Thread]) -> pd.DataFrame:
    """Return perf's table of the exits of some threads, most frequent first; columns as in `read_perf_kvm_stat`."""
    import numpy as np

    rows: dict[str, list[tuple[float, ...]]] = {}
    for thread in threads:
        for reason, handling in thread.handling.items():
            rows.setdefault(reason, []).append(tuple(getattr(handling, name) for name in EXIT_RECORD.names or ()))
    return perf_table({reason: np.array(several, EXIT_RECORD) for reason, several in rows.items()})
