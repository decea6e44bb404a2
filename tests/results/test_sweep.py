"""Sweeps: the same table on any executor, stopped and resumed, on a cluster that loses a worker."""

import _thread
import contextlib
import errno
import json
import os
import pickle
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import policy
from kvmlab.results import file_lock, sweep as sweeps, sweep_file

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


HEADER = json.dumps({"kvmlab sweep": 1})
FOREIGN = {
    "words": "not JSON\n",
    "words without a line end": "precious notes",
    "a last line without a line end": "line 1\nprecious",
    "JSON": "[1, 2]\n",
    "JSON without a line end": '{"point": 1}',
    "another header": HEADER,
    "a byte order mark": f"\ufeff{HEADER}\n",
    "a number": "0",
    "an empty line": "\n",
    "one very long line": "x" * (2 << 20),
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path, text):
    path = tmp_path / "s"
    path.write_text(text, encoding="utf-8")
    before = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(ValueError, match=r"^path: .* (is not a sweep's file|holds a sweep of another)"):
        kl.sweep(SHORT, GRID, path=path, progress=False)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("data", [b"\xff\xfe binary", b"\x7fELF\0\0\n", b"[" * 200_000])
def test_a_binary_file_is_refused_too(tmp_path, data):
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(ValueError, match="is not a sweep's file"):
        kl.sweep(SHORT, GRID, path=tmp_path / "s", progress=False)
    assert (tmp_path / "s").read_bytes() == data


@pytest.mark.parametrize("path", [0, 1, "", b"", False, ["s"], "a\0b"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match=r"^path: .* is not allowed; it must be a path"):
        kl.sweep(SHORT, {}, path=path, progress=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_folders_devices_and_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero", "/dev/null"):
        with pytest.raises(ValueError, match=r"^path: .* it must be a file, and that is a (folder|device or a pipe)"):
            kl.sweep(SHORT, {}, path=path, progress=False)


def test_an_empty_file_is_a_new_one_and_so_is_one_that_stopped_in_its_header(swept, tmp_path):
    path = tmp_path / "s"
    kl.sweep(SHORT, GRID, path=path, progress=False)
    for kept in (0, 1, 100):
        path.write_bytes(path.read_bytes()[:kept])
        pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {},
        lambda row: [1],
        lambda row: None,
        lambda row: {"point": [30]},
        lambda row: row | {"point": 8},
        lambda row: row | {"point": True},
        lambda row: row | {"result": 5},
        lambda row: row | {"result": {"exits": 5}},
        lambda row: row | {"result": row["result"] | {"exits": "5"}},
        lambda row: row | {"result": row["result"] | {"mood": 5}},
    ],
)
def test_a_line_that_is_no_result_is_named(tmp_path, change):
    path = tmp_path / "s"
    kl.sweep(SHORT, GRID, path=path, progress=False)
    lines = path.read_text().splitlines()
    lines[3] = json.dumps(change(json.loads(lines[3])))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"^path: line 4 of .* is not a result of this sweep; remove that line"):
        kl.sweep(SHORT, GRID, path=path, progress=False)
    assert path.read_text().splitlines() == lines


def test_a_header_that_stands_there_twice_is_passed_over(swept, tmp_path):
    path = tmp_path / "s"
    kl.sweep(SHORT, GRID, path=path, progress=False)
    first, *rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, first, *rows[:5]]))
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)


def test_a_file_that_another_sweep_writes_is_refused(swept, stops, tmp_path):
    """Whoever comes second is told so; what the first one has finished is there for all when it has ended."""
    path = tmp_path / "s"
    with pytest.raises(KeyboardInterrupt):
        kl.sweep(SHORT, GRID, path=path, progress=False)
    header = json.loads(path.read_text().splitlines()[0])
    with sweep_file.writing(path, header) as (done, _):
        assert len(done) == 3
        with pytest.raises(ValueError, match=r"^path: .* is being written by another sweep; wait for its end"):
            kl.sweep(SHORT, GRID, path=path, progress=False)
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)
    with sweep_file.writing(path, header):  # read while another has it: there is nothing left to be written
        pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)


def test_many_that_begin_one_file_at_once_leave_one_sweep(swept, tmp_path):
    path = tmp_path / "s"

    def begin(_):
        try:
            return kl.sweep(SHORT, GRID, path=path, progress=False)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(begin, range(8)))
    tables = [outcome for outcome in outcomes if isinstance(outcome, pd.DataFrame)]
    assert tables
    for table in tables:
        pd.testing.assert_frame_equal(table, swept)
    assert all("is being written by another sweep" in each for each in outcomes if isinstance(each, str))
    assert path.read_text().count("kvmlab sweep") == 1
    assert len(path.read_text().splitlines()) == 9


def test_where_a_file_system_has_no_locks_there_is_none(swept, tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_lock, "take", refuse)
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=tmp_path / "s", progress=False), swept)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_a_finished_file_may_be_read_only(swept, tmp_path):
    path = tmp_path / "s"
    kl.sweep(SHORT, GRID, path=path, progress=False)
    path.chmod(0o444)
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)


def test_a_finished_file_is_not_opened_to_be_written(swept, tmp_path, monkeypatch):
    path = tmp_path / "s"
    kl.sweep(SHORT, GRID, path=path, progress=False)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(file_lock, "take", lambda file: pytest.fail("opened to be written"))
    pd.testing.assert_frame_equal(kl.sweep(SHORT, GRID, path=path, progress=False), swept)
    assert path.stat().st_mtime_ns == before


def test_what_is_no_executor_is_refused():
    with pytest.raises(ValueError, match=r"^executor: 5 is not allowed; it must be an Executor"):
        kl.sweep(SHORT, {}, 5, progress=False)


# --- on a cluster -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def within(seconds):
    """Fail instead of waiting for ever."""
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        pytest.fail(f"not done within {seconds} s")
    finally:
        timer.cancel()


def test_a_cluster_that_loses_a_worker_loses_no_point(tmp_path, monkeypatch):
    """The worker is killed when three points are done, by the sweep itself: nothing is left to chance."""
    distributed = pytest.importorskip("distributed")
    psutil = pytest.importorskip("psutil")
    scenario, grid = SHORT.replace(duration_s=3), {"seed": range(16)}
    killed = []
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with within(120), cluster, distributed.Client(cluster, timeout=30) as client:
        plain = sweeps.run_points

        def losing(*arguments):
            for count, result in enumerate(plain(*arguments), 1):
                if count == 3:
                    process = psutil.Process(cluster.workers[0].pid)
                    process.kill()
                    process.wait(10)
                    killed.append(process.pid)
                yield result

        monkeypatch.setattr(sweeps, "run_points", losing)
        table = kl.sweep(scenario, grid, client.get_executor(), path=tmp_path / "s", progress=False)
        monkeypatch.undo()
    assert len(killed) == 1
    pd.testing.assert_frame_equal(table, kl.sweep(scenario, grid, progress=False))
