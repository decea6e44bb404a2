"""Whom a policy helps and whom it hurts: a run's figures guest by guest, as rates, so that guests can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from kvmlab.kernels import Kernel
from kvmlab.model.names import Exit, Place
from kvmlab.policy import Policy
from kvmlab.results.latency import percentile
from kvmlab.results.run import Run, simulate
from kvmlab.results.stats import PERCENTILES
from kvmlab.results.until_end import lost_ns
from kvmlab.scenario import checks
from kvmlab.scenario.scenario import Scenario
from kvmlab.scenario.variants import numbered, variants

if TYPE_CHECKING:
    import pandas as pd

DEADLINE_EXITS = (Place.HV, Place.OWN, Place.KICKED)
"""Expiries that cost the vCPU an exit: by the preemption timer, by an hrtimer at home, by a kick."""


def guest_row(run: Run, vcpus: slice) -> dict[str, float]:
    """Return the figures of the guest that has these vCPUs: a row of `by_guest`."""
    of_vcpu = run.machine.vcpus[vcpus]
    count = run.exit_rows["count"][vcpus]
    places = run.place_rows[vcpus].sum(axis=0)
    seconds = len(count) * max(1, run.duration_ns) / 1e9
    bins, largest = run.histograms[vcpus].sum(axis=0), int(of_vcpu["lat_max"].max())
    return {
        "exits": count.sum() / seconds,
        "arm exits": count[:, Exit.MSR_WRITE].sum() / seconds,
        "deadline exits": sum(places[place] for place in DEADLINE_EXITS) / seconds,
        "HLT exits": count[:, Exit.HLT].sum() / seconds,
        "posted": places[Place.POSTED] / seconds,
        "not in guest": places[Place.NOT_IN_GUEST] / seconds,
        "lost us": lost_ns(of_vcpu, run.duration_ns).sum() / 1e3 / seconds,
        **{f"{name} us": percentile(bins, PERCENTILES[name], largest) / 1e3 for name in ("p50", "p99")},
    }


def by_guest(run: Run) -> pd.DataFrame:
    """Return a run's figures guest by guest, per vCPU per second.

    One row per guest (index `guest`). Columns: exits (of any reason), arm exits (MSR_WRITE; without APICv the EOIs are
    among them), deadline exits (expiries that took the vCPU out of the guest), HLT exits, posted (expiries posted to a
    vCPU in guest mode), not in guest (expiries that found it blocked, preempted or in the host), lost us (guest time
    lost to exits, us), p50 us and p99 us (deadline -> guest handler, us; NaN for a guest without a timer interrupt).

    >>> import kvmlab as kl
    >>> list(kl.by_guest(kl.simulate(kl.three_guests(duration_s=0.1))).index)
    ['database', 'poller', 'ordinary']
    """
    import pandas as pd

    checks.instance("run", run, Run)
    guests = run.scenario.guests
    ends = np.cumsum([guest.vcpus for guest in guests])
    rows = [guest_row(run, slice(end - guest.vcpus, end)) for guest, end in zip(guests, ends, strict=True)]
    return pd.DataFrame(rows, index=pd.Index(numbered([guest.name for guest in guests]), name="guest"))


def compare_guests(
    scenario: Scenario, kernels_or_policies: Iterable[str | Kernel | Policy], *, progress: bool = False
) -> pd.DataFrame:
    """Run one scenario under several kernels or policies (as `compare` takes them): whom does which help?

    `progress`: show a bar for each run.

    Returns one row per guest and kernel (the two levels of the index), guests in the scenario's order; columns as in
    `by_guest`. Raises ValueError for a name that is not known.

    >>> import kvmlab as kl
    >>> table = kl.compare_guests(kl.three_guests(duration_s=0.1), ["rev1", "rev3"])
    >>> table["posted"].unstack().loc["poller"].gt(0).to_dict()
    {'rev1': True, 'rev3': False}
    """
    import pandas as pd

    checks.instance("scenario", scenario, Scenario)
    chosen = variants(scenario.kernel, kernels_or_policies)
    tables = {
        name: by_guest(simulate(scenario.replace(kernel=kernel), progress=progress)) for name, kernel in chosen.items()
    }
    table = pd.concat(tables, names=["kernel"]).swaplevel()
    guests = list(dict.fromkeys(table.index.get_level_values("guest")))
    return table.reindex(pd.MultiIndex.from_product([guests, list(tables)], names=["guest", "kernel"]))
