"""Two recordings side by side, before and after a change: which rates differ by more than counting explains."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from kvmlab.host.explain import Explanation, explain
from kvmlab.host.explain.answer import joined
from kvmlab.host.explain.sections import gap_lines, indented, records
from kvmlab.host.formats.perf_stat import read_perf_kvm_stat
from kvmlab.host.formats.unlisted import unlisted_of
from kvmlab.host.names import is_amd
from kvmlab.scenario import checks

if TYPE_CHECKING:
    import pandas as pd

Recording = str | os.PathLike[str] | Explanation
Z95 = 1.96
"""Of a normal distribution, 95 % lie within this number of standard deviations."""
TOTAL = "all exits"


class Compared(NamedTuple):
    """One kind of exit in both recordings; columns of `RecordingComparison.table`."""

    exit: str
    before: float
    """How many; NaN where an incomplete table has no such row."""
    after: float
    rate_before: float
    """Per second, or the share of all exits in percent where a time is not known."""
    rate_after: float
    ratio: float
    """After, by before."""
    low: float
    """Of the ratio, the bounds of its 95 % confidence interval."""
    high: float
    differs: bool
    """The interval does not contain 1."""
    us_before: float
    """How long the host handled one on average, in us."""
    us_after: float
    time_differs: bool
    """The averages differ by more than their standard errors explain (95 %)."""


class Side(NamedTuple):
    """One of the two recordings."""

    told: Explanation
    total: int
    """All exits, those in no row included."""
    seconds: float
    """How long it took, times its vCPUs where they are known for both; NaN: not known."""

    @property
    def base(self) -> float:
        """What rates are counts by: seconds, or where they are not known a hundredth of all exits."""
        return self.total / 100 if math.isnan(self.seconds) else self.seconds

    def rate(self, count: float) -> float:
        """Return a count as a rate; NaN where there are no exits at all."""
        return count / self.base if self.base else math.nan

    def samples(self, exit_name: str) -> float:
        """Return how many exits of a name there are: none where no row has it, unless rows are left out."""
        rows = self.told.exits
        if exit_name in rows.index:
            return float(rows.loc[[exit_name], "Samples"].sum())
        whole = self.told.table is None or unlisted_of(self.told.table).nothing
        return 0.0 if whole else math.nan

    def time(self, exit_name: str) -> tuple[float, float]:
        """Return the average handling time in us, and its standard error."""
        rows = self.told.exits
        if exit_name not in rows.index:
            return math.nan, math.nan
        row = rows.loc[[exit_name]].iloc[0]
        return float(row["Avg time"]), float(row["Avg time"] * row["+-%"] / 100)


class RecordingComparison:
    """Two recordings side by side. Made by `kvmlab.compare_recordings`."""

    def __init__(self, before: Side, after: Side, per: str, cannot: Sequence[str]) -> None:
        import pandas as pd

        self.before = before.told
        """The first recording, explained."""
        self.after = after.told
        """The second."""
        self.per = per
        """What rates are: "1/s a vCPU", "1/s" or "% of exits"."""
        self.cannot_be_compared = tuple(cannot)
        """What these two do not allow to compare, in sentences."""
        names = dict.fromkeys([*map(str, before.told.exits.index), *map(str, after.told.exits.index)])
        rows = [compared(name, before, after) for name in (TOTAL, *names)]
        self.table = pd.DataFrame(rows, columns=list(Compared._fields)).set_index("exit")
        """One row per kind of exit, and one for all. Columns: those of `Compared`, rates as `per` says."""
        self.interrupts = interrupts_of(before, after)
        """One row per vector of the interrupts that ended guest mode; None unless both are listings that have some.

        Columns: name, before, after (counts), rate_before, rate_after (as `per` says).
        """

    @property
    def verdict(self) -> str:
        """What changed, in one sentence."""
        changed = self.table[self.table["differs"]]
        rate = "rate" if self.per.startswith("1/s") else "share"
        if not len(changed):
            return f"No {rate} differs by more than counting explains."
        return f"The {rate}s of {joined(f'{name} ({times(row)})' for name, row in changed.iterrows())} differ."

    def summary(self) -> str:
        """Return the table and the sentences as text."""
        lines = [f"{self.before.name} (before), {self.after.name} (after)", self.verdict, ""]
        lines += [self._cells().to_string(), ""]
        if self.interrupts is not None:
            lines += ["Interrupts that ended guest mode, by vector:", self._interrupt_cells().to_string(), ""]
        for word, told in (("Before", self.before), ("After", self.after)):
            lines += [f"{word}: {told.answer[0]} {told.answer[1]}", *(f"  {note}" for note in told.notes)]
            if told.gaps is not None and len(told.gaps):
                lines += ["  Longest times out of the guest, halts left out:", *map(indented, gap_lines(told.gaps))]
        if self.cannot_be_compared:
            lines += ["Cannot be compared:", *(f"  {sentence}" for sentence in self.cannot_be_compared)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict.

        Its keys: before, after (as `Explanation.to_dict`), per, verdict, table, cannot_be_compared, interrupts.
        """
        rows = self.table.reset_index().replace([math.inf], math.nan).astype(object)
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "per": self.per,
            "verdict": self.verdict,
            "table": rows.where(rows.notna(), None).to_dict("records"),
            "cannot_be_compared": list(self.cannot_be_compared),
            "interrupts": records(self.interrupts),
        }

    def _interrupt_cells(self) -> pd.DataFrame:
        """Return the table of interrupts for reading."""
        rows = self.interrupts
        assert rows is not None, "asked for only where there are some"
        cells = {
            "": list(rows["name"]),
            f"before, {self.per}": [shown(value) for value in rows["rate_before"]],
            f"after, {self.per}": [shown(value) for value in rows["rate_after"]],
        }
        return rows.assign(**cells)[list(cells)].rename_axis(None)

    def _cells(self) -> pd.DataFrame:
        """Return the table for reading."""
        cells = {
            f"before, {self.per}": [shown(value) for value in self.table["rate_before"]],
            f"after, {self.per}": [shown(value) for value in self.table["rate_after"]],
            "after/before (95 %)": [times(row) for _, row in self.table.iterrows()],
            "differs": ["yes" if differs else "" for differs in self.table["differs"]],
            "us each, before": [shown(value) for value in self.table["us_before"]],
            "after": [
                shown(us) + (" !" if differs else "")
                for us, differs in zip(self.table["us_after"], self.table["time_differs"], strict=True)
            ],
        }
        return self.table.assign(**cells)[list(cells)].rename_axis(None)

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        points = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.cannot_be_compared)
        verdict = f"<p style='text-align:left'><b>{escape(self.verdict)}</b></p>"
        return f"{verdict}{self._cells().to_html(border=0)}<ul>{points}</ul>"


