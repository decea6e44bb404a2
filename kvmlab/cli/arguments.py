"""The subcommands' arguments and help."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

import kvmlab as kl
from kvmlab.cli import commands
from kvmlab.cli.values import assignment, fact_lines
from kvmlab.host.formats.sniff import READERS
from kvmlab.scenario import files as scenario_file

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]

TARGETS = ("csv", "json", "chrome")
"""What `kvmlab convert` writes."""

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
EXPLAIN_HELP = f"""\
Answers in three sentences: what fired the timers and on which evidence, which revision of the policy fits, and what to
look at or to record next. Then shows what was seen: of a listing of kvm and hrtimer events (tracefs, perf script,
trace-cmd report) how each timer ended, which interrupts ended guest mode, and the longest times out of the guest; of a
table of perf kvm stat its counts. Text may be as mail programs, terminals and grep hand it on: quoted, numbered,
coloured, wrapped; what was taken off or passed over is said.

examples:
  kvmlab explain trace.txt
  kvmlab explain trace.txt --fact pi_inject_timer=true --fact housekeeping_cpus=0-1
  kvmlab explain mail.txt --table 1
  kvmlab explain host-and-guest.txt --file trace.dat
  kvmlab explain table.txt --host-facts host.txt
  perf script | kvmlab explain - --json

what --fact takes:
{fact_lines(kl.explain)}

