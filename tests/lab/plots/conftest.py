"""One picture of each kind, made once for all tests that look at them."""

from __future__ import annotations

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.lab import plots
from kvmlab.scenario import costs
from tests.lab.plots.worlds import BUSY, COMPARED, GUESTS, RECORDED, always


@pytest.fixture(scope="session")
def runs():
    return {name: kl.simulate(BUSY.replace(kernel=name)) for name in ("v5.2", "v5.3")}


@pytest.fixture(scope="session")
def pictures(runs):
    recorded = pd.DataFrame(
        {"period_us": [1000.0, 2000.0], "share": [0.24, 0.49], "cpu0_background": ["tick only", "tick only"]}
    )
    rows = costs.published_table()
    return {
        "exits": plots.exits_by_reason(kl.compare(BUSY, ["before", "rev1", "rev2", "rev3"]), title="Exits"),
        "latencies": plots.latencies(runs, title="Latency"),
        "longest": plots.longest_exit(rows, guesses_us={"before": 40, "after": 2000}),
        "recorded": plots.recorded_against_predicted(kl.check_recordings()),
        "recorded offload": plots.recorded_offload(seconds=1),
        "offload": plots.offload({1000: 0.25, 2000: 0.5, 5000: 1.0}, recorded),
        "timelines": plots.timelines(runs, number=3, title="Timelines"),
        "grid": plots.policy_grid(
            kl.policy.truth_table(kl.policy.rev1), name="rev1", before=kl.policy.truth_table(kl.policy.before)
        ),
        "guests": plots.by_guest(COMPARED, "lost us", title="Lost", unit="a second and vCPU"),
        "revision": plots.revision_view("rev1", "rev3", scenario=GUESTS),
        "ranges": plots.ranges(kl.what_if(RECORDED, timer_hz=1000), "expiry exits", title="What if"),
        "own": plots.revision_view("rev3", always, scenario=GUESTS, column="posted"),
    }
