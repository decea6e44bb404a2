"""`WhatIf`: what each revision would do on the recorded host, as a table and in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from kvmlab.host.explain.answer import joined
from kvmlab.host.what_if.backcast import Backcast, BackcastRow
from kvmlab.host.what_if.findings import Findings
from kvmlab.host.what_if.measure import Measured, ordered
from kvmlab.host.what_if.predict import QUANTITIES, Row
from kvmlab.scenario import checks
from kvmlab.scenario.interval import Interval

if TYPE_CHECKING:
    import pandas as pd


DOUBT = " ?"
"""Marks a prediction that cannot be relied on."""


class WhatIf:
    """What each revision would do on the recorded host. Made by `kvmlab.what_if`."""

    def __init__(
        self, name: str, measured: Measured, rows: Sequence[Row], findings: Findings, runs: int, backcast: Backcast
    ) -> None:
        import pandas as pd

        self.name = name
        """What was read."""
        self.measured = measured
        """The host as it was understood."""
        self.table = pd.DataFrame(rows, columns=list(Row._fields))
        """One row per revision and quantity. Columns: revision, quantity, low, central, high, unit."""
        self.reproduced_as = backcast.revision
        """The revision under which the recording was reproduced."""
        self.backcast = pd.DataFrame(backcast.rows, columns=list(BackcastRow._fields))
        """What was recorded, and what its own revision gives.

        One row per quantity that was recorded. Columns: quantity, recorded, reproduced, low, high, unit, within (bool:
        the recorded value lies in the range, give or take its counting error).
        """
        self.doubtful = backcast.doubtful
        """Quantities whose predictions cannot be relied on: they are not reproduced, or rest on such."""
        self.first = tuple(findings.first)
        """What has to be read before any number."""
        self.known = tuple(findings.known)
        """What the recording shows, in sentences."""
        self.assumed = tuple(findings.assumed)
        """What was taken for granted."""
        self.cannot_be_known = tuple(findings.cannot)
        """What such a recording cannot show, and over which range it was varied."""
        self.runs = runs
        """How many runs it took."""

    @property
    def wide(self) -> pd.DataFrame:
        """The table for reading: one row per revision, one column per quantity, cells "central (low to high)".

        A "?" marks what cannot be relied on (`doubtful`).
        """
        marks = ["" if name not in self.doubtful else DOUBT for name in self.table["quantity"]]
        numbers = self.table[["low", "central", "high"]].to_numpy(float)
        cells = self.table.assign(
            cell=[shown(*row) + mark for row, mark in zip(numbers, marks, strict=True)],
            column=self.table["quantity"] + ", " + self.table["unit"],
        )
        order = list(dict.fromkeys(cells["column"]))
        wide = cells.pivot(index="revision", columns="column", values="cell")
        return wide.loc[list(dict.fromkeys(self.table["revision"])), order].rename_axis(columns=None)

    def of(self, revision: str, quantity: str) -> Interval:
        """Return one number with its bounds; ValueError lists the known revisions or quantities.

        Example: `kl.what_if("trace.txt").of("rev1", "posted").value`
        """
        checks.choice("revision", revision, dict.fromkeys(self.table["revision"]))
        checks.choice("quantity", quantity, dict.fromkeys(self.table["quantity"]))
        rows = self.table[(self.table["revision"] == revision) & (self.table["quantity"] == quantity)]
        [(low, central, high)] = rows[["low", "central", "high"]].to_numpy(float)
        return ordered(float(central), float(low), float(high))

    def summary(self) -> str:
        """Return the table and the sentences as text."""
        lines = [f"{self.name}: what each revision would do ({self.runs} runs; central, and low to high)", ""]
        lines += [*self.first, ""] if self.first else []
        lines += [self._backcast_sentence(), self._backcast_cells().to_string(index=False), ""]
        lines += [self.wide.T.to_string(), ""]
        for title, sentences in self._sentences():
            lines += [f"{title}:", *(f"  {sentence}" for sentence in sentences)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict.

        Its keys: name, runs, first, reproduced_as, backcast, doubtful, table, known, assumed,
        cannot_be_known.
        """
        rows = self.table.astype(object)
        return {
            "name": self.name,
            "runs": self.runs,
            "first": list(self.first),
            "reproduced_as": self.reproduced_as,
            "backcast": self.backcast.astype(object).to_dict("records"),
            "doubtful": list(self.doubtful),
            "table": rows.where(rows.notna(), None).to_dict("records"),
            "known": list(self.known),
            "assumed": list(self.assumed),
            "cannot_be_known": list(self.cannot_be_known),
        }

    def _sentences(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the findings, each kind under its title."""
        yield "Known", self.known
        yield "Assumed", self.assumed
        yield "Cannot be known from this", self.cannot_be_known

    def _backcast_sentence(self) -> str:
        """Return how well the recording is reproduced."""
        missed = list(self.backcast.loc[~self.backcast["within"], "quantity"])
        if len(self.doubtful) == len(QUANTITIES):
            return f"The recording leaves too much open: rely on no number, each is marked with{DOUBT}."
        if not missed:
            return f"The recording is reproduced (under {self.reproduced_as}):"
        return (
            f"The recording is not wholly reproduced (under {self.reproduced_as}): {joined(missed)} "
            f"{'is' if len(missed) == 1 else 'are'} not. What rests on that is marked with{DOUBT}."
        )

    def _backcast_cells(self) -> pd.DataFrame:
        """Return the two columns, recorded and reproduced, for reading."""
        rows = self.backcast
        return rows.assign(
            quantity=rows["quantity"] + ", " + rows["unit"],
            recorded=[number(value) for value in rows["recorded"]],
            reproduced=[shown(*row) for row in rows[["low", "reproduced", "high"]].to_numpy(float)],
            within=["yes" if within else "NO" for within in rows["within"]],
        )[["quantity", "recorded", "reproduced", "within"]]

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        caption = f"{self.name}: what each revision would do there. Simulated; central value (low to high)."
        first = "".join(f"<p style='text-align:left'><b>{escape(sentence)}</b></p>" for sentence in self.first)
        reproduced = f"<p style='text-align:left'>{escape(self._backcast_sentence())}</p>"
        parts = [first, reproduced, self._backcast_cells().to_html(border=0, index=False)]
        parts += [f"<p style='text-align:left'>{escape(caption)}</p>", self.wide.T.to_html(border=0)]
        for title, sentences in self._sentences():
            points = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
            parts.append(f"<p style='text-align:left'><b>{title}</b></p><ul>{points}</ul>")
        return "".join(parts)


def shown(low: float, central: float, high: float) -> str:
    """Return a range as a cell shows it."""
    if math.isnan(central):
        return "-"
    middle = number(central)
    ends = [number(end) for end in (low, high)]
    return middle if ends[0] == ends[1] else f"{middle} ({ends[0]} to {ends[1]})"


def number(value: float) -> str:
    """Return a number as a cell shows it."""
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
