"""Fuzz every reader of recordings, and kvmlab.explain: a table, or a ValueError that names a line; nothing else.

The target `twins` compares: a text and its quoted, numbered, coloured or wrapped twin (tests/host/twins.py) give the
same table, or a refusal.

    python tools/fuzz.py [seconds] [target ...]

Inputs are mutated from the recordings in data/recorded and from one example of every other format, guided by coverage
(atheris, an optional dependency with wheels for Linux on x86-64: pip install -e '.[fuzz]'). What breaks a reader is
kept in fuzz-crashes/. Exits with 1 if there was any, and with 2 where atheris is not installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
CRASHES = ROOT / "fuzz-crashes"
INPUT_BYTES = 4096
SLOWEST_S = 5
MEMORY_MB = 2048
TARGETS = (
    "perf", "trace", "kvm_stat", "latencies", "histogram", "vmexit", "any", "twins", "events", "explain", "what_if",
)  # fmt: skip
EXAMPLES = {
    "cyclictest": (
        "# /dev/cpu_dma_latency set to 0us\n# Histogram\n000000 000000\t000000\n000001 000010\t000003\n"
        "# Total: 000000010 000000003\n# Min Latencies: 00001 00001\n# Avg Latencies: 00001 00001\n"
        "# Max Latencies: 00001 00001\n# Histogram Overflows: 00000 00000\n"
    ),
    "threads": "T: 0 ( 2977) P:80 I:1000 C:  10000 Min:      1 Act:    2 Avg:    2 Max:      13\n",
    "rtla": (
        "# RTLA timerlat histogram\n# Time unit is microseconds (us)\n# Duration:   0 00:01:00\n"
        "Index   IRQ-000   Thr-000\n0             2         0\n1             1         3\nover:         0         0\n"
        "count:        3         3\nmin:          0         1\navg:          0         1\nmax:          1         1\n"
    ),
    "tscdeadline": "tsc deadline timer enabled\nlatency: 2412\nlatency: 2300\nhit max: 5 < latency: 9\n",
    "kvm_stat": (
        "kvm statistics - summary\n\n Event                        Total %Total CurAvg/s\n kvm_exit        600   50.0"
        "       12\n   kvm_exit(HLT)   600  100.0       12\n kvm_entry    600   50.0       12\n Total   1200       24\n"
    ),
    "kvm_stat log": "kvm_entry kvm_exit \n2026-11-26 09:30:01        10        11\n2026-11-26 09:30:02   30   31\n",
    "oslat": (
        "    Core:\t 4 6\n    001 (us):\t 900 800\n    002 (us):\t 20 7 (including overflows)\n"
        " Minimum:\t 1 1 (us)\n Average:\t 1.020 1.213 (us)\n Maximum:\t 2 9 (us)\n"
    ),
    "hwlatdetect": (
        "hwlatdetect:  test duration 60 seconds\nMax Latency: 31us\nSamples recorded: 1\n"
        "ts: 1700000002.000000001, inner:0, outer:31\n"
    ),
    "sysjitter": "core_i: 2\nint_n: 40\nint_min(ns): 210\nint_median(ns): 700\nint_mean(ns): 912\nint_max(ns): 7000\n",
    "top": (
        "  0 00:00:09   |          IRQ Timer Latency (us)        |         Thread Timer Latency (us)\n"
        "  1 #9001      |        1         0         1         9 |        5         3         6        21\n"
    ),
    "json": (
        '{"cmdline:": "cyclictest --json", "resolution_in_ns": 0, "thread": {"0": {"histogram": {"3": 9}, '
        '"cycles": 10, "min": 3, "max": 7, "avg": 3.8, "cpu": 0}}}\n'
    ),
    "pasted": (
        "> 4:  a-1 [003] d..1. 2.000001: kvm_exit: reason EXTERNAL_INTERRUPT rip 0x1 info 0 800000ef\n> 5:=> f (ff00)\n"
        ">\n> 9: trace.dat: a-1 [003] 2.000050: kvm_entry: vcpu 0\n\x1b[31m...\x1b[0m\n[    2.1] kvm: hello\n"
    ),
    "vmexit": "cpuid 1340\nipi (skipped)\ntscdeadline_immed 2920\n  ipi x 4\n",
}


def readers() -> dict[str, Callable[[str], object]]:
    """Return the targets by name, each a function of text."""
    import kvmlab
    from kvmlab.host import formats, what_if as whatif
    from tests.host.twins import TWINS, WRAPPED, different_table

    def explained(text: str) -> object:
        explanation = kvmlab.explain(text)
        return explanation.summary(), explanation.to_dict(), explanation.timeline, explanation.stories

    def understood(text: str) -> object:
        """Do what `kvmlab.what_if` does with a recording, up to the scenarios that it would run."""
        measured = whatif.measured_from(kvmlab.explain(text), whatif.Findings(), None, None, None)
        worlds, said = whatif.worlds_of(measured, None), whatif.Assumptions()
        return [whatif.scenario_of(measured, world, said, kvmlab.KERNELS["v5.18"]) for world in worlds]

    def twins(text: str) -> object:
        """Compare a text with all of its twins; another table is a crash."""
        for name, twin in {**TWINS, **WRAPPED}.items():
            if difference := different_table(text, twin):
                raise RuntimeError(f"the {name} text is another table: {difference}")
        return None

    def events(text: str) -> object:
        """List a listing's interrupts and gaps, and pick some of its rows."""
        trace = formats.read_kvm_trace(text)
        some = kvmlab.select_events(trace, thread=trace["pid"].tolist()[:1]) if len(trace) else trace
        return kvmlab.exit_interrupts(some), kvmlab.longest_gaps(trace, halts=True)

    return {
        "perf": formats.read_perf_kvm_stat,
        "trace": formats.read_kvm_trace,
        "kvm_stat": formats.read_kvm_stat,
        "latencies": formats.read_latencies,
        "histogram": formats.read_latency_histogram,
        "vmexit": formats.read_unit_test_vmexit,
        "any": formats.read_any,
        "twins": twins,
        "events": events,
        "explain": explained,
        "what_if": understood,
    }