def compare_recordings(
    before: Recording,
    after: Recording | None = None,
    *,
    seconds: float | Iterable[float] | None = None,
    vcpus: int | Iterable[int] | None = None,
    table: int | Iterable[int] | None = None,
) -> RecordingComparison:
    """Compare two recordings, of before and after a change: tables of perf kvm stat, listings, or one of each.

    - `before`, `after`: each what `explain` takes, or an `Explanation`. Without `after`, `before` holds both tables.
    - `seconds`: how long a table took, in s: one number for both, or two. Without it shares are compared, not rates.
    - `vcpus`: how many vCPUs a table is of: one number for both, or two.
    - `table`: which table, where a text has several: one number for both, or two, counted from 0.

    A rate's uncertainty is that of counting (Poisson): exits that come in bursts vary more. A time's is perf's +-%.

    Returns a `RecordingComparison`: `.table`, `.verdict`, `.cannot_be_compared`, `.before`, `.after`, `.summary()`.

    Raises ValueError as `explain` does, for an argument that is invalid, and for two tables of different things.

    Example: `kl.compare_recordings("before.txt", "after.txt", seconds=30).verdict`
    """
    took = pair("seconds", seconds)
    counts = pair("vcpus", vcpus)
    tables = pair("table", table)
    if after is None:
        if isinstance(before, Explanation):
            raise ValueError("after: None does not fit beside an Explanation; allowed: a text or file with two tables")
        tables = tables if table is not None else both_tables(before)
        after = before
    one, other = told_of(before, tables[0]), told_of(after, tables[1])
    titles = [told.exits.index.name for told in (one, other)]
    if titles[0] != titles[1]:
        raise ValueError(f"after: a table of {titles[1]} is not allowed; it must be one of {titles[0]}, as before")
    sizes = [size_of(told, counts[i]) for i, told in enumerate((one, other))]
    lengths = [length_of(told, took[i]) for i, told in enumerate((one, other))]
    by_vcpu = all(size is not None for size in sizes)
    timed = all(length is not None for length in lengths)
    sides = [
        Side(
            told,
            unlisted_of(told.table).total_samples if told.table is not None else int(told.exits["Samples"].sum()),
            (lengths[i] or math.nan) * ((sizes[i] or 1) if by_vcpu else 1) if timed else math.nan,
        )
        for i, told in enumerate((one, other))
    ]
    per = ("1/s a vCPU" if by_vcpu else "1/s") if timed else "% of exits"
    return RecordingComparison(sides[0], sides[1], per, not_comparable(sides, timed=timed, by_vcpu=by_vcpu))


