"""What the notebook on tickless and periodic guests says, computed."""

from __future__ import annotations

from kvmlab.lab import tickless


def test_tickless_pays_once_a_wait_is_longer_than_a_period():
    """At 200 us: 4.5 times the writes, nearly twice the exits. At 2 ms: writes about even. At 20 ms: a tenth."""
    table = tickless.exits()
    for wait_us, writes, everything in (
        (200, (4.3, 4.7), (1.7, 2.0)),
        (2000, (0.8, 1.2), (0.0, 0.7)),
        (20_000, (0.0, 0.2), (0.05, 0.12)),
    ):
        ticks, stops = table.loc[wait_us, "ticks"], table.loc[wait_us, "tickless"]
        assert writes[0] < stops["MSR_WRITE"] / ticks["MSR_WRITE"] < writes[1]
        assert everything[0] < stops["all"] / ticks["all"] < everything[1]
    assert round(table.loc[200, "ticks"]["MSR_WRITE"], -1) == 1000


def test_a_periodic_timer_is_written_twice():
    names = {"deadline": "vmx-6.1-rev3-hv-timer", "periodic": "vmx-6.1-rev3-hv-periodic"}
    table = tickless.traced_writes(names)
    assert table.loc["write 0x6e0"].to_dict() == {"deadline": 10, "periodic": 0}
    assert table.loc["write 0x838"].to_dict() == {"deadline": 0, "periodic": 2}


def test_a_posted_periodic_timer_costs_no_exit():
    table = tickless.recorded_beside_model({"posted": "tickle100_pi1_periodic_dehlt_spin"})
    assert table.loc["posted", "recorded"] == 4
    assert abs(table.loc["posted", "simulated"] - 4) <= 5


def test_the_first_placement_decides():
    table = tickless.periodic_coin()
    assert [*table.index] == [0.0, 1.0]
    assert table["runs"].sum() == tickless.RUNS
    assert 4 < table.loc[1.0, "runs"] < 18


def test_what_is_missed_is_missed():
    row = tickless.missed_rings().loc["in one second"]
    assert row["interrupts"] < row["expiries"]
