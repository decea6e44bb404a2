"""Sweeps: the same table on any executor, stopped and resumed, on a cluster that loses a worker."""

import json
import pickle
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import policy
from kvmlab.results import sweep as sweeps

WORK = kl.Workload(tick_hz=0, timer_us=500, idle_us=100, busy_us=50, device_irq_hz=500)
SHORT = kl.Scenario(kl.Host(), kl.Guest(3, workload=WORK), duration_s=0.02)
GRID = {"host.hz": [100, 1000], "kernel": ["v5.2", "v5.18"], "workload.timer_us": [300, 900]}


@pytest.fixture(scope="module")
def swept():
    return kl.sweep(SHORT, GRID, progress=False)


def test_sweep_has_a_row_per_point_in_the_grid_s_order(swept):
    assert list(swept.columns) == [*GRID, *kl.simulate(SHORT).summary()]
    assert len(swept) == 8
    assert swept["host.hz"].tolist() == [100] * 4 + [1000] * 4
    assert swept["kernel"].tolist() == ["v5.2", "v5.2", "v5.18", "v5.18"] * 2
    assert swept["workload.timer_us"].tolist() == [300, 900] * 4
    point = SHORT.replace(**{"host.hz": 1000, "kernel": "v5.2", "workload.timer_us": 900})
    assert swept.iloc[5].drop(list(GRID)).to_dict() == pytest.approx(kl.simulate(point).summary())


class Backwards(Executor):
    """Runs nothing until the last result is asked for, then the last first."""

    def __init__(self):
        self.waiting = []

    def submit(self, fn, /, *args):
        self.waiting.append((Future(), fn, args))
        if len(self.waiting) == 8:
            for future, call, values in reversed(self.waiting):
                future.set_result(call(*pickle.loads(pickle.dumps(values))))
        return self.waiting[-1][0]


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor, lambda _: Backwards()])
def test_any_executor_and_any_order_give_the_same_table(swept, pool):
    with pool(2) as executor:
        pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, executor, progress=False), swept)


def test_a_function_typed_in_a_notebook_goes_to_another_process():
    grid = {"kernel": [SHORT.kernel.with_policy("mine", lambda v: v.apicv_active), "v5.2"]}
    with ProcessPoolExecutor(1) as executor:
        there = kl.sweep(SHORT, grid, executor, progress=False)
    pd.testing.assert_frame_equal(there, kl.sweep(SHORT, grid, progress=False))
    assert there["kernel"].tolist() == ["mine", "v5.2"]


def test_a_table_answers_as_the_policy_it_was_made_of():
    for rule in policy.POLICIES.values():
        table = policy.Table(policy.table_bits(rule))
        assert [table(facts) for facts in policy.every_input()] == [rule(facts) for facts in policy.every_input()]


def test_an_empty_grid_is_one_run():
    assert len(kl.sweep(SHORT, {}, progress=False)) == 1
    assert kl.sweep(SHORT, {"seed": []}, progress=False).empty


def test_the_bar_counts_what_is_done(capsys, tmp_path):
    kl.sweep(SHORT, {"seed": [1, 2]}, path=tmp_path / "s")
    assert "2/2" in capsys.readouterr().err
    kl.sweep(SHORT, {"seed": [1, 2]}, progress=False)
    assert capsys.readouterr().err == ""


# --- stopped and resumed ----------------------------------------------------------------------------------------------


@pytest.fixture
def stops(monkeypatch):
    """Let the user press Ctrl-C in the fourth run; count the runs."""
    ran = []
    plain = sweeps.sweep_point

    def point(scenario):
        ran.append(scenario)
        if len(ran) == 4:
            raise KeyboardInterrupt
        return plain(scenario)

    monkeypatch.setattr(sweeps, "sweep_point", point)
    return ran


@pytest.mark.parametrize("kept", [True, False], ids=["in a file", "in this Python"])
def test_an_interrupted_sweep_goes_on_where_it_stopped(swept, stops, tmp_path, kept):
    path = tmp_path / "sweep.jsonl" if kept else None
    with pytest.raises(KeyboardInterrupt) as stop:
        kl.sweep(SHORT, GRID, path=path, progress=False)
    assert stop.value.__notes__ == ["sweep: 3 of 8 points are done and kept; the same call goes on from there."]
    table = kl.sweep(SHORT, GRID, path=path, progress=False)
    pd.testing.assert_frame_equal(table, swept)
    assert len(stops) == 4 + 5
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)
    assert len(stops) == (9 if kept else 17), "what is finished is kept in the file only"


