"""kvmlab.explain against the recordings, whose truth is known, and against the simulator's own stories."""

from __future__ import annotations

import itertools
import json
import re

import pandas as pd
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab import policy
from kvmlab.host.explain import explain
from kvmlab.model.names import EXITS, TIMER_MODES
from kvmlab.results import follow
from kvmlab.results.story import NOT_VISIBLE
from tests.places import RECORDED
from tests.strategies import STORY_DEFAULTS, few
from tests.tracefs_listing import Writer, listing_of, write_listing

# Listing -> the policy that was at work, as the names say; these kernels ship rev 3, if the name says nothing.
TRUTH = {
    "vmx-6.1-rev1-housekeeping-pcpu.trace.txt": "rev1",
    "vmx-6.1-rev1-posted.trace.txt": "rev1",
    "vmx-6.1-rev2-housekeeping-pcpu.trace.txt": "rev2",
    "vmx-6.1-rev3-halted-in-guest.trace.txt": "rev3",
    "vmx-6.1-rev3-hv-periodic.trace.txt": "rev3",
    "vmx-6.1-rev3-hv-timer.trace.txt": "rev3",
    "perf-script.no-apicv.txt": "rev3",
}
# Of some listings, the configuration is that of a row of recorded_runs.csv: the only one of that policy with such
# traced exits and placement. What is left once a reader knows all of the row: the truth, and what cannot be told from
# it.
CONFIGURED = {
    "vmx-6.1-rev3-hv-timer.trace.txt": ("vmx-6.1.176-nohzfull-rev3src_tick0_pi1_none_spin_cpu1", {"rev3"}),
    "vmx-6.1-rev3-hv-periodic.trace.txt": ("vmx-6.1.176-nohzfull-pi0_periodic_none_spin", {"rev1", "rev2", "rev3"}),
    "vmx-6.1-rev3-halted-in-guest.trace.txt": ("vmx-6.1.176-nohzfull-pi1_dehlt_hlt", {"rev1", "rev2", "rev3"}),
}
# What would be left, were a reader to say so of that host (these facts are made up; the recordings do not tell them).
HOST = {"pi_inject_timer": True, "hv_timer": True, "housekeeping_cpus": [0]}
KEEPS_HLT = {"hlt_in_guest": True, "mwait_in_guest": False}
EXITS_ALL = {"hlt_in_guest": False, "mwait_in_guest": False}
SAID = [
    ("vmx-6.1-rev1-housekeeping-pcpu.trace.txt", HOST | EXITS_ALL, {"rev1"}),
    ("vmx-6.1-rev1-housekeeping-pcpu.trace.txt", HOST | KEEPS_HLT, {"rev1", "rev3"}),
    ("vmx-6.1-rev1-posted.trace.txt", HOST | EXITS_ALL, {"rev1", "rev2"}),
    ("vmx-6.1-rev1-posted.trace.txt", HOST | KEEPS_HLT, {"rev1", "rev2", "rev3"}),
    ("vmx-6.1-rev2-housekeeping-pcpu.trace.txt", HOST | KEEPS_HLT, {"rev2"}),
    ("vmx-6.1-rev2-housekeeping-pcpu.trace.txt", HOST | EXITS_ALL, {"rev2", "rev3"}),
    ("vmx-6.1-rev3-hv-periodic.trace.txt", HOST | EXITS_ALL, {"rev3"}),
]
TABLES = sorted(path.name for path in RECORDED.glob("perf-kvm-stat.*.txt"))
OUTCOME = ("backend", "fires_on", "arm_exit", "arm_fastpath", "expiry_exit", "expiry_fastpath", "delivery")


def outcomes(explanation):
    """(backend, fires_on, expiry_exit, delivery) -> count."""
    rows = explanation.timers[["backend", "fires_on", "expiry_exit", "delivery"]].fillna("-")
    return rows.groupby(["backend", "fires_on", "expiry_exit", "delivery"]).size().to_dict()


@pytest.mark.parametrize("name", TRUTH)
def test_the_true_policy_is_never_excluded(name):
    assert TRUTH[name] in explain(RECORDED / name).policy.consistent


