"""The subcommands: each takes its parsed arguments, prints, and returns an exit code."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kvmlab as kl
from kvmlab.cli.lessons import next_steps, write_lessons
from kvmlab.cli.values import csv_text, facts, json_text, plain, value_of
from kvmlab.results.chrome_trace import write_chrome_trace
from kvmlab.scenario.files import presets

if TYPE_CHECKING:
    import pandas as pd

DONE, CANNOT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""The exit codes: see `kvmlab.cli`."""
SHOWN = (
    *("exits", "MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT"),
    *("latency_p50_ns", "latency_p99_ns", "longest_gap_us"),
)
"""Columns of `kvmlab compare`, unless --all is given."""
STDIN = "-"


class CannotError(Exception):
    """What was asked for cannot be done here; the message says why."""


def compare(args: argparse.Namespace) -> int:
    """Simulate one scenario under several kernels or policies."""
    if args.list:
        for name, line in presets().items():
            print(f"{name:<10} {line}")
        return DONE
    if args.show:
        print(kl.scenario_to_toml(changed_scenario(args)), end="")
        return DONE
    scenario = changed_scenario(args)
    choices = [choice.strip() for choice in args.kernels.split(",")] if args.kernels else list(kl.KERNELS)
    table = kl.compare(scenario, choices)
    if args.json:
        print(json_text({"scenario": kl.scenario_to_toml(scenario), "simulated": table}))
    elif args.csv:
        print(table.to_csv(lineterminator="\n"), end="")
    else:
        print("simulated; times in the columns' units")
        print_table(table.T if args.all else table[[name for name in SHOWN if name in table]])
    return DONE


def changed_scenario(args: argparse.Namespace) -> kl.Scenario:
    """Return the scenario that was named, with what --set changes in it."""
    scenario = kl.read_scenario(args.scenario)
    return scenario.replace(**{name: value_of(name, text) for name, text in args.set})


def explain(args: argparse.Namespace) -> int:
    """Tell what a trace or table shows."""
    with source(args.file) as path:
        told = explained(args, path, facts(kl.explain, args.fact))
        if args.chrome:
            write(chrome_text(told), args.chrome)
    print(json_text(told.to_dict()) if args.json else told.summary())
    return DONE


def what_if(args: argparse.Namespace) -> int:
    """Tell what each policy would do on the host that a file comes from."""
    with source(args.file) as path:
        told = kl.what_if(explained(args, path, {}), **facts(kl.what_if, args.fact))
    print(json_text(told.to_dict()) if args.json else told.summary())
    return DONE


def explained(args: argparse.Namespace, path: Path, known: dict[str, Any]) -> kl.Explanation:
    """Explain a file with what --table, --file and --host-facts say, and with `known` facts."""
    host = None if args.host_facts is None else kl.read_host_facts(Path(args.host_facts))
    return kl.explain(path, table=args.table, file=args.file_of, host_facts=host, **known)


def diff(args: argparse.Namespace) -> int:
    """Compare two recordings, of before and after a change."""
    known = facts(kl.compare_recordings, args.fact)
    with source(args.before) as before, contextlib.ExitStack() as stack:
        after = None if args.after is None else stack.enter_context(source(args.after))
        told = kl.compare_recordings(before, after, table=args.table, **known)
    if args.csv:
        print(csv_text(told.table), end="")
    else:
        print(json_text(told.to_dict()) if args.json else told.summary())
    return DONE


def live(args: argparse.Namespace) -> int:
    """Run a guest on /dev/kvm and measure."""
    from kvmlab.host import live as guest

    if args.check:
        if reason := guest.available():
            raise CannotError(reason)
        print("a live guest can be run here")
        return DONE
    try:
        run = guest.measure(
            timers=args.timers,
            period_us=args.period_us,
            timer_mode=args.timer_mode,
            waits_by=args.waits_by,
            hlt_in_guest=args.hlt_in_guest,
            pause_in_guest=args.pause_in_guest,
            pcpu=args.pcpu,
            traced_timers=args.traced_timers,
            timeout_s=args.timeout_s,
        )
    except RuntimeError as error:
        raise CannotError(str(error)) from None
    if args.trace:
        write(run.trace, args.trace)
    if args.scenario:
        write(kl.scenario_to_toml(run.scenario()), args.scenario)
    if args.json:
        print(json_text(run.to_dict() | {"comparison": run.comparison}))
    else:
        print(run.summary())
        print_table(run.comparison)
    return DONE


def convert(args: argparse.Namespace) -> int:
    """Read a file of any known kind, and write it in another form."""
    with source(args.file) as path:
        options = {"table": args.table, "file": args.file_of}
        kind, table = kl.read_any(path, **{name: value for name, value in options.items() if value is not None})
        if args.to == "chrome":
            if kind != "kvm trace":
                raise ValueError(f"--to chrome: a {kind} file has no events in time; it must be a kvm trace")
            text = chrome_text(kl.explain(path, file=args.file_of))
        elif args.to == "csv":
            text = csv_text(table)
        else:
            text = json_text({"kind": kind, "rows": table})
    write(text, args.output)
    return DONE


def lessons(args: argparse.Namespace) -> int:
    """Write the lessons into a folder, and say how to open them."""
    into = Path(args.folder)
    try:
        written = write_lessons(into, student=args.student, keep=args.keep)
    except OSError as error:
        raise CannotError(f"{into}: cannot be written: {error.strerror}" if error.strerror else str(error)) from None
    edition = " without their solutions" if args.student else ""
    print(f"wrote {len(written)} lessons{edition}. Next:\n{next_steps(into)}")
    return DONE


def chrome_text(told: kl.Explanation) -> str:
    """Return the timeline of an explanation as Chrome trace JSON."""
    return json.dumps(plain(write_chrome_trace(told.timeline)), allow_nan=False)


# --- in and out ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def source(file: str) -> Iterator[Path]:
    """Yield the file to read; for "-" a temporary one with what stdin brings, so that memory stays bounded."""
    if file != STDIN:
        yield Path(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stdin")
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield path


def write(text: str, output: str | None) -> None:
    """Write to a file, or to stdout; CannotError if the file cannot be written."""
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    try:
        Path(output).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise CannotError(f"{output}: cannot be written: {error.strerror}") from None


def print_table(table: pd.DataFrame) -> None:
    """Print a table whole, however wide the terminal is."""
    print(table.to_string(float_format=lambda x: f"{x:,.2f}".rstrip("0").rstrip(".")))
