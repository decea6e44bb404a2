"""Runs whose results are kept: whoever changes the rules sees here whether a run gives something else than before.

A scenario and a seed promise the same run, on every machine and in every release until the CHANGELOG says otherwise:
lessons quote its figures. A difference is no fault by itself. If it is wanted, check it by hand, say so in the
CHANGELOG, and let `python -m tests.model.test_kept_runs` keep the new results.
"""

import random
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.model.names import WAITS
from kvmlab.scenario.guest import REARMS
from kvmlab.scenario.host import HOUSEKEEPING_LOADS
from tests.strategies import COSTS, all_kernels

KEPT = Path(__file__).with_name("kept_runs.csv")
RUNS = 120
OUTCOME = {
    "vcpus": """armed delivered cancelled coalesced hv_armed lat_n lat_sum lat_min lat_max lost_ns gap_max idle_ns
        polled_ns away_ns halt_poll_ns advance_ns ple_window""",
    "pcpus": "offered refused taken_stale spurious fired timer_busy_ns late_max queue_max",
    "exits": "count fast min_ns max_ns sum_ns",
    "streams": "drawn",
    "trace": "time cpu vcpu code arg",
    "loop": "now events asked",
}
"""What a run comes to: tables, and their fields. Two tables more are all numbers: places and histogram."""


class Draw(random.Random):
    """Choices by number: random() alone gives the same in every Python."""

    def one_of(self, *values):
        return values[int(self.random() * len(values))]

    def flag(self, share=0.5):
        return self.random() < share


def drawn_workload(draw):
    """Return what a guest does; a periodic timer has one period, and only a timer without ticks is written again."""
    mode = draw.one_of("tsc_deadline", "tsc_deadline", "oneshot", "periodic")
    tick, timer = draw.one_of((0, 130), (0, 1000), (0, 7000), (250, None), (1000, None), (10_000, None), (1000, 333.3))
    if mode == "periodic" and tick:
        timer = None
    options = {"rearm": draw.one_of(*REARMS), "busy_us": draw.one_of(0, 20, 300)}
    if timer and mode != "periodic" and draw.flag():
        options = {
            "rearm": "relative",
            "gap_us": draw.one_of(0, 90, 2000),
            "rewrites": draw.one_of(0, 1, 7),
            "rewrite_every_us": draw.one_of(1, 40, 300),
            "slides": draw.flag(),
            "rewrite_by_us": draw.one_of(0, -20, 15.5, -5000),
        }
    return kl.Workload(
        tick_hz=tick,
        timer_us=timer,
        timer_mode=mode,
        timers=draw.one_of(None, None, None, 17, 60),
        idle_us=draw.one_of(0, 15, 500, 20_000),
        waits_by=draw.one_of(*WAITS),
        nohz_idle=draw.flag(),
        device_irq_hz=draw.one_of(0, 0, 100, 20_000),
        other_exit_hz=draw.one_of(0, 0, 100, 20_000),
        host_irq_hz=draw.one_of(0, 0, 100, 20_000),
        **options,
    )


def drawn_guest(draw, pool):
    """Return a guest: on any of the pCPUs of its pool, which leaves room to move, or placed by the model."""
    vcpus = draw.one_of(1, 2) if len(pool) < 4 else draw.one_of(1, 2, 3)
    return kl.Guest(
        vcpus,
        pcpus=pool,
        workload=drawn_workload(draw),
        hlt_in_guest=draw.flag(),
        mwait_in_guest=draw.flag(0.3),
        pause_in_guest=draw.flag(),
        preempt_hz=draw.one_of(0, 0, 100, 3000),
        preempt_us=draw.one_of(5, 100, 1000),
        moves_every_ms=draw.one_of(None, None, 0.2, 3),
        boot_us=draw.one_of(None, 0, 1234.5),
    )


def drawn_host(draw, pcpus):
    """Return a host."""
    halves = (range(pcpus // 2), range(pcpus // 2, pcpus))
    return kl.Host(
        pcpus=pcpus,
        isolated=draw.one_of((), (0,), (1,), halves[1], range(1, pcpus)),
        domains=draw.one_of((), halves),
        loaded=draw.one_of(None, None, (0,), range(pcpus)),
        nohz_full=draw.flag(0.8),
        isolated_domains=draw.flag(0.8),
        hz=draw.one_of(100, 250, 1000),
        housekeeping=draw.one_of(*HOUSEKEEPING_LOADS),
        housekeeping_timer_us=draw.one_of(20, 100, 333.3),
        housekeeping_work_us=draw.one_of(0, 0, 1, 50),
        vendor=draw.one_of("intel", "intel", "intel", "amd"),
        apicv=draw.flag(0.7),
        preemption_timer=draw.flag(0.8),
        preemption_timer_shift=draw.one_of(0, 5, 7, 31),
        tsc_ghz=draw.one_of(0.1, 1.0, 2.5, 3.3),
        pi_inject_timer=draw.one_of(None, True, True, False),
        timer_migration=draw.flag(0.8),
        lapic_timer_advance_ns=draw.one_of(None, None, 0, 1000, 5000),
        min_timer_period_us=draw.one_of(200, 0, 50),
        halt_poll_us=draw.one_of(200, 0, 10),
        ple_window=draw.one_of(4096, 128, 1 << 31),
    )


def scenario(number):
    """Return the scenario of this number: one of each option's values, and one guest or two."""
    draw = Draw(number)
    pcpus = draw.one_of(2, 4, 6, 8)
    host = drawn_host(draw, pcpus)
    pools = (range(pcpus // 2), range(pcpus // 2, pcpus)) if pcpus > 4 and draw.flag() else (range(pcpus),)
    guests = [drawn_guest(draw, pool) for pool in pools]
    if draw.flag(0.3):
        guests = [replace(guest, pcpus=None) for guest in guests]
    return kl.Scenario(
        host,
        guests,
        kernel=draw.one_of(*all_kernels()),
        seed=number,
        duration_s=draw.one_of(0.005, 0.02),
        costs=draw.one_of(*COSTS[:4]),
        trace_steps=3000,
    )


def outcome(number):
    """Return what the run of this number comes to: some figures that tell, and a checksum of all."""
    tables = kl.simulate(scenario(number)).machine
    fields = [getattr(tables, table)[name] for table, names in OUTCOME.items() for name in names.split()]
    checksum = 0
    for column in [*fields, tables.places, tables.histogram]:
        checksum = crc32(np.ascontiguousarray(column, dtype="<i8").tobytes(), checksum)
    return {
        "run": number,
        "events": int(tables.loop["events"][0]),
        "armed": int(tables.vcpus["armed"].sum()),
        "delivered": int(tables.vcpus["delivered"].sum()),
        "exits": int(tables.exits["count"].sum()),
        "lost_ns": int(tables.vcpus["lost_ns"].sum()),
        "latency_ns": int(tables.vcpus["lat_sum"].sum()),
        "checksum": f"{checksum:08x}",
    }


def kept():
    """Return the kept outcomes, one by one."""
    return pd.read_csv(KEPT, dtype={"checksum": str}).to_dict("records")


@pytest.mark.parametrize("before", kept() if KEPT.exists() else [], ids=lambda before: str(before["run"]))
def test_a_run_gives_what_it_gave_before(before):
    assert outcome(before["run"]) == before


def test_all_runs_are_kept():
    assert [before["run"] for before in kept()] == list(range(RUNS))


if __name__ == "__main__":
    pd.DataFrame([outcome(number) for number in range(RUNS)]).to_csv(KEPT, index=False)