@pytest.mark.parametrize("name", CONFIGURED)
def test_what_is_known_of_a_recorded_host_leaves_the_truth(name):
    run, left = CONFIGURED[name]
    [row] = [row for row in kl.recorded_rows() if row["run"] == run]
    assert row["policy"] == TRUTH[name]
    facts = {fact: row[fact] == "1" for fact in ("pi_inject_timer", "mwait_in_guest", "hlt_in_guest")}
    explanation = explain(
        RECORDED / name,
        **facts,
        apicv_active=row["apicv"] == "1",
        hv_timer=row["preemption_timer"] == "1",
        housekeeping_cpus=[0],
    )
    assert set(explanation.policy.consistent) == left
    # The row is the listing's: as many exits of each kind, but for the one that ends the recording.
    counts = dict(part.split(":") for part in row["traced_exits"].split() if not part.startswith("IO_INSTRUCTION"))
    assert explanation.exits["Samples"].to_dict() == {reason: int(count) for reason, count in counts.items()}


@pytest.mark.parametrize(("name", "facts", "left"), SAID)
def test_what_a_reader_says_narrows_it_down(name, facts, left):
    assert set(explain(RECORDED / name, **facts).policy.consistent) == left


def test_every_listing_is_in_the_table_of_truth():
    listings = {path.name for path in [*RECORDED.glob("*.trace.txt"), *RECORDED.glob("perf-script.*")]}
    assert listings == set(TRUTH)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vmx-6.1-rev1-housekeeping-pcpu.trace.txt", {("hrtimer", "own", "EXTERNAL_INTERRUPT", "vm_entry"): 10}),
        ("vmx-6.1-rev1-posted.trace.txt", {("hrtimer", "housekeeping", "-", "posted"): 10}),
        ("vmx-6.1-rev2-housekeeping-pcpu.trace.txt", {("hv", "own", "PREEMPTION_TIMER", "vm_entry"): 10}),
        (
            "vmx-6.1-rev3-halted-in-guest.trace.txt",
            {("hrtimer", "own", "EXTERNAL_INTERRUPT", "vm_entry"): 8, ("hrtimer", "housekeeping", "-", "posted"): 2},
        ),
        (
            "vmx-6.1-rev3-hv-periodic.trace.txt",
            {
                ("hv", "own", "PREEMPTION_TIMER", "vm_entry"): 10,
                ("hv", "-", "-", NOT_VISIBLE): 1,  # the eleventh period, disarmed before its end
                ("-", "-", "-", "-"): 1,  # that write of 0
            },
        ),
        ("vmx-6.1-rev3-hv-timer.trace.txt", {("hv", "own", "PREEMPTION_TIMER", "vm_entry"): 10}),
        (
            "perf-script.no-apicv.txt",
            {
                ("hrtimer", "housekeeping", "EXTERNAL_INTERRUPT", "vm_entry"): 8,
                ("hrtimer", "own", "EXTERNAL_INTERRUPT", "vm_entry"): 2,
            },
        ),
    ],
)
def test_each_recorded_timer_has_its_story(name, expected):
    """Counts as in data/recorded/README.md and in the columns traced_* of recorded_runs.csv."""
    explanation = explain(RECORDED / name)
    assert outcomes(explanation) == expected
    assert len(explanation.stories) == sum(expected.values())
    assert explanation.outcomes["timers"].sum() == sum(expected.values())


def test_fast_paths_are_seen_by_interrupts_being_off():
    stories = explain(RECORDED / "vmx-6.1-rev3-hv-timer.trace.txt").stories
    assert all(each.arm_fastpath and each.expiry_fastpath for each in stories)
    assert not any(each.arm_fastpath for each in explain(RECORDED / "vmx-6.1-rev1-posted.trace.txt").stories)
    # perf script prints no flags.
    assert {each.arm_fastpath for each in explain(RECORDED / "perf-script.no-apicv.txt").stories} == {None}


def test_latency_is_the_recorders_own_figure():
    """A posted timer whose deadline was 52 cycles ago when seen, at 1 GHz and times in us."""
    explanation = explain(RECORDED / "vmx-6.1-rev1-posted.trace.txt")
    assert explanation.tsc_ghz[1245] == pytest.approx(1.0, abs=1e-3)
    assert explanation.timers["latency_ns"].between(50, 1100).all()
    # No TSC frequency follows from a periodic timer: nothing is said, unless the reader says it.
    periodic = RECORDED / "vmx-6.1-rev3-hv-periodic.trace.txt"
    assert explain(periodic).timers["latency_ns"].isna().all()
    assert explain(periodic, tsc_ghz=1.0).timers["latency_ns"].iloc[0] == 5608


