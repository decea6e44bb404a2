"""The model against recordings of real kernels: counts, placement, and that nothing measured goes in."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import data, policy
from kvmlab.host import recordings as recorded
from kvmlab.host.formats import read_perf_kvm_stat
from kvmlab.model.names import PLACES
from tests.host.watched import Watched

ROWS = recorded.recorded_rows()
SET_UP = [
    *("run", "kernel", "policy", "vendor", "nohz_full", "pi_inject_timer", "apicv", "preemption_timer"),
    *("mwait_in_guest", "hlt_in_guest", "pause_in_guest", "guest_waits_by", "vcpu_on", "pcpu", "cpu0_background"),
    *("timer_mode", "period_us", "timers"),
]
MEASURED = [name for name in ROWS[0] if name not in SET_UP]
NEEDED = [name for name in SET_UP if name not in ("run", "vcpu_on")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["run"])
def test_a_recorded_run_is_predicted(row):
    """Within 5: a recording holds a few stray interrupts, and one exit of the recorder's own."""
    run = kl.simulate(kl.recorded_scenario(row))
    assert abs(run.kvm_stat["exits"] - (int(row["exits"]) - 1)) <= 5
    assert abs(run.kvm_stat["irq_exits"] - int(row["irq_exits"])) <= 5
    assert abs(run.kvm_stat["halt_exits"] - int(row["halt_exits"])) <= 5
    assert recorded.same_placement(row["traced_expiry_on"], recorded.placed_on(run))
    timers = int(row["timers"])
    assert run.machine.vcpus["delivered"].sum() == timers


@pytest.mark.parametrize("counter", ["exits", "irq_exits", "halt_exits"])
@pytest.mark.parametrize(("more", "right"), [(5, True), (6, False)])
def test_counts_agree_within_5(counter, more, right):
    row = ROWS[0]
    predicted = recorded.check_row(row)[f"{counter} predicted"]
    others_own = recorded.IO_EXITS if counter == "exits" else 0
    assert recorded.check_row({**row, counter: str(predicted + others_own + more)})["counts right"] is right


def test_all_130_of_130_are_right():
    table = kl.check_recordings()
    assert len(table) == len(ROWS) == 130
    assert int((table["counts right"] & table["placement right"]).sum()) == 130
    assert table["run"].is_unique


def test_recordings_show_every_policy_and_way():
    """Else the score would say little."""
    assert {row["policy"] for row in ROWS} >= {"before", "rev1", "rev2", "rev3"} - {"before"}
    ways = sum(kl.simulate(kl.recorded_scenario(row)).placement["expiries"] > 0 for row in ROWS)
    assert ways["hv"] > 10
    assert ways["own pCPU"] > 10
    assert ways["housekeeping posted"] > 10
    assert ways["not in guest"] > 5
    assert set(ways.index) == set(PLACES)


@pytest.mark.parametrize("other", ["rev1", "rev2", "rev3"])
def test_another_policy_would_not_predict_them(other):
    wrong = 0
    changed = [row for row in ROWS if row["policy"] != other and policy_matters(row, other)]
    for row in changed:
        run = kl.simulate(kl.recorded_scenario(row | {"policy": other}))
        off = abs(run.kvm_stat["irq_exits"] - int(row["irq_exits"])) > 5
        wrong += off or not recorded.same_placement(row["traced_expiry_on"], recorded.placed_on(run))
    assert len(changed) > 2
    assert wrong > len(changed) / 4


def policy_matters(row, other):
    """Return True if the other policy answers differently for this vCPU."""
    facts = policy.VcpuFacts(
        *(row[name] == "1" for name in ("pi_inject_timer", "apicv")),
        row["nohz_full"] == "0" or row["pcpu"] == "0",
        *(row[name] == "1" for name in ("mwait_in_guest", "hlt_in_guest")),
    )
    return bool(policy.POLICIES[row["policy"]](facts)) != bool(policy.POLICIES[other](facts))


