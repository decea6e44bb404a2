"""Vectors of interrupt exits: which bits show one, and whose they are; numbers of MSRs, and names of exits."""

from __future__ import annotations

from typing import Any

import pytest

from kvmlab.host.formats.events import Event
from kvmlab.host.names import EOI, LVTT, SVM_EXITS, TIMER_ROWS, TMICT, TSC_DEADLINE, is_amd
from kvmlab.host.vectors import DEVICE, OTHER_CPU, SYSTEM_VECTORS, THIS_CPU, ExitVectors, is_local_timer


def leave(reason: str = "EXTERNAL_INTERRUPT", **fields: Any) -> Event:
    return Event(1.0, 1_000_000_000, 1, "kt", 7, "kvm_exit", 0, reason, fields, None)


# Bits 0 to 7: vector, 8 to 10: kind (0: external interrupt), 11: error code valid, 12: NMI unblocking, 31: valid.
WORDS = [
    (0x8000_00EC, 0xEC),
    (0x8000_00FF, 0xFF),
    (0x8000_0020, 0x20),
    (0x8000_0001, 1),
    (0x8000_0825, 0x25),
    (0x8000_1025, 0x25),
    (0x0000_00EC, None),
    (0x4000_00EC, None),
    (0x1_0000_00EC, None),
    (0x8000_0125, None),
    (0x8000_0202, None),
    (0x8000_0425, None),
    (0, None),
    ("text", None),
]


@pytest.mark.parametrize(("word", "vector"), WORDS)
def test_the_interruption_information_of_an_exit(word: object, vector: int | None) -> None:
    vectors = ExitVectors()
    assert vectors.of(leave(intr_info=word, info2=0x8000_00FD)) == vector
    assert (vectors.modern, vectors.no_vector_in_info2) == (True, False)
    # Up to v5.9 it is the second info.
    vectors = ExitVectors()
    assert vectors.of(leave(info2=word)) == vector
    assert (vectors.modern, vectors.no_vector_in_info2) == (False, vector is None)


def test_a_second_info_that_is_none_ends_the_reading_of_it() -> None:
    vectors = ExitVectors()
    infos = [0x8000_00EC, 0x8000_00FD, 0, 0x8000_00EC]
    assert [vectors.of(leave(info2=info)) for info in infos] == [0xEC, 0xFD, None, None]
    # A field of its own is read still.
    assert vectors.of(leave(intr_info=0x8000_00EC)) == 0xEC
    assert vectors.modern
    assert ExitVectors().of(leave()) is None


def test_other_exits_have_no_vector_but_show_how_they_are_printed() -> None:
    vectors = ExitVectors()
    assert vectors.of(leave("HLT", info2=0)) is None
    assert (vectors.modern, vectors.no_vector_in_info2) == (False, False)
    assert vectors.of(leave("HLT", intr_info=0x8000_00EC)) is None
    assert vectors.modern
    assert vectors.of(leave("HLT", info2=0x8000_00EC)) is None
    assert vectors.modern


def test_the_systems_vectors_are_the_highest() -> None:
    """FIRST_SYSTEM_VECTOR is 0xeb from v6.10 on, and 0xff is the spurious one (irq_vectors.h)."""
    assert sorted(SYSTEM_VECTORS) == list(range(0xEB, 0x100))
    assert len({name for name, _ in SYSTEM_VECTORS.values()}) == len(SYSTEM_VECTORS)
    assert SYSTEM_VECTORS[0xFD] == ("RESCHEDULE_VECTOR", OTHER_CPU)
    assert SYSTEM_VECTORS[0xFB] == ("CALL_FUNCTION_SINGLE_VECTOR", OTHER_CPU)
    assert SYSTEM_VECTORS[0xF6][0] == "IRQ_WORK_VECTOR"
    assert SYSTEM_VECTORS[0xF2][0] == "POSTED_INTR_VECTOR"
    assert SYSTEM_VECTORS[0xEC] == ("LOCAL_TIMER_VECTOR", THIS_CPU)
    assert SYSTEM_VECTORS[0xEB][1] == DEVICE


def test_the_local_timers_vectors() -> None:
    assert [vector for vector in range(256) if is_local_timer(vector, modern=True)] == [0xEC]
    assert [vector for vector in range(256) if is_local_timer(vector, modern=False)] == [0xEC, 0xEE, 0xEF]
    assert not is_local_timer(None, modern=True)
    assert not is_local_timer(None, modern=False)


# MSRs and exits -------------------------------------------------------------------------------------------------------


def test_the_x2apics_registers_are_msrs_from_0x800_on() -> None:
    """One for each 16 bytes of the xAPIC's page: EOI at 0xb0, LVT timer at 0x320, initial count at 0x380."""
    assert [0x800 + (offset >> 4) for offset in (0xB0, 0x320, 0x380)] == [EOI, LVTT, TMICT]
    assert f"{TSC_DEADLINE:#x}" == "0x6e0"
    assert {f"{TSC_DEADLINE:#x}:W", f"{TMICT:#x}:W", f"{0xFEE0_0000 + 0x380:#x}:W"} == TIMER_ROWS


@pytest.mark.parametrize(
    ("exits", "amd"),
    [
        (set(), False),
        ({"HLT", "MSR_WRITE"}, False),
        ({"hlt"}, True),
        ({"EXIT_HLT"}, True),
        ({"HLT", "npf"}, True),
        ({"PF excp"}, True),
        ({"PF excp", "GP excp", "SYSCALL"}, False),  # PVM has these, too
        ({"PF excp", "hlt", "SYSCALL"}, True),
        ({"SYSCALL"}, False),
    ],
)
def test_exits_of_amd(exits: set[str], amd: bool) -> None:
    assert is_amd(exits) is amd


def test_control_registers_have_the_numbers_0_to_8() -> None:
    """CR8 is the last, SVM_EXIT_READ_CR8 is no hole in what follows (svm.h)."""
    for word in ("read_cr{}", "write_cr{}", "EXIT_READ_CR{}", "EXIT_WRITE_CR{}"):
        assert [number for number in range(16) if word.format(number) in SVM_EXITS] == list(range(9))