def test_timeline_has_a_track_a_cpu_and_an_arrow_a_post():
    timeline = explain(RECORDED / "vmx-6.1-rev1-posted.trace.txt").timeline
    assert list(timeline.columns) == ["start_ns", "end_ns", "lane", "what", "flow"]
    assert set(timeline["lane"]) == {"pCPU 0", "vCPU 0"}
    assert (timeline["what"] == "post").sum() == (timeline["what"] == "handler").sum() == 10
    assert timeline["flow"].value_counts().drop(-1).eq(2).all()
    assert timeline["start_ns"].is_monotonic_increasing
    assert len(kl.formats.write_chrome_trace(timeline)["traceEvents"]) > len(timeline)


def test_a_notebook_shows_the_table():
    """Of a listing its outcomes, of which the number of a row says nothing; of a table its rows, by their names."""
    listing = explain(RECORDED / "vmx-6.1-rev1-posted.trace.txt")._repr_html_()
    assert "<td>posted</td>" in listing
    assert "<th>0</th>" not in listing
    table = explain(RECORDED / "perf-kvm-stat.pi0_none.txt")._repr_html_()
    assert "<th>MSR_WRITE</th>" in table
    assert "<th>Samples</th>" in table


def test_pinned_hrtimers_tell_v5_2():
    """HRTIMER_MODE_PINNED on every start of a LAPIC timer; where some are not pinned, it is another kernel."""
    text = (RECORDED / "vmx-6.1-rev1-housekeeping-pcpu.trace.txt").read_text(encoding="utf-8")
    pinned = ("mode=ABS|HARD", "mode=ABS|PINNED|HARD")
    not_pinned = {"before": "LAPIC hrtimers are not pinned; v5.2 pins them."}
    assert explain(text).policy.excluded == not_pinned
    assert explain(text.replace(*pinned, 1)).policy.excluded == not_pinned
    excluded = explain(text.replace(*pinned)).policy.excluded
    assert {excluded[name] for name in ("rev1", "rev2", "rev3")} == {"LAPIC hrtimers are pinned, as up to v5.2."}


@pytest.mark.parametrize("name", [*TRUTH, *TABLES])
def test_what_is_shown_reads_well(name):
    explanation = explain(RECORDED / name)
    assert name in explanation.summary()
    assert explanation.policy.sentence in explanation.summary()
    assert "<li>" in explanation._repr_html_()
    assert json.loads(json.dumps(explanation.to_dict(), allow_nan=False))["policy"]["consistent"] == list(
        explanation.policy.consistent
    )


def test_a_frame_explains_like_its_file():
    path = RECORDED / "vmx-6.1-rev3-halted-in-guest.trace.txt"
    assert outcomes(explain(kl.read_kvm_trace(path))) == outcomes(explain(path)) == outcomes(explain(path.read_text()))
    assert explain(kl.read_kvm_trace(path)).policy == explain(path).policy
    table = RECORDED / TABLES[0]
    assert explain(kl.read_perf_kvm_stat(table)).policy == explain(table).policy


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("perf-kvm-stat.pi0_all.txt", {"before", "rev1", "rev2", "rev3"}),
        ("perf-kvm-stat.pi0_none.txt", {"before", "rev1", "rev2", "rev3"}),
        ("perf-kvm-stat.pi1_all.txt", {"rev1", "rev2", "rev3"}),
    ],
)
def test_a_table_excludes_only_what_its_counts_do(name, left):
    assert set(explain(RECORDED / name).policy.consistent) == left


def test_a_table_and_what_the_reader_knows():
    # The preemption timer fired although posting was allowed: not rev 1.
    path = RECORDED / "perf-kvm-stat.pi0_none.txt"
    assert "rev1" not in explain(path, pi_inject_timer=True, apicv_active=True).policy.consistent
    # Posted although HLT and MWAIT exit: not rev 3.
    path = RECORDED / "perf-kvm-stat.pi1_all.txt"
    assert set(explain(path, **EXITS_ALL).policy.consistent) == {"rev1", "rev2"}


def test_what_the_recording_contradicts_is_refused():
    with pytest.raises(ValueError, match=r"apicv_active.*shows otherwise"):
        explain(RECORDED / "vmx-6.1-rev1-posted.trace.txt", apicv_active=False)
    with pytest.raises(ValueError, match=r"housekeeping_cpu.*shows otherwise"):
        explain(RECORDED / "vmx-6.1-rev1-posted.trace.txt", housekeeping_cpus=[0, 1])


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("T: 0 ( 1) P:80 I:1000 C: 9 Min: 1 Act: 1 Avg: 1 Max: 3\n", "cyclictest; expected a kvm trace"),
        ("hello", "expected one of: perf kvm stat, kvm trace"),
        (pd.DataFrame({"a": [1]}), "DataFrame without time_s"),
        (7, "int without"),
    ],
)
def test_what_is_no_recording_is_refused(bad, complaint):
    with pytest.raises(ValueError, match=complaint):
        explain(bad)


