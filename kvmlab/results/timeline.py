"""A run's trace steps as a table, and as spans on lanes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from kvmlab.model.names import FAST, FUNCTIONS, Trace

if TYPE_CHECKING:
    import pandas as pd

TraceSteps = npt.NDArray[np.void]
"""STEP records (kvmlab.model.machine), in the order of the run."""


class Span(NamedTuple):
    """Something that takes time on a lane."""

    start_ns: int
    """When it begins."""
    end_ns: int
    """When it ends; the same for an instant."""
    lane: str
    """"vCPU n" or "pCPU n"."""
    what: str
    """On a vCPU: "guest", an exit's reason while the host handles it, or "handler"; on a pCPU: "hrtimer" or "post"."""
    flow: int
    """The number of an arrow that starts or ends here, from 0; -1 for none."""


TIMELINE_COLUMNS = Span._fields
"""The columns of a timeline, whether of a run or of a recording."""
NO_FLOW = -1


def trace_table(steps: TraceSteps) -> pd.DataFrame:
    """Return steps as a table. Columns: time_ns, pcpu, vcpu (-1: none), step (its name in the kernel), arg."""
    import pandas as pd

    return pd.DataFrame(
        {
            "time_ns": steps["time"],
            "pcpu": steps["cpu"],
            "vcpu": steps["vcpu"],
            "step": [FUNCTIONS[code] for code in steps["code"]],
            "arg": steps["arg"],
        }
    )


def timeline_table(steps: TraceSteps, exit_names: Sequence[str]) -> pd.DataFrame:
    """Return the spans of some steps, by start. Columns: `TIMELINE_COLUMNS`."""
    import pandas as pd

    in_order = sorted(spans(steps, exit_names), key=lambda span: span.start_ns)
    return pd.DataFrame(in_order, columns=list(TIMELINE_COLUMNS))


def spans(steps: TraceSteps, exit_names: Sequence[str]) -> Iterator[Span]:
    """Yield the spans of some steps: guest and exits on vCPU lanes, host timers and posts on pCPU lanes.

    `exit_names`: what the host's vendor calls the exits, in the order of `EXITS`.
    """
    since: dict[int, tuple[int, str]] = {}
    posts: dict[int, int] = {}
    flows = itertools.count()
    for time, cpu, vcpu, code, arg in steps.tolist():
        if code in (Trace.EXIT, Trace.ENTRY):
            start, what = since.get(vcpu, (time, ""))
            if what and time > start:
                yield Span(start, time, f"vCPU {vcpu}", what, NO_FLOW)
            since[vcpu] = (time, "guest" if code == Trace.ENTRY else exit_names[arg & ~FAST])
        elif code == Trace.HRTIMER_INTERRUPT and arg > 0:
            yield Span(time, time + arg, f"pCPU {cpu}", "hrtimer", NO_FLOW)
        elif code == Trace.EXPIRED_POSTED:
            posts[vcpu] = flow = next(flows)
            yield Span(time, time, f"pCPU {cpu}", "post", flow)
        elif code == Trace.HANDLER and vcpu in posts:
            yield Span(time, time, f"vCPU {vcpu}", "handler", posts.pop(vcpu))
