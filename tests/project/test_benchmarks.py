"""The engines that benchmarks/engine.py times count the same. Nothing is timed here."""

import numpy as np
import pytest

from benchmarks import engine as bench


@pytest.fixture(scope="module")
def c_engine(tmp_path_factory):
    if not bench.compiler():
        pytest.skip("no C compiler")
    return bench.c_engine(tmp_path_factory.mktemp("c"))


@pytest.mark.parametrize("kernel", ["v5.13", "v5.15+rev2", "v5.18", "v6.18"])
@pytest.mark.parametrize(("vcpus", "housekeeping"), [(1, 1), (8, 1), (60, 3)])
def test_c_counts_what_kvmlab_counts(c_engine, kernel, vcpus, housekeeping):
    scenario = bench.scenario(vcpus, housekeeping, 0.5, kernel)
    _, counts = bench.kvmlab(scenario)
    assert bench.expiries(counts) > 400 * vcpus
    bench.same(counts, bench.c_run(c_engine, scenario)[1])


def test_simpy_counts_nearly_the_same():
    scenario = bench.scenario(8, 1, 0.1)
    bench.near(bench.kvmlab(scenario)[1], bench.simpy_run(scenario)[1])


def test_a_difference_is_seen():
    _, counts = bench.kvmlab(bench.scenario(2, 1, 0.05))
    with pytest.raises(AssertionError, match="exits"):
        bench.same(counts, {**counts, "exits": counts["exits"] + np.eye(6, dtype=np.int64)[2]})
    with pytest.raises(AssertionError):
        bench.near(counts, {"places": counts["places"] * 2})


def test_a_long_run_goes_on_where_it_paused(capsys):
    bench.long_run(4000)
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[0] == f"{bench.expiries(bench.kvmlab(bench.scenario(8, 1, 0.5))[1]):,}"
