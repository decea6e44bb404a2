"""The answer of explain in three sentences, and what nothing is concluded from."""

from __future__ import annotations

import pytest

import kvmlab as kl
from kvmlab.host.formats.unlisted import handled_s, unlisted_of
from tests.host.made_up import IPIS, READS, WAITS, table
from tests.host.recorded import REPORTS, TRACES
from tests.places import RECORDED

EXITS = """\
 CPU 0/KVM-81 [005] d..1. 60.{0:03d}000: kvm_exit: reason {1} rip 0x1000 info 0 0
 CPU 0/KVM-81 [005] d..1. 60.{0:03d}002: kvm_entry: vcpu 0
"""


@pytest.mark.parametrize("name", [*REPORTS, *TRACES])
def test_it_comes_first_and_has_a_command(name):
    told = kl.explain(RECORDED / name)
    fired, fits, then = told.summary().splitlines()[:3]
    assert (fired, fits, then) == told.answer
    assert then.startswith("Next: ")
    assert "`" in then
    assert told.to_dict()["answer"] == list(told.answer)
    for sentence in told.answer:
        assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("name", "fired"),
    [
        ("vmx-6.1-rev3-hv-timer.trace.txt", "10 by the VMX preemption timer"),
        ("vmx-6.1-rev1-posted.trace.txt", "10 by a host hrtimer on a housekeeping CPU that posted them"),
        ("vmx-6.1-rev1-housekeeping-pcpu.trace.txt", "10 by a host hrtimer on the vCPU's own pCPU"),
        (
            "vmx-6.1-rev3-halted-in-guest.trace.txt",
            "8 by a host hrtimer on the vCPU's own pCPU (an exit each) and 2 by",
        ),
        ("perf-script.no-apicv.txt", "8 by a host hrtimer on a housekeeping CPU that kicked the vCPU"),
        ("perf-kvm-stat.pi0_none.txt", "1000 PREEMPTION_TIMER exits: the preemption timer was used"),
        ("perf-kvm-stat.pi1_all.txt", "most expiries were posted, if most of the 1004 MSR writes arm the timer"),
    ],
)
def test_who_fired_is_what_was_recorded(name, fired):
    assert fired in kl.explain(RECORDED / name).answer[0]


def test_the_next_step_follows_from_what_is_missing():
    posted = RECORDED / "vmx-6.1-rev1-posted.trace.txt"
    assert "cpu-pm=on" in kl.explain(posted).answer[2]
    hv = RECORDED / "vmx-6.1-rev3-hv-timer.trace.txt"
    assert "--host-facts host.txt" in kl.explain(hv).answer[2]
    facts = {"pi_inject_timer": True, "hlt_in_guest": False, "housekeeping_cpus": [0]}
    assert (
        kl.explain(hv, **facts).answer[2]
        == f"Next: ask what the other revisions would do there: `kvmlab what-if {hv.name}`."
    )
    assert "trace-cmd record" in kl.explain(RECORDED / REPORTS[0]).answer[2]


# --- what is not there ------------------------------------------------------------------------------------------------


def test_whole_tables_lack_nothing():
    for name in REPORTS:
        unlisted = unlisted_of(kl.read_perf_kvm_stat(RECORDED / name))
        assert unlisted.nothing
        assert unlisted.sentence == ""
    assert unlisted_of(kl.read_perf_kvm_stat(table(WAITS))).nothing


def test_rows_that_are_left_out_are_counted_and_conclude_nothing():
    rows = {"MSR_WRITE": (30_000, 1.0), "EXTERNAL_INTERRUPT": (900, 2.0), "HLT": (9100, 700.0), "CPUID": (10_000, 1.0)}
    told = kl.explain(table(rows, listed=("MSR_WRITE", "EXTERNAL_INTERRUPT")))
    assert "rows with 19,100 of 50,000 samples and 99.5 % of the time are not listed" in told.summary()
    assert "50000 VM-EXIT samples" in told.summary()
    assert told.policy.observations == ()
    assert told.policy.implied == ()
    assert set(told.policy.consistent) == set(kl.policy.POLICIES)
    # The same numbers, and nothing left out: then they say something.
    whole = {name: rows[name] for name in ("MSR_WRITE", "EXTERNAL_INTERRUPT")}
    assert "before" in kl.explain(table(whole)).policy.excluded
    # What is there may still be concluded from.
    hv = rows | {"PREEMPTION_TIMER": (500, 1.0)}
    told = kl.explain(table(hv, listed=("MSR_WRITE", "PREEMPTION_TIMER")))
    assert told.policy.observations[0].answer is True


def test_without_totals_the_shares_tell():
    text = table({"MSR_WRITE": (4000, 1.0), "HLT": (6000, 1.0)}, listed=("MSR_WRITE",)).partition("\nTotal")[0]
    unlisted = unlisted_of(kl.read_perf_kvm_stat(text))
    assert (unlisted.samples, unlisted.total_samples) == (6000, 10_000)
    assert unlisted.time_share == pytest.approx(60)
    bare = kl.read_perf_kvm_stat(table(WAITS))[["Samples", "Avg time"]]
    bare.attrs.clear()
    assert not unlisted_of(bare).known


def test_lost_events_are_missing_rows_too():
    rows = {"MSR_WRITE": (30_000, 1.0), "EXTERNAL_INTERRUPT": (900, 2.0)}
    told = kl.explain(table(rows) + "Lost events: 5,000\n".replace(",", ""))
    assert "perf lost 5,000 events" in told.summary()
    assert told.policy.observations == ()


