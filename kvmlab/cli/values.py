"""Values of the command line: text into Python's values, and results into JSON and CSV."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kvmlab.scenario import checks
from kvmlab.scenario.files import CPU_FIELDS, cpu_list

if TYPE_CHECKING:
    import pandas as pd

OWN_OPTIONS = ("host_facts", "table", "file")
"""Arguments that have an option of their own on the command line."""
NO_NONE = ("isolated",)
"""CPU lists for which "none" is the empty list: they cannot be left open."""
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}


def assignment(text: str) -> tuple[str, str]:
    """Take "NAME=VALUE" apart; argparse shows the error for anything else."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it must be NAME=VALUE")
    return name.strip(), value.strip()


def value_of(name: str, text: str) -> Any:
    """Return a value from the command line: true/false, none, a number, a CPU list where one belongs, or text."""
    field = name.rpartition(".")[2]
    if field in NO_NONE and text.lower() == "none":
        return ()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if name != "host.pcpus" and (field in CPU_FIELDS or field.endswith("_cpus")):
        return cpu_list(name, text.removeprefix("[").removesuffix("]"))
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text


def facts(function: Callable[..., Any], given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return keyword arguments of `function` from --fact; ValueError lists those that it has."""
    allowed = fact_names(function)
    known = {checks.choice("--fact", name, allowed): value_of(name, text) for name, text in given}
    return {
        name: [value_of(name, part) for part in value.split(",")] if isinstance(value, str) and "," in value else value
        for name, value in known.items()
    }


def fact_names(function: Callable[..., Any]) -> list[str]:
    """Return the names that --fact takes for `function`: its keyword arguments without an option of their own."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.name not in OWN_OPTIONS]


def fact_lines(function: Callable[..., Any]) -> str:
    """Return what --fact takes for `function`, a line for each name, as its docstring says."""
    documented = inspect.getdoc(function) or ""
    lines = []
    for bullet in re.split(r"\n- ", documented)[1:]:
        names, _, text = bullet.partition("\n\n")[0].partition(": ")
        named = [name for name in re.findall(r"`(\w+)`", names) if name in fact_names(function)]
        if named:
            first = textwrap.fill(" ".join(text.split()), 96, initial_indent="      ", subsequent_indent="      ")
            lines.append(f"  {', '.join(named)}\n{first}")
    return "\n".join(lines).replace("`", "")


def plain(value: Any) -> Any:
    """Return a value as JSON has it: tables and numpy's numbers made plain, NaN and NA null."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        records = value.reset_index().to_dict(orient="records")
        return plain(records)
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else None if str(value) == "<NA>" else str(value)


def json_text(value: object) -> str:
    """Return a value as JSON text, for programs."""
    return json.dumps(plain(value), indent=1, allow_nan=False)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; the fields of an event as JSON in one column."""
    if "fields" in table:
        table = table.assign(fields=[json.dumps(plain(fields)) for fields in table["fields"]])
    numbered = table.index.name is None and table.index.nlevels == 1
    return str(table.to_csv(index=not numbered, lineterminator="\n"))
