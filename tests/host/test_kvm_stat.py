"""The output of kvm_stat: screens of several versions, batch, log. Made up after the tool's print formats."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, strategies as st

from kvmlab.host.formats import kvm_stat, read_any, read_kvm_stat, sniff
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


# Three refreshes of a terminal, prose between them, and the rows of a batch behind the last Total.
REFRESHED = """\
Total 77 7
kvm_exit is what counts, of the exits here, and kvm_exit
kvm_exit
kvm statistics

 Event            Total %Total CurAvg/s
 Total              5      1
 kvm_exit          40   50.0        4
 kvm_entry         30   37.5        3
 Total             80              8
 Total             81              8
 Event            Total %Total CurAvg/s
 kvm_msr            9   90.0        6
 kvm_pio            1   10.0        5
 Total             10             11
kvm statistics - pid 7
 kvm_exit          50   50.0       50
 kvm_entry         40   40.0       40
 kvm_apic           7    7.0        7
   instruction_diag_44    3   42.9        3
 vcpu_seen          2    2.0        2
 Total            100            100
kvm_exit           60        10
exits              60        10
"""


@pytest.mark.parametrize(
    ("table", "rows", "parents", "total", "kind"),
    [
        (0, {"kvm_exit": [40, 50, 4], "kvm_entry": [30, 37.5, 3]}, {}, 80, "screen"),
        (1, {"kvm_msr": [9, 90, 6], "kvm_pio": [1, 10, 5]}, {}, 10, "screen"),
        (
            2,
            {
                "kvm_exit": [50, 50, 50],
                "kvm_entry": [40, 40, 40],
                "kvm_apic": [7, 7, 7],
                "instruction_diag_44": [3, 300 / 7, 3],
                "vcpu_seen": [2, 2, 2],
            },
            {"instruction_diag_44": "kvm_apic"},
            100,
            "screen",
        ),
        (3, {"kvm_exit": [60, 50, 10], "exits": [60, 50, 10]}, {}, None, "batch"),
    ],
)
def test_every_screen_of_a_text_has_its_own_rows(
    table: int, rows: dict[str, list[float]], parents: dict[str, str], total: int | None, kind: str
) -> None:
    for which in (table, table - 4):
        read = read_kvm_stat(REFRESHED, table=which)
        numbers = read[["total", "share%", "per_s"]]
        assert {name: list(row) for name, row in zip(read.index, numbers.to_numpy().tolist(), strict=True)} == rows
        assert read["parent"].dropna().to_dict() == parents
        assert (read.attrs["total"], read.attrs["kind"]) == (total, kind)


@pytest.mark.parametrize("table", [4, -5])
def test_a_screen_that_is_not_there_cannot_be_picked(table: int) -> None:
    with pytest.raises(ValueError, match=rf"the text: table={table}; expected 0 to 3$"):
        read_kvm_stat(REFRESHED, table=table)


def test_the_lines_of_the_first_20_screens_are_told() -> None:
    text = " Event Total Current\n exits 5 6\n" * 22
    lines = "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39"
    with pytest.raises(ValueError, match=rf"found 22 screens, at lines {lines}; expected one"):
        read_kvm_stat(text)


def test_shares_are_of_the_parent_or_of_all_rows() -> None:
    text = "kvm statistics\n\n kvm_exit 300 1\n kvm_exit(HLT) 75 1\n kvm_entry 100 1\n kvm_fpu 0 0\n kvm_fpu(1) 0 0\n"
    shares = read_kvm_stat(text + " kvm_pio(in) 5 1\n")["share%"]
    assert shares.dropna().to_dict() == {"kvm_exit": 75, "kvm_exit(HLT)": 25, "kvm_entry": 25, "kvm_fpu": 0}
    assert math.isnan(shares["kvm_fpu(1)"])  # of none
    assert math.isnan(shares["kvm_pio(in)"])  # of an event that is not listed


def test_a_part_of_nothing_above_it_has_no_parent() -> None:
    table = read_kvm_stat("kvm statistics\n kvm_exit(HLT) 5 5\n   instruction_diag_44 3 3\n")
    assert table["parent"].dropna().to_dict() == {"kvm_exit(HLT)": "kvm_exit"}


@pytest.mark.parametrize(
    ("total", "notes"), [(11, []), (12, []), (13, ["Rows with 1 of 13 events are not listed."]), (None, [])]
)
def test_rows_that_are_missing_are_said_by_the_row_total(total: int | None, notes: list[str]) -> None:
    row_total = "" if total is None else f" Total {total} 6\n"
    table = read_kvm_stat(f"kvm statistics\n kvm_exit 12 5\n kvm_exit(HLT) 9 5\n{row_total}")
    assert table.attrs["notes"] == notes


def test_a_host_without_guests_counts_nothing() -> None:
    table = read_kvm_stat("kvm_entry 0 0\nkvm_exit 0 0\n")
    assert table.attrs["notes"] == []
    assert table["total"].tolist() == [0, 0]
    assert table["share%"].isna().all()


@pytest.mark.parametrize(
    ("lines", "interval_s", "seconds"),
    [
        (["2026-11-26 09:30:01 1 2", "2026-11-26 09:30:02 1 2"], 5.0, 2),  # its stamps count, not the interval
        (["2026-11-26 09:30:01 1 2", "", "2026-11-26 09:30:04 0 2", "2026-11-26 09:30:07 1 0"], 1.0, 9),
        (["2026-11-26 09:30:01 1 2"], 5.0, 5),
        (["2026-11-26 09:30:01 1 2", "2026-11-26 09:30:01 1 2"], 0.5, 1),  # stamps are whole seconds
        (["2026-11-26 09:30:01 1 2", " 1 2", "2026-11-26 09:30:04 1 2"], 5.0, 15),  # a stamp is missing
        ([" 1 2", " 1 2"], 0.1, 0.2),
        ([" 1 2", " 1 2"], 86_400, 172_800),
    ],
)
def test_how_long_a_log_took(lines: list[str], interval_s: float, seconds: float) -> None:
    table = read_kvm_stat("\n".join(["kvm_entry kvm_exit", *lines]) + "\n", interval_s=interval_s)
    assert table.attrs["seconds"] == pytest.approx(seconds, rel=1e-12)
    assert table["per_s"].tolist() == pytest.approx((table["total"] / seconds).tolist(), rel=1e-12)


@pytest.mark.parametrize("interval_s", [0.09, 86_400.5])
def test_an_interval_has_limits(interval_s: float) -> None:
    with pytest.raises(ValueError, match=r"interval_s: .* is not allowed; it must be .*from 0.1 to 86400"):
        read_kvm_stat(SCREEN, interval_s=interval_s)


def test_a_text_has_only_so_many_events_and_screens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm_stat, "MAX_EVENTS", 3)
    assert len(read_kvm_stat(BATCH)) == 3
    with pytest.raises(ValueError, match=r"line 4: found 'kvm_pio'; expected each event once, and at most 3"):
        read_kvm_stat(BATCH + "\nkvm_pio 1 2")
    monkeypatch.setattr(kvm_stat, "MAX_SCREENS", 2)
    screen = " Event Total Current\n exits 5 6\n"
    assert len(read_kvm_stat(screen * 2, table=1)) == 1
    with pytest.raises(ValueError, match=r"line 5: found 'Event Total Current'; expected at most 2 screens"):
        read_kvm_stat(screen * 3, table=1)


@pytest.mark.parametrize(
    ("line", "is_its"),
    [
        ("kvm statistics", True),
        ("kvm statistics - pid 4242 (web)", True),
        (" Event             Total %Total CurAvg/s", True),
        ("  Event            Total Current", True),
        (" kvm_exit          40   50.0        4", True),
        ("kvm_exit           40         4", True),
        ("kvm_entry kvm_exit kvm_exit(HLT) ", True),
        ("timestamp,kvm_entry,kvm_exit", True),
        ("kvm_exit           40", False),
        ("kvm_exit", False),
        ("some_name          40         4", False),
        ("the kvm_entry and kvm_exit", False),
        ("        10        11         1", False),
        ("", False),
    ],
)
def test_a_line_of_kvm_stat_is_told_from_others(line: str, is_its: bool) -> None:
    assert kvm_stat.is_kvm_stat_line(line) is is_its


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: found ''; expected kvm_stat's screen"),
        ("a\nb\n\n", "line 2: found 'b'; expected kvm_stat's screen"),
        (SCREEN + "\nkvm_exit 60x 1", "line 10: found 'kvm_exit 60x 1'; expected a row"),
        (SCREEN + "\nkvm_exit 60", "line 10: found 'kvm_exit 60'; expected a row"),
        ("kvm_entry kvm_exit kvm_exit\n1 2 3\n", "line 1: found 'kvm_exit'; expected each event once"),
        ("kvm_entry kvm_exit\n 5 -1\n", "line 2: found '5 -1'; expected 2 counts, as the head of line 1 names"),
        ("kvm statistics - summary\n", "there is no event with its count"),
        (SCREEN.replace("    1200", ""), r"line 4: .*expected a row: .*wrapped"),
        (BATCH + "\nkvm_exit 1 2", "line 4: found 'kvm_exit'; expected each event once, and at most 10000"),
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