# --- only what was set up goes in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS[::9], ids=lambda row: row["run"])
def test_what_was_measured_does_not_reach_the_scenario(row):
    scenario = kl.recorded_scenario(row)
    assert kl.recorded_scenario(row | dict.fromkeys(MEASURED, "12345")) == scenario
    assert kl.recorded_scenario(row | dict.fromkeys(MEASURED, float("nan"))) == scenario
    assert kl.recorded_scenario({name: row[name] for name in NEEDED}) == scenario


def test_measured_columns_are_measured():
    assert {"exits", "irq_exits", "halt_exits", "latency_p50", "traced_expiry_on"} <= set(MEASURED)


def test_a_scenario_is_made_without_looking():
    for row in ROWS:
        watched = Watched(row)
        kl.recorded_scenario(watched)
        assert watched.read == set(NEEDED)


def test_every_set_up_column_matters():
    """Rows that differ in a column they were set up with are different scenarios."""
    changes = {
        "kernel": "5.10.0",
        "policy": "before",
        "vendor": "amd",
        "mwait_in_guest": "1",
        "hlt_in_guest": "0",
        "pause_in_guest": "1",
        "apicv": "0",
        "preemption_timer": "0",
        "nohz_full": "0",
        "pi_inject_timer": "1",
        "guest_waits_by": "hlt",
        "pcpu": "0",
        "cpu0_background": "spinning",
        "timer_mode": "periodic",
        "period_us": "777",
        "timers": "33",
    }
    assert set(changes) == set(NEEDED)
    row = ROWS[0]
    for name, value in changes.items():
        assert row[name] != value
        assert kl.recorded_scenario(row | {name: value}) != kl.recorded_scenario(row), name


# --- forms of a row ---------------------------------------------------------------------------------------------------


def test_text_numbers_and_pandas_give_one_scenario():
    frame = pd.read_csv(data.path("recorded", "recorded_runs.csv"))
    text = pd.read_csv(data.path("recorded", "recorded_runs.csv"), dtype=str)
    floats = frame.astype(dict.fromkeys(frame.select_dtypes("int"), float))
    for i, row in enumerate(ROWS):
        scenario = kl.recorded_scenario(row)
        numbers = frame.iloc[i].to_dict()
        plain = {k: int(v) if isinstance(v, (int, np.integer)) else v for k, v in numbers.items()}
        for form in (frame.iloc[i], numbers, plain, text.iloc[i], floats.iloc[i], floats.iloc[i].to_dict()):
            assert kl.recorded_scenario(form) == scenario
    checked = recorded.check_row(frame.iloc[0])
    assert checked["counts right"]
    assert checked["placement right"]


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_column_is_named(name):
    row = {key: value for key, value in ROWS[0].items() if key != name}
    with pytest.raises(ValueError, match=rf"^(Host\.)?{name}: .*no such column.*there are: .*run"):
        kl.recorded_scenario(row)
    with pytest.raises(ValueError, match=rf"^(Host\.)?{name}: "):
        kl.recorded_scenario(pd.Series(row))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("apicv", "pi_inject_timer", "nohz_full")
            for value in ("yes", 2, None, "", np.nan)
        ),
        *(("pcpu", value) for value in (2, "two", -1, np.nan)),
        *(("period_us", value) for value in (0, "fast", np.nan, np.inf, -5)),
        *(("timers", value) for value in (0, "many", np.nan, 1.5, 10**9)),
        *(("timer_mode", value) for value in ("tsc", 1, None)),
        *(("guest_waits_by", value) for value in ("sleep", None)),
        *(("cpu0_background", value) for value in ("busy", None, 5, "timers every x us")),
        *(("policy", value) for value in ("rev4", None, "")),
        *(("vendor", value) for value in ("arm", None)),
    ],
)
def test_a_value_that_does_not_fit_is_named(name, value):
    with pytest.raises(ValueError, match=rf"^(Host\.)?{name}: .*must be "):
        kl.recorded_scenario(ROWS[0] | {name: value})


@pytest.mark.parametrize("value", ["latest", None, np.nan, ""])
def test_a_kernel_that_is_no_release_is_named(value):
    with pytest.raises(ValueError, match=r"^(kernel|release): .*must be "):
        kl.recorded_scenario(ROWS[0] | {"kernel": value})


