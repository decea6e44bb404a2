"""The table of perf kvm stat: the recordings, an example of each generation, bad input, and what is written.

Examples in this file are made up after the print formats in the kernel's sources, except where a comment names a
commit.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.host.formats import perf_stat, read_perf_kvm_stat, write_perf_kvm_stat
from tests.host.recorded import REPORTS
from tests.places import RECORDED
from tests.strategies import few

COLUMNS = ["Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "+-%"]


@pytest.fixture
def report() -> pd.DataFrame:
    return read_perf_kvm_stat(RECORDED / "perf-kvm-stat.pi0_none.txt")


def row_of(table: pd.DataFrame, name: str) -> Any:
    """The one row of that name."""
    return table.loc[name]


# The recordings ------------------------------------------------------------------------------------------------------


def test_a_recorded_report_is_read_to_the_digit(report: pd.DataFrame) -> None:
    assert report.index.name == "VM-EXIT"
    assert list(report.columns) == COLUMNS
    assert row_of(report, "EXTERNAL_INTERRUPT").tolist() == [3, 0.15, 0.26, 3.33, 12.66, 8.00, 33.66]
    assert report.index.tolist() == [
        "MSR_WRITE",
        "PREEMPTION_TIMER",
        "EXTERNAL_INTERRUPT",
        "EPT_VIOLATION",
        "IO_INSTRUCTION",
        "MSR_READ",
    ]
    assert report["Samples"].dtype == "int64"
    assert all(report[column].dtype == "float64" for column in COLUMNS[1:])
    assert report.attrs == {
        "total_samples": 2011,
        "total_time_us": 9366.05,
        "lost_events": 0,
        "title": "Analyze events for all VMs, all VCPUs:",
        "dots": False,
        "notes": [],
    }


@pytest.mark.parametrize(
    ("name", "preemption_timer", "external_interrupt"),
    [("pi0_none", 1000, 3), ("pi0_all", None, 1003), ("pi1_all", None, 4)],
)
def test_recorded_reports_show_who_fired(name: str, preemption_timer: int | None, external_interrupt: int) -> None:
    samples = read_perf_kvm_stat(RECORDED / f"perf-kvm-stat.{name}.txt")["Samples"]
    assert samples.get("PREEMPTION_TIMER") == preemption_timer
    assert samples["EXTERNAL_INTERRUPT"] == external_interrupt
    assert samples.sum() == samples.attrs["total_samples"]


@pytest.mark.parametrize("name", REPORTS)
def test_a_recorded_report_is_written_as_perf_wrote_it(name: str) -> None:
    path = RECORDED / name
    assert write_perf_kvm_stat(read_perf_kvm_stat(path)) == path.read_text()


def test_text_path_and_name_of_a_file_read_alike(report: pd.DataFrame) -> None:
    path = RECORDED / "perf-kvm-stat.pi0_none.txt"
    pd.testing.assert_frame_equal(read_perf_kvm_stat(str(path)), report)
    pd.testing.assert_frame_equal(read_perf_kvm_stat(path.read_text()), report)
    pd.testing.assert_frame_equal(read_perf_kvm_stat(path.read_text().replace("\n", "\r\n")), report)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_cut_off_anywhere_gives_an_error_or_whole_rows(name: str) -> None:
    text = (RECORDED / name).read_text()
    whole = read_perf_kvm_stat(text)
    refused = 0
    for end in range(len(text)):
        try:
            part = read_perf_kvm_stat(text[:end])
        except ValueError:
            refused += 1
        else:
            pd.testing.assert_frame_equal(part, whole.head(len(part)), check_names=True)
            assert part.attrs["total_samples"] in (None, whole.attrs["total_samples"])
            assert part.attrs["total_time_us"] in (None, whole.attrs["total_time_us"])
    # Inside a row no cut passes: every row is 100 characters wide, and all but the last few are of the row's own.
    assert refused > 90 * len(whole)


# Generations ---------------------------------------------------------------------------------------------------------

# Made up: perf of 2012 to 2013, before Min and Max.
GENERATION_A = """