def test_two_listings_in_one_are_refused():
    text = (RECORDED / "vmx-6.1-rev3-hv-timer.trace.txt").read_text()
    with pytest.raises(ValueError, match="expected one listing, in order of time"):
        explain(text + text)


def test_a_long_listing_is_read_in_bounded_memory():
    """Stories and spans are kept of its beginning; the rest is counted."""
    lines = (RECORDED / "vmx-6.1-rev1-posted.trace.txt").read_text().splitlines()
    explanation = explain("\n".join(lines), max_timers=3)
    assert (len(explanation.stories), explanation.outcomes["timers"].sum()) == (3, 10)


def told_and_explained(kernel, options):
    """The simulator's story of a timer, and the one told from the listing that it would have left."""
    driven = {name: options[name] for name in ("vcpu_at_expiry", "deadline_ns", "housekeeping_next_event_ns")}
    world = {name: value for name, value in options.items() if name not in driven}
    machine, told = follow.follow(follow.one_timer(kernel, **world), **driven)
    rows = [(row.time, row.cpu, row.vcpu, row.code, row.arg) for row in machine.trace[: machine.loop.trace_used]]
    mode = TIMER_MODES.index(options["timer_mode"])
    writer = Writer(kernel, bool(options["apicv_active"]), machine.host.tsc_khz, [mode], EXITS)
    return told, explain(write_listing(rows, writer))


CHOICES = {
    "kernel": st.sampled_from(list(kl.KERNELS.values())),
    **dict.fromkeys(
        ("pi_inject_timer", "apicv_active", "hv_timer", "mwait_in_guest", "hlt_in_guest", "nohz_full"), st.booleans()
    ),
    "pcpu": st.sampled_from(follow.PCPUS),
    "vcpu_at_expiry": st.sampled_from(follow.VCPU_STATES),
    "timer_mode": st.sampled_from(TIMER_MODES),
    "deadline_ns": st.sampled_from([500, 300_000, 2_000_000]),
}


@few(60)
@given(st.fixed_dictionaries(CHOICES))
def test_a_listing_tells_the_simulators_story(choice):
    kernel = choice.pop("kernel")
    options = STORY_DEFAULTS | choice
    told, explanation = told_and_explained(kernel, options)
    explained = explanation.stories[0]
    assert {name: getattr(explained, name) for name in OUTCOME} == {name: getattr(told, name) for name in OUTCOME}
    if explained.latency_ns is not None:
        # A host sees it up to the post or the VM entry; then come the transition, and, if posted, the IPI's flight.
        assert 0 <= explained.latency_ns <= told.latency_ns + 1
    truth = next(name for name, rule in policy.POLICIES.items() if rule is kernel.policy)
    assert truth in explanation.policy.consistent


def test_a_run_explains_to_its_own_placement():
    host = kl.Host(pcpus=4, isolated=(1, 2), housekeeping="timers")
    guests = [kl.Guest(vcpus=3, workload=kl.Workload(tick_hz=1000), hlt_in_guest=hlt, name=str(hlt)) for hlt in (True,)]
    for rule in ("v5.2", "v5.13", "v5.15+rev2", "v5.18"):
        run = kl.simulate(kl.Scenario(host, tuple(guests), kernel=rule, duration_s=0.05, trace_steps=100_000))
        explanation = explain(listing_of(run))
        counts = explanation.timers.groupby(["delivery", "fires_on"], dropna=False).size()
        posted = int(counts.get(("posted", "housekeeping"), 0))
        assert posted == run.placement["expiries"]["housekeeping posted"]
        hv = (explanation.timers["expiry_exit"] == "PREEMPTION_TIMER").sum()
        assert hv == run.placement["expiries"]["hv"]
        own = explanation.timers["vcpu_was"].eq("interrupted") & explanation.timers["backend"].eq("hrtimer")
        assert own.sum() == run.placement["expiries"]["own pCPU"]


def test_inference_is_exact_over_all_facts():
    """For every policy and every combination of facts: what it answers never excludes it."""
    from kvmlab.host.inference import Fact, Observation, infer

    places = {"pi_inject_timer": None, "hv_timer": None, "housekeeping_cpu": 1}
    for name, rule in policy.POLICIES.items():
        for facts, hv in itertools.product(policy.every_input(), (False, True)):
            post = rule(facts)
            answers = {"can_post_timer_interrupt": post, "can_use_hv_timer": policy.can_use_hv_timer(facts, post, hv)}
            seen = [Observation("vCPU 0", 1, question, answer, 1, question) for question, answer in answers.items()]
            values = {**facts._asdict(), "hv_timer": hv}
            known = [Fact(fact, value, places.get(fact, "vCPU 0"), "") for fact, value in values.items()]
            assert name in infer(seen, [], {}).consistent
            alike = {each for each, other in policy.POLICIES.items() if other(facts) == post}
            assert set(infer(seen, known, {}).consistent) == alike


