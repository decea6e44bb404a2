"""What a reader says of a host: checked, made into facts, and compared with the recording."""

from __future__ import annotations

import pytest

from kvmlab.host.explain.given import Given
from kvmlab.host.host_facts import HostFacts
from kvmlab.host.inference import Fact, Observation

HOST = HostFacts("host.txt", pi_inject_timer=True, nohz_full=frozenset({2, 3}))


def observation(vcpu, cpu):
    return Observation(vcpu, cpu, "can_use_hv_timer", True, 1, "It was used.")


OBSERVED = [observation("vCPU 0", 1), observation("vCPU 1", 2), observation("vCPU 0", None), observation("vCPU 0", 1)]


def test_flags_are_facts_of_the_host_or_of_each_vcpu():
    given = Given.checked({"hv_timer": True, "apicv_active": 0, "hlt_in_guest": None}, None, None)
    assert given.flags == {"hv_timer": True, "apicv_active": False}
    assert given.facts(OBSERVED, []) == [
        Fact("hv_timer", True, None, "You say hv_timer=True."),
        Fact("apicv_active", False, "vCPU 0", "You say apicv_active=False."),
        Fact("apicv_active", False, "vCPU 1", "You say apicv_active=False."),
    ]


def test_housekeeping_cpus_are_facts_of_each_cpu_that_was_seen():
    given = Given.checked({}, [2, 0], None)
    sentence = "You say housekeeping_cpus=0, 2."
    assert given.facts(OBSERVED, []) == [
        Fact("housekeeping_cpu", False, 1, sentence),
        Fact("housekeeping_cpu", True, 2, sentence),
    ]
    none = Given.checked({}, [], None).facts(OBSERVED, [])
    assert none[0] == Fact("housekeeping_cpu", False, 1, "You say housekeeping_cpus=none.")


def test_a_text_says_the_same_by_its_name():
    given = Given.checked({"pi_inject_timer": True}, None, None, HOST)
    assert given.facts(OBSERVED, []) == [
        Fact("pi_inject_timer", True, None, "You say pi_inject_timer=True."),
        Fact("housekeeping_cpu", True, 1, "host.txt: pCPU 1 is not in nohz_full=."),
        Fact("housekeeping_cpu", False, 2, "host.txt: pCPU 2 is in nohz_full=."),
    ]
    told = Given.checked({}, None, None, HOST).facts([], [])
    assert told == [Fact("pi_inject_timer", True, None, "host.txt: pi_inject_timer=True.")]
    nothing = HostFacts("host.txt")
    assert Given.checked({}, None, None, nothing).facts(OBSERVED, []) == []


def test_what_the_reader_says_of_cpus_goes_before_the_text():
    given = Given.checked({}, [0, 1], None, HOST)
    assert [(fact.of, fact.value) for fact in given.facts(OBSERVED, []) if fact.name == "housekeeping_cpu"] == [
        (1, True),
        (2, False),
    ]


@pytest.mark.parametrize(
    ("flags", "cpus", "host", "complaint"),
    [
        ({"pi_inject_timer": False}, None, HOST, "pi_inject_timer: False does not fit: host.txt says True"),
        ({}, [0, 3, 2], HOST, "housekeeping_cpus: [2, 3] do not fit: host.txt has them in nohz_full="),
        ({"hv_timer": 3}, None, None, "hv_timer: 3 is not allowed; it must be True or False"),
    ],
)
def test_what_does_not_fit_together_is_named(flags, cpus, host, complaint):
    with pytest.raises(ValueError, match=complaint.split(":")[0]) as error:
        Given.checked(flags, cpus, None, host)
    assert str(error.value) == complaint


def test_cpus_have_a_highest_number():
    assert Given.checked({}, [1_048_575], None).housekeeping_cpus == {1_048_575}
    with pytest.raises(ValueError, match="housekeeping_cpus"):
        Given.checked({}, [1_048_576], None)
    assert Given.checked({}, [0], None, HostFacts("host.txt")).housekeeping_cpus == {0}


@pytest.mark.parametrize(("ghz", "fits"), [(0.1, True), (10, True), (0.09, False), (10.1, False), (None, True)])
def test_a_tsc_has_a_frequency_from_a_tenth_to_ten_ghz(ghz, fits):
    if fits:
        assert Given.checked({}, None, ghz).tsc_ghz == ghz
    else:
        with pytest.raises(ValueError, match=f"tsc_ghz: {ghz} is not allowed; it must be a number from 0.1 to 10 GHz"):
            Given.checked({}, None, ghz)


def test_a_recording_that_shows_otherwise_is_said_with_both_sentences():
    given = Given.checked({"hlt_in_guest": True}, None, None)
    seen = Fact("hlt_in_guest", False, "vCPU 1", "vCPU 1: HLT exits (3).")
    with pytest.raises(ValueError, match="hlt_in_guest") as error:
        given.facts(OBSERVED, [seen])
    assert str(error.value) == (
        "hlt_in_guest: You say hlt_in_guest=True. The recording shows otherwise: vCPU 1: HLT exits (3)."
    )
    # It fits, is of another vCPU, or was not said.
    for fact in (
        Fact("hlt_in_guest", True, "vCPU 1", "."),
        Fact("hlt_in_guest", False, "vCPU 9", "."),
        Fact("mwait_in_guest", False, "vCPU 1", "."),
    ):
        assert len(given.facts(OBSERVED, [fact])) == 2
