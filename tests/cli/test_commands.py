"""The command line: what it prints, to whom, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pandas as pd
import pytest

import kvmlab as kl
from kvmlab import data
from kvmlab.cli.values import plain
from kvmlab.host import live
from kvmlab.host.formats.sniff import READERS
from kvmlab.scenario.files import presets

NOT_HERE = live.available()
needs_kvm = pytest.mark.skipif(NOT_HERE is not None, reason=f"no live guest here: {NOT_HERE}")
QUICK = ("--set", "duration_s=0.05")
TRACE = data.path("recorded", "vmx-6.1-rev1-posted.trace.txt")
TABLE = data.path("recorded", "perf-kvm-stat.pi1_all.txt")


def test_compare_prints_a_row_per_kernel(run):
    code, out, err = run("compare", "isolated", *QUICK)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[3:]] == list(kl.KERNELS)
    assert "PREEMPTION_TIMER" in out
    assert out.startswith("simulated")


def test_compare_says_what_compare_says(run):
    code, out, _ = run("compare", "mixed", "--kernels", "rev1, rev3", "--set", "duration_s=0.1", "--json")
    told = json.loads(out)
    table = kl.compare(kl.read_scenario("mixed").replace(duration_s=0.1), ["rev1", "rev3"])
    assert code == 0
    assert [row["kernel"] for row in told["simulated"]] == ["rev1", "rev3"]
    assert [row["exits"] for row in told["simulated"]] == table["exits"].tolist()
    code, out, _ = run("compare", "mixed", "--kernels", "rev1,rev3", "--set", "duration_s=0.1", "--csv")
    assert pd.read_csv(io.StringIO(out), index_col="kernel")["exits"].tolist() == table["exits"].tolist()
    code, out, _ = run("compare", "mixed", "--kernels", "rev1,rev3", "--set", "duration_s=0.1", "--all")
    assert {line.split("  ")[0] for line in out.splitlines()} >= set(table.columns)


def test_compare_shows_a_file_that_it_reads_back(run, tmp_path):
    code, out, _ = run(
        *("compare", "mixed", "--show", "--set", "host.hz=1000", "--set", "host.isolated=5-7"),
        *("--set", "guest.pcpus=none", "--set", "guest.hlt_in_guest=true", "--set", "workload.waits_by=spin"),
    )
    assert code == 0
    (tmp_path / "mine.toml").write_text(out)
    scenario = kl.read_scenario(tmp_path / "mine.toml")
    assert scenario.host.hz == 1000
    assert scenario.host.isolated == (5, 6, 7)
    assert all(guest.hlt_in_guest and guest.workload.waits_by == "spin" for guest in scenario.guests)
    assert run("compare", tmp_path / "mine.toml", *QUICK)[0] == 0


def test_compare_lists_its_presets(run):
    code, out, _ = run("compare", "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(presets())


def test_a_scenario_that_does_not_fit_is_code_2(run, tmp_path):
    (tmp_path / "bad.toml").write_text("[host]\npcpu = 3")
    code, out, err = run("compare", tmp_path / "bad.toml")
    assert (code, out) == (2, "")
    assert err.startswith("kvmlab: host, key: 'pcpu' is not allowed; it must be one of pcpus,")
    assert run("compare", tmp_path)[0] == 2  # a folder


# --- files ------------------------------------------------------------------------------------------------------------


def test_convert_a_table(run, tmp_path):
    code, out, _ = run("convert", TABLE, "--to", "csv")
    table = kl.read_perf_kvm_stat(TABLE)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["VM-EXIT"] for row in rows] == list(table.index)
    assert [int(row["Samples"]) for row in rows] == table["Samples"].tolist()
    code, out, _ = run("convert", TABLE, "--to", "json", "-o", tmp_path / "out.json")
    assert (code, out) == (0, "")
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["kind"] == "perf kvm stat"
    assert [row["Samples"] for row in told["rows"]] == table["Samples"].tolist()
    code, out, err = run("convert", TABLE, "--to", "chrome")
    assert (code, out) == (2, "")
    assert err == "kvmlab: --to chrome: a perf kvm stat file has no events in time; it must be a kvm trace\n"


def test_convert_a_trace(run, tmp_path):
    code, out, _ = run("convert", TRACE, "--to", "csv")
    events = kl.read_kvm_trace(TRACE)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["event"] for row in rows] == events["event"].tolist()
    assert [int(row["time_ns"]) for row in rows] == events["time_ns"].tolist()
    assert [json.loads(row["fields"]) for row in rows] == events["fields"].tolist()
    told = json.loads(run("convert", TRACE, "--to", "json")[1])
    assert len(told["rows"]) == len(events)
    assert told["rows"][0]["fields"] == events["fields"][0]
    assert run("convert", TRACE, "--to", "chrome", "-o", tmp_path / "trace.json")[0] == 0
    chrome = json.loads((tmp_path / "trace.json").read_text())
    assert {event["ph"] for event in chrome["traceEvents"]} >= {"M", "X"}


def test_convert_from_stdin(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.read_bytes())))
    assert run("convert", "-", "--to", "csv")[:2] == run("convert", TABLE, "--to", "csv")[:2]


def test_a_file_that_cannot_be_written_is_code_1(run, tmp_path):
    code, out, err = run("convert", TABLE, "--to", "csv", "-o", tmp_path / "none" / "out.csv")
    assert (code, out) == (1, "")
    assert "cannot be written: No such file or directory" in err


@pytest.mark.parametrize("command", [["explain"], ["what-if"], ["convert", "--to", "csv"]])
def test_files_that_are_none_are_code_2(run, tmp_path, command):
    path = tmp_path / "other.txt"
    path.write_bytes(b"\x7fELF\0\1\2")
    for file in (path, tmp_path / "missing.txt", tmp_path):
        code, out, err = run(*command, file)
        assert (code, out) == (2, "")
        assert err.startswith("kvmlab: ")
        assert err.count("\n") == 1
        assert file.name in err
    path.write_text("neither\na table\nnor a trace\n")
    assert run(*command, path)[0] == 2


@pytest.mark.parametrize("file", [TRACE, TABLE], ids=["trace", "table"])
def test_explain(run, file, tmp_path):
    told = kl.explain(file)
    assert run("explain", file) == (0, told.summary() + "\n", "")
    code, out, _ = run("explain", file, "--json")
    assert code == 0
    assert json.loads(out) == plain(told.to_dict())


def test_explain_takes_facts_and_writes_a_timeline(run, tmp_path):
    facts = ("--fact", "pi_inject_timer=true", "--fact", "housekeeping_cpus=0")
    code, out, _ = run("explain", TRACE, *facts, "--chrome", tmp_path / "trace.json")
    assert (code, out) == (0, kl.explain(TRACE, pi_inject_timer=True, housekeeping_cpus=(0,)).summary() + "\n")
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    code, _, err = run("explain", TRACE, "--fact", "moon=full")
    assert code == 2
    assert "--fact: 'moon' is not allowed; it must be one of pi_inject_timer," in err


def test_what_if(run):
    told = kl.what_if(TRACE)
    assert run("what-if", TRACE) == (0, told.summary() + "\n", "")
    code, out, _ = run("what-if", TRACE, "--json")
    assert code == 0
    assert json.loads(out) == plain(told.to_dict())


def test_what_if_takes_facts(run):
    code, out, _ = run("what-if", TABLE, "--fact", "seconds=1", "--fact", "revisions=rev1,rev3")
    assert code == 0
    assert out.startswith(f"{TABLE.name}: what each revision would do")
    assert "before" not in out.partition("exits")[0]
    assert run("what-if", TABLE, "--fact", "revisions=rev9")[0] == 2


def test_a_table_is_picked_and_host_facts_are_read(run, tmp_path):
    both = tmp_path / "both.txt"
    other = data.path("recorded", "perf-kvm-stat.pi0_none.txt")
    both.write_text(TABLE.read_text() + other.read_text())
    code, out, err = run("explain", both)
    assert (code, out) == (2, "")
    assert "found 2 tables" in err
    for number, path in enumerate((TABLE, other)):
        _, out, _ = run("explain", both, "--table", number)
        assert out.replace("both.txt", path.name) == kl.explain(path).summary() + "\n"
    assert run("what-if", both, "--table", 1, "--fact", "seconds=1")[0] == 0
    host = tmp_path / "host.txt"
    host.write_text("/sys/module/kvm/parameters/pi_inject_timer:1\n/sys/module/kvm_intel/parameters/enable_apicv:Y\n")
    code, out, _ = run("explain", other, "--host-facts", host, "--fact", "apicv_active=true")
    assert code == 0
    assert "not like rev1" in out
    assert "host.txt says kvm.pi_inject_timer=1." in out
    host.write_text("/sys/module/kvm/parameters/pi_inject_timer:0\n")
    code, out, _ = run("what-if", other, "--host-facts", host, "--fact", "seconds=1")
    assert "kvm.pi_inject_timer is off" in out
    code, out, err = run("explain", TRACE, "--table", 0)
    assert (code, out) == (2, "")
    assert "table: 0 does not fit" in err


def test_diff(run, tmp_path):
    other = data.path("recorded", "perf-kvm-stat.pi0_none.txt")
    told = kl.compare_recordings(other, TABLE, seconds=2)
    assert run("diff", other, TABLE, "--fact", "seconds=2") == (0, told.summary() + "\n", "")
    code, out, _ = run("diff", other, TABLE, "--fact", "seconds=2,4", "--json")
    assert code == 0
    assert json.loads(out) == plain(kl.compare_recordings(other, TABLE, seconds=[2, 4]).to_dict())
    code, out, _ = run("diff", other, TABLE, "--csv")
    assert [row["exit"] for row in csv.DictReader(io.StringIO(out))] == list(told.table.index)
    both = tmp_path / "both.txt"
    both.write_text(other.read_text() + TABLE.read_text())
    assert "PREEMPTION_TIMER (none left" in run("diff", both)[1]
    assert "PREEMPTION_TIMER (new" in run("diff", both, "--table", "1,0")[1]
    assert run("diff", both, both, "--table", "0")[0] == 0


# --- live -------------------------------------------------------------------------------------------------------------


def test_live_without_a_device_is_code_1(run, monkeypatch):
    monkeypatch.setattr(live.host, "unfit", lambda: "a live guest needs Linux with KVM; this is a test")
    assert run("live", "--check") == (1, "", "kvmlab: a live guest needs Linux with KVM; this is a test\n")
    assert run("live") == (1, "", "kvmlab: a live guest needs Linux with KVM; this is a test\n")


@needs_kvm
def test_live(run, tmp_path):
    assert run("live", "--check") == (0, "a live guest can be run here\n", "")
    code, out, err = run("live", "--timers", 30, "--timeout-s", 60)
    assert (code, err) == (0, "")
    assert "backend: " in out
    assert "simulated  measured" in out
    outputs = ("--trace", tmp_path / "trace.txt", "--scenario", tmp_path / "mine.toml")
    code, out, _ = run("live", "--timers", 30, "--timeout-s", 60, "--json", *outputs)
    told = json.loads(out)
    assert code == 0
    assert len(told["latency_ns"]) == 30
    assert [row["counter"] for row in told["comparison"]] == ["exits", "irq_exits", "halt_exits"]
    assert kl.read_scenario(tmp_path / "mine.toml").guests[0].workload.timers == 30
    if (tmp_path / "trace.txt").read_text():
        assert run("explain", tmp_path / "trace.txt")[0] == 0


# --- as a program -----------------------------------------------------------------------------------------------------


def test_as_a_program():
    command = [sys.executable, "-m", "kvmlab", "convert", str(TABLE), "--to", "csv"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VM-EXIT,Samples")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_goes_away_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "kvmlab", "convert", str(TABLE), "--to", "csv"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_interrupt_is_130(run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(kl, "compare", interrupted)
    assert run("compare") == (130, "", "")


# --- a choice in a file that has several ------------------------------------------------------------------------------


def test_two_tables_are_named_with_the_option_that_chooses(run, tmp_path):
    (tmp_path / "mail.txt").write_text(TABLE.read_text() * 2)
    for command in (("explain",), ("what-if",), ("convert", "--to", "csv")):
        code, out, err = run(*command, tmp_path / "mail.txt")
        assert (code, out) == (2, "")
        assert "found 2 tables" in err
        assert "--table" in err
    assert (
        run("convert", "--to", "csv", "--table", 1, tmp_path / "mail.txt")[1] == run("convert", "--to", "csv", TABLE)[1]
    )
    code, _, err = run("convert", "--to", "csv", "--table", 1, TRACE)
    assert code == 2
    assert "table: 1 does not fit the output of kvm trace" in err


def test_a_file_of_a_report_is_chosen(run, tmp_path):
    """trace-cmd report -i host.dat -i l1.dat: a guest that runs guests of its own has exits, too."""
    events = [line for line in TRACE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    merged = [f"{name}: {line}" for line in events for name in ("host.dat", "l1.dat")]
    (tmp_path / "both.txt").write_text("\n".join(merged) + "\n")
    code, _, err = run("explain", tmp_path / "both.txt")
    assert code == 2
    assert "--file" in err
    assert "'host.dat', 'l1.dat'" in err
    told = json.loads(run("explain", tmp_path / "both.txt", "--file", "l1.dat", "--json")[1])
    assert told["outcomes"] == json.loads(run("explain", TRACE, "--json")[1])["outcomes"]
    assert told["notes"] == [f"Passed over: events of host.dat ({len(events)})."]
    code, out, _ = run("convert", tmp_path / "both.txt", "--file", "host.dat", "--to", "csv")
    assert (code, out.count("\n")) == (0, len(events) + 1)
    assert run("explain", TABLE, "--file", "host.dat")[0] == 2


def test_help_lists_what_is_read(run):
    _, out, _ = run("convert", "--help")
    words = " ".join(out.split())
    assert all(kind in words for kind in READERS)


def test_another_kind_of_file_is_sent_to_convert(run, tmp_path):
    (tmp_path / "screen.txt").write_text(
        "> T: 0 ( 88) P:95 I:1000 C:   900 Min:      3 Act:    5 Avg:    6 Max:      44\n"
    )
    code, _, err = run("explain", tmp_path / "screen.txt")
    assert code == 2
    assert "`kvmlab convert` read cyclictest" in err
    assert run("convert", tmp_path / "screen.txt", "--to", "csv")[0] == 0


def test_explain_and_diff_show_interrupts_and_gaps(run):
    no_apicv = data.path("recorded", "perf-script.no-apicv.txt")
    _, out, _ = run("explain", no_apicv)
    assert "8 0xfd RESCHEDULE_VECTOR" in out
    assert "Longest times out of the guest" in out
    _, out, _ = run("diff", no_apicv, TRACE)
    assert "0xfd" in out
    assert out.count("Longest times out of the guest") == 2