def fuzz_one(target: str, arguments: list[str]) -> None:
    """Run libFuzzer on one target; does not return."""
    import atheris

    sys.path.insert(0, str(ROOT))  # the twins are those of the tests
    with atheris.instrument_imports(include=["kvmlab.host"]):
        read = readers()[target]

    def once(data: bytes) -> None:
        # Without a line end it could be the name of a file.
        text = data.decode("utf-8", "surrogateescape") + "\n"
        try:
            read(text)
        except ValueError as error:
            if not str(error):
                raise RuntimeError("an error that says nothing") from error

    atheris.Setup([sys.argv[0], *arguments], once)
    atheris.Fuzz()


def seeds(folder: Path) -> None:
    """Write the inputs to start from."""
    for path in (ROOT / "data" / "recorded").glob("*.txt"):
        lines = path.read_bytes().splitlines(keepends=True)
        (folder / path.name).write_bytes(b"".join(lines[:40])[:INPUT_BYTES])
    for name, text in EXAMPLES.items():
        (folder / name).write_text(text, encoding="utf-8")


def run(target: str, seconds: int, corpus: Path) -> tuple[int, list[Path]]:
    """Fuzz one target in a process of its own; return how many inputs were tried, and those that broke it."""
    folder = CRASHES / target
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES}",
        f"-timeout={SLOWEST_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    command = [sys.executable, __file__, "--one", target, *options, str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    tried = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stderr + done.stdout)
    broke = sorted(set(folder.iterdir()) - before)
    if not broke and (done.returncode or not tried):
        sys.stderr.write(done.stderr[-4000:])
        raise SystemExit(f"{target}: the fuzzer ended with {done.returncode}")
    for path in broke:
        sys.stderr.write(f"{path}\n{done.stderr[-3000:]}\n")
    return int(tried[1]) if tried else 0, broke


def main(arguments: list[str]) -> int:
    """Fuzz the targets one after another; see the module."""
    if arguments[:1] == ["--one"]:
        fuzz_one(arguments[1], arguments[2:])
    try:
        import atheris  # noqa: F401
    except ImportError:
        print(
            "The fuzzer needs atheris, which has wheels for Linux on x86-64: pip install -e '.[fuzz]'", file=sys.stderr
        )
        return 2
    seconds = int(arguments[0]) if arguments else 60
    targets = arguments[1:] or TARGETS
    total, crashes = 0, 0
    for target in targets:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            seeds(Path(name))
            tried, broke = run(target, seconds, Path(name))
        total, crashes = total + tried, crashes + len(broke)
        print(f"{target}: {tried} inputs in {time.monotonic() - started:.0f} s, {len(broke)} crashes", flush=True)
    print(f"{total} inputs, {crashes} crashes")
    return int(crashes > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
