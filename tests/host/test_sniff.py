"""Which kind a text is, told by its lines; and the results of x86/vmexit. Made up."""

from __future__ import annotations

import importlib
import math

import pytest

from kvmlab.host.formats import read_any, read_unit_test_vmexit, sniff, unit_tests
from kvmlab.host.formats.sniff import kind_of


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("# tracer: nop", "kvm trace"),
        (" kt-617 [000] d..1.  8.000001: kvm_entry: vcpu 0", "kvm trace"),
        ("cpus=4", "kvm trace"),
        ("Analyze events for all VMs, all VCPUs:", "perf kvm stat"),
        (" VM-EXIT    Samples  Samples%     Time%", "perf kvm stat"),
        ("# Histogram", "cyclictest"),
        ("# RTLA timerlat histogram", "rtla"),
        ("latency: 2300", "tscdeadline_latency"),
        ("hit max: 3000 < latency: 3100", "tscdeadline_latency"),
        ("Core:\t 4 6", "oslat"),
        ("hwlatdetect:  test duration 60 seconds", "hwlatdetect"),
        ("core_i: 2 3", "sysjitter"),
        ('  "resolution_in_ns": 0,', "cyclictest"),
        ('  "freq": 2495,', "oslat"),
        ("kvm statistics", "kvm_stat"),
        ("  cpuid 1340 ", "vmexit"),
        ("tscdeadline (skipped)", "vmexit"),
        ("something 1340", None),
        ("cpuid", None),
        ("", None),
    ],
)
def test_a_line_shows_what_the_text_is(line: str, kind: str | None) -> None:
    assert kind_of(line) == kind


def test_only_so_many_lines_may_stand_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("kvmlab.host.formats.sniff"), "MOST_PROSE", 3)
    assert sniff("\n a\nb\ncpuid 1340\n") == "vmexit"
    with pytest.raises(ValueError, match=r"line 2: found ' a'; expected one of: .*; no line shows which"):
        sniff("\n a\nb\n\ncpuid 1340\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: found ''; expected one of: "),
        ("\n \n", "line 1: found ''; expected one of: "),
        (
            "\n\n some text\nand more\n",
            "line 3: found ' some text'; expected one of: perf kvm stat, kvm trace, cyclictest, rtla, "
            "tscdeadline_latency, oslat, hwlatdetect, sysjitter, vmexit, kvm_stat; no line shows which",
        ),
    ],
)
def test_a_text_of_no_kind_is_refused_with_its_first_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        sniff(text)


@pytest.mark.parametrize(
    ("text", "option", "options"),
    [
        ("cpuid 1340", {"limit": 3}, "tsc_ghz"),
        ("latency: 3", {"limit": 3}, "unit, bucket, tsc_ghz"),
        ("kvm_exit 60 10", {"limit": 3}, "interval_s, table"),
        ("kt-7 [000] 8.000001: kvm_entry: vcpu 0", {"table": 3}, "limit, file"),
        ("VM-EXIT Samples Samples%", {"limit": 3}, "table"),
    ],
)
def test_an_option_of_another_reader_is_refused(text: str, option: dict[str, int], options: str) -> None:
    [name] = option
    with pytest.raises(ValueError, match=rf"^{name}: 3 does not fit the output of .*; options for that: {options}$"):
        read_any(text, **option)


# x86/vmexit ----------------------------------------------------------------------------------------------------------

VMEXIT = """\
enabling apic
cpuid 1340
mov_from_cr8 (skipped)
tscdeadline 5766
ipi ipi 3645
some_new_test 7

"""


@pytest.mark.parametrize(("ghz", "factor"), [(None, math.nan), (2.0, 0.5), (0.1, 10.0), (10, 0.1)])
def test_every_result_of_vmexit(ghz: float | None, factor: float) -> None:
    table = read_unit_test_vmexit(VMEXIT, tsc_ghz=ghz)
    assert table.index.name == "test"
    assert table.index.tolist() == ["cpuid", "mov_from_cr8", "tscdeadline", "ipi ipi", "some_new_test"]
    assert table["cycles"].dropna().to_dict() == {
        "cpuid": 1340,
        "tscdeadline": 5766,
        "ipi ipi": 3645,
        "some_new_test": 7,
    }
    expected = [1340 * factor, math.nan, 5766 * factor, 3645 * factor, 7 * factor]
    assert table["ns"].tolist() == pytest.approx(expected, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: found ''; expected results of x86/vmexit, such as cpuid 1340; there is none"),
        ("some_new_test 7\nprose here\n\n", "line 2: found 'prose here'; expected results of x86/vmexit"),
        ("cpuid 7\ntscdeadline\n", "line 2: found 'tscdeadline'; expected <name> <cycles>, or <name> .skipped."),
        ("cpuid 7\n\ncpuid (skipped)\n", "line 3: found 'cpuid .skipped.'; expected each test once, and at most 10000"),
    ],
)
def test_bad_results_are_refused_with_their_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_unit_test_vmexit(text)


@pytest.mark.parametrize("ghz", [0.09, 10.5])
def test_a_frequency_has_limits(ghz: float) -> None:
    with pytest.raises(ValueError, match=r"tsc_ghz: .* is not allowed; it must be .* from 0.1 to 10"):
        read_unit_test_vmexit(VMEXIT, tsc_ghz=ghz)


def test_only_so_many_results_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_tests, "MAX_ROWS", 5)
    assert len(read_unit_test_vmexit(VMEXIT)) == 5
    monkeypatch.setattr(unit_tests, "MAX_ROWS", 4)
    with pytest.raises(ValueError, match="line 6: found 'some_new_test 7'; expected each test once, and at most 4"):
        read_unit_test_vmexit(VMEXIT)


@pytest.mark.parametrize(
    ("line", "is_its"),
    [(" cpuid 1340 ", True), ("ipi+halt (skipped)", True), ("some_new_test 7", False), ("cpuid x", False), ("", False)],
)
def test_a_result_is_told_by_the_name_of_its_test(line: str, is_its: bool) -> None:
    assert unit_tests.is_unit_test_row(line) is is_its
