"""What the notebook on the published benchmark says, computed. Each test has the name of the cell that says it."""

from __future__ import annotations

import dataclasses

import pytest

import kvmlab as kl
from kvmlab import costs

WITHOUT, PATCHED = costs.published_table()
ROW = "EXTERNAL_INTERRUPT"


def test_longest_caption():
    longest = [costs.predicted_max(costs.fit(row), row.samples) for row in (WITHOUT, PATCHED)]
    assert [round(each.median / 1000) for each in longest] == [120, 73]
    percentiles = [each.percentile_of(1000 * row.max_us) for each, row in zip(longest, (WITHOUT, PATCHED), strict=True)]
    assert list(map(round, percentiles)) == [40, 34]
    assert [round(longest[0].quantile(q) / 1000, -1) for q in (0.1, 0.9)] == [70, 270]


def test_longest_caption_share_of_the_variance():
    share = (WITHOUT.max_us - WITHOUT.avg_us) ** 2 / WITHOUT.samples / WITHOUT.sd_us**2
    assert round(share, 2) == 0.10


def rebuilt(row: costs.PublishedRow, kernel: str, seed: int = 0):
    timer = kl.Workload(tick_hz=0, timer_us=1000, rearm="relative", timers=WITHOUT.samples)
    guest = kl.Guest(mwait_in_guest=True, hlt_in_guest=True, pause_in_guest=True, workload=timer)
    host = kl.Host(pcpus=4, isolated=(2, 3), housekeeping="timers", housekeeping_timer_us=1270)
    fitted = dataclasses.replace(kl.Costs.default(), external_interrupt=costs.fit(row))
    return kl.simulate(kl.Scenario(host, guest, kernel=kernel, costs=fitted, duration_s=60, seed=seed)).exits.loc[ROW]


@pytest.mark.parametrize(
    ("row", "kernel", "said"),
    [(WITHOUT, "v5.2", (50.00, 47.52, 1.05, 198)), (PATCHED, "v5.3", (13.86, 11.56, 2.55, 61))],
)
def test_roles(row: costs.PublishedRow, kernel: str, said: tuple[float, ...]):
    exits = rebuilt(row, kernel)
    shown = [round(exits[name], 2) for name in ("Samples%", "Time%", "+-%")]
    assert (*shown, round(exits["Max Time"])) == said


def test_rebuild_read():
    assert round(rebuilt(PATCHED, "v5.3", 4)["Max Time"]) == 263


def test_totals_read():
    old, new = costs.implied_totals(WITHOUT), costs.implied_totals(PATCHED)
    assert [round(each.exits.value / 1000, 1) for each in (old, new)] == [86.8, 74.0]
    assert [round(each.time_ms.value, 1) for each in (old, new)] == [77.5, 167.1]
    assert [round(each.other_exits.value / 1000, 1) for each in (old, new)] == [43.9, 67.1]
    assert [round(each.other_mean_us.value, 2) for each in (old, new)] == [1.07, 2.42]


def test_totals_read_try_it():
    assert round(costs.predicted_max(costs.fit(WITHOUT), 10 * WITHOUT.samples).median / 1000) == 319
