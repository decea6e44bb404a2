"""What explain and diff say beside the timers: readers' notes, interrupts by vector, the longest gaps. All made up."""

from __future__ import annotations

import json

import pytest

import kvmlab as kl
from kvmlab.host.explain.sections import MOST_GAPS
from kvmlab.host.what_if import what_if
from tests.host.made_up import WORKS, table
from tests.host.recorded import TRACES
from tests.host.twins import quoted
from tests.places import RECORDED

LINE = "  CPU 2/KVM-640  [006] d..1.  71.{0:06d}: {1}\n"


def away(at, us, reason, info2="0", meanwhile=""):
    """A vCPU that is out of the guest from `at` for `us` microseconds."""
    left = LINE.format(at, f"kvm_exit: reason {reason} rip 0x2000 info 0 {info2}")
    return left + meanwhile + LINE.format(at + us, "kvm_entry: vcpu 2")


OLD = away(100, 3, "EXTERNAL_INTERRUPT", "800000ef") + away(900, 90, "IO_INSTRUCTION") + away(2000, 5000, "HLT")
NEW = "".join(away(at * 1000, 4, "EXTERNAL_INTERRUPT", "800000ec") for at in range(4)) + away(9000, 7, "CPUID")


def test_interrupts_and_gaps_are_those_of_the_functions():
    told = kl.explain(OLD)
    assert told.interrupts.equals(kl.exit_interrupts(OLD))
    assert told.gaps.equals(kl.longest_gaps(OLD))
    assert kl.explain(kl.read_kvm_trace(OLD)).gaps.equals(told.gaps)
    assert kl.explain(table(WORKS)).interrupts is None
    assert kl.explain(table(WORKS)).gaps is None


def test_a_summary_shows_vectors_and_the_longest_gaps_without_halts():
    text = kl.explain(OLD).summary()
    assert "1 0xef LOCAL_TIMER_VECTOR, up to v4.14, from this CPU" in text
    gaps = text.partition("Longest times out of the guest, halts left out, of 2:\n")[2].splitlines()
    assert [line.split()[:3] for line in gaps[:2]] == [
        ["90.0", "us", "IO_INSTRUCTION,"],
        ["3.0", "us", "EXTERNAL_INTERRUPT,"],
    ]
    assert "vCPU 2, at 71.000900 s" in gaps[0]
    many = "".join(away(at * 100, 2 + at, "CPUID") for at in range(9))
    assert kl.explain(many).summary().count(" us CPUID") == MOST_GAPS


def test_what_ran_meanwhile_is_shown():
    ran = "  kworker/6:1-77  [006] d..1.  71.000500: workqueue_execute_start: work struct 0xa: function vmstat_update\n"
    text = kl.explain(away(400, 300, "EXTERNAL_INTERRUPT", "800000ec", ran)).summary()
    assert "meanwhile" in text
    assert "vmstat_update" in text


def test_without_interrupts_or_exits_there_is_no_section():
    only_hlt = kl.explain(away(10, 40, "HLT")).summary()
    assert "Interrupts that ended" not in only_hlt
    assert "Longest times" not in only_hlt
    assert "Longest times" not in kl.explain(table(WORKS)).summary()


def test_the_notes_of_the_reader_are_told_once():
    stack = "=> vcpu_run (ffffffffc0a01000)\n"
    told = kl.explain(quoted(stack.join(OLD.splitlines(keepends=True))))
    assert told.notes == ("Taken off: quote marks of a mail (11 lines).", "Passed over: stack frames (5).")
    assert told.to_dict()["notes"] == list(told.notes)
    of_table = kl.explain(kl.read_kvm_trace(quoted(OLD)))
    assert of_table.notes == ("Taken off: quote marks of a mail (6 lines).",)
    assert kl.explain(quoted(table(WORKS))).notes[0].startswith("Taken off: quote marks")
    # What rows leave out is said once, though the reader and explain both know it.
    assert kl.explain(table(WORKS, listed=("HLT",))).summary().count("are not listed") == 1


def test_where_lines_are_left_out_nothing_follows_from_what_is_not_there():
    writes = "".join(away(at * 1000, 2, "MSR_WRITE") for at in range(150))
    whole, cut = (
        kl.explain(writes),
        kl.explain(writes.replace("71.050000", "71.050000", 1) + "[...]\n" + away(200_000, 2, "CPUID")),
    )
    assert whole.policy.observations
    assert cut.policy.observations == ()
    assert cut.incomplete
    assert "events are missing" in cut.summary()
    w = what_if(cut, seconds=None, replications=1)
    assert "Events are missing" in w.first[0]
    assert set(w.doubtful) == set(w.table["quantity"])


def test_armings_are_a_rate():
    """As where kvm_msr alone was recorded: each write of the deadline is one."""
    writes = "".join(LINE.format(at * 5000, f"kvm_msr: msr_write 6e0 = {0x9000 + at:#x}") for at in range(11))
    assert "11 timers of 1 vCPU in 50.0 ms, armed 200 times a second." in kl.explain(writes).summary()
    two = writes + writes.replace("CPU 2/KVM-640", "CPU 3/KVM-641")
    ordered = "".join(sorted(two.splitlines(keepends=True), key=lambda line: line.split("71.")[1]))
    assert "armed 200 times a second by each" in kl.explain(ordered).summary()
    assert "a second" not in kl.explain(LINE.format(0, "kvm_msr: msr_write 6e0 = 0x9")).summary()
    disarmed = "".join(LINE.format(at * 5000, "kvm_msr: msr_write 6e0 = 0x0") for at in range(11))
    assert "a second" not in kl.explain(disarmed).summary()


@pytest.mark.parametrize("name", TRACES)
def test_recordings_have_the_sections_as_json(name):
    told = kl.explain(RECORDED / name).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["gaps"][0]["gap_us"] > 0


# --- diff -------------------------------------------------------------------------------------------------------------


def test_diff_shows_vectors_and_gaps_of_two_listings():
    told = kl.compare_recordings(OLD, NEW)
    assert told.interrupts[["before", "after"]].to_dict("index") == {
        "0xef": {"before": 1, "after": 0},
        "0xec": {"before": 0, "after": 4},
    }
    assert told.interrupts["rate_after"]["0xec"] == pytest.approx(4 / 9.007e-3)
    text = told.summary()
    assert "0xec" in text.partition("by vector:")[2]
    assert text.index("90.0 us IO_INSTRUCTION") < text.index("After:") < text.index("7.0 us CPUID")
    assert {row["vector"] for row in told.to_dict()["interrupts"]} == {"0xef", "0xec"}


def test_diff_of_tables_has_no_vectors():
    told = kl.compare_recordings(table(WORKS), table(WORKS))
    assert told.interrupts is None
    assert "by vector" not in told.summary()
    assert told.to_dict()["interrupts"] == []


def test_diff_does_not_choose_among_three_tables():
    text = table(WORKS) * 3
    with pytest.raises(ValueError, match=r"more than two tables; allowed: two of them \(--table N,M\)"):
        kl.compare_recordings(text)
    assert kl.compare_recordings(text, table=(0, 2)).verdict.startswith("No ")
