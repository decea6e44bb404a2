"""The command line: `kvmlab compare`, `explain`, `what-if`, `live` and `convert`.

Exit codes: 0 done; 1 it could not be done here (no /dev/kvm, a file that cannot be written, a reader that went away);
2 wrong usage or bad input, with a sentence on stderr; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kvmlab as kl
from kvmlab.scenario import checks, files as scenario_file

if TYPE_CHECKING:
    import pandas as pd

DONE, CANNOT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
SHOWN = (
    *("exits", "MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT"),
    *("latency_p50_ns", "latency_p99_ns", "longest_gap_us"),
)
"""Columns of `kvmlab compare`, unless --all is given."""
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}
TARGETS = ("csv", "json", "chrome")
STDIN = "-"


class CannotError(Exception):
    """What was asked for cannot be done here; the message says why."""


# ---------------------------------------------------------------------------------------------------------------------
# Values in and out
# ---------------------------------------------------------------------------------------------------------------------


def assignment(text: str) -> tuple[str, str]:
    """ "NAME=VALUE", taken apart."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} does not fit; allowed: NAME=VALUE")
    return name.strip(), value.strip()


def value_of(name: str, text: str) -> Any:
    """A value from the command line: true/false, none, a number, a CPU list where one belongs, or text."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    field = name.rpartition(".")[2]
    if name != "host.pcpus" and (field in scenario_file.CPU_FIELDS or field.endswith("_cpus")):
        return scenario_file.cpu_list(name, text)
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text


def facts(function: Callable[..., Any], given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Keyword arguments of `function` from --fact; ValueError lists those that it has."""
    allowed = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    known = {checks.choice("--fact", name, allowed): value_of(name, text) for name, text in given}
    return {
        name: value.split(",") if isinstance(value, str) and "," in value else value for name, value in known.items()
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: tables and numpy's numbers made plain, NaN and NA null."""
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


def print_json(value: Any) -> None:
    """Print as JSON."""
    print(json.dumps(plain(value), indent=1, allow_nan=False))


def print_table(table: pd.DataFrame) -> None:
    """Print a table whole, however wide the terminal is."""
    print(table.to_string(float_format=lambda x: f"{x:,.2f}".rstrip("0").rstrip(".")))


@contextlib.contextmanager
def source(file: str) -> Iterator[Path]:
    """The file to read; for "-" a temporary one with what stdin brings, so that memory stays bounded."""
    if file != STDIN:
        yield Path(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stdin")
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield path


def write(text: str, output: str | None) -> None:
    """Write to a file, or to stdout."""
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    try:
        Path(output).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise CannotError(f"{output}: cannot be written: {error.strerror}") from None


# ---------------------------------------------------------------------------------------------------------------------
# Subcommands
# ---------------------------------------------------------------------------------------------------------------------


def compare(args: argparse.Namespace) -> int:
    """Simulate one scenario under several kernels or policies."""
    if args.list:
        for name, line in scenario_file.presets().items():
            print(f"{name:<10} {line}")
        return DONE
    if args.show:
        print(scenario_file.scenario_to_toml(changed_scenario(args)), end="")
        return DONE
    scenario = changed_scenario(args)
    choices = [choice.strip() for choice in args.kernels.split(",")] if args.kernels else list(kl.KERNELS)
    table = kl.compare(scenario, choices)
    if args.json:
        print_json({"scenario": scenario_file.scenario_to_toml(scenario), "simulated": table})
    elif args.csv:
        print(table.to_csv(lineterminator="\n"), end="")
    else:
        print("simulated; times in the columns' units")
        print_table(table.T if args.all else table[[name for name in SHOWN if name in table]])
    return DONE


def changed_scenario(args: argparse.Namespace) -> kl.Scenario:
    """The scenario that was named, with what --set changes in it."""
    scenario = kl.read_scenario(args.scenario)
    return scenario.replace(**{name: value_of(name, text) for name, text in args.set})


def explain(args: argparse.Namespace) -> int:
    """Tell what a trace or table shows."""
    with source(args.file) as path:
        told = kl.explain(path, **facts(kl.explain, args.fact))
        if args.chrome:
            write(chrome_text(told), args.chrome)
    print_json(told.to_dict()) if args.json else print(told.summary())
    return DONE


def what_if(args: argparse.Namespace) -> int:
    """Tell what each policy would do on the host that a file comes from."""
    with source(args.file) as path:
        told = kl.what_if(path, **facts(kl.what_if, args.fact))
    print_json(told.to_dict()) if args.json else print(told.summary())
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
        write(scenario_file.scenario_to_toml(run.scenario()), args.scenario)
    if args.json:
        print_json(run.to_dict() | {"comparison": run.comparison})
    else:
        print(run.summary())
        print_table(run.comparison)
    return DONE


def convert(args: argparse.Namespace) -> int:
    """Read a file of any known kind, and write it in another form."""
    with source(args.file) as path:
        kind, table = kl.read_any(path)
        if args.to == "chrome":
            if kind != "kvm trace":
                raise ValueError(f"--to chrome: a {kind} file has no events in time; allowed: a kvm trace")
            text = chrome_text(kl.explain(path))
        elif args.to == "csv":
            text = csv_text(table)
        else:
            text = json.dumps({"kind": kind, "rows": plain(table)}, indent=1, allow_nan=False)
    write(text, args.output)
    return DONE


def chrome_text(told: Any) -> str:
    """The timeline of an explanation as Chrome trace JSON."""
    from kvmlab.results.chrome_trace import write_chrome_trace

    return json.dumps(plain(write_chrome_trace(told.timeline)), allow_nan=False)


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV; the fields of an event as JSON in one column."""
    if "fields" in table:
        table = table.assign(fields=[json.dumps(plain(fields)) for fields in table["fields"]])
    numbered = table.index.name is None and table.index.nlevels == 1
    return str(table.to_csv(index=not numbered, lineterminator="\n"))


# ---------------------------------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------------------------------

COMPARE_HELP = f"""\
Simulates one scenario under several kernels or policies: the same world for each.

A scenario is a preset (kvmlab compare --list) or a TOML file:

{inspect.cleandoc((scenario_file.__doc__ or "").partition("TOML files:")[2].partition("presets in data/scenarios.")[2])}

examples:
  kvmlab compare isolated
  kvmlab compare mixed --kernels before,rev1,rev2,rev3 --set guest.hlt_in_guest=true
  kvmlab compare poller --show > mine.toml
  kvmlab compare mine.toml --json
"""
EXPLAIN_HELP = """\
Tells the story of each timer in a listing of kvm and hrtimer events (tracefs, perf script, trace-cmd report), or what a
table of perf kvm stat shows: what was armed, where it fired, what it cost, and like which policy the kernel behaves.

examples:
  kvmlab explain trace.txt
  kvmlab explain trace.txt --fact pi_inject_timer=true --fact housekeeping_cpus=0-1
  perf script | kvmlab explain - --json
"""
WHAT_IF_HELP = """\
Fits workload and costs to a trace or table, and tells what each revision of the policy would do on that host.

examples:
  kvmlab what-if perf-kvm-stat.txt
  kvmlab what-if trace.txt --fact hlt_in_guest=true --json
"""
LIVE_HELP = """\
Runs a bare guest of less than 200 bytes on /dev/kvm, which arms its LAPIC timer again and again, and measures how late
its handler runs. Says what fired the timers, and on what evidence. Needs Linux on x86-64 and access to /dev/kvm; with
access to tracefs (mostly: as root) some more timers are traced.

examples:
  kvmlab live
  kvmlab live --waits-by spin --timers 200 --pcpu 3
  kvmlab live --timer-mode periodic --json
  kvmlab live --trace trace.txt && kvmlab explain trace.txt
"""
CONVERT_HELP = """\
Reads perf kvm stat, a kvm trace, cyclictest, rtla or kvm-unit-tests output (which, it finds out) and writes it as CSV,
as JSON, or, a kvm trace, as Chrome trace JSON, which the Perfetto UI opens.

examples:
  kvmlab convert perf-kvm-stat.txt --to csv
  kvmlab convert trace.txt --to chrome -o trace.json
"""
CODES = """\
exit codes: 0 done; 1 it could not be done here (for instance no /dev/kvm); 2 wrong usage or bad input; 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """All subcommands and their arguments."""
    top = argparse.ArgumentParser(
        prog="kvmlab",
        description="Who fires a KVM guest's LAPIC timer, and what it costs.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"kvmlab {kl.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add_compare(command(commands, compare, "compare", "simulate a scenario under several kernels", COMPARE_HELP))
    explains = command(commands, explain, "explain", "tell what a trace or a table shows", EXPLAIN_HELP)
    add_file(explains)
    add_facts(explains)
    explains.add_argument("--chrome", metavar="OUT", help="write the timeline as Chrome trace JSON, too")
    what_ifs = command(commands, what_if, "what-if", "what each policy would do on your host", WHAT_IF_HELP)
    add_file(what_ifs)
    add_facts(what_ifs)
    add_live(command(commands, live, "live", "measure a real guest on /dev/kvm", LIVE_HELP))
    converts = command(commands, convert, "convert", "read any known file, write CSV, JSON, Chrome trace", CONVERT_HELP)
    add_file(converts)
    converts.add_argument("--to", choices=TARGETS, required=True, help="what to write")
    converts.add_argument("-o", "--output", metavar="OUT", help="the file to write; stdout without")
    return top


def command(
    commands: Any, function: Callable[[argparse.Namespace], int], name: str, line: str, text: str
) -> argparse.ArgumentParser:
    """Add one subcommand."""
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=line, description=text, epilog=CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    added.set_defaults(run=function)
    return added


def add_json(to: argparse.ArgumentParser) -> None:
    """--json."""
    to.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_file(to: argparse.ArgumentParser) -> None:
    """FILE."""
    to.add_argument("file", metavar="FILE", help="the file to read; - is stdin")


def add_facts(to: argparse.ArgumentParser) -> None:
    """--fact and --json."""
    to.add_argument(
        "--fact",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what you know of the host and the file does not tell, e.g. pi_inject_timer=true; may be repeated",
    )
    add_json(to)


def add_compare(to: argparse.ArgumentParser) -> None:
    """Arguments of `kvmlab compare`."""
    to.add_argument("scenario", nargs="?", default="isolated", metavar="SCENARIO", help="preset or TOML file; isolated")
    to.add_argument(
        "--kernels", metavar="A,B", help="kernels or policies, with commas; without: " + ", ".join(kl.KERNELS)
    )
    to.add_argument(
        "--set",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a field, e.g. duration_s=5, host.hz=1000, guest.hlt_in_guest=true, workload.tick_hz=250",
    )
    to.add_argument("--all", action="store_true", help="show every figure")
    to.add_argument("--list", action="store_true", help="list the presets")
    to.add_argument("--show", action="store_true", help="print the scenario as a TOML file, and simulate nothing")
    to.add_argument("--csv", action="store_true", help="print CSV, every figure")
    add_json(to)


def add_live(to: argparse.ArgumentParser) -> None:
    """Arguments of `kvmlab live`: those of `kvmlab.live.measure`."""
    to.add_argument("--timers", type=int, default=1000, help="how many timers (1000)")
    to.add_argument("--period-us", type=float, default=1000, help="how far apart, us (1000)")
    to.add_argument("--timer-mode", default="tsc_deadline", help="tsc_deadline (default), oneshot or periodic")
    to.add_argument("--waits-by", default="hlt", help="how the guest waits: hlt (default), pause or spin")
    to.add_argument("--hlt-in-guest", action="store_true", help="HLT does not exit")
    to.add_argument("--pause-in-guest", action="store_true", help="PAUSE does not exit")
    to.add_argument("--pcpu", type=int, help="CPU to run the vCPU on")
    to.add_argument("--traced-timers", type=int, default=10, help="how many more to trace, where tracefs lets us (10)")
    to.add_argument("--timeout-s", type=float, default=10, help="when to stop the guest, s (10)")
    to.add_argument("--trace", metavar="OUT", help="write the trace events there, for kvmlab explain")
    to.add_argument("--scenario", metavar="OUT", help="write the scenario that models this run there, as TOML")
    to.add_argument("--check", action="store_true", help="only say whether a guest can be run here")
    add_json(to)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit code."""
    args = parser().parse_args(arguments)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain again when it flushes stdout at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT
    except KeyboardInterrupt:
        return INTERRUPTED
    except CannotError as error:
        return complain(str(error), CANNOT)
    except OSError as error:
        known = error.filename and error.strerror
        return complain(f"{error.filename}: cannot be read: {error.strerror}" if known else str(error), BAD_INPUT)
    except ValueError as error:
        return complain(str(error), BAD_INPUT)


def complain(sentence: str, code: int) -> int:
    """Say on stderr what went wrong."""
    print(f"kvmlab: {sentence}", file=sys.stderr)
    return code