def test_names_of_vcpus_tell_vms_apart():
    lines = (RECORDED / "vmx-6.1-rev1-posted.trace.txt").read_text().splitlines()
    twin = [line.replace("kt-1245 ", "kt-9999 ").replace("[001]", "[003]") for line in lines]
    twin = [line.replace("0000000005def775", "00000000000000aa") for line in twin if "<idle>" not in line]
    events = [line for line in lines + twin if re.search(r" \d+\.\d{6}: ", line)]
    both = sorted(events, key=lambda line: re.search(r" (\d+\.\d{6}): ", line)[1])
    explanation = explain("\n".join(both))
    assert {lane for lane in explanation.timeline["lane"] if lane.startswith("vCPU")} == {
        "vCPU 0 (thread 1245)",
        "vCPU 0 (thread 9999)",
    }
    assert explanation.outcomes["timers"].sum() == 20


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("vmx-6.1-rev3-hv-timer.trace.txt", {("hv", "own", "PREEMPTION_TIMER", "vm_entry"): 10}),
        ("vmx-6.1-rev1-posted.trace.txt", {(NOT_VISIBLE, "-", "-", NOT_VISIBLE): 10}),
        ("vmx-6.1-rev1-housekeeping-pcpu.trace.txt", {(NOT_VISIBLE, "-", "-", NOT_VISIBLE): 10}),
    ],
)
def test_what_perf_kvm_stat_records_shows_less(name, seen):
    """Without hrtimer events nobody sees who fires, and nothing is made up; the truth stays possible."""
    lines = (RECORDED / name).read_text().splitlines()
    explanation = explain("\n".join(line for line in lines if re.search(r": kvm_(entry|exit|msr):", line)))
    assert outcomes(explanation) == seen
    assert TRUTH[name] in explanation.policy.consistent


def test_the_table_of_a_listing_is_perfs():
    """Exits by reason as counted in recorded_runs.csv, and the times between kvm_exit and the next kvm_entry."""
    path = RECORDED / "vmx-6.1-rev1-housekeeping-pcpu.trace.txt"
    table = explain(path).exits
    assert table["Samples"].to_dict() == {"EXTERNAL_INTERRUPT": 13, "MSR_WRITE": 10}
    line = r"(\d+\.\d{6}): kvm_(?:exit: vcpu 0 reason (\w+)|entry:)"
    events = re.findall(line, path.read_text())
    pairs = list(itertools.pairwise(events))
    writes = [1e6 * (float(entry) - float(left)) for (left, reason), (entry, _) in pairs if reason == "MSR_WRITE"]
    assert table.loc["MSR_WRITE", "Avg time"] == pytest.approx(sum(writes) / len(writes))
    assert table.loc["MSR_WRITE", "Max Time"] == pytest.approx(max(writes))


def test_amd_exits_tell_that_there_is_no_preemption_timer():
    host = kl.Host(pcpus=2, isolated=(1,), vendor="amd", housekeeping="timers")
    run = kl.simulate(
        kl.Scenario(host, kl.Guest(hlt_in_guest=True), kernel="v5.18", duration_s=0.1, trace_steps=50_000)
    )
    explanation = explain(listing_of(run))
    assert any("AMD" in sentence for sentence in explanation.policy.evidence)
    assert "rev3" in explanation.policy.consistent
    assert explanation.timers["delivery"].eq("posted").sum() == run.placement["expiries"]["housekeeping posted"] > 0


def test_hostile_listings_have_a_limit():
    line = "kt-1 [000] d..1. {0}.000000: kvm_exit: vcpu 0 reason R{0} rip 0x1 info 0 0\n"
    with pytest.raises(ValueError, match=r"at most 1000 different reasons"):
        explain("".join(line.format(i) for i in range(1100)))
    line = "kt-{0} [000] d..1. {0}.000000: kvm_exit: vcpu 0 reason HLT rip 0x1 info 0 0\n"
    with pytest.raises(ValueError, match=r"more than 4096 vCPU threads"):
        explain("".join(line.format(i) for i in range(1, 4200)))