what --host-facts reads, of this host or of a colleague's:
  (grep . /sys/module/kvm*/parameters/*; cat /proc/cmdline; sysctl kernel.timer_migration
   tr '\\0' ' ' </proc/QEMU_PID/cmdline) > host.txt
"""
WHAT_IF_HELP = f"""\
Fits workload and costs to a trace or table, reproduces it, and estimates what each revision of the policy would do
there. A "?" marks a number that cannot be relied on, because what it rests on was not reproduced.

examples:
  kvmlab what-if perf-kvm-stat.txt --fact seconds=30 --fact vcpus=4
  kvmlab what-if trace.txt --fact hlt_in_guest=true --json
  kvmlab what-if trace.txt --fact revisions=rev1,rev3 --fact housekeeping=timers
  kvmlab what-if mail.txt --table 0 --host-facts host.txt

what --fact takes:
{fact_lines(kl.what_if)}
"""
DIFF_HELP = f"""\
Compares two recordings, of before and after a change: rates of exits with the uncertainty of counting, what an exit
costs, and which revisions fit. Says what the two do not allow to compare. BEFORE may hold both tables.

examples:
  kvmlab diff before.txt after.txt --fact seconds=30
  kvmlab diff before.txt after.txt --fact seconds=30,60 --fact vcpus=4 --json
  kvmlab diff mail.txt --table 0,1
  kvmlab diff trace-before.txt trace-after.txt --csv

what --fact takes:
{fact_lines(kl.compare_recordings)}
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
CONVERT_HELP = f"""\
Reads a file of any of these kinds (which, it finds out) and writes it as CSV, as JSON, or, a kvm trace, as Chrome trace
JSON, which the Perfetto UI opens:

{textwrap.fill(", ".join(READERS), 110, initial_indent="  ", subsequent_indent="  ")}

examples:
  kvmlab convert perf-kvm-stat.txt --to csv
  kvmlab convert kvm_stat.log --to csv -o exits.csv
  kvmlab convert trace.txt --to chrome -o trace.json
"""
LESSONS_HELP = """\
Writes the lessons, which are Jupyter notebooks, into a folder of your own, and says how to open them. Nothing is
overwritten: if one of the files is there already, nothing is written, or, with --keep, only the others are.

examples:
  kvmlab lessons my-lessons
  kvmlab lessons class --student
  kvmlab lessons my-lessons --keep
"""
CODES = """\
exit codes: 0 done; 1 it could not be done here (for instance no /dev/kvm); 2 wrong usage or bad input; 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands; what it parses has ``run``, the function of the subcommand."""
    top = argparse.ArgumentParser(
        prog="kvmlab",
        description="Who fires a KVM guest's LAPIC timer, and what it costs.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"kvmlab {kl.__version__}")
    subcommands = top.add_subparsers(required=True, metavar="COMMAND")
    add_compare(
        command(subcommands, commands.compare, "compare", "simulate a scenario under several kernels", COMPARE_HELP)
    )
    explains = command(subcommands, commands.explain, "explain", "tell what a trace or a table shows", EXPLAIN_HELP)
    add_file(explains)
    add_facts(explains)
    add_which(explains)
    add_host(explains)
    explains.add_argument("--chrome", metavar="OUT", help="write the timeline as Chrome trace JSON, too")
    what_ifs = command(subcommands, commands.what_if, "what-if", "what each policy would do on your host", WHAT_IF_HELP)
    add_file(what_ifs)
    add_facts(what_ifs)
    add_which(what_ifs)
    add_host(what_ifs)
    diffs = command(subcommands, commands.diff, "diff", "compare two recordings, before and after", DIFF_HELP)
    diffs.add_argument("before", metavar="BEFORE", help="the recording of before; - is stdin")
    diffs.add_argument(
        "after", metavar="AFTER", nargs="?", help="the recording of after; without, BEFORE has two tables"
    )
    add_facts(diffs)
    diffs.add_argument(
        "--table", type=two_numbers, metavar="N,M", help="which tables, counted from 0; one N is for both"
    )
    diffs.add_argument("--csv", action="store_true", help="print CSV")
    add_live(command(subcommands, commands.live, "live", "measure a real guest on /dev/kvm", LIVE_HELP))
    converts = command(
        subcommands, commands.convert, "convert", "read any known file, write CSV, JSON, Chrome trace", CONVERT_HELP
    )
    add_file(converts)
    add_which(converts)
    converts.add_argument("--to", choices=TARGETS, required=True, help="what to write")
    converts.add_argument("-o", "--output", metavar="OUT", help="the file to write; stdout without")
    writes = command(subcommands, commands.lessons, "lessons", "write the lessons into a folder", LESSONS_HELP)
    writes.add_argument("folder", metavar="DIR", help="the folder to write to; made if need be")
    writes.add_argument("--student", action="store_true", help="leave the solutions out")
    writes.add_argument("--keep", action="store_true", help="keep the files that are there, and write the others")
    return top


def command(
    subcommands: Subcommands, function: Callable[[argparse.Namespace], int], name: str, line: str, text: str
) -> argparse.ArgumentParser:
    """Add one subcommand: its function, its line in the overview, and its help."""
    added = subcommands.add_parser(
        name, help=line, description=text, epilog=CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    added.set_defaults(run=function)
    return added


def add_json(to: argparse.ArgumentParser) -> None:
    """Add --json."""
    to.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_file(to: argparse.ArgumentParser) -> None:
    """Add FILE."""
    to.add_argument("file", metavar="FILE", help="the file to read; - is stdin")


def add_facts(to: argparse.ArgumentParser) -> None:
    """Add --fact and --json."""
    to.add_argument(
        "--fact",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what you know of the host and the file does not tell, e.g. pi_inject_timer=true; may be repeated",
    )
    add_json(to)


def add_which(to: argparse.ArgumentParser) -> None:
    """Add --table and --file, which choose in a text that has several."""
    to.add_argument("--table", type=int, metavar="N", help="which table, where there are several: 0 is the first")
    to.add_argument(
        "--file",
        dest="file_of",
        metavar="NAME",
        help="which file's events, where a report of trace-cmd has those of several, e.g. trace.dat",
    )


def add_host(to: argparse.ArgumentParser) -> None:
    """Add --host-facts."""
    to.add_argument(
        "--host-facts", metavar="FILE", help="what the host is set to: text of its kvm parameters and its command line"
    )


def two_numbers(text: str) -> int | tuple[int, ...]:
    """Take "N" or "N,M"; argparse shows the error for anything else."""
    numbers = tuple(int(part) for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def add_compare(to: argparse.ArgumentParser) -> None:
    """Add the arguments of `kvmlab compare`."""
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
    """Add the arguments of `kvmlab live`: those of `kvmlab.live.measure`."""
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