def both_tables(recording: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the numbers of the two tables of a text that has no more; ValueError where it has."""
    try:
        read_perf_kvm_stat(recording, table=2)
    except ValueError:
        return 0, 1  # or none at all, which is said when they are read
    raise ValueError("table: None does not fit: there are more than two tables; allowed: two of them (--table N,M)")


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return an argument that is one value for both recordings, or two; ValueError for any other number."""
    if value is None or isinstance(value, int | float):
        return value, value
    both = tuple(checks.several(name, value, "one number, or two"))
    if len(both) != 2:
        raise checks.refusal(name, value, "one number, or two: before and after")
    return both


def told_of(recording: Recording, table: int | None) -> Explanation:
    """Return a recording, explained."""
    return recording if isinstance(recording, Explanation) else explain(recording, table=table)


def length_of(told: Explanation, seconds: float | None) -> float | None:
    """Return how long a recording took, in s: as it says itself, or as the reader says."""
    return told.seconds or (None if seconds is None else checks.number("seconds", seconds, 1e-6, 1e7, "s"))


def size_of(told: Explanation, vcpus: int | None) -> int | None:
    """Return of how many vCPUs a recording is: as it says itself, or as the reader says."""
    return told.vcpus or (None if vcpus is None else checks.whole("vcpus", vcpus, 1, 100_000))


def not_comparable(sides: Sequence[Side], *, timed: bool, by_vcpu: bool) -> list[str]:
    """Return what these two do not allow to compare."""
    found = []
    if not timed:
        found.append("Rates: how long a table took is not in it. Shares of all exits are shown. Say seconds=.")
    elif not by_vcpu:
        found.append("Rates per vCPU: a table does not say of how many it is. Say vcpus=.")
    for word, side in zip(("before", "after"), sides, strict=True):
        if side.told.table is not None and (sentence := unlisted_of(side.told.table).sentence):
            found.append(f"What is not listed {word}. {sentence}")
    vendors = [is_amd(set(map(str, side.told.exits.index))) for side in sides]
    if vendors[0] != vendors[1]:
        found.append("Exits by name: one recording is from AMD, the other is not, and their exits have other names.")
    kinds = {side.told.kind for side in sides}
    if len(kinds) > 1:
        found.append("Who fired the timers: a listing shows that, and a table does not.")
    return found


def compared(name: str, before: Side, after: Side) -> Compared:
    """Return one kind of exit in both recordings; `TOTAL`: all of them."""
    total = name == TOTAL
    counts = [float(side.total) if total else side.samples(name) for side in (before, after)]
    bases = [side.base for side in (before, after)]
    rates = [side.rate(count) for side, count in zip((before, after), counts, strict=True)]
    shares = math.isnan(before.seconds)
    ratio, low, high = ratio_of(counts, bases, (before.total, after.total) if shares else None)
    (us_before, error_before), (us_after, error_after) = (
        [(math.nan, math.nan)] * 2
        if total
        else (
            before.time(name),
            after.time(name),
        )
    )
    apart = abs(us_before - us_after) > Z95 * math.hypot(error_before, error_after)
    differs = not (total and shares) and (low > 1 or high < 1)
    return Compared(
        name, counts[0], counts[1], rates[0], rates[1], ratio, low, high, differs, us_before, us_after, bool(apart)
    )


def interrupts_of(before: Side, after: Side) -> pd.DataFrame | None:
    """Return how often each vector ended guest mode in both; None unless both are listings, and one has some."""
    import pandas as pd

    both = [side.told.interrupts for side in (before, after)]
    one, other = both
    if one is None or other is None or not len(one) + len(other):
        return None
    rows = []
    for vector in dict.fromkeys([*one.index, *other.index]):
        counts = [int(table["exits"].get(vector, 0)) for table in (one, other)]
        rates = [side.rate(count) for side, count in zip((before, after), counts, strict=True)]
        [name] = {str(table["name"][vector]) for table in (one, other) if vector in table.index}
        rows.append((name, *counts, *rates))
    columns = ["name", "before", "after", "rate_before", "rate_after"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(dict.fromkeys([*one.index, *other.index]), name="vector"))


def ratio_of(
    counts: Sequence[float], bases: Sequence[float], totals: tuple[int, int] | None
) -> tuple[float, float, float]:
    """Return the ratio of two rates and the bounds of its 95 % confidence interval; NaN where a count is not known.

    Half an exit is added to each count (Haldane, Anscombe), so that no count of 0 has a ratio that is sure. `totals`:
    the counts are parts of these, so that a share cannot vary by more than it has left.
    """
    if any(math.isnan(count) for count in counts) or not all(bases) or not any(counts):
        return math.nan, math.nan, math.nan
    a, b = (count + 0.5 for count in counts)
    variance = 1 / a + 1 / b
    if totals is not None:
        variance = max(0.0, variance - 1 / (totals[0] + 0.5) - 1 / (totals[1] + 0.5))
    ratio = (b / bases[1]) / (a / bases[0])
    spread = math.exp(Z95 * math.sqrt(variance))
    plain = (counts[1] / bases[1]) / (counts[0] / bases[0]) if counts[0] else math.inf
    return plain, ratio / spread, ratio * spread


def times(row: Any) -> str:
    """Return a ratio with its bounds, as a cell shows it."""
    if math.isnan(row["ratio"]):
        return "-"
    if math.isinf(row["ratio"]):
        return f"new, at least x {shown(row['low'])}"
    if not row["ratio"]:
        return f"none left, at most x {shown(row['high'])}"
    return f"x {shown(row['ratio'])}, {shown(row['low'])} to {shown(row['high'])}"


def shown(value: float) -> str:
    """Return a number as a cell shows it."""
    # From 999.5 on three digits round to 1e+03.
    return "-" if math.isnan(value) else f"{value:,.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
