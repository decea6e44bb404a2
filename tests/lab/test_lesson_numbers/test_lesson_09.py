"""What lesson 09 says of its recordings: one test for each number or claim, named after the cell."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab import data, exercises, panels
from kvmlab.lab.exercises.course import lesson_09

_, EARLIER, UNNAMED = sorted(data.path("recorded").glob("perf-kvm-stat.*"))
LISTING = lesson_09.listing()
[THIRD] = data.path("recorded").glob("perf-script.*")


@pytest.fixture(scope="module")
def answer():
    return kl.what_if(EARLIER, timer_hz=1000, pi_inject_timer=True, hlt_in_guest=True)


def expiry_exits(answer, revision="rev1"):
    rows = answer.table.query("revision == @revision and quantity == 'expiry exits'")
    return rows[["low", "high"]].iloc[0].tolist()


def test_p1_a_whole_table_of_writes_and_hardly_an_interrupt():
    table = kl.read_perf_kvm_stat(UNNAMED)
    assert table["Samples"].sum() == 1012
    assert table["Samples"]["MSR_WRITE"] == 1004
    assert table["Samples"]["EXTERNAL_INTERRUPT"] == 4
    assert "PREEMPTION_TIMER" not in table.index
    assert lesson_09.who_fired(table["Samples"]) == lesson_09.WAYS[2]
    assert lesson_09.who_fired(kl.read_perf_kvm_stat(EARLIER)["Samples"]) == lesson_09.WAYS[0]


def test_stage_caption_an_hrtimer_under_v5_2():
    assert kl.follow_timer("v5.2").expiry_exit == "PREEMPTION_TIMER"
    assert kl.follow_timer("v5.2", hv_timer=False).expiry_exit == "EXTERNAL_INTERRUPT"


def test_compare_1000_exits_went_and_none_came():
    compared = kl.compare_recordings(EARLIER, UNNAMED, seconds=1)
    assert [name for name, row in compared.table.iterrows() if row["differs"]] == ["all exits", "PREEMPTION_TIMER"]
    assert compared.table.loc["PREEMPTION_TIMER", ["before", "after"]].tolist() == [1000, 0]


def test_listing_all_ten_timers_look_alike():
    timers = kl.explain(LISTING).timers
    assert len(timers) == 10
    assert {*timers["backend"]} == {"hv"}
    assert {*timers["expiry_exit"]} == {"PREEMPTION_TIMER"}


def test_p2_three_policies_could_have_done_it():
    policy = kl.explain(LISTING).policy
    assert policy.consistent == ("rev1", "rev2", "rev3")
    assert policy.conditions == {
        "rev1": "kvm.pi_inject_timer is off",
        "rev2": "kvm.pi_inject_timer is off, or pCPU 0 is a housekeeping CPU",
        "rev3": "kvm.pi_inject_timer is off, or HLT exits",
    }
    assert "v5.10" in policy.excluded["before"]


def test_e1_with_the_parameter_on_rev_1_is_out():
    assert kl.explain(LISTING, pi_inject_timer=True).policy.consistent == ("rev2", "rev3")


@pytest.mark.parametrize("fact", [{"hlt_in_guest": False}, {"hv_timer": True}, {"apicv_active": False}])
def test_e1_other_facts_do_not_decide(fact):
    assert exercises.check("L09-E1", fact).right is False


def test_e1_a_fact_that_the_recording_contradicts_is_told():
    assert "speaks against it" in exercises.check("L09-E1", {"mwait_in_guest": True}).text
    assert "contradicts" in exercises.check("L09-E1", {"apicv_active": False}).text


def test_e1_asks_for_one_fact():
    assert "a dictionary" in exercises.check("L09-E1", "hlt_in_guest").text


def test_e2_row_1_is_kicked():
    row = kl.explain(THIRD).timers.iloc[1]
    assert [row["pcpu"], row["backend"], row["fired_on"], row["expiry_exit"]] == [
        1,
        "hrtimer",
        0,
        "EXTERNAL_INTERRUPT",
    ]


@pytest.mark.parametrize(
    ("settings", "right"),
    [
        ({"apicv_active": False}, False),  # the preemption timer
        ({"hlt_in_guest": True}, False),  # posted
        ({"pi_inject_timer": False, "mwait_in_guest": True}, True),
        ({"hv_timer": False}, True),
        ({"hv_timer": False, "timer_migration": False}, False),  # local
    ],
)
def test_e2_more_than_one_setting_does_it(settings, right):
    panel = panels.stage_panel(kernel="v5.18", **settings)
    panel._first = {}
    assert exercises.check("L09-E2", panel).right is right


def test_whatif_the_recording_is_reproduced(answer):
    assert answer.backcast["within"].all()
    rows = answer.backcast.set_index("quantity")
    assert rows.loc["PREEMPTION_TIMER", "reproduced"] == pytest.approx(1000, rel=0.01)


def test_range_none_to_three_quarters(answer):
    assert expiry_exits(answer) == pytest.approx([0, 75], abs=0.5)


def test_range_the_first_unknown_is_the_housekeeping_cpus(answer):
    assert answer.cannot_be_known[0].startswith("What the housekeeping CPUs do")


def test_range_with_early_timers_hardly_any():
    known = {"pi_inject_timer": True, "hlt_in_guest": True, "housekeeping": "timers"}
    low, high = expiry_exits(kl.what_if(EARLIER, timer_hz=1000, **known))
    assert low == 0
    assert high < 1


def test_yours_own_is_inferred_where_the_file_has_no_expiry():
    timers = kl.explain(THIRD).timers
    assert (timers["fires_on"] == "own").sum() == 2