Analyze events for all VCPUs:

             VM-EXIT    Samples  Samples%     Time%         Avg time\x20

          APIC_ACCESS      23     57.50%    12.34%      1.20us ( +-   2.31% )
                 HLT         17    42.50%    87.66%     88.99us ( +-  13.50% )

Total Samples:40, Total events handled time:1540.43us.

"""

# Made up: the current tree, with a name of 40 columns, SVM names and lost events.
WIDER = " " * 20
GENERATION_C = f"""

Analyze events for pid(s) 4711,4712, VCPU 3:

{WIDER}             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time\x20

{WIDER}           interrupt        370    96.35%    98.40%      0.10us     12.28us      3.23us ( +-   1.39% )
{WIDER}                 npf         14     3.65%     1.60%      0.00us      2.76us      1.39us ( +-  10.57% )

Total Samples:384, Total events handled time:1216.30us.


Lost events: 12

"""

# The message of commit 0c5f81dad46c: blanks squeezed, no totals, two tables.
COMMIT = """\
number of external interrupt vmexits drops substantially.  Without patch

            VM-EXIT  Samples  Samples%  Time%   Min Time  Max Time   Avg time
EXTERNAL_INTERRUPT    42916    49.43%   39.30%   0.47us   106.09us   0.71us ( +-   1.09% )

While with patch:

            VM-EXIT  Samples  Samples%  Time%   Min Time  Max Time         Avg time
EXTERNAL_INTERRUPT    6871     9.29%     2.96%   0.44us    57.88us   0.72us ( +-   4.02% )

