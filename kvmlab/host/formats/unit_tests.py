"""The output of kvm-unit-tests' x86/vmexit: what one operation costs, in TSC cycles."""

from __future__ import annotations

import os
import re
from contextlib import closing
from typing import TYPE_CHECKING

from kvmlab.host.formats.lines import Source, open_source
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

_NAMES = (
    "cpuid vmcall mov_from_cr8 mov_to_cr8 inl_from_pmtimer inl_from_qemu inl_from_kernel outl_to_kernel mov_dr "
    "tscdeadline_immed tscdeadline self_ipi_sti_nop self_ipi_sti_hlt self_ipi_tpr self_ipi_tpr_sti_nop "
    "self_ipi_tpr_sti_hlt x2apic_self_ipi_sti_nop x2apic_self_ipi_sti_hlt x2apic_self_ipi_tpr "
    "x2apic_self_ipi_tpr_sti_nop x2apic_self_ipi_tpr_sti_hlt ipi ipi+halt ipi_halt ple_round_robin ple-round-robin "
    "wr_kernel_gs_base wr_tsx_ctrl_msr wr_ibrs_msr wr_ibpb_msr wr_tsc_adjust_msr rd_tsc_adjust_msr toggle_cr0_wp "
    "toggle_cr4_pge"
)
TESTS = frozenset(_NAMES.split())
"""Names of the tests (x86/vmexit.c); a text without any of them is not its output."""

_ROW = re.compile(r"(?P<name>(?:(?:ipi|eoi) )?[a-z][A-Za-z0-9_+:-]{1,60}) (?:(?P<cycles>[0-9]{1,15})|\(skipped\))")
_CUT_OFF = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(TESTS)))})(?: \S*)?")
MAX_ROWS = 10_000


def is_unit_test_row(line: str) -> bool:
    """Return True if a line is a result of x86/vmexit, by the test's name."""
    found = _ROW.fullmatch(line.strip())
    return bool(found and found["name"] in TESTS)


def read_unit_test_vmexit(text_or_path: str | os.PathLike[str], *, tsc_ghz: float | None = None) -> pd.DataFrame:
    """Read the results of kvm-unit-tests' x86/vmexit, lines ``<name> <cycles>``, in the order of the text.

    - `text_or_path`: the text, or the path of a file that holds it.
    - `tsc_ghz`: the TSC's frequency in GHz, for the column ns.

    Index ``test``: the names, with ``ipi <name>`` and ``eoi <name>`` for the parts that newer versions print beneath.
    Columns: ``cycles`` (Int64, TSC cycles per operation; NA where the test was skipped), ``ns`` (float; NaN without
    `tsc_ghz`). Other lines (the guest's start, QEMU's warnings) are passed over.

    Raises ValueError for a text without results, a result that is cut off, and a test that stands there twice; with the
    line number, what stands there and what was expected. Raises FileNotFoundError for a Path that does not exist.

    Example: `kl.read_unit_test_vmexit("vmexit.txt", tsc_ghz=2.5).loc["tscdeadline", "ns"]`
    """
    import pandas as pd

    ghz = None if tsc_ghz is None else checks.number("tsc_ghz", tsc_ghz, 0.1, 10, "GHz")
    with closing(open_source(text_or_path)) as source:
        rows = _rows(source)
    cycles = pd.array(list(rows.values()), dtype="Int64")
    frame = pd.DataFrame({"cycles": cycles}, index=pd.Index(list(rows), name="test", dtype=object))
    frame["ns"] = frame["cycles"].astype("Float64").to_numpy("float64", na_value=float("nan")) / (ghz or float("nan"))
    return frame


def _rows(source: Source) -> dict[str, int | None]:
    """Return cycles by test, None where it was skipped."""
    rows: dict[str, int | None] = {}
    last = (1, "")
    for number, line in source.lines():
        text = line.strip()
        last = (number, text) if text else last
        found = _ROW.fullmatch(text)
        if found is None:
            if _CUT_OFF.fullmatch(text):
                raise source.refuse(number, text, "<name> <cycles>, or <name> (skipped)")
            continue
        if found["name"] in rows or len(rows) == MAX_ROWS:
            raise source.refuse(number, text, f"each test once, and at most {MAX_ROWS}")
        rows[found["name"]] = None if found["cycles"] is None else int(found["cycles"])
    if not TESTS & rows.keys():
        raise source.refuse(*last, "results of x86/vmexit, such as cpuid 1340; there is none")
    return rows