@pytest.mark.parametrize("row", [None, 5, "row", [1, 2]])
def test_what_is_no_row(row):
    with pytest.raises(ValueError, match="is not allowed; it must be "):
        kl.recorded_scenario(row)


# --- what is said about placement -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded_text", "predicted", "same"),
    [
        ("cpu1:7 cpu0:3", "cpu1:75 cpu0:25", True),
        ("cpu1:10", "cpu1:100", True),
        ("cpu1:10", "cpu0:100", False),
        ("cpu0:10", "cpu0:70 cpu1:30", False),
        ("", "", True),
        ("", "cpu0:1", False),
        ("cpu1:3", "", False),
    ],
)
def test_placements_agree_where_the_shares_do(recorded_text, predicted, same):
    assert recorded.same_placement(recorded_text, predicted) is same


def test_the_recorded_latencies_belong_to_the_rows():
    latencies = json.loads(data.path("recorded", "recorded_latencies.json").read_text())
    assert {row["run"] for row in ROWS} <= set(latencies)


@pytest.mark.parametrize(
    ("file", "pi"),
    [("perf-kvm-stat.pi0_all.txt", 0), ("perf-kvm-stat.pi1_all.txt", 1), ("perf-kvm-stat.pi0_none.txt", 0)],
)
def test_perf_saw_the_same_kinds_of_exits(file, pi):
    table = read_perf_kvm_stat(data.path("recorded", file))
    expired = "EXTERNAL_INTERRUPT" if "all" in file else "PREEMPTION_TIMER"
    assert table.loc["MSR_WRITE", "Samples"] > 900
    assert (table["Samples"].get(expired, 0) > 900) == (pi == 0)


