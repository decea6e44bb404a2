"""What is said of a run, and of many: rates, shares and ranges, worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab.host.what_if import predict
from kvmlab.host.what_if.assumptions import Assumptions
from kvmlab.host.what_if.duration import Duration
from kvmlab.host.what_if.predict import QUANTITIES, Background, Predictor, quantities, revision_rows
from kvmlab.scenario.interval import Interval
from tests.host.test_worlds import measured

BESIDE = Background(10.0, 20.0, 30.0, all_writes=False)
PLACES = ("hv", "own pCPU", "housekeeping posted", "housekeeping kicked", "not in guest", "at arm")
KERNEL = kl.KERNELS["v5.18"]
RATES = ("exits", "MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT", "other")


def run_of(expiries, seconds=2.0, **counts):
    summary = dict.fromkeys(("MSR_WRITE", "PREEMPTION_TIMER", "HLT", "PAUSE_INSTRUCTION"), 0)
    summary |= {"share_taken": 0.125, "latency_p50_ns": 1500, "latency_p99_ns": 9000, "housekeeping_share": 0.5}
    return SimpleNamespace(
        summary=lambda: summary | counts,
        placement=pd.DataFrame({"expiries": expiries}, index=PLACES),
        duration_ns=round(seconds * 1e9),
        vcpu_names=["a/0", "a/1"],
    )


def test_quantities_are_rates_per_vcpu_and_shares_of_timers():
    """Two vCPUs for two seconds, so four of them in all, and 200 timers."""
    run = run_of((20, 40, 50, 60, 28, 2), MSR_WRITE=400, PREEMPTION_TIMER=24, HLT=48, PAUSE_INSTRUCTION=12)
    assert quantities(run, BESIDE) == {
        "exits": 110 + 6 + 45 + 12 + 33,
        "MSR_WRITE": 100 + 10,
        "PREEMPTION_TIMER": 6,
        "EXTERNAL_INTERRUPT": (40 + 60) / 4 + 20,
        "HLT": 12,
        "other": 3 + 30,
        "expiry exits": 60,
        "posted": 25,
        "time taken from the guest": 12.5,
        "latency p50": 1.5,
        "latency p99": 9,
        "busiest housekeeping CPU": 50,
    }


def test_of_a_periodic_timer_the_recorded_writes_are_all():
    run = run_of((1, 0, 0, 0, 0, 0), MSR_WRITE=400)
    found = quantities(run, BESIDE._replace(all_writes=True))
    assert (found["MSR_WRITE"], found["expiry exits"], found["exits"]) == (10, 100, 60)


def test_a_run_without_timers_has_no_share_of_them():
    found = quantities(run_of((0, 0, 0, 0, 0, 0)), BESIDE)
    assert (found["expiry exits"], found["posted"]) == (0, 0)
    assert quantities(run_of((0, 0, 0, 0, 0, 0), seconds=0), BESIDE)["HLT"] == 0


def made(values):
    """A scenario whose runs give these numbers, by seed."""
    return SimpleNamespace(replace=lambda kernel, seed: values[seed])


def rows_of(monkeypatch, worlds, **rates):
    """What is said where all quantities of a run are one number."""
    monkeypatch.setattr(predict, "simulate", lambda value: value)
    monkeypatch.setattr(predict, "quantities", lambda value, beside: dict.fromkeys(QUANTITIES, value * beside))
    runs = [(made(values), 1.0) for values in worlds]
    rows = list(revision_rows(KERNEL, runs, range(len(worlds[0])), **rates))
    assert [(row.revision, row.quantity, row.unit) for row in rows] == [
        (KERNEL.name, name, unit) for name, unit in QUANTITIES.items()
    ]
    return {row.quantity: pytest.approx((row.low, row.central, row.high), nan_ok=True) for row in rows}


WORLDS = [(120.0, 100.0, 104.0), (95.0, 90.0, 300.0)]


def test_the_central_number_is_the_first_world_s_and_the_ends_are_of_all(monkeypatch):
    rows = rows_of(monkeypatch, WORLDS, exit_hz=0.0, timer_hz=1000.0)
    assert rows == dict.fromkeys(QUANTITIES, (90, 104, 300))


@pytest.mark.parametrize(
    ("worlds", "exit_hz", "of_timers", "of_others"),
    [
        (WORLDS, 1.0, (70, 104, 320), (88.2, 104, 306)),  # 2 % of the timers, 2 % of the number
        (WORLDS, 4.0, (70, 104, 320), (86, 104, 306)),  # one exit
        (WORLDS, 50.0, (40, 104, 350), (40, 104, 350)),
        (WORLDS, 100.0, (0, 104, 400), (0, 104, 400)),  # not below 0
        ([(0.0,), (0.0,)], 1.0, (0, 0, 0), (0, 0, 0)),  # what never happens
        ([(0.5,), (0.5,)], 0.1, (0, 0.5, 20.5), (0.4, 0.5, 0.6)),
    ],
)
def test_a_rate_is_known_no_better_than_it_was_recorded(monkeypatch, worlds, exit_hz, of_timers, of_others):
    rows = rows_of(monkeypatch, worlds, exit_hz=exit_hz, timer_hz=1000.0)
    for name in ("PREEMPTION_TIMER", "EXTERNAL_INTERRUPT"):
        assert rows[name] == of_timers
    for name in ("exits", "MSR_WRITE", "HLT", "other"):
        assert rows[name] == of_others
    values = sorted(value for world in worlds for value in world)
    for name in ("posted", "latency p99"):
        assert rows[name] == (values[0], of_others[1], values[-1])


def test_what_no_run_has_a_number_for_has_none(monkeypatch):
    nan = math.nan
    assert rows_of(monkeypatch, [(nan,), (nan,)], exit_hz=1.0, timer_hz=9.0)["exits"] == (nan, nan, nan)
    assert rows_of(monkeypatch, [(nan,), (7.0,)], exit_hz=0.0, timer_hz=9.0)["exits"] == (7, nan, 7)


@pytest.mark.parametrize(("rate_hz", "exit_hz"), [(None, 0.1), (Interval(1000.0, 100.0, 4000.0), 0.0)])
def test_one_exit_in_the_recording_is_a_rate_where_its_length_is_known(rate_hz, exit_hz):
    host = Predictor(measured(duration=Duration(10.0, 1, rate_hz)), Assumptions(housekeeping="idle"), KERNEL, range(2))
    assert (host.exit_hz, host.timer_hz) == (exit_hz, 100)
    assert len(host.worlds) == (1 if rate_hz is None else 3)


@pytest.mark.parametrize(("apicv", "writes_hz"), [(True, 130), (False, 30)])
def test_without_apicv_each_interrupt_costs_a_write(apicv, writes_hz):
    said = Assumptions(housekeeping="idle", apicv=apicv)
    [(scenario, beside)] = Predictor(measured(writes=2300.0), said, KERNEL, range(1)).worlds
    assert beside == Background(pytest.approx(writes_hz), 0, 0, all_writes=False)
    assert scenario.host.apicv is apicv


def test_a_revision_is_run_once_in_each_world_with_each_seed(monkeypatch):
    ran = []
    monkeypatch.setattr(predict, "simulate", lambda scenario: ran.append((scenario.kernel.name, scenario.seed)))
    monkeypatch.setattr(predict, "quantities", lambda run, beside: dict.fromkeys(QUANTITIES, 1.0))
    host = Predictor(measured(), Assumptions(), KERNEL, range(2))
    assert host.runs == 0
    first = host.rows("rev1")
    assert host.rows("rev1") is first
    assert [row.revision for row in first] == ["rev1"] * len(QUANTITIES)
    assert ran == [("rev1", 0), ("rev1", 1)] * 3  # the housekeeping CPU ticks, is idle, or has timers
    assert host.runs == 6
    host.rows(KERNEL)
    assert ran[6:] == [(KERNEL.name, 0), (KERNEL.name, 1)] * 3
    assert host.runs == 12