Cc: someone
"""

# Made up: what the browser of recent perf shows, as mails quote it.
BROWSER = """\
> Event name                Samples   Sample%    Time (ns)     Time%   Max Time (ns)   Min Time (ns)  Mean Time (ns)
> EXTERNAL_INTERRUPT           1003    50.00%    4300000       40.00%  12400           2580           4287
> MSR_WRITE                    1003    50.00%    6450000       60.00%  12530           4230           6430
"""

# Made up: perf kvm stat live, captured to a file.
LIVE = "".join(
    f"""\x1b[H\x1b[2J
12:00:0{second}.123456

Analyze events for all VMs, all VCPUs:

             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time\x20

                 HLT         {second}   100.00%   100.00%      1.00us      9.00us      4.00us ( +-   0.00% )

Total Samples:{second}, Total events handled time:{4 * second}.00us.

"""
    for second in (1, 2, 3)
)


def test_generation_without_min_and_max() -> None:
    table = read_perf_kvm_stat(GENERATION_A)
    assert list(table.columns) == COLUMNS
    assert table[["Min Time", "Max Time"]].isna().all(axis=None)
    assert row_of(table, "HLT").drop(["Min Time", "Max Time"]).tolist() == [17, 42.50, 87.66, 88.99, 13.50]
    assert table.attrs["title"] == "Analyze events for all VCPUs:"
    assert "Min Time" not in write_perf_kvm_stat(table)
    pd.testing.assert_frame_equal(read_perf_kvm_stat(write_perf_kvm_stat(table)), table)


def test_generation_with_wide_names_and_lost_events() -> None:
    table = read_perf_kvm_stat(GENERATION_C)
    assert table.index.tolist() == ["interrupt", "npf"]
    assert row_of(table, "npf").tolist() == [14, 3.65, 1.60, 0.00, 2.76, 1.39, 10.57]
    assert table.attrs["lost_events"] == 12
    assert table.attrs["title"] == "Analyze events for pid(s) 4711,4712, VCPU 3:"
    assert write_perf_kvm_stat(table, width=40) == GENERATION_C


def test_tables_of_a_commit_message() -> None:
    before, after = (read_perf_kvm_stat(COMMIT, table=which) for which in (0, 1))
    assert row_of(before, "EXTERNAL_INTERRUPT").tolist() == [42916, 49.43, 39.30, 0.47, 106.09, 0.71, 1.09]
    assert row_of(after, "EXTERNAL_INTERRUPT").tolist() == [6871, 9.29, 2.96, 0.44, 57.88, 0.72, 4.02]
    assert {value for key, value in before.attrs.items() if key not in ("notes", "dots")} == {None}


def test_several_tables_are_refused_unless_one_is_picked() -> None:
    with pytest.raises(ValueError, match=r"found 2 tables, at lines 3, 8; expected one, or table=0"):
        read_perf_kvm_stat(COMMIT)
    for absent in (2, -3):
        with pytest.raises(ValueError, match=rf"table={absent}; expected 0 to 1, for the tables at lines 3, 8"):
            read_perf_kvm_stat(COMMIT, table=absent)


def test_browser_columns_in_ns_become_us() -> None:
    table = read_perf_kvm_stat(BROWSER)
    assert table.index.name == "Event name"
    assert row_of(table, "MSR_WRITE").tolist()[:-1] == [1003, 50.0, 60.0, 4.23, 12.53, 6.43]
    assert table["+-%"].isna().all()


def test_a_capture_of_live_is_a_table_a_refresh() -> None:
    assert row_of(read_perf_kvm_stat(LIVE, table=-1), "HLT")["Samples"] == 3
    assert read_perf_kvm_stat(LIVE, table=0).attrs["total_time_us"] == 4.0
    with pytest.raises(ValueError, match="found 3 tables"):
        read_perf_kvm_stat(LIVE)


@pytest.mark.parametrize("title", ["MMIO Access", "IO Port Access", "MSR Access", "VM-EXIT"])
def test_the_table_keeps_its_own_title(title: str) -> None:
    text = write_perf_kvm_stat(read_perf_kvm_stat(GENERATION_C).rename({"npf": "0x70:POUT"}), title=title)
    table = read_perf_kvm_stat(text)
    assert table.index.name == title
    assert "0x70:POUT" in table.index
    # What was read under a title is written under it.
    assert write_perf_kvm_stat(table) == text


ROW = "EXTERNAL_INTERRUPT 1003 49.88% 35.31% 2.58us 12.40us 4.30us ( +- 0.44% )"
HEADER = "VM-EXIT Samples Samples% Time% Min Time Max Time Avg time"


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        ROW.replace("us", " us"),
        ROW.replace("%", " %"),
        ROW.replace("( +- 0.44% )", "(+-0.44%)"),
        ROW.replace(" ", "\t"),
        "    " + ROW,
        "> > " + ROW,
        ROW + "\n[..]",
        "unknown kvm exit code:77 on VMX\n" + ROW,
        "\n" + ROW + "\n\n",
    ],
)
def test_ways_to_space_a_row(row: str) -> None:
    table = read_perf_kvm_stat(f"{HEADER}\n{row}\n")
    assert row_of(table, "EXTERNAL_INTERRUPT").tolist() == [1003, 49.88, 35.31, 2.58, 12.40, 4.30, 0.44]
    assert len(table) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER.removesuffix(' Time Avg time')}\nTime Avg time\n{ROW}\n",
        f"> {HEADER}\n> {ROW.removesuffix(' 4.30us ( +- 0.44% )')}\n4.30us ( +- 0.44% )\n",
        f"{HEADER}\nEXTERNAL_INTERRUPT\n{ROW.removeprefix('EXTERNAL_INTERRUPT ')}\n",
        f"{HEADER}\n{ROW}\n\nTotal Samples:1003, Total events handled\ntime:4312.90us.\n",
        f"{HEADER}\n{ROW[:-10]}\n{ROW[-10:]}\n",
    ],
)
def test_wrapped_lines_are_joined_and_it_is_said(text: str) -> None:
    table = read_perf_kvm_stat(text)
    assert row_of(table, "EXTERNAL_INTERRUPT").tolist() == [1003, 49.88, 35.31, 2.58, 12.40, 4.30, 0.44]
    assert "oined: 1 wrapped line" in table.attrs["notes"][0]


def test_a_name_that_was_cut_is_refused_as_wrapped() -> None:
    with pytest.raises(ValueError, match=r"line 2: found 'EXTERNAL_INTER'; expected a row.*not wrapped"):
        read_perf_kvm_stat(f"{HEADER}\nEXTERNAL_INTER\n{ROW.removeprefix('EXTERNAL_INTER')}\n")


def test_rows_that_are_left_out_are_said() -> None:
    totals = "\nTotal Samples:4012, Total events handled time:12215.00us.\n"
    for dots in ("[..]\n", ""):
        table = read_perf_kvm_stat(f"{HEADER}\n{ROW}\n{dots}{totals}")
        [note] = table.attrs["notes"]
        assert "rows with 3,009 of 4,012 samples and 64.7 % of the time are not listed" in note
    whole = ROW.replace("49.88%", "100.00%").replace("35.31%", "100.00%")
    [note] = read_perf_kvm_stat(f"{HEADER}\n{whole}\n[snip]\n").attrs["notes"]
    assert "dots stand between its rows" in note
    # Dots below a table whose rows add up to its total stand for other text.
    total = "Total Samples:1003, Total events handled time:4312.90us.\n"
    assert read_perf_kvm_stat(f"{HEADER}\n{whole}\n[snip]\n{total}[...]\n").attrs["notes"] == []


def test_names_may_hold_blanks_and_brackets() -> None:
    # Made up after the longer names of other architectures.
    table = read_perf_kvm_stat(f"{HEADER}\n{ROW.replace('EXTERNAL_INTERRUPT', 'DIAG (0x500) 7 call 1.00%')}")
    assert table.index.tolist() == ["DIAG (0x500) 7 call 1.00%"]


def test_shares_of_nothing_are_nan() -> None:
    table = read_perf_kvm_stat(f"{HEADER}\n{ROW.replace('35.31%', '-nan%')}")
    assert math.isnan(row_of(table, "EXTERNAL_INTERRUPT")["Time%"])
    pd.testing.assert_frame_equal(read_perf_kvm_stat(write_perf_kvm_stat(table)), table)


def test_codes_without_a_name_may_repeat() -> None:
    row = ROW.replace("EXTERNAL_INTERRUPT", "UNKNOWN")
    assert len(read_perf_kvm_stat(f"{HEADER}\n{row}\n{row}")) == 2


def test_an_empty_report_is_an_empty_table() -> None:
    # Made up, after reports of a vCPU that never ran.
    text = f"Analyze events for all VMs, VCPU 27:\n\n{HEADER}\n\nTotal Samples:0, Total events handled time:0.00us.\n"
    table = read_perf_kvm_stat(text)
    assert len(table) == 0
    assert list(table.columns) == COLUMNS
    assert table["Samples"].dtype == "int64"
    assert read_perf_kvm_stat(write_perf_kvm_stat(table)).attrs == table.attrs


def test_a_heading_belongs_to_the_next_table_only() -> None:
    text = f"Analyze events for all VMs, VCPU 1:\n\n{HEADER}\n{ROW}\n\nand then\n\n{HEADER}\n{ROW}\n"
    titles = [read_perf_kvm_stat(text, table=which).attrs["title"] for which in (0, 1)]
    assert titles == ["Analyze events for all VMs, VCPU 1:", None]


def test_a_byte_order_mark_is_no_part_of_the_title() -> None:
    assert read_perf_kvm_stat(f"\ufeff{HEADER}\n{ROW}").index.name == "VM-EXIT"


def test_prose_with_numbers_is_not_a_table() -> None:
    text = f"We saw 3.2% ( +- 0.1% ) more, 12.5us each, of 50%:\n\n{HEADER}\n{ROW}\n\nThat is -84 % of 42 916 exits.\n"
    assert len(read_perf_kvm_stat(text)) == 1


# Made up: six tables in one mail, of three layouts, with and without totals, dots and lost events.
SIX = f"""\
Analyze events for pid(s) 7, all VCPUs:
VM-EXIT Samples Samples% Time% Avg time
HLT 3 75.00% 90.00% 3.00us ( +- 1.00% )
CPUID 1 25.00% 10.00% 1.00us ( +- 2.00% )
Total Samples:4, Total events handled time:10.00us.
Lost events: 3

{HEADER}
HLT 3 75.00% 90.00% 1.00us 5.00us 3.00us ( +- 1.00% )
[...]

Event name Samples Sample% Time (ns) Time% Max Time (ns) Min Time (ns) Mean Time (ns)

HLT 3 75.00% 9000
90.00% 5000 1000 3000
CPUID 1 25.00% 1000 10.00% 1001 1002 1003

Analyze events for all VMs, VCPU 2:
{HEADER}
MSR_READ 1 100.00% 100.00% 1.00us 5.00us 3.00us ( +- 1.00% )
...
Total Samples:1, Total events handled time:3.00us.
Lost events: 5

{HEADER}
MSR_WRITE 2 100.00% 100.00% 1.00us 5.00us 3.00us ( +- 1.00% )
Total Samples:2, Total events handled time:6.00us.

{HEADER}
CPUID 8 100.00% 100.00% 1.00us 5.00us 3.00us ( +- 1.00% )
HLT 9 100.00% 100.00% 1.00us 5.00us 3.00us ( +- 1.00% )
<snip>
"""
NAN = math.nan


@pytest.mark.parametrize(
    ("table", "rows", "attrs"),
    [
        (
            0,
            {"HLT": [3, 75, 90, NAN, NAN, 3, 1], "CPUID": [1, 25, 10, NAN, NAN, 1, 2]},
            (4, 10.0, 3, "Analyze events for pid(s) 7, all VCPUs:", False),
        ),
        (1, {"HLT": [3, 75, 90, 1, 5, 3, 1]}, (None, None, None, None, True)),
        (
            2,
            {"HLT": [3, 75, 90, 1, 5, 3, NAN], "CPUID": [1, 25, 10, 1.002, 1.001, 1.003, NAN]},
            (None, None, None, None, False),
        ),
        (3, {"MSR_READ": [1, 100, 100, 1, 5, 3, 1]}, (1, 3.0, 5, "Analyze events for all VMs, VCPU 2:", False)),
        (4, {"MSR_WRITE": [2, 100, 100, 1, 5, 3, 1]}, (2, 6.0, 0, None, False)),
        (5, {"CPUID": [8, 100, 100, 1, 5, 3, 1], "HLT": [9, 100, 100, 1, 5, 3, 1]}, (None, None, None, None, True)),
    ],
)
def test_each_of_several_tables_has_its_own_rows_totals_and_dots(
    table: int, rows: dict[str, list[float]], attrs: tuple[object, ...]
) -> None:
    for which in (table, table - 6):
        read = read_perf_kvm_stat(SIX, table=which)
        index = pd.Index(list(rows), dtype=object)
        expected = pd.DataFrame(list(rows.values()), index=index, columns=COLUMNS).astype(float)
        pd.testing.assert_frame_equal(read, expected.astype({"Samples": int}), check_names=False)
        names = ("total_samples", "total_time_us", "lost_events", "title", "dots")
        assert tuple(read.attrs[name] for name in names) == attrs


def test_a_text_has_only_so_many_rows_and_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ROW.replace("EXTERNAL", "ANOTHER")
    monkeypatch.setattr(perf_stat, "MAX_ROWS", 2)
    monkeypatch.setattr(perf_stat, "MAX_TABLES", 2)
    assert len(read_perf_kvm_stat(f"{HEADER}\n{ROW}\n{HEADER}\n{ROW}\n", table=1)) == 1
    with pytest.raises(ValueError, match=r"line 5: .*; expected at most 2 tables of 2 rows together"):
        read_perf_kvm_stat(f"{HEADER}\n{ROW}\n{HEADER}\n{ROW}\n{other}", table=1)
    monkeypatch.setattr(perf_stat, "MAX_ROWS", 9)
    with pytest.raises(ValueError, match=r"line 5: found 'VM-EXIT Samples .*'; expected at most 2 tables of 9 rows"):
        read_perf_kvm_stat(f"{HEADER}\n{ROW}\n{HEADER}\n{ROW}\n{HEADER}\n{ROW}", table=1)


@pytest.mark.parametrize(
    ("line", "is_its"),
    [
        ("Analyze events for all VMs, all VCPUs:", True),
        ("Analyze events for all VMs", False),
        (HEADER, True),
        ("VM-EXIT    Samples   Samples%", True),
        ("Event name  Samples  Sample%", True),
        ("VM-EXIT Samples", False),
        (ROW, False),
        ("", False),
    ],
)
def test_a_line_that_heads_a_table_is_told_from_others(line: str, is_its: bool) -> None:
    assert perf_stat.is_perf_line(line) is is_its


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"line 1: found ''; expected a header"),
        ("\n\n  \n", r"line 1: found ''; expected a header"),
        ("perf.data.guest", r"no file has this name.*line 1: found 'perf.data.guest'; expected a header"),
        ("run,kernel,policy\na,b,c\n", r"line 1: found 'run,kernel,policy'; expected a header"),
        (
            f"\n{ROW}\n",
            r"line 2: found 'EXTERNAL_INTERRUPT 1003 49.88%.*\.\.\.'; expected a header.*above the first row",
        ),
        (f"{HEADER}\n", r"line 1: found 'VM-EXIT'; expected rows below"),
        (
            f"{HEADER}\n\nTotal Samples:1, Total events handled time:0.00us.\n",
            r"line 1: found 'VM-EXIT'; expected rows below this header",
        ),
        ("", r"there is none in the empty text$"),
        ("prose\n", r"there is none in the text$"),
        (f"{HEADER}\n{ROW}\nHLT 1003 49.88%\n...\n", r"line 3: found 'HLT 1003 49.88%'; .*as in the header of line 1"),
        (f"{HEADER}\n{ROW}\n{HEADER}\n{ROW}\n\nx\n\n{HEADER}\nHLT 1", r"line 9: .* in the header of line 8"),
        (f"{HEADER}\n{ROW.replace('EXTERNAL_INTERRUPT', 'UNKNOWN')}\n{ROW}\n{ROW}", r"line 4: .*each name once"),
        ("Lost events: 3\n", r"line 1: .*; expected Lost events: <n>, below a table"),
        (HEADER.removeprefix("VM-EXIT ") + f"\n{ROW}", r"line 1: found .*; expected a header"),
        (f"{HEADER}\n{ROW}\n{ROW}", r"line 3: found .*; expected each name once"),
        (f"{HEADER}\n{ROW}\n\n{HEADER}\n{ROW}\n{ROW}", r"line 6: found .*; expected each name once"),
        (f"{HEADER}\n{ROW}\nSigned-off-by: x", r"line 3: found 'Signed-off-by: x'; expected a row"),
        (f"{HEADER}\n{ROW}\n\nHLT 1003 49.88% 35.3", r"line 4: found 'HLT 1003 49.88% 35.3'"),
        (f"{HEADER}\n{ROW}\n\nHLT 1003 49.88% 35.31% 2.58us", r"line 4: found 'HLT 1003.*; expected a row"),
        (f"{HEADER}\n{ROW.removeprefix('EXTERNAL_INTERRUPT ')}", r"line 2: .*expected a row: name"),
        (f"{HEADER}\n{ROW.replace('2.58us ', '')}", r"line 2: .*expected a row"),
        (f"{HEADER.replace('Min Time Max Time ', '')}\n{ROW.replace('1003', '3.5')}", r"line 2: .*expected a row"),
        (f"{HEADER}\n{ROW.replace('2.58us', '2.58ms')}", r"line 2: .*times in us"),
        (f"{HEADER}\n{ROW.replace('2.58us', '2.58')}", r"line 2: .*times in us"),
        (f"{HEADER}\n{ROW.replace('2.58us', 'nanus')}", r"line 2: .*times in us"),
        (f"{HEADER}\n{ROW.replace('2.58us', '-2.58us')}", r"line 2: .*times in us"),
        (f"{HEADER}\n{ROW.replace('2.58us', '2,58us')}", r"line 2: .*times in us"),
        (f"{HEADER}\n{ROW.replace('2.58us', '1e3us')}", r"line 2: .*times in us"),
        (f"{HEADER}\n{ROW.replace('2.58us', '__import__()us')}", r"line 2: .*times in us"),
        (f"{HEADER}\n{ROW.replace('1003', '9' * 5000)}", r"line 2: .*expected a row"),
        (f"{HEADER}\n{ROW.replace('1003', '١٠٠٣')}", r"line 2: .*expected a row"),
        (f"{HEADER}\n{ROW}\n\nTotal Samples:1003, Total events handled time:4.31ms.", r"line 4: .*handled time:<x>us"),
        (f"{HEADER}\n{ROW}\n\nTotal Samples:10", r"line 4: .*handled time:<x>us"),
        (
            f"{HEADER}\n{ROW}\n\nTotal Samples:1002, Total events handled time:1.0us.",
            r"line 1: .* at most the total of 1002",
        ),
        (f"Total Samples:1, Total events handled time:1.0us.\n{HEADER}\n{ROW}", r"line 1: .*totals below a table"),
        (f"{HEADER}\n{ROW}\n\nLost events: many", r"line 4: .*Lost events: <n>"),
        (f"{HEADER}\n{ROW}\n\x00", r"line 3: .*not a binary file"),
        (f"{HEADER}\n{ROW}\n\ud800", r"line 3: .*not a binary file"),
        (f"{HEADER}\n{ROW}\n" + "x" * 9000, r"line 3: found 'x{60}\.\.\.'; expected a line of at most 8192 bytes"),
        (
            f"{HEADER}\n{ROW}\n\n kt-617 [000] d..1. 8.273633: kvm_entry: vcpu 0",
            r"line 4: .*expected a perf kvm stat table",
        ),
    ],
)
def test_a_bad_report_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_perf_kvm_stat(text)


def test_rows_below_the_totals_are_refused() -> None:
    totals = "\nTotal Samples:9999, Total events handled time:1.0us.\n"
    with pytest.raises(ValueError, match=r"line 5: .*no row below the totals"):
        read_perf_kvm_stat(f"{HEADER}\n{ROW}\n{totals}{ROW.replace('EXTERNAL', 'ANOTHER')}")


# Writing -------------------------------------------------------------------------------------------------------------

NAMES = st.lists(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_:]{0,45}( [A-Za-z0-9(][A-Za-z0-9)]{0,5})?", fullmatch=True),
    max_size=6,
    unique=True,
)
AMOUNT = st.integers(0, 10**9).map(lambda hundredths: hundredths / 100)


@st.composite
def perf_tables(draw: st.DrawFn) -> pd.DataFrame:
    names = draw(NAMES)
    columns: dict[str, list[float]] = {"Samples": [draw(st.integers(1, 10**9)) for _ in names]}
    columns |= {column: [draw(AMOUNT) for _ in names] for column in COLUMNS[1:]}
    table = pd.DataFrame(columns, index=pd.Index(names, name="VM-EXIT", dtype=object))
    return table.astype(dict.fromkeys(COLUMNS, float) | {"Samples": "int64"})


@few(100)
@given(table=perf_tables(), width=st.sampled_from([1, 20, 40]))
def test_what_is_written_reads_back(table: pd.DataFrame, width: int) -> None:
    text = write_perf_kvm_stat(table, width=width)
    back = read_perf_kvm_stat(text)
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    assert back.attrs["total_samples"] == table["Samples"].sum()
    assert back.attrs["total_time_us"] == pytest.approx(
        (table["Samples"] * table["Avg time"]).sum(), abs=0.01, rel=1e-9
    )
    assert write_perf_kvm_stat(back, width=width) == text


@few(100)
@given(st.floats(0, 1e6), st.floats(0, 100))
def test_what_is_written_keeps_the_printed_precision(time_us: float, share: float) -> None:
    table = pd.DataFrame([[5, share, share, time_us, time_us, time_us, share]], index=["HLT"], columns=COLUMNS)
    back = read_perf_kvm_stat(write_perf_kvm_stat(table))
    assert (back - table).abs().to_numpy().max() <= 0.005 + 1e-9


def test_totals_follow_the_rows_that_are_left(report: pd.DataFrame) -> None:
    some = report.loc[["EPT_VIOLATION", "MSR_READ"]]
    assert some.attrs["total_samples"] == 2011
    assert "Total Samples:3, Total events handled time:14.27us." in write_perf_kvm_stat(some)


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("Samples", -1, "Samples of MSR_WRITE is -1"),
        ("Samples", 1.5, "Samples of MSR_WRITE is 1.5"),
        ("Samples", math.nan, "Samples of MSR_WRITE is nan"),
        ("Avg time", math.nan, "Avg time of MSR_WRITE is nan"),
        ("Avg time", math.inf, "Avg time of MSR_WRITE is inf"),
        ("Min Time", math.nan, "Min Time of MSR_WRITE is nan"),
        ("Time%", -0.5, "Time% of MSR_WRITE is -0.5"),
        ("Avg time", 1e300, "the table cannot be written: .*line 7"),
    ],
)
def test_a_bad_number_is_not_written(report: pd.DataFrame, column: str, value: float, complaint: str) -> None:
    table = report.astype({"Samples": float})
    table.loc["MSR_WRITE", column] = value
    with pytest.raises(ValueError, match=complaint):
        write_perf_kvm_stat(table)


@pytest.mark.parametrize("name", ["", "A\nB", "A  B", " A", "MSR_READ", "Total Samples:1", "A\x1b[2J", "\ud800"])
def test_a_name_that_would_not_read_back_is_not_written(report: pd.DataFrame, name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be written|would not read back"):
        write_perf_kvm_stat(report.rename({"MSR_WRITE": name}))


def test_other_bad_tables_are_not_written(report: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"no column Samples%, \+-%"):
        write_perf_kvm_stat(report.drop(columns=["Samples%", "+-%"]))
    with pytest.raises(ValueError, match="width is 0"):
        write_perf_kvm_stat(report, width=0)
    with pytest.raises(ValueError, match="would not read back"):
        write_perf_kvm_stat(report, title="VM  EXIT")
    report.attrs["title"] = "Analyze events\nfor all:"
    with pytest.raises(ValueError, match="would not read back"):
        write_perf_kvm_stat(report)


@pytest.mark.parametrize("table", ["x", 1.5, float("nan"), True, [0], 10**400])
def test_a_table_is_picked_by_its_number(table):
    for read in (read_perf_kvm_stat, kl.explain):
        with pytest.raises(ValueError, match=r"table: .* is not allowed; it must be an integer from -50000 to 50000"):
            read(COMMIT, table=table)
