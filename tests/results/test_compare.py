"""Several runs side by side: a row per kernel, the same world for each, one axis of time."""

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import policy
from tests.results.storm import STORM

SHORT = STORM.replace(duration_s=0.02)


def test_compare_runs_every_kernel_by_default():
    table = kl.compare(SHORT)
    assert list(table.index) == list(kl.KERNELS)
    assert table.index.name == "kernel"
    assert list(table.columns) == list(kl.simulate(SHORT).summary())
    for name in kl.KERNELS:
        assert table.loc[name].to_dict() == pytest.approx(kl.simulate(SHORT.replace(kernel=name)).summary())


def test_compare_takes_policies_by_name_and_function():
    def mine(v):
        return v.pi_inject_timer and v.apicv_active

    table = kl.compare(SHORT, ["rev1", policy.rev1, mine, "before", kl.KERNELS["v5.13"], "v5.2"])
    assert list(table.index) == ["rev1", "mine", "before", "v5.13", "v5.2"]
    for same in ("mine", "v5.13"):
        pd.testing.assert_series_equal(table.loc[same], table.loc["rev1"], check_names=False)
    assert table.loc["before", "PREEMPTION_TIMER"] > 0 == table.loc["rev1", "PREEMPTION_TIMER"]


@pytest.mark.parametrize("one", ["rev1", "v5.2", policy.rev2, kl.KERNELS["v5.3"]])
def test_compare_takes_a_single_one(one):
    assert len(kl.compare(SHORT, one)) == 1


def test_compare_keeps_two_policies_of_one_name():
    assert len(kl.compare(SHORT, [lambda v: False, lambda v: v.apicv_active])) == 2


def test_compare_shows_the_same_world_to_each():
    """What comes at random does not depend on who fires."""
    table = kl.compare(SHORT.replace(**{"workload.idle_us": 0}), ["before", "rev1", "rev3"])
    assert table["EPT_MISCONFIG"].nunique() == 1


def test_chrome_trace_of_some_runs_names_each(tmp_path):
    scenario = kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(), duration_s=0.02)
    runs = [kl.simulate(scenario.replace(kernel=name)) for name in ("v5.13", "v5.18", "v5.18")]
    trace = kl.to_chrome_trace(runs, tmp_path / "runs.json")
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "process_name"]
    assert sorted(names) == ["v5.13", "v5.18", "v5.18 2"]
    assert kl.to_chrome_trace(runs[0])["traceEvents"]
    with pytest.raises(ValueError, match=r"runs\['a'\]: 7 is not allowed; it must be something with a timeline"):
        kl.to_chrome_trace({"a": 7})
