"""The host that is simulated: as the reader says, as the recording shows, or as hosts mostly are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import kvmlab as kl
from kvmlab.host.host_facts import HostFacts
from kvmlab.host.inference import HOUSEKEEPING, Fact
from kvmlab.host.what_if.assumptions import Assumptions, facts_of, in_words, isolated_there, known_facts, with_facts
from kvmlab.host.what_if.duration import Duration
from kvmlab.host.what_if.findings import Findings
from tests.host.made_up import table
from tests.host.test_worlds import measured

FLAGS = ("pi_inject_timer", "apicv_active", "hv_timer", "mwait_in_guest", "hlt_in_guest")
UNSAID = {**dict.fromkeys((*FLAGS, "isolated", "housekeeping", "waits_by")), "tsc_ghz": 2.5}
KERNEL = kl.KERNELS["v5.18"]
BUSY = {"MSR_WRITE": (90, 1.0)}


def said(rows=None, halts=0.0, host=None, **changes):
    e = kl.explain(table(rows or BUSY), host_facts=host)
    return Assumptions.checked(e, measured(halts=halts), **UNSAID | changes)


def test_what_nobody_says_is_as_it_mostly_is():
    assert said() == Assumptions(
        pi_inject_timer=True,
        apicv=True,
        preemption_timer=True,
        vendor="intel",
        isolated=True,
        housekeeping=None,
        hlt_in_guest=False,
        mwait_in_guest=False,
        waits_by="spin",
        settings=(),
        tsc_ghz=2.5,
    )
    assert Assumptions() == Assumptions(
        pi_inject_timer=True,
        apicv=True,
        preemption_timer=True,
        isolated=True,
        hlt_in_guest=False,
        mwait_in_guest=False,
        tsc_ghz=2.5,
    )


def test_what_the_reader_says_goes_before_all_else():
    facts = dict.fromkeys(FLAGS, False) | {"mwait_in_guest": True, "hlt_in_guest": True}
    assert said(**facts, isolated=False, housekeeping="timers", waits_by="pause", tsc_ghz=3.0) == Assumptions(
        pi_inject_timer=False,
        apicv=False,
        preemption_timer=False,
        isolated=False,
        housekeeping="timers",
        hlt_in_guest=True,
        mwait_in_guest=True,
        waits_by="pause",
        tsc_ghz=3.0,
    )


def test_amd_is_told_by_the_names_of_exits():
    halting = {"msr": (90, 1.0), "hlt": (30, 9.0)}
    assert said(halting, halts=30.0) == Assumptions(vendor="amd", preemption_timer=False, waits_by="hlt")
    assert said(halting, halts=30.0, waits_by="mwait").waits_by == "mwait"


def test_what_the_host_is_said_to_be_set_to_holds():
    host = HostFacts("host.txt", pi_inject_timer=False, cpu_pm=True, halt_poll_us=50.0, nohz_full=frozenset())
    assert said(host=host) == Assumptions(
        pi_inject_timer=False,
        hlt_in_guest=True,
        mwait_in_guest=True,
        isolated=False,
        waits_by="spin",
        settings=(("halt_poll_us", 50.0),),
    )
    assert said(host=host, pi_inject_timer=True, isolated=True).pi_inject_timer
    assert said(host=host, isolated=True).isolated
    # A host whose preemption timer was used has no MWAIT to give.
    used = said(BUSY | {"PREEMPTION_TIMER": (80, 1.0)}, host=host)
    assert (used.hlt_in_guest, used.mwait_in_guest) == (True, False)
    exits = said(host=HostFacts("host.txt", cpu_pm=False, nohz_full=frozenset({1})))
    assert (exits.hlt_in_guest, exits.mwait_in_guest, exits.isolated) == (False, False, True)


def test_a_guest_whose_halts_exit_does_not_keep_them():
    with pytest.raises(ValueError, match="hlt_in_guest: True does not fit: the recording has 30 exits of HLT or MWAIT"):
        said(halts=30.0, hlt_in_guest=True)
    assert not said(halts=30.0, hlt_in_guest=False).hlt_in_guest
    assert said(hlt_in_guest=True).hlt_in_guest


@pytest.mark.parametrize("name", [*FLAGS, "isolated"])
def test_a_flag_is_one(name):
    with pytest.raises(ValueError, match=f"^{name}: 3 is not allowed"):
        said(**{name: 3})


def recording(*facts, observations=(), host=None):
    return SimpleNamespace(host=host, policy=SimpleNamespace(observations=observations, facts=facts))


def seen(vcpu, cpu=None):
    return SimpleNamespace(vcpu=vcpu, cpu=cpu)


def test_a_fact_is_known_where_it_is_the_same_everywhere():
    facts = [
        Fact("apicv_active", True, "a", ""),
        Fact("apicv_active", False, "b", ""),
        Fact("hv_timer", False, None, ""),
        Fact("hv_timer", False, "a", ""),
        Fact(HOUSEKEEPING, True, 3, ""),
        Fact(HOUSEKEEPING, False, 0, ""),  # where no vCPU sits
    ]
    assert known_facts(recording(*facts, observations=[seen("a", 3)])) == {"hv_timer": False, HOUSEKEEPING: True}
    host = HostFacts("host.txt", pi_inject_timer=True, hv_timer=True)
    assert known_facts(recording(*facts, host=host)) == {"pi_inject_timer": True}
    assert known_facts(recording(host=host)) == {"pi_inject_timer": True, "hv_timer": True}


@pytest.mark.parametrize(
    ("host", "known", "isolated"),
    [
        (None, {}, True),
        (None, {HOUSEKEEPING: True}, False),
        (None, {HOUSEKEEPING: False}, True),
        (HostFacts("host.txt"), {}, True),
        (HostFacts("host.txt", nohz_full=frozenset({1})), {}, True),
        (HostFacts("host.txt", nohz_full=frozenset()), {}, False),
    ],
)
def test_vcpus_sit_on_isolated_cpus_unless_it_is_known_that_they_do_not(host, known, isolated):
    assert isolated_there(recording(host=host), known) is isolated


def test_what_is_assumed_is_a_fact_of_the_host_or_of_each_vcpu():
    facts = facts_of(Assumptions(apicv=False), recording(observations=[seen("a"), seen("b"), seen("a")]))
    assert [(fact.name, fact.value, fact.of) for fact in facts] == [
        (HOUSEKEEPING, False, None),
        ("pi_inject_timer", True, None),
        ("apicv_active", False, "a"),
        ("apicv_active", False, "b"),
        ("hv_timer", True, None),
        ("mwait_in_guest", False, "a"),
        ("mwait_in_guest", False, "b"),
        ("hlt_in_guest", False, "a"),
        ("hlt_in_guest", False, "b"),
    ]
    assert facts_of(Assumptions(isolated=False), recording())[0].value is True


def test_facts_in_words_and_other_facts():
    other = with_facts(Assumptions(), {"apicv_active": False, "hlt_in_guest": True, HOUSEKEEPING: True})
    assert other == Assumptions(apicv=False, hlt_in_guest=True)
    assert in_words(other, ("apicv_active", "hlt_in_guest")) == "APICv is not active and HLT does not exit"


def test_what_is_assumed_is_said():
    findings = Findings()
    Assumptions().say(findings, measured(), KERNEL)
    assert findings.assumed[:2] == [
        "kvm.pi_inject_timer is on, APICv is on, the preemption timer is on; v5.18's machinery under every revision.",
        "vCPUs sit on isolated (nohz_full) pCPUs, one each, and do not move; HLT exits, MWAIT exits.",
    ]
    assert len(findings.assumed) == 3
    assert [sentence.split(":")[0] for sentence in findings.cannot] == [
        "What the housekeeping CPUs do",
        "Latency as the guest sees it",
    ]
    findings = Findings()
    other = Assumptions(
        pi_inject_timer=False,
        apicv=False,
        preemption_timer=False,
        isolated=False,
        hlt_in_guest=True,
        mwait_in_guest=True,
    )
    other.say(findings, measured(), KERNEL)
    assert findings.assumed[:2] == [
        "kvm.pi_inject_timer is off, APICv is off, the preemption timer is off; v5.18's machinery under every "
        "revision.",
        "vCPUs sit on housekeeping pCPUs, one each, and do not move; HLT stays in the guest, MWAIT stays in the guest.",
    ]


@pytest.mark.parametrize(
    ("vcpus", "more"), [(8, []), (9, ["8 of the 9 vCPUs are simulated, with one housekeeping CPU."])]
)
def test_more_than_eight_vcpus_are_not_simulated(vcpus, more):
    findings = Findings()
    Assumptions().say(findings, measured(duration=Duration(1.0, vcpus)), KERNEL)
    assert findings.assumed[3:] == more


@pytest.mark.parametrize(
    ("housekeeping", "recorded_us", "varied"),
    [(None, None, True), ("idle", None, False), (None, 50.0, False), ("idle", 50.0, False)],
)
def test_housekeeping_cpus_are_unknown_unless_said_or_recorded(housekeeping, recorded_us, varied):
    findings = Findings()
    Assumptions(housekeeping=housekeeping).say(findings, measured(housekeeping_us=recorded_us), KERNEL)
    assert len(findings.cannot) == 1 + varied
