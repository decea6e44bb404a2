"""The output of kvm_stat: screens of several versions, batch, log. Made up after the tool's print formats."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from kvmlab.host.formats import read_any, read_kvm_stat, sniff
from tests.host.twins import TWINS, WRAPPED
from tests.strategies import few


def row(name: str, total: int, share: float, rate: int) -> str:
    """A row as Tui._refresh_body prints it."""
    return f" {name:<40s} {total:10d}{share:7.1f} {rate:>8}"


SCREEN = "\n".join(
    [
        "kvm statistics - pid 4242 (web)",
        "",
        f" {'Event':<40s} {'Total':>10s}{'%Total':>7s} {'CurAvg/s':>8s}",
        row("kvm_exit", 6000, 50.0, 1200),
        row("  kvm_exit(MSR_WRITE)", 4500, 75.0, 900),
        row("  kvm_exit(HLT)", 1500, 25.0, 300),
        row("kvm_entry", 5990, 49.9, 1199),
        row("kvm_fpu", 10, 0.1, 0),
        f" {'Total':<40s} {12000:10d}        {2399:>8}",
    ]
)
COUNTS = [("kvm_entry", 900, 30), ("kvm_exit", 901, 31), ("kvm_msr", 0, 0)]
BATCH = "\n".join(f"{name:<42s}{total:10d}{delta:10d}" for name, total, delta in COUNTS)
NAMES = "kvm_entry kvm_exit kvm_exit(HLT) "
LOG = f"""{NAMES}
2026-11-26 09:30:01        10        11         1
2026-11-26 09:30:03        30        31         1
{NAMES}
2026-11-26 09:30:05        20        21         4
"""


def test_a_screen() -> None:
    table = read_kvm_stat(SCREEN)
    assert table.index.tolist() == ["kvm_exit", "kvm_exit(MSR_WRITE)", "kvm_exit(HLT)", "kvm_entry", "kvm_fpu"]
    assert table["total"].tolist() == [6000, 4500, 1500, 5990, 10]
    assert table["per_s"].tolist() == [1200, 900, 300, 1199, 0]
    assert table["share%"].round(1).tolist() == [50.0, 75.0, 25.0, 49.9, 0.1]
    assert table["parent"].dropna().to_dict() == {"kvm_exit(MSR_WRITE)": "kvm_exit", "kvm_exit(HLT)": "kvm_exit"}
    assert table.attrs == {"kind": "screen", "seconds": None, "total": 12000, "notes": []}


def test_a_screen_that_ends_where_the_terminal_does() -> None:
    text = "\n".join(line for line in SCREEN.splitlines() if "kvm_entry" not in line)
    assert read_kvm_stat(text).attrs["notes"] == ["Rows with 5,990 of 12,000 events are not listed."]


def test_screens_of_older_versions() -> None:
    older = "kvm statistics\n\n kvm_exit                    13798   330\n kvm_exit(HLT)               2169   105\n"
    assert read_kvm_stat(older)["per_s"].to_dict() == {"kvm_exit": 330, "kvm_exit(HLT)": 105}
    current = (
        " Event                       Total Current\n exits                        7056    40\n halt_exits  204  0\n"
    )
    assert read_kvm_stat(current)["total"].to_dict() == {"exits": 7056, "halt_exits": 204}


def test_indented_counters_are_parts_of_the_one_above() -> None:
    text = SCREEN.replace("kvm_exit(MSR_WRITE)", "instruction_diag_44")
    assert read_kvm_stat(text).loc["instruction_diag_44", "parent"] == "kvm_exit"


def test_a_batch() -> None:
    table = read_kvm_stat(BATCH)
    assert table["total"].to_dict() == {"kvm_entry": 900, "kvm_exit": 901, "kvm_msr": 0}
    assert table["per_s"].tolist() == [30, 31, 0]
    assert table.attrs["kind"] == "batch"


def test_a_log() -> None:
    table = read_kvm_stat(LOG)
    assert table["total"].tolist() == [60, 63, 6]
    # Stamps are at the ends of the intervals: three intervals of 2 s.
    assert table.attrs["seconds"] == 6
    assert table["per_s"].tolist() == [10, 10.5, 1]
    assert table.loc["kvm_exit(HLT)", "parent"] == "kvm_exit"


def test_a_log_without_stamps_takes_what_it_was_started_with() -> None:
    text = "kvm_entry kvm_exit \n        10         11 \n        30         31 \n"
    assert read_kvm_stat(text)["per_s"].tolist() == [20, 21]
    assert read_kvm_stat(text, interval_s=2)["per_s"].tolist() == [10, 10.5]


def test_a_log_as_csv() -> None:
    text = "timestamp,kvm_entry,kvm_exit\n2026-11-26 09:30:01,10,11\n2026-11-26 09:30:02,30,31\n"
    assert read_kvm_stat(text)["total"].tolist() == [40, 42]


def test_of_several_screens_one_is_picked() -> None:
    two = SCREEN + "\n\nafter the change 5 6:\n" + SCREEN.replace("6000", "7000")
    with pytest.raises(ValueError, match=r"found 2 screens, at lines 1, 12; expected one, or table=0, 1"):
        read_kvm_stat(two)
    assert read_kvm_stat(two, table=-1).loc["kvm_exit", "total"] == 7000
    with pytest.raises(ValueError, match=r"table=2; expected 0 to 1"):
        read_kvm_stat(two, table=2)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: found ''; expected kvm_stat's screen"),
        ("kvm statistics - summary\n", "there is no event with its count"),
        (SCREEN.replace("    1200", ""), r"line 4: .*expected a row: .*wrapped"),
        (BATCH + "\nkvm_exit 1 2", "each event once"),
        (LOG.replace("        31 ", " "), r"line 3: .*expected 3 counts"),
        (LOG.replace("2026-11-26 09:30:03", "2026-13-26 09:30:03"), r"line 3: .*expected a time"),
        (LOG.replace("        31 ", "       -31 "), r"line 3: .*expected 3 counts"),
        (NAMES, "lines of counts below this head"),
        ("kvm_entry kvm_exit\nkvm_msr\n 1 2 3\n", r"line 2: .*wrapped"),
    ],
)
def test_bad_output_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_kvm_stat(text)


@pytest.mark.parametrize("text", [SCREEN, BATCH, LOG], ids=["screen", "batch", "log"])
def test_twins_are_the_same_table_or_refused(text: str) -> None:
    assert sniff(text) == "kvm_stat"
    table = read_kvm_stat(text)
    for twin in TWINS.values():
        assert read_any(twin(text))[1].equals(table)
    for twin in WRAPPED.values():
        with contextlib.suppress(ValueError):
            assert read_kvm_stat(twin(text)).equals(table)


@few(100)
@given(st.text() | st.lists(st.sampled_from((SCREEN + "\n" + BATCH + "\n" + LOG).splitlines())).map("\n".join))
def test_any_mixture_is_a_table_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        read_kvm_stat(text + "\n")
