"""A text and its quoted, numbered, coloured or wrapped twin give the same table, or a refusal: never another table."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.host.recorded import REPORTS, TRACES
from tests.host.test_kvm_stat import BATCH, LOG, SCREEN
from tests.host.test_latencies import CYCLICTEST, RTLA, THREADS, TSCDEADLINE, VMEXIT
from tests.host.test_more_latencies import TEXTS
from tests.host.twins import TWINS, WRAPPED, Twin, different_table
from tests.places import RECORDED
from tests.strategies import few

SOURCES = {
    "perf": (RECORDED / REPORTS[0]).read_text(),
    "traces": "\n".join("\n".join((RECORDED / name).read_text().splitlines()[:40]) for name in TRACES),
    "kvm_stat": "\n".join([SCREEN, BATCH, LOG]),
    "latencies": "\n".join([CYCLICTEST, RTLA, THREADS, TSCDEADLINE, VMEXIT]),
    "more latencies": "\n".join(TEXTS.values()),
}
"""Lines to draw from."""
PROSE = ["", "and then it halts:", "...", "On Monday someone wrote:", "[  12.345678] kvm: hello", "Thanks, a b c"]


def texts(lines: list[str]) -> st.SearchStrategy[str]:
    """Draw a run of lines, of which some are left out or shortened, with prose in between."""
    start = st.integers(0, len(lines) - 1)
    some = st.tuples(start, st.integers(1, 40)).map(lambda drawn: lines[drawn[0] : sum(drawn)])
    line = st.sampled_from(lines) | st.sampled_from(PROSE)
    short = st.tuples(line, st.integers(1, 120)).map(lambda drawn: drawn[0][: drawn[1]])
    extra = st.lists(line | short, max_size=3)
    return st.tuples(extra, some, extra).map(lambda parts: "\n".join([*parts[0], *parts[1], *parts[2]]) + "\n")


@pytest.mark.parametrize("source", SOURCES)
@few(30)
@given(data=st.data(), twin=st.sampled_from([*TWINS.values(), *WRAPPED.values()]))
def test_a_twin_is_never_another_table(source: str, data: st.DataObject, twin: Twin) -> None:
    text = data.draw(texts(SOURCES[source].splitlines()))
    assert different_table(text, twin) is None


@pytest.mark.parametrize("twin", [*TWINS, *WRAPPED])
def test_a_twin_that_the_fuzzer_found_is_no_other_table(twin: str) -> None:
    # A row's end stands in the line above the table, and its beginning in the line after.
    rest = "al%    64.36%      4.23us     12.53us      7.83us ( +-   0.35% )\n  EXTERNAL_Il VMs"
    assert different_table(SOURCES["perf"].replace("all VMs", rest), {**TWINS, **WRAPPED}[twin]) is None


def test_another_table_is_found() -> None:
    # The oracle itself: a twin that changes a number is another table.
    assert different_table(SOURCES["perf"], lambda text: text.replace("MSR_WRITE", "MSR_WRITER")) is not None