def test_rows_are_as_in_the_file():
    with data.path("recorded", "recorded_runs.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == ROWS


# --- each number ------------------------------------------------------------------------------------------------------


ROW = {
    "run": "a run",
    "kernel": "6.1.176",
    "policy": "rev1",
    "vendor": "intel",
    "nohz_full": "1",
    "pi_inject_timer": "0",
    "apicv": "1",
    "preemption_timer": "0",
    "mwait_in_guest": "0",
    "hlt_in_guest": "1",
    "pause_in_guest": "0",
    "guest_waits_by": "hlt",
    "pcpu": "1",
    "cpu0_background": "tick only",
    "timer_mode": "oneshot",
    "period_us": "2000",
    "timers": "100",
    "exits": "202",
    "irq_exits": "10",
    "halt_exits": "3",
    "traced_expiry_on": "cpu1:10",
}


def test_a_run_is_one_scenario():
    host = kl.Host(
        pcpus=2,
        isolated=(1,),
        nohz_full=True,
        isolated_domains=False,
        hz=250,
        housekeeping="idle",
        housekeeping_timer_us=100,
        loaded=(0,),
        vendor="intel",
        apicv=True,
        preemption_timer=False,
        pi_inject_timer=False,
        tsc_ghz=1,
    )
    workload = kl.Workload(
        tick_hz=0, timer_us=2000, rearm="relative", timers=100, timer_mode="oneshot", idle_us=1, waits_by="hlt"
    )
    assert kl.recorded_scenario(ROW) == kl.Scenario(
        host,
        (kl.Guest(pcpus=(1,), hlt_in_guest=True, boot_us=1900, workload=workload),),
        kernel=kl.kernels.release("6.1.176", policy.rev1, name="6.1.176 rev1"),
        duration_s=0.7,
    )


def test_without_nohz_full_no_cpu_is_isolated():
    host = recorded.recorded_host(ROW | {"nohz_full": "0"})
    assert (host.isolated, host.nohz_full) == ((), False)


@pytest.mark.parametrize(
    ("background", "housekeeping", "timer_us"),
    [("tick only", "idle", 100), ("spinning", "ticking", 100), ("timers every 62.5 us", "timers", 62.5)],
)
def test_cpu_0_does_what_it_was_set_up_to(background, housekeeping, timer_us):
    host = recorded.recorded_host(ROW | {"cpu0_background": background})
    assert (host.housekeeping, host.housekeeping_timer_us) == (housekeeping, timer_us)


@pytest.mark.parametrize(
    ("name", "least", "most"), [("pcpu", 0, 1), ("period_us", 10, 100_000_000), ("timers", 1, 1_000_000)]
)
def test_a_number_is_allowed_up_to_its_limits(name, least, most):
    for value in (least, most):
        recorded.recorded_guest(ROW | {name: value})
    for value in (least - 1, most + 1):
        with pytest.raises(ValueError, match=rf"^{name}: "):
            recorded.recorded_guest(ROW | {name: value})


@pytest.mark.parametrize(
    ("fired", "placement"),
    [([25, 75, 0], "cpu1:75 cpu0:25"), ([5, 1, 5], "cpu0:5 cpu2:5 cpu1:1"), ([0, 0], "")],
)
def test_a_placement_names_the_cpus_that_fired_most_first(fired, placement):
    assert recorded.placed_on(SimpleNamespace(fired_on=pd.Series(fired))) == placement


@pytest.mark.parametrize(
    ("placement", "share"), [("cpu1:7 cpu0:3", 0.3), ("cpu1:10", 0), ("cpu0:4", 1), ("cpu10:1 cpu0:1", 0.5), ("", None)]
)
def test_the_share_of_cpu_0_is_of_all(placement, share):
    assert recorded.share_on_cpu0(placement) == share


@pytest.mark.parametrize(
    ("predicted", "same"),
    [("cpu0:75 cpu1:25", False), ("cpu0:74 cpu1:26", True), ("cpu0:26 cpu1:74", True), ("cpu0:25 cpu1:75", False)],
)
def test_shares_agree_within_less_than_a_quarter(predicted, same):
    assert recorded.same_placement("cpu0:5 cpu1:5", predicted) is same


@pytest.mark.parametrize(
    ("counts", "fired", "right"),
    [
        ((201, 10, 3), [0, 10], (True, True)),
        ((206, 5, 8), [1, 9], (True, True)),
        ((207, 10, 3), [10, 0], (False, False)),
        ((195, 10, 3), [0, 0], (False, False)),
        ((201, 4, 3), [3, 7], (False, False)),
        ((201, 10, 9), [2, 8], (False, True)),
    ],
)
def test_a_row_is_checked_without_the_recorder_s_own_exit(monkeypatch, counts, fired, right):
    names = ("exits", "irq_exits", "halt_exits")
    predicted = dict(zip(names, counts, strict=True))
    run = SimpleNamespace(kvm_stat=predicted, fired_on=pd.Series(fired))
    monkeypatch.setattr(recorded, "simulate", lambda scenario: run)
    assert recorded.check_row(ROW) == {
        "run": "a run",
        "exits recorded": 201,
        "irq_exits recorded": 10,
        "halt_exits recorded": 3,
        **{f"{name} predicted": predicted[name] for name in names},
        "expiry_on recorded": "cpu1:10",
        "expiry_on predicted": recorded.placed_on(run),
        "counts right": right[0],
        "placement right": right[1],
    }


def test_where_no_hrtimer_was_traced_none_is_to_fire(monkeypatch):
    run = SimpleNamespace(kvm_stat={"exits": 201, "irq_exits": 10, "halt_exits": 3}, fired_on=pd.Series([0, 0]))
    monkeypatch.setattr(recorded, "simulate", lambda scenario: run)
    checked = recorded.check_row(ROW | {"traced_expiry_on": float("nan")})
    assert (checked["expiry_on recorded"], checked["placement right"]) == ("", True)


def test_rows_are_checked_in_their_order_and_others_are_refused():
    table = kl.check_recordings(row | {"run": name} for row, name in zip(ROWS, "ab", strict=False))
    assert table["run"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="rows: 5 is not allowed; it must be rows of a table"):
        kl.check_recordings(5)
    without = {name: value for name, value in ROW.items() if name != "run"}
    with pytest.raises(ValueError, match="run: the row has no such column"):
        kl.check_recordings([ROW, without])
