"""kvmlab.host.formats against the recordings, against one example of each generation, and against bad input.

Examples in this file are made up after the print formats in the kernel's sources, except where a comment names a
commit.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from kvmlab.host.formats import read_kvm_trace, read_perf_kvm_stat, write_chrome_trace, write_perf_kvm_stat
from tests.places import RECORDED

REPORTS = sorted(path.name for path in RECORDED.glob("perf-kvm-stat.*.txt"))
TRACES = sorted(path.name for path in [*RECORDED.glob("*.trace.txt"), *RECORDED.glob("perf-script.*.txt")])
Reader = Callable[..., pd.DataFrame]
COLUMNS = ["Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "+-%"]


@pytest.fixture
def report() -> pd.DataFrame:
    return read_perf_kvm_stat(RECORDED / "perf-kvm-stat.pi0_none.txt")


@pytest.fixture
def timeline() -> pd.DataFrame:
    """A housekeeping pCPU that posts an interrupt to a vCPU, which handles it."""
    return pd.DataFrame(
        {
            "start_ns": [1_000, 5_500, 2_000],
            "end_ns": [4_001, 6_000, 9_000],
            "lane": ["pCPU 10", "vCPU 0", "pCPU 2"],
            "what": ["apic_timer_fn", "handler", "guest"],
            "flow": [7, 7, -1],
        }
    )


def test_the_recordings_are_there() -> None:
    assert len(REPORTS) == 3
    assert len(TRACES) == 7


def test_importing_the_module_does_not_import_pandas() -> None:
    script = "import sys, kvmlab.host.formats; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def row_of(table: pd.DataFrame, name: str) -> Any:
    """The one row of that name."""
    return table.loc[name]


def only_row(text: str) -> Any:
    """The one event of a listing."""
    trace = read_kvm_trace(text)
    assert len(trace) == 1
    return trace.iloc[0]


# perf kvm stat: the recordings ---------------------------------------------------------------------------------------


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


# perf kvm stat: generations ------------------------------------------------------------------------------------------

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
    assert set(before.attrs.values()) == {None}


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


# perf kvm stat: bad input --------------------------------------------------------------------------------------------


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
        (f"{HEADER.removesuffix(' Time Avg time')}\nTime Avg time\n{ROW}", r"line 1: found .*; expected a header"),
        (HEADER.removeprefix("VM-EXIT ") + f"\n{ROW}", r"line 1: found .*; expected a header"),
        (f"{HEADER}\n{ROW}\n{ROW}", r"line 3: found .*; expected each name once"),
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


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
@pytest.mark.parametrize("name", ["recorded_runs.csv", "recorded_latencies.json", "README.md"])
def test_the_wrong_file_is_refused_with_its_name(read: Reader, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(name)}, line \d+: found .*; expected "):
        read(RECORDED / name)


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
def test_what_is_no_text_file_is_refused(read: Reader, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        read(tmp_path / "absent.txt")
    with pytest.raises(ValueError, match=r"line 1: found '.*absent\.txt'"):
        read("absent.txt")
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(ValueError, match="found a folder; expected a file"):
            read(folder)
    with pytest.raises(ValueError, match="found a device or pipe; expected a file"):
        read("/dev/null")
    for binary in (b"PERFILE2\x68\x00\x00", b"\x17\x08Dtracing6\x00", "VM-EXIT".encode("utf-16"), b"\xff\xfe\xfd\n"):
        path = tmp_path / "binary"
        path.write_bytes(binary)
        with pytest.raises(ValueError, match=r"binary, line 1: found .*not a binary file"):
            read(path)
    with pytest.raises(TypeError, match="expected text as a str, or a path, not bytes"):
        read(b"VM-EXIT")


@pytest.mark.parametrize("read", [read_perf_kvm_stat, read_kvm_trace])
@settings(deadline=None)
@given(text=st.text() | st.text(alphabet="VM-EXITSamples%Time 0123456789.us(+-)\n:[]#=>_ktvcpu"))
def test_any_text_is_a_table_or_a_value_error(read: Reader, text: str) -> None:
    complaint = ""
    try:
        read(text + "\n")
    except ValueError as error:
        complaint = str(error)
    assert not complaint or re.search(r"line \d+: found .*; expected ", complaint)


# perf kvm stat: writing ----------------------------------------------------------------------------------------------

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


@settings(deadline=None)
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


@settings(deadline=None)
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


# Traces: the recordings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRACES)
def test_a_recorded_trace_is_read_line_by_line(name: str) -> None:
    lines = [line for line in (RECORDED / name).read_text().splitlines() if not line.startswith("#")]
    trace = read_kvm_trace(RECORDED / name)
    assert len(trace) == len(lines) > 50
    assert list(trace.columns) == [
        "time_s",
        "time_ns",
        "cpu",
        "task",
        "pid",
        "event",
        "vcpu",
        "reason",
        "fields",
        "flags",
    ]
    assert trace["time_ns"].dtype == "int64"
    assert trace["time_ns"].is_monotonic_increasing
    assert (trace["time_ns"] / 1e9).equals(trace["time_s"])
    assert set(trace["cpu"]) <= {0, 1}
    # Every message of the recordings is known: none was left as text, but the marks.
    assert set(trace["event"][[("text" in fields) for fields in trace["fields"]]]) <= {"tracing_mark_write"}
    assert trace["reason"].notna().equals(trace["event"] == "kvm_exit")
    assert (trace["vcpu"].dropna() == 0).all()
    for line, event, time_s in zip(lines, trace["event"], trace["time_s"], strict=True):
        assert f"{time_s:.6f}: " in line
        assert f"{event}: " in line


@pytest.mark.parametrize(
    ("name", "exits", "fired_on"),
    [
        ("rev1-housekeeping-pcpu", {"EXTERNAL_INTERRUPT": 13, "MSR_WRITE": 10}, {0: 10}),
        ("rev1-posted", {"MSR_WRITE": 10}, {0: 10}),
        ("rev2-housekeeping-pcpu", {"MSR_WRITE": 10, "PREEMPTION_TIMER": 10, "EXTERNAL_INTERRUPT": 2}, {}),
        ("rev3-halted-in-guest", {"MSR_WRITE": 10, "EXTERNAL_INTERRUPT": 8}, {1: 8, 0: 2}),
        ("rev3-hv-periodic", {"PREEMPTION_TIMER": 10, "MSR_WRITE": 2}, {}),
        ("rev3-hv-timer", {"MSR_WRITE": 10, "PREEMPTION_TIMER": 10}, {}),
    ],
)
def test_recorded_traces_show_who_fired(name: str, exits: dict[str, int], fired_on: dict[int, int]) -> None:
    trace = read_kvm_trace(RECORDED / f"vmx-6.1-{name}.trace.txt")
    assert trace["reason"].value_counts().to_dict() == exits | {"IO_INSTRUCTION": 1}
    fired = trace[trace["event"] == "hrtimer_expire_entry"]
    fired = fired[[fields["function"] == "apic_timer_fn" for fields in fired["fields"]]]
    assert fired["cpu"].value_counts().to_dict() == fired_on
    marks = trace[trace["event"] == "tracing_mark_write"]
    assert [fields["text"] for fields in marks["fields"]] == ["KT-START", "KT-END"]


def test_fields_of_a_recorded_tracefs_listing() -> None:
    trace = read_kvm_trace(RECORDED / "vmx-6.1-rev1-housekeeping-pcpu.trace.txt")
    rows = {row.event: row for row in reversed(list(trace.itertuples()))}
    assert rows["kvm_exit"].time_ns == 8_273_634_000
    assert (rows["kvm_exit"].task, rows["kvm_exit"].pid, rows["kvm_exit"].cpu) == ("kt", 617, 0)
    assert (rows["kvm_exit"].vcpu, rows["kvm_exit"].reason) == (0, "MSR_WRITE")
    assert rows["kvm_exit"].fields == {"rip": 0x80E9, "info1": 0, "info2": 0, "intr_info": 0, "error_code": 0}
    assert rows["kvm_msr"].fields == {"access": "write", "msr": 0x6E0, "value": 0x8C96BE}
    assert rows["kvm_msr"].vcpu is pd.NA
    assert rows["kvm_hv_timer_state"].fields == {"hv_timer": 0}
    assert rows["kvm_wait_lapic_expire"].fields == {"delta": 7495, "when": "late"}
    assert rows["kvm_apic_accept_irq"].fields == {"apicid": 0, "vector": 236, "delivery": "Fixed", "trigger": "edge"}
    assert rows["local_timer_entry"].fields == {"vector": 236}
    assert rows["kvm_userspace_exit"].fields == {"reason": "KVM_EXIT_IO", "code": 2}
    assert rows["kvm_userspace_exit"].reason is pd.NA
    assert rows["hrtimer_start"].fields == {
        "hrtimer": "0000000048f88669",
        "function": "apic_timer_fn",
        "module": "kvm",
        "expires": 8274632804,
        "softexpires": 8274632804,
        "mode": "ABS|HARD",
        "was_armed": 0,
    }


def test_fields_of_a_recorded_perf_script() -> None:
    trace = read_kvm_trace(RECORDED / "perf-script.no-apicv.txt")
    # Each timer is armed by one write and ended by another, without APICv.
    writes = [fields["msr"] for fields in trace["fields"][trace["event"] == "kvm_msr"] if fields["access"] == "write"]
    assert (writes.count(0x6E0), writes.count(0x80B)) == (10, 10)
    start: Any = trace[trace["event"] == "hrtimer_start"].iloc[0]
    assert (start["task"], start["pid"], start["cpu"]) == ("kt", 535, 1)
    assert start["fields"]["hrtimer"] == "0xffff8880050b2a10"
    assert start["fields"]["function"] == "apic_timer_fn"
    assert start["fields"]["expires"] == 39478333235


# Traces: layouts and generations -------------------------------------------------------------------------------------

# Made up: one line of each tool, and of its options.
LAYOUTS = {
    "tracefs": "       CPU 0/KVM-4711    [003] d..1.  8.273633: {}: {}",
    "tracefs 4.x": "     CPU 0/KVM-4711  [003] d..1  8.273633: {}: {}",
    "tracefs without flags": "   CPU 0/KVM-4711 [003]  8.273633: {}: {}",
    "tracefs with tgid": "   CPU 0/KVM-4711    (   4700) [003] d..1.  8.273633: {}: {}",
    "tracefs with unknown tgid": "   CPU 0/KVM-4711    (-------) [003] d..1.  8.273633: {}: {}",
    "trace-cmd": "       CPU 0/KVM-4711  [003]     8.273633: {}:             {}",
    "perf script": "       CPU 0/KVM    4711 [003]     8.273633:              kvm:{}: {}",
    "perf script --ns": "       CPU 0/KVM    4711 [003]     8.273633000:   kvm:{}:  {}",
    "perf script with pid and tid": "       CPU 0/KVM  4700/4711  [003]     8.273633:   kvm:{}: {}",
}
LONG = "info1 0x0000000000000010 info2 0x0000000000000000 intr_info 0x800000ec error_code 0x00000000"
LONG_FIELDS = {"info1": 16, "info2": 0, "intr_info": 0x800000EC, "error_code": 0}

# Made up, after arch/x86/kvm/trace.h of each kernel and libtraceevent's plugin: message, vcpu, reason, fields.
EXITS = {
    "before 5.4": ("reason EXTERNAL_INTERRUPT rip 0xabc info 0 800000ec", None, "EXTERNAL_INTERRUPT"),
    "5.4 to 5.9": ("vcpu 2 reason MSR_WRITE rip 0xabc info 0 800000ec", 2, "MSR_WRITE"),
    "from 5.10": (f"vcpu 2 reason PREEMPTION_TIMER rip 0xabc {LONG}", 2, "PREEMPTION_TIMER"),
    "6.18": (f"vcpu 2 reason HLT rip 0xabc {LONG} requests 0x0000000000000040", 2, "HLT"),
    "svm": (f"vcpu 12 reason interrupt rip 0xabc {LONG}", 12, "interrupt"),
    "svm before 5.4": ("reason npf rip 0xabc info 0 800000ec", None, "npf"),
    "failed entry": (f"vcpu 2 reason INVALID_STATE FAILED_VMENTRY rip 0xabc {LONG}", 2, "INVALID_STATE"),
    "code without a name": (f"vcpu 2 reason 0x4d rip 0xabc {LONG}", 2, "0x4d"),
    "libtraceevent": ("reason EXIT_HLT rip 0xabc info 0 800000ec", None, "EXIT_HLT"),
    "libtraceevent with a symbol": (
        "reason MSR_WRITE rip 0xabc [native_write_msr+0x4] info 0 800000ec",
        None,
        "MSR_WRITE",
    ),
    "libtraceevent without a name": ("reason UNKNOWN (77) rip 0xabc info 0 800000ec", None, "UNKNOWN (77)"),
}
ENTRIES = {
    "before 5.7": ("vcpu 2", {}),
    "from 5.7": ("vcpu 2, rip 0xabc", {"rip": 0xABC}),
    "6.18": ("vcpu 2, rip 0xabc intr_info 0x800000ec error_code 0x00000000", {"rip": 0xABC, "error_code": 0}),
    "6.18 at once": (
        "vcpu 2, rip 0xabc intr_info 0x800000ec error_code 0x00000000[immediate exit]",
        {"rip": 0xABC, "immediate_exit": True},
    ),
    "libtraceevent": (" vcpu 2 rip 0xabc", {"rip": 0xABC}),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("message", "vcpu", "reason"), EXITS.values(), ids=EXITS)
def test_kvm_exit_of_every_kernel_in_every_listing(layout: str, message: str, vcpu: int | None, reason: str) -> None:
    row = only_row(layout.format("kvm_exit", message))
    assert (row["task"], row["pid"], row["cpu"], row["time_ns"]) == ("CPU 0/KVM", 4711, 3, 8_273_633_000)
    assert (row["event"], row["reason"]) == ("kvm_exit", reason)
    assert row["vcpu"] is pd.NA if vcpu is None else row["vcpu"] == vcpu
    assert row["fields"]["rip"] == 0xABC
    if "intr_info" in message:
        assert row["fields"].items() >= LONG_FIELDS.items()
    else:
        assert (row["fields"]["info1"], row["fields"]["info2"]) == (0, 0x800000EC)
    assert row["fields"].get("requests") == (0x40 if "requests" in message else None)
    assert row["fields"].get("flags") == ("FAILED_VMENTRY" if "FAILED" in message else None)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("message", "fields"), ENTRIES.values(), ids=ENTRIES)
def test_kvm_entry_of_every_kernel_in_every_listing(layout: str, message: str, fields: dict[str, object]) -> None:
    row = only_row(layout.format("kvm_entry", message))
    assert (row["event"], row["vcpu"]) == ("kvm_entry", 2)
    assert row["reason"] is pd.NA
    assert row["fields"].items() >= fields.items()
    assert ("immediate_exit" in row["fields"]) == ("immediate" in message)


# Made up, after the print formats of each event.
@pytest.mark.parametrize(
    ("event", "message", "vcpu", "fields"),
    [
        ("kvm_msr", "msr_write 80b = 0x0", None, {"access": "write", "msr": 0x80B, "value": 0}),
        ("kvm_msr", "msr_read 1b = 0x0 (#GP)", None, {"access": "read", "msr": 0x1B, "value": 0, "failed": True}),
        (
            "kvm_apic",
            "apic_write APIC_TMICT = 0xf4240",
            None,
            {"access": "write", "register": "APIC_TMICT", "value": 10**6},
        ),
        ("kvm_hv_timer_state", "vcpu_id 1f hv_timer 1", 31, {"hv_timer": 1}),
        ("kvm_wait_lapic_expire", "vcpu 3: delta -120 (early)", 3, {"delta": -120, "when": "early"}),
        ("kvm_eoi", "apicid 1f vector 236", None, {"apicid": 31, "vector": 236}),
        ("kvm_pv_eoi", "apicid 0 vector 236", None, {"apicid": 0, "vector": 236}),
        ("kvm_inj_virq", "irq 236", None, {"kind": "irq", "vector": 236}),
        ("kvm_inj_virq", "IRQ 0xec [reinjected]", None, {"kind": "IRQ", "vector": 236, "reinjected": True}),
        (
            "kvm_apic_accept_irq",
            "apicid 1 vec 236 (Fixed|edge) (coalesced)",
            None,
            {"apicid": 1, "vector": 236, "delivery": "Fixed", "trigger": "edge", "coalesced": True},
        ),
        (
            "kvm_halt_poll_ns",
            "vcpu 0: halt_poll_ns 20000 (grow 10000)",
            0,
            {"halt_poll_ns": 20000, "change": "grow", "old": 10000},
        ),
        (
            "kvm_vcpu_wakeup",
            "wait time 5000 ns, polling valid",
            None,
            {"how": "wait", "duration_ns": 5000, "polling": "valid"},
        ),
        ("kvm_userspace_exit", "reason restart (4)", None, {"reason": "restart", "code": 4}),
        ("kvm_fpu", "load", None, {"text": "load"}),
        ("kvm_ack_irq", "", None, {"text": ""}),
        ("hrtimer_cancel", "hrtimer=0000000012345678", None, {"hrtimer": "0000000012345678"}),
        (
            "hrtimer_init",
            "hrtimer=00000000abcdef01 clockid=CLOCK_MONOTONIC mode=0x8",
            None,
            {"hrtimer": "00000000abcdef01", "clockid": "CLOCK_MONOTONIC", "mode": "0x8"},
        ),
        (
            "sched_switch",
            "prev_comm=CPU 0/KVM prev_pid=4711 prev_state=S ==> next_comm=7 next_pid=7",
            None,
            {"prev_comm": "CPU 0/KVM", "prev_pid": 4711, "prev_state": "S", "next_comm": "7", "next_pid": 7},
        ),
        ("kvm_avic_ga_log", "vmid=1, vcpuid=0x2", None, {"vmid": 1, "vcpuid": 2}),
        (
            "sched_waking",
            "comm=kt pid=535 target_cpu=001 value=10",
            None,
            {"comm": "kt", "pid": 535, "target_cpu": 1, "value": 10},
        ),
        ("print", "tracing_mark_write: KT-START a=1", None, {"text": "KT-START a=1"}),
        ("tracing_mark_write", "a=1 b: kvm_entry: vcpu 0", None, {"text": "a=1 b: kvm_entry: vcpu 0"}),
    ],
)
def test_messages_of_other_events(event: str, message: str, vcpu: int | None, fields: dict[str, object]) -> None:
    for layout in ("tracefs", "perf script"):
        row = only_row(LAYOUTS[layout].format(event, message))
        assert row["fields"] == fields
        assert row["vcpu"] is pd.NA if vcpu is None else row["vcpu"] == vcpu
        assert row["event"] == ("tracing_mark_write" if event == "print" else event)


def test_what_stands_between_events_is_passed_over() -> None:
    # Made up: the head of a trace-cmd report, overruns of both tools, comments and blank lines.
    event = LAYOUTS["trace-cmd"].format("kvm_entry", "vcpu 0")
    head = "version = 7\nCPU 1 is empty\ncpus=4\n\n# a comment\n##### CPU 2 buffer started ####\n"
    trace = read_kvm_trace(f"{head}{event}\nCPU:3 [LOST 12 EVENTS]\n{event}\nCPU:1 [3 EVENTS DROPPED]\n")
    assert len(trace) == 2
    assert trace.attrs["lost_events"] == 15


def test_a_task_may_have_any_name() -> None:
    names = ["<...>", "kworker/u16:1-ev", "a-b-7", "#hash", "[x] 1", "-"]
    trace = read_kvm_trace("\n".join(f"  {name}-12 [000] .....  1.000000: kvm_fpu: load" for name in names))
    assert trace["task"].tolist() == names
    assert set(trace["pid"]) == {12}


def test_an_empty_listing_is_an_empty_table() -> None:
    trace = read_kvm_trace("# tracer: nop\n#\n# entries-in-buffer/entries-written: 0/0   #P:2\n")
    full = read_kvm_trace(RECORDED / TRACES[0])
    assert len(trace) == 0
    assert trace.dtypes.equals(full.dtypes)


TIMES = st.integers(0, 10**15)
TASKS = st.from_regex(r"[A-Za-z<][A-Za-z0-9_/.:>-]{0,12}( [A-Za-z0-9])?", fullmatch=True)


@settings(deadline=None)
@given(
    task=TASKS,
    pid=st.integers(0, 4_194_304),
    cpu=st.integers(0, 8191),
    micros=TIMES,
    vcpu=st.integers(0, 4095),
    rip=st.integers(0, 2**64 - 1),
    info=st.integers(0, 2**64 - 1),
    reason=st.sampled_from(["EXTERNAL_INTERRUPT", "npf", "write_dr0", "APIC_WRITE", "0x4d", "UNKNOWN"]),
)
def test_an_exit_reads_back_from_every_listing(
    task: str, pid: int, cpu: int, micros: int, vcpu: int, rip: int, info: int, reason: str
) -> None:
    time = f"{micros // 10**6}.{micros % 10**6:06d}"
    message = (
        f"vcpu {vcpu} reason {reason} rip {rip:#x} info1 {info:#018x} info2 {0:#018x} "
        f"intr_info {info & 0xFFFFFFFF:#010x} error_code {0:#010x}"
    )
    listings = [
        f"{task:>16}-{pid:<7} [{cpu:03d}] d..1. {time:>12}: kvm_exit: {message}",
        f"{task:>16}-{pid:<5} [{cpu:03d}] {time:>12}: kvm_exit:             {message}",
        f"{task:>16} {pid:>5} [{cpu:03d}] {time:>12}: {'kvm:kvm_exit':>26}: {message}",
    ]
    trace = read_kvm_trace("\n".join(listings))
    row: Any
    for row in trace.itertuples():
        assert (row.task, row.pid, row.cpu, row.vcpu, row.reason) == (task, pid, cpu, vcpu, reason)
        assert row.time_ns == micros * 1000
        assert row.time_s == micros * 1000 / 1e9
        assert row.fields["rip"] == rip
        assert row.fields["info1"] == info
        assert row.fields["intr_info"] == info & 0xFFFFFFFF


# Traces: bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_an_exit_cut_off_anywhere_is_refused(layout: str) -> None:
    line = layout.format("kvm_exit", EXITS["from 5.10"][0])
    assert len(read_kvm_trace(line)) == 1
    for end in range(len(line)):
        with pytest.raises(ValueError, match=r"line 1: found .*; expected "):
            read_kvm_trace(line[:end] + "\n")


GOOD = LAYOUTS["tracefs"].format("kvm_entry", "vcpu 0, rip 0x80c1")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("VM-EXIT Samples", r"found 'VM-EXIT Samples'; expected an event"),
        ("ffffffff81063be2 vmx_vcpu_run+0x2", "expected an event"),
        (" kt-617 [000] d..1.  8.27: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 [000] d..1.  8273633: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 [000] d..1.  99999999999.000000: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 d..1.  8.273633: kvm_entry: vcpu 0", "expected an event"),
        (" kt [000] d..1.  8.273633: kvm_entry: vcpu 0", "expected an event"),
        (" kt-617 [000] d..1.  8.273633: tick_nohz_irq_exit <-irq_exit", "expected an event"),
        (
            LAYOUTS["tracefs"].format("kvm_entry", "vcpu 0,"),
            r"found 'kvm_entry: vcpu 0,'; expected a whole message of kvm_entry",
        ),
        (LAYOUTS["tracefs"].format("kvm_entry", "vcpu 99999999999"), "whole message of kvm_entry"),
        (LAYOUTS["tracefs"].format("kvm_exit", "vcpu 0 reason msr rip 0xabc"), "whole message of kvm_exit"),
        (LAYOUTS["tracefs"].format("kvm_exit", "[FAILED TO PARSE] exit_reason=1"), "whole message of kvm_exit"),
        (LAYOUTS["tracefs"].format("kvm_msr", "msr_write 6e0 = "), "whole message of kvm_msr"),
        (LAYOUTS["tracefs"].format("kvm_msr", "msr_write 6e0 = 0x1; import os"), "whole message of kvm_msr"),
        (
            LAYOUTS["tracefs"].format("hrtimer_start", "hrtimer=00 function=f expires=1"),
            "whole message of hrtimer_start",
        ),
        (
            LAYOUTS["tracefs"].format("hrtimer_expire_entry", "hrtimer=00 function=f now="),
            "whole message of hrtimer_exp",
        ),
        (
            LAYOUTS["tracefs"].format("hrtimer_expire_entry", "hrtimer=00 function=f now=1x"),
            "whole message of hrtimer_exp",
        ),
        (LAYOUTS["tracefs"].format("local_timer_entry", "vector="), "whole message of local_timer_entry"),
        (GOOD + "\x00", "not a binary file"),
        (GOOD + "\ud800", "not a binary file"),
        (GOOD + " " * 9000, "a line of at most 8192 bytes"),
        ("CPU:3 [LOST 1", "expected an event"),
        (HEADER, "expected an event"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(bad: str, complaint: str) -> None:
    assert len(read_kvm_trace(f"{GOOD}\n{GOOD}")) == 2
    with pytest.raises(ValueError, match=rf"line 2: .*{complaint}"):
        read_kvm_trace(f"{GOOD}\n{bad}\n{GOOD}\n")


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "#!/bin/sh\n", "cpus=4\n"])
def test_a_text_without_events_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: found .*; expected an event.*there is none"):
        read_kvm_trace(text)


def test_a_report_is_not_a_trace() -> None:
    with pytest.raises(ValueError, match=r"line 3: found 'Analyze events for all VMs, all VCPUs:'; expected an event"):
        read_kvm_trace(RECORDED / REPORTS[0])
    with pytest.raises(
        ValueError, match=r"line 13: found '.*hrtimer_start.*; expected a perf kvm stat table, not a trace"
    ):
        read_perf_kvm_stat(RECORDED / "vmx-6.1-rev1-posted.trace.txt")


@settings(deadline=2000)
@given(st.text(alphabet=" -[]0a:.", min_size=4000, max_size=8000))
def test_a_hostile_line_takes_no_long_time(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        read_kvm_trace(line + "!\n")


# Chrome trace JSON ---------------------------------------------------------------------------------------------------


def by_phase(trace: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


def test_rows_become_complete_events_in_us(timeline: pd.DataFrame) -> None:
    events = by_phase(write_chrome_trace(timeline), "X")
    assert [event["name"] for event in events] == ["apic_timer_fn", "handler", "guest"]
    assert [(event["ts"], event["dur"]) for event in events] == [(1.0, 3.001), (5.5, 0.5), (2.0, 7.0)]
    assert events[0]["args"] == {"start_ns": 1000, "end_ns": 4001}


def test_lanes_become_tracks_of_two_processes(timeline: pd.DataFrame) -> None:
    trace = write_chrome_trace(timeline)
    metadata = by_phase(trace, "M")
    processes = {event["pid"]: event["args"]["name"] for event in metadata if event["name"] == "process_name"}
    threads = {event["tid"]: event["args"]["name"] for event in metadata if event["name"] == "thread_name"}
    order = {event["tid"]: event["args"]["sort_index"] for event in metadata if event["name"] == "thread_sort_index"}
    assert list(processes.values()) == ["pCPUs", "vCPUs"]
    assert sorted(threads, key=lambda tid: order[tid]) == [1, 2, 3]
    # By number, not by letter.
    assert [threads[tid] for tid in (1, 2, 3)] == ["pCPU 2", "pCPU 10", "vCPU 0"]
    for event in by_phase(trace, "X"):
        lane = {"apic_timer_fn": "pCPU 10", "handler": "vCPU 0", "guest": "pCPU 2"}[event["name"]]
        assert threads[event["tid"]] == lane
        assert processes[event["pid"]] == lane.split()[0] + "s"


def test_a_flow_becomes_an_arrow_in_time_order(timeline: pd.DataFrame) -> None:
    backwards = timeline.iloc[::-1]
    for rows in (timeline, backwards):
        trace = write_chrome_trace(rows)
        (tail,), (head,) = by_phase(trace, "s"), by_phase(trace, "f")
        assert (tail["ts"], head["ts"], head["bp"]) == (1.0, 5.5, "e")
        assert (tail["id"], tail["cat"], tail["name"]) == (head["id"], head["cat"], head["name"])
        spans = {event["name"]: event for event in by_phase(trace, "X")}
        assert (tail["pid"], tail["tid"]) == (spans["apic_timer_fn"]["pid"], spans["apic_timer_fn"]["tid"])
        assert (head["pid"], head["tid"]) == (spans["handler"]["pid"], spans["handler"]["tid"])


def test_a_flow_that_was_cut_has_no_arrow(timeline: pd.DataFrame) -> None:
    trace = write_chrome_trace(timeline.head(1))
    assert len(by_phase(trace, "X")) == 1
    assert by_phase(trace, "s") == by_phase(trace, "f") == []


def test_a_column_process_names_the_processes(timeline: pd.DataFrame) -> None:
    timeline["lane"] = "vCPU 0"
    timeline["process"] = ["guest b", "guest a", "guest b"]
    trace = write_chrome_trace(timeline)
    processes = [event["args"]["name"] for event in by_phase(trace, "M") if event["name"] == "process_name"]
    assert processes == ["guest b", "guest a"]
    tracks = [(event["pid"], event["tid"]) for event in by_phase(trace, "X")]
    assert tracks[0] == tracks[2] != tracks[1]


def test_the_file_holds_what_was_returned(timeline: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    trace = write_chrome_trace(timeline, path)
    assert json.loads(path.read_text()) == trace
    assert write_chrome_trace(timeline, str(path)) == trace


def test_an_empty_timeline_is_an_empty_trace(timeline: pd.DataFrame) -> None:
    assert write_chrome_trace(timeline.head(0))["traceEvents"] == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"end_ns": [4000, 5000, 9000]}, "row 1: found end_ns 5000; expected at least start_ns 5500"),
        ({"start_ns": [0.5, 1.0, 2.0]}, r"row 0: found start_ns '0.5'; expected an int"),
        ({"end_ns": [9000, 9000, None]}, r"row 0: found end_ns '9000.0'; expected an int"),
        ({"flow": [True, False, True]}, "row 0: found flow 'True'; expected an int"),
        ({"flow": [7, 7, 7]}, "rows 0, 1, 2: found 3 rows of flow 7; expected two"),
        ({"start_ns": ["a", "b", "c"]}, "row 0: found start_ns 'a'; expected an int"),
    ],
)
def test_a_bad_timeline_is_refused_with_its_row(
    timeline: pd.DataFrame, changes: dict[str, list[Any]], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        write_chrome_trace(timeline.assign(**changes))


def test_a_timeline_without_its_columns_is_refused(timeline: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no column lane, flow; expected start_ns, end_ns, lane, what, flow"):
        write_chrome_trace(timeline.drop(columns=["lane", "flow"]))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**15),
            st.integers(0, 10**9),
            st.sampled_from(["pCPU 0", "pCPU 10", "vCPU 0", "vCPU 3", "guest"]),
            st.text(max_size=5),
        ),
        max_size=20,
    )
)
def test_every_row_is_in_the_json(rows: list[tuple[int, int, str, str]]) -> None:
    timeline = pd.DataFrame(
        [(start, start + length, lane, what, -1) for start, length, lane, what in rows],
        columns=["start_ns", "end_ns", "lane", "what", "flow"],
    )
    trace = json.loads(json.dumps(write_chrome_trace(timeline)))
    names = {event["tid"]: event["args"]["name"] for event in by_phase(trace, "M") if event["name"] == "thread_name"}
    got = [
        (event["args"]["start_ns"], event["args"]["end_ns"], names[event["tid"]], event["name"])
        for event in by_phase(trace, "X")
    ]
    assert got == [(start, start + length, lane, what) for start, length, lane, what in rows]
    assert len(names) == len({lane for _, _, lane, _ in rows})
    assert all(event["ts"] == event["args"]["start_ns"] / 1000 and event["dur"] >= 0 for event in by_phase(trace, "X"))


# What the Trace Event Format says of the kinds of events that are written here (the fields that a viewer needs).
CHROME_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["traceEvents"],
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "traceEvents": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["ph", "pid", "tid", "name"],
                "properties": {"pid": {"type": "integer"}, "tid": {"type": "integer"}, "ts": {"type": "number"}},
                "oneOf": [
                    {
                        "properties": {"ph": {"const": "X"}, "dur": {"type": "number", "minimum": 0}},
                        "required": ["ts", "dur", "cat"],
                    },
                    {
                        "properties": {
                            "ph": {"const": "M"},
                            "name": {
                                "enum": ["process_name", "process_sort_index", "thread_name", "thread_sort_index"]
                            },
                            "args": {"type": "object", "minProperties": 1},
                        },
                        "required": ["args"],
                    },
                    {"properties": {"ph": {"const": "s"}, "id": {"type": "integer"}}, "required": ["ts", "id", "cat"]},
                    {
                        "properties": {"ph": {"const": "f"}, "id": {"type": "integer"}, "bp": {"const": "e"}},
                        "required": ["ts", "id", "cat", "bp"],
                    },
                ],
            },
        },
    },
}


def test_several_timelines_are_processes_on_one_axis(timeline: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "three.json"
    write_chrome_trace({"rev1": timeline, "rev2": timeline, "rev3": timeline}, path)
    trace = json.loads(path.read_text())
    jsonschema.validate(trace, CHROME_SCHEMA)
    events = trace["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert sorted(names.values()) == ["rev1", "rev2", "rev3"]
    arrows = [event for event in events if event["ph"] in "sf"]
    assert len(arrows) == 6
    # An arrow stays within its process, and no two share an id.
    assert {(event["id"], event["pid"]) for event in arrows if event["ph"] == "s"} == {
        (event["id"], event["pid"]) for event in arrows if event["ph"] == "f"
    }
    assert len({event["id"] for event in arrows}) == 3
    places = [(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"]
    assert len(places) == len(set(places)) == 3 * timeline["lane"].nunique()


def test_a_mapping_without_timelines_is_refused(timeline: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"found an empty mapping"):
        write_chrome_trace({})
    with pytest.raises(ValueError, match=r"has no column what"):
        write_chrome_trace({"a": timeline, "b": timeline.drop(columns="what")})


@pytest.mark.parametrize("name", TRACES)
def test_every_recording_becomes_a_valid_chrome_trace(name: str) -> None:
    import kvmlab

    jsonschema.validate(kvmlab.to_chrome_trace({name: kvmlab.explain(RECORDED / name)}), CHROME_SCHEMA)