def test_handled_time_is_the_total_or_the_sum_of_the_rows():
    whole = kl.read_perf_kvm_stat(table(READS))
    assert handled_s(whole) == pytest.approx(9.8612)
    assert handled_s(kl.read_perf_kvm_stat(table(READS, listed=("MSR_WRITE",)))) == pytest.approx(9.8612)


@pytest.mark.parametrize("listed", [None, ("APIC_WRITE", "EXTERNAL_INTERRUPT")])
def test_apic_writes_are_no_timers(listed):
    told = kl.explain(table(IPIS, listed=listed))
    assert told.policy.observations == ()
    assert "so" not in [line.split(":")[0].strip() for line in str(told.policy).splitlines()]
    assert "70,000 APIC_WRITE exits: an IPI, an EOI or" in told.summary()
    # Beside many of them, MSR writes may be anything, too; without halts as well.
    assert kl.explain(table({"APIC_WRITE": (70_000, 1.0), "MSR_WRITE": (900, 1.0)})).policy.observations == ()


def test_what_is_assumed_is_said_with_the_verdict():
    inference = kl.explain(RECORDED / "perf-kvm-stat.pi1_all.txt").policy
    assert inference.sentence.startswith(
        "Behaves like rev1, rev2 or rev3, not like before, if most of the 1004 MSR writes"
    )
    assert any(line.startswith("if so: ") for line in inference.reasons())
    assert not any(line.startswith("so: ") for line in inference.reasons())


# --- the same evidence, as a table and as a listing -------------------------------------------------------------------


@pytest.mark.parametrize("expiry", ["PREEMPTION_TIMER", "EXTERNAL_INTERRUPT"])
def test_a_listing_of_exits_alone_shows_what_its_table_does(expiry):
    """What perf kvm stat records has neither writes nor hrtimers in it."""
    listing = "".join(EXITS.format(i, "MSR_WRITE" if i % 2 else expiry) for i in range(300))
    told = kl.explain(listing)
    counts = kl.explain(table({"MSR_WRITE": (150, 2.0), expiry: (150, 2.0)}))
    assert told.exits["Samples"].to_dict() == counts.exits["Samples"].to_dict()
    assert told.policy.consistent == counts.policy.consistent
    answers = [
        [(seen.question, seen.answer, seen.count) for seen in each.policy.observations] for each in (told, counts)
    ]
    assert answers[0] == answers[1] != []
    assert f"150 {expiry}" in told.summary()


def test_where_the_writes_are_listed_nothing_is_assumed_of_them():
    msr = " CPU 0/KVM-81 [005] d..1. 60.{0:03d}001: kvm_msr: msr_write {1:x} = 0x{0:x}0\n"
    written = [0x6E0 if i % 3 else 0x48 for i in range(390)]
    lines = (EXITS.format(i, "MSR_WRITE").replace(" CPU 0/KVM-81 [005] d..1. 60.{0:03d}002", "") for i in range(390))
    listing = "".join(
        line.splitlines(keepends=True)[0] + msr.format(i, number) + line.splitlines(keepends=True)[1]
        for i, (line, number) in enumerate(zip(lines, written, strict=True))
    )
    inference = kl.explain(listing).policy
    assert inference.assumed == ()
    assert "260 writes that arm the timer" in " ".join(inference.evidence)
    assert "before" in inference.excluded


# --- other machines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("msr", "interrupt", "hlt"), "AMD"),
        (("EXIT_MSR", "EXIT_INTR", "EXIT_EXCP_PF"), "AMD"),
        (("UD excp", "interrupt", "npf"), "AMD"),
        (("WFx", "DABT_LOW", "SYS64"), "arm64"),
        (("HYPERCALL", "SYSCALL", "PF excp"), "PVM"),
    ],
)
def test_a_machine_of_another_kind_is_named(names, word):
    told = kl.explain(table(dict.fromkeys(names, (500, 2.0))))
    [note] = told.notes  # and none that says that it is another one, too
    assert word in note
    assert note in told.summary()


def test_arm64_has_no_lapic_timer():
    text = table({"WFx": (500, 900.0), "DABT_LOW": (300, 9.0)})
    told = kl.explain(text).answer
    assert "arm64" in told[0]
    assert told[2] == "Next: record a guest on x86; kvmlab follows LAPIC timers only."
    with pytest.raises(ValueError, match=r"arm64's names: there the guest has the architected timer"):
        kl.what_if(text, seconds=1)


def test_hyper_v_timers_are_named():
    rows = table({"0x400000b1:W": (900, 1.0), "0x40000070:W": (900, 1.0)}, title="MSR Access")
    assert any("Hyper-V" in note for note in kl.explain(rows).notes)
    event = (
        " CPU 0/KVM-81 [005] d..1. 61.000000: kvm_hv_stimer_start_periodic: vcpu_id 0 timer 0 time_now 1 exp_time 2\n"
    )
    try:
        told = kl.explain(EXITS.format(1, "MSR_WRITE") + event)
    except ValueError:
        pytest.skip("the reader of listings does not take this event's message")
    assert any("stimer" in note for note in told.notes)


def test_rows_of_registers_that_arm_the_timer_are_counted():
    for row, title in (("0x6e0:W", "MSR Access"), ("0x838:W", "MSR Access"), ("0xfee00380:W", "MMIO Access")):
        told = kl.explain(table({row: (700, 2.0), "0x1b:R": (30, 2.0)}, title=title))
        assert "700 writes armed the guest's LAPIC timer" in told.summary()
        assert kl.what_if(told, seconds=1, replications=1, revisions=["rev3"]).measured.timers.value == 700
    told = kl.explain(table({"0x80b:W": (700, 2.0)}, title="MSR Access"))
    assert ("apicv_active", False) in [(fact.name, fact.value) for fact in told.policy.facts]
