"""What listings and tables call things."""

from __future__ import annotations

import pytest

from kvmlab.host.names import EOI, LVTT, SVM_EXITS, TIMER_ROWS, TMICT, TSC_DEADLINE, is_amd


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
