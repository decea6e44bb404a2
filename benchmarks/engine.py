"""The engine against C, against itself in plain Python, and against SimPy: CPU time an expiry, in one run.

Before a time is printed, the counts are compared: C must count what kvmlab counts to the last one; SimPy, which knows
each step's mean time only, to within 2 %. Options: see --help.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import kvmlab as kl
from kvmlab.engine import execute
from kvmlab.engine.layout import Tables
from kvmlab.model.draws import HIST_BINS
from kvmlab.model.names import NEVER, Exit, Place, labels
from tests import independent

SOURCE = Path(__file__).with_name("engine.c")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
SETTINGS = (
    "n", "pcpus", "until", "seed", "policy", "facts", "has_hv_timer", "pinned", "migration", "arm_fastpath",
    "expiry_fastpath", "tsc_khz", "shift", "hv_range", "advance", "advance_rule", "tick_ns", "events",
)  # fmt: skip
SUMS = ("armed", "delivered", "latencies", "exit ns", "lost ns", "fired")
Counts = dict[str, Any]


def scenario(vcpus: int, housekeeping: int, seconds: float, kernel: str = "v5.13") -> kl.Scenario:
    """Busy guests with a 1000 Hz tick on isolated pCPUs; housekeeping CPUs with timers of their own every 100 us."""
    pcpus = vcpus + housekeeping
    host = kl.Host(pcpus=pcpus, isolated=range(housekeeping, pcpus), housekeeping="timers")
    guest = kl.Guest(vcpus=vcpus, workload=kl.Workload(tick_hz=1000))
    return kl.Scenario(host, guest, kernel=kernel, duration_s=seconds, trace_steps=0)


def expiries(counts: Counts) -> int:
    """How many timers expired."""
    return int(np.sum(counts["places"]))


# --- kvmlab -----------------------------------------------------------------------------------------------------------


def counted(m: Tables) -> Counts:
    """What is compared."""
    v = m.vcpus
    sums = (v["armed"], v["delivered"], v["lat_sum"], m.exits["sum_ns"], v["lost_ns"], m.pcpus["fired"])
    return {
        "places": m.places.reshape(-1, len(Place)).sum(axis=0),
        "exits": m.exits["count"].reshape(-1, len(Exit)).sum(axis=0),
        "sums": np.array([column.sum() for column in sums]),
        "histogram": m.histogram.reshape(-1, HIST_BINS).sum(axis=0),
    }


def kvmlab(s: kl.Scenario, plain: bool = False) -> tuple[float, Counts]:
    """Return the CPU time in s of the event loop alone, and the counts."""
    machine = execute.machine(s, plain=plain)
    start = time.process_time()
    machine.advance(s.duration_ns)
    return time.process_time() - start, counted(machine.tables())


# --- C ----------------------------------------------------------------------------------------------------------------


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def c_engine(folder: Path) -> Callable[..., Any]:
    """engine.c, compiled."""
    library = folder / "engine.so"
    subprocess.run([str(compiler()), *FLAGS, str(SOURCE), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library)).engine  # type: ignore[no-any-return]


def c_run(function: Callable[..., Any], s: kl.Scenario) -> tuple[float, Counts]:
    """CPU time in s of the C event loop, with making its tables, and the counts."""
    m = execute.machine(s).tables()
    host, kernel, v, n, pcpus = m.host[0], m.kernel[0], m.vcpus, len(m.vcpus), len(m.pcpus)
    values = {
        "n": n, "pcpus": pcpus, "until": s.duration_ns, "seed": s.seed, "policy": kernel["policy"],
        "facts": v["facts"][0], "has_hv_timer": v["has_hv_timer"][0], "pinned": kernel["hrtimer_pinned"],
        "migration": host["timer_migration"], "arm_fastpath": kernel["arm_fastpath"],
        "expiry_fastpath": kernel["expiry_fastpath"], "tsc_khz": host["tsc_khz"],
        "shift": host["preemption_timer_shift"], "hv_range": host["hv_range_ns"],
        "advance": -1 if v["advance_dynamic"][0] else v["advance_ns"][0], "advance_rule": kernel["advance_rule"],
        "tick_ns": m.guests["tick_ns"][0], "events": 0,
    }  # fmt: skip
    own = m.timers[n:]
    out = [np.zeros(len(Place), np.int64), np.zeros(len(Exit), np.int64), np.zeros(len(SUMS), np.int64)]
    arrays = [
        np.array([values[name] for name in SETTINGS], np.int64),
        *(column.astype(np.int64) for column in (v["pcpu"], v["boot"], m.pcpus["housekeeping"], m.pcpus["busy"])),
        np.where(own["time"] == NEVER, NEVER, own["time"]),
        np.ascontiguousarray(own["period"]),
        m.costs,
        *out,
        m.histogram,
    ]
    start = time.process_time()
    function(*(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))
    seconds = time.process_time() - start
    bins = m.histogram.reshape(-1, HIST_BINS).sum(axis=0)
    return seconds, {"places": out[0], "exits": out[1], "sums": out[2], "histogram": bins}


def same(a: Counts, b: Counts) -> None:
    """AssertionError that names the count in which two runs differ."""
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


# --- SimPy ------------------------------------------------------------------------------------------------------------


def simpy_run(s: kl.Scenario) -> tuple[float, Counts]:
    """CPU time in s, and expiries by place, of the model in tests/independent.py. It keeps no latencies."""
    start = time.process_time()
    _, places, *_ = independent.simulate(s)
    return time.process_time() - start, {"places": np.array([places[name] for name in labels(Place)])}


def near(a: Counts, b: Counts) -> None:
    """AssertionError if expiries by place differ by more than 2 % of all."""
    np.testing.assert_allclose(a["places"], b["places"], atol=3 + 0.02 * expiries(a), rtol=0)


# --- what is printed --------------------------------------------------------------------------------------------------


def best(runs: int, *functions: Callable[[], tuple[float, Counts]]) -> list[float]:
    """The shortest CPU time of each in s, in turn so that all meet the same machine."""
    times: list[list[float]] = [[] for _ in functions]
    for _, (i, function) in itertools.product(range(runs), enumerate(functions)):
        times[i].append(function()[0])
    return [min(some) for some in times]


def compare_engines(function: Callable[..., Any] | None, runs: int, large: bool) -> None:
    """The table: each engine on each scenario, in us of CPU time an expiry."""
    print(f"{'vCPUs':>6}{'HK':>4}{'s':>5}  {'kernel':<7}{'expiries':>11}{'us/expiry':>10}{'M/s':>7}{'x of C':>8}")
    shapes = [(8, 1, 10.0), (256, 8, 60.0 if large else 2.0), (4096, 64, 0.25)]
    for (n, hk, seconds), kernel in itertools.product(shapes, ("v5.13", "v5.18")):
        s = scenario(n, hk, seconds, kernel)
        _, counts = kvmlab(s)
        total = expiries(counts)
        if function is None:
            [ours], ratio = best(runs, lambda s=s: kvmlab(s)), float("nan")  # type: ignore[misc]
        else:
            same(counts, c_run(function, s)[1])
            ours, c = best(runs, lambda s=s: kvmlab(s), lambda s=s: c_run(function, s))  # type: ignore[misc]
            ratio = c / ours
        print(
            f"{n:>6}{hk:>4}{seconds:>5g}  {kernel:<7}{total:>11,}{1e6 * ours / total:>10.3f}{total / ours / 1e6:>7.2f}"
            f"{ratio:>8.2f}",
            flush=True,
        )


def compare_pythons(runs: int) -> None:
    """The table: compiled, plain Python and SimPy on one scenario, SimPy being 1."""
    s = scenario(8, 1, 0.5)
    kinds = [lambda: kvmlab(s), lambda: kvmlab(s, plain=True), lambda: simpy_run(s)]
    _, counts = kinds[0]()
    same(counts, kinds[1]()[1])
    near(counts, kinds[2]()[1])
    times = best(runs, *kinds)
    print(f"\n{'8 vCPUs, 0.5 s':<16}{'us/expiry':>10}{'x of SimPy':>12}")
    for name, seconds in zip(("compiled", "plain Python", "SimPy"), times, strict=True):
        print(f"{name:<16}{1e6 * seconds / expiries(counts):>10.3f}{times[2] / seconds:>12.1f}", flush=True)


def curve(function: Callable[..., Any] | None, runs: int) -> None:
    """Cost an expiry by the number of vCPUs, one housekeeping CPU for 64 of them."""
    print(f"\n{'vCPUs':>6}{'ns/expiry':>11}{'/log2(n)':>10}{'C ns/expiry':>13}")
    for n in (8, 32, 128, 512, 2048, 4096):
        s = scenario(n, max(1, n // 64), 1000 / n, "v5.13")
        _, counts = kvmlab(s)
        engines = [lambda s=s: kvmlab(s)]  # type: ignore[misc]
        if function is not None:
            engines.append(lambda s=s: c_run(function, s))  # type: ignore[misc]
        ours, *c = best(runs, *engines)
        per = 1e9 * ours / expiries(counts)
        theirs = 1e9 * c[0] / expiries(counts) if c else float("nan")
        print(f"{n:>6}{per:>11.0f}{per / np.log2(n):>10.1f}{theirs:>13.0f}", flush=True)


START = """
import time
begin = time.perf_counter()
import kvmlab as kl
imported = time.perf_counter()
kl.simulate(kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.001))
print(imported - begin, time.perf_counter() - imported)
"""


def starts(runs: int) -> None:
    """Print how long a new Python takes to import kvmlab, and then to the end of its first run: wall time, the best."""
    times = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
        times.append([float(text) for text in done.stdout.split()])
    imported, first = (min(column) for column in zip(*times, strict=True))
    print(f"\nimport kvmlab {1e3 * imported:.0f} ms; the first run after it {1e3 * first:.0f} ms")


def resident_mib() -> float:
    """Memory this process holds now, MiB."""
    import psutil

    return float(psutil.Process().memory_info().rss / 2**20)


def long_run(total: float) -> None:
    """Run until this number of timers has expired, in tenths, and print the memory held after each."""
    s = scenario(8, 1, total / 8000)
    machine = execute.machine(s)
    print(f"\n{'expiries':>15}{'simulated s':>13}{'CPU s':>9}{'MiB':>9}")
    start = time.process_time()
    for tenth in range(11):
        reached = machine.advance(max(1, round(s.duration_ns * tenth / 10)))
        done = int(machine.tables().places.sum())
        seconds = time.process_time() - start
        print(f"{done:>15,}{reached / 1e9:>13,.0f}{seconds:>9.1f}{resident_mib():>9.1f}", flush=True)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="the best of so many runs counts")
    parser.add_argument("--large", action="store_true", help="256 vCPUs for 60 s, not 2 s (15 million expiries)")
    parser.add_argument("--long", type=float, metavar="N", help="only: run for N expiries (1e9) and print the memory")
    options = parser.parse_args()
    kl.simulate(scenario(1, 1, 0.01))  # the engine is loaded
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    if options.long:
        long_run(options.long)
        return
    with tempfile.TemporaryDirectory() as folder:
        function = c_engine(Path(folder)) if compiler() else None
        if function is None:
            print("There is no C compiler here: kvmlab alone.", file=sys.stderr)
        compare_engines(function, options.runs, options.large)
        curve(function, options.runs)
    compare_pythons(options.runs)
    starts(3 * options.runs)


if __name__ == "__main__":
    main()