def test_a_failed_point_loses_no_other(tmp_path, monkeypatch, swept):
    plain = sweeps.sweep_point
    monkeypatch.setattr(sweeps, "sweep_point", lambda s: plain(s) if s.host.hz == 100 else 1 / 0)
    with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
        kl.sweep(SHORT, GRID, executor, path=tmp_path / "s", progress=False)
    assert len((tmp_path / "s").read_text().splitlines()) == 1 + 4
    monkeypatch.setattr(sweeps, "sweep_point", plain)
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=tmp_path / "s", progress=False), swept)


@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_cut_off_by_a_crash_is_run_again(swept, tmp_path, cut):
    path = tmp_path / "s"
    kl.sweep(SHORT, GRID, path=path, progress=False)
    path.write_bytes(path.read_bytes()[:-cut])
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)
    assert len(path.read_text().splitlines()) == 9
    assert sorted(json.loads(line)["point"] for line in path.read_text().splitlines()[1:]) == list(range(8))


@pytest.mark.parametrize(
    ("scenario", "grid", "what"),
    [
        (SHORT.replace(seed=1), GRID, "another scenario"),
        (SHORT.replace(kernel=SHORT.kernel.with_policy("v5.18", policy.rev1)), GRID, "another scenario"),
        (SHORT, {**GRID, "host.hz": [100, 250]}, "another grid"),
        (
            SHORT,
            {"seed": [1, 2, 3]},
            r"another grid \(fields \['host.hz', .*8 points; here: fields \['seed'\], 3 points",
        ),
    ],
)
def test_another_sweep_s_file_is_refused(tmp_path, scenario, grid, what):
    kl.sweep(SHORT, GRID, path=tmp_path / "s", progress=False)
    before = (tmp_path / "s").read_bytes()
    with pytest.raises(ValueError, match=f"^path: .* holds a sweep of {what}"):
        kl.sweep(scenario, grid, path=tmp_path / "s", progress=False)
    assert (tmp_path / "s").read_bytes() == before


def test_another_version_s_file_is_refused(tmp_path, monkeypatch):
    kl.sweep(SHORT, {}, path=tmp_path / "s", progress=False)
    monkeypatch.setattr(sweeps, "source_digest", lambda *modules: "other")
    with pytest.raises(ValueError, match="holds a sweep of another kvmlab version"):
        kl.sweep(SHORT, {}, path=tmp_path / "s", progress=False)


@pytest.mark.parametrize("text", ["not JSON\n", "[1, 2]\n", '{"point": 1}\n'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "s").write_text(text)
    with pytest.raises(ValueError, match="is no file of a sweep"):
        kl.sweep(SHORT, GRID, path=tmp_path / "s", progress=False)
    assert (tmp_path / "s").read_text() == text


# --- on a cluster -----------------------------------------------------------------------------------------------------


def kill_a_worker(path, cluster, killed):
    """End one of the worker processes when three points are done."""
    import psutil

    while not (path.exists() and len(path.read_text().splitlines()) > 3):
        time.sleep(0.005)
    process = psutil.Process(cluster.workers[0].pid)
    process.kill()
    killed.append(len(path.read_text().splitlines()) - 1)


def test_a_cluster_that_loses_a_worker_loses_no_point(tmp_path):
    distributed = pytest.importorskip("distributed")
    scenario = SHORT.replace(duration_s=5)
    grid = {"seed": range(40)}
    path, killed = tmp_path / "s", []
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        killer = threading.Thread(target=kill_a_worker, args=(path, cluster, killed))
        killer.start()
        table = kl.sweep(scenario, grid, client.get_executor(), path=path, progress=False)
        killer.join()
    assert 3 <= killed[0] < 40
    pd.testing.assert_frame_equal(table, kl.sweep(scenario, grid, progress=False))
