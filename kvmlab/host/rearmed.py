"""Recorded runs of guests that write their timer again before it expires, and the scenarios that reproduce them.

data/recorded/README.md says what is real in them: which CPU took a timer, and how many spurious interrupts that cost.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvmlab import kernels, policy
from kvmlab.host.rows import Row, column, whole_text
from kvmlab.model.kvm_main import HALT_POLL_NS_GROW, HALT_POLL_NS_GROW_START
from kvmlab.model.names import WAITS, Place
from kvmlab.results.run import Run, simulate
from kvmlab.scenario import checks
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

GUEST_CPU, TIMEKEEPER = 2, 0
"""CPU 2 is isolated; CPU 0 keeps the time."""
ISOLATIONS = {"nohz_full=2 (domains)": True, "nohz_full=2+isolcpus=domain": False}
"""Do the isolated CPUs keep their scheduler domains?"""
GAP_US = 4000.0
"""Between two timers lies a random time up to this (data/recorded/README.md)."""
STRETCH = 1.5
"""What a guest plans to do after 0.2 ms comes after 0.25 to 0.35 ms (data/recorded/README.md): the middle."""
SLACK_US = 50.0
"""A task's sleep may take that much longer (timer_slack_ns, kernel/time/hrtimer.c), and the hrtimer is set for it."""
SLEEPER = re.compile(r"nanosleep (\d+(?:\.\d+)?)us")
REWRITES = re.compile(r"(\d+)x(\d+(?:\.\d+)?)us abs=([01]) delta=(-?\d+(?:\.\d+)?)")
SECOND_VM = re.compile(r"cpu([01]) period (\d+(?:\.\d+)?)us|hog on cpu([01])")
LOADS = {"tick 4ms only": "idle", "spinning": "ticking"}
SEEDS = range(10)
"""A prediction is the mean of as many simulations: a run of 200 timers alone strays by 3 points."""
SHARE_WITHIN = 0.06
SPURIOUS_WITHIN = 0.25
STRAY = 0.02
"""Spurious interrupts per timer that a recording has without any stale value."""


def is_rearmed(row: Row) -> bool:
    """Return True for a row of rearmed_runs.csv, by its column ``pattern``."""
    return hasattr(row, "keys") and "pattern" in row


def text(row: Row, name: str, example: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Return what `pattern` finds in a column; ValueError names the column and gives the `example`."""
    value = checks.instance(name, column(row, name), str)
    found = pattern.fullmatch(value.strip())
    if not found:
        raise checks.refusal(name, value, f"text such as {example}")
    return found.groups()


def microseconds(row: Row, name: str) -> float:
    """Return a column that holds a time in us."""
    return checks.number(name, whole_text(column(row, name)), 10, 1e8, "us")


def lifetime_us(workload: Workload) -> float:
    """Return how long a timer lives that is written again as `workload` says: from its first write to its expiry."""
    later = workload.rewrite_by_us + (workload.rewrite_every_us if workload.slides else 0.0)
    return max(0.0, (workload.timer_us or 0.0) + workload.rewrites * later)


def length_us(workload: Workload) -> float:
    """Return about how long the guest takes for all its timers, in us."""
    return (workload.timers or 0) * (GAP_US / 2 + lifetime_us(workload))


def workload(row: Row) -> Workload:
    """Return what the guest does: it arms, writes again as often as `rearm` says, waits, and computes for a while."""
    writes: dict[str, Any] = {}
    if column(row, "rearm") != "none":
        example = "'none' or '5x200us abs=0 delta=0'"
        times, every, fixed, by = text(row, "rearm", example, REWRITES)
        writes = {
            "rewrites": int(times),
            "rewrite_every_us": STRETCH * float(every),
            "slides": fixed == "0",
            "rewrite_by_us": float(by),
        }
    name = checks.instance("pattern", column(row, "pattern"), str)
    mode = next((mode for mode in ("oneshot", "periodic") if name.startswith(mode)), "tsc_deadline")
    return Workload(
        tick_hz=0,
        timer_us=microseconds(row, "period_us"),
        rearm="relative",
        gap_us=GAP_US if mode != "periodic" else 0.0,
        timers=checks.whole("timers", whole_text(column(row, "timers")), 1, 1_000_000),
        timer_mode=mode,
        idle_us=1.0,
        waits_by=checks.choice("wait", column(row, "wait"), WAITS),
        **writes,
    )


def sleeper(row: Row, guest: Workload) -> dict[str, Any]:
    """Return what CPU 0 does: nothing but its tick, or a task that sleeps again and again.

    How long the task worked in between was not set up and follows from how many timer interrupts CPU 0 took (``loc0``):
    the one measured number that goes into a scenario. It belongs to the load, and not to what is predicted.
    """
    background = checks.instance("cpu0_background", column(row, "cpu0_background"), str)
    if background in LOADS:
        return {"housekeeping": LOADS[background]}
    [sleep] = text(row, "cpu0_background", "'tick 4ms only', 'spinning' or 'nanosleep 100us'", SLEEPER)
    asleep = float(sleep) + SLACK_US
    taken = checks.whole("loc0", whole_text(column(row, "loc0")), 0, 1 << 40)
    sleeps = max(1.0, taken - length_us(guest) / 4000 - (guest.timers or 0))
    work = max(1.0, length_us(guest) / sleeps - asleep)
    return {"housekeeping": "timers", "housekeeping_timer_us": asleep, "housekeeping_work_us": work}


def second_guest(row: Row, halt_poll_us: float) -> tuple[tuple[Guest, ...], float]:
    """Return the VM on CPU 1 (or 0), if there is one, and how long it runs before the other begins, in us.

    One that polls has to have learnt to: kvm.halt_poll_ns grows step by step (`kvmlab.model.kvm_main`).
    """
    kind = checks.instance("vm2", column(row, "vm2"), str)
    if kind == "none":
        return (), 0.0
    halts_on, period, spins_on = text(row, "vm2", "'none', 'hog on cpu1' or 'cpu1 period 10000us'", SECOND_VM)
    if spins_on:
        return (Guest(name="second", pcpus=(int(spins_on),), boot_us=0, workload=Workload(tick_hz=0)),), 0.0
    halts = Workload(tick_hz=0, timer_us=float(period), rearm="relative", idle_us=1.0)
    steps = math.log(max(1.0, halt_poll_us * 1000 / HALT_POLL_NS_GROW_START), HALT_POLL_NS_GROW)
    learning = (2 + math.ceil(steps)) * (float(period) + SLACK_US)
    return (Guest(name="second", pcpus=(int(halts_on),), boot_us=0, workload=halts),), learning


def rearmed_scenario(row: Row) -> Scenario:
    """Return the scenario that reproduces a run of rearmed_runs.csv; see `kvmlab.recorded_scenario`."""
    release = str(column(row, "kernel_release"))
    isolation = checks.choice("isolation", column(row, "isolation"), ISOLATIONS)
    poll_us = checks.number("halt_poll_ns", whole_text(column(row, "halt_poll_ns")), 0, 1e9, "ns") / 1000
    guest = workload(row)
    others, learning = second_guest(row, poll_us)
    first = Guest(
        pcpus=(checks.whole("vcpu_on", whole_text(column(row, "vcpu_on")), 0, GUEST_CPU),),
        boot_us=learning,
        workload=guest,
    )
    host = Host(
        pcpus=3,
        isolated=(GUEST_CPU,),
        isolated_domains=ISOLATIONS[isolation],
        hz=250,
        loaded=(TIMEKEEPER,),
        vendor="amd",
        apicv=False,
        halt_poll_us=poll_us,
        **sleeper(row, guest),
    )
    return Scenario(
        host,
        (first, *others),
        kernel=kernels.release(release, policy.rev3, name=release),
        duration_s=0.1 + (learning + 1.5 * length_us(guest)) / 1e6,
        trace_steps=0,
    )


# --- what is compared -------------------------------------------------------------------------------------------------


def counted(placement: Any, cpu: int) -> tuple[int, int]:
    """Return how many of all a column such as "cpu0:4 cpu1:195" gives to `cpu`, and all; (0, 0) for an empty one."""
    counts = dict(re.findall(r"cpu(\d+):(\d+)", str(placement)))
    return int(counts.get(str(cpu), 0)), sum(map(int, counts.values()))


def share(part: float, whole: float) -> float:
    """Return part / whole, NaN if there is no whole."""
    return part / whole if whole else math.nan


def seen(run: Run) -> dict[str, float]:
    """Return what a simulation predicts, under the names of `COMPARED`."""
    pcpus, rows = run.machine.pcpus, run.place_rows[0]
    fired = int(rows[Place.OWN] + rows[Place.POSTED] + rows[Place.KICKED] + rows[Place.NOT_IN_GUEST])
    timers = int(run.machine.vcpus["delivered"][0])
    arms = int(run.machine.vcpus["armed"][0])
    taken = int(pcpus["offered"][TIMEKEEPER] - pcpus["refused"][TIMEKEEPER])
    away = run.scenario.guests[0].pcpus != (TIMEKEEPER,)
    return {
        "last on cpu0": share(int(pcpus["fired"][TIMEKEEPER]), fired) if away else 1.0,
        "arms on cpu0": share(taken, arms) if away else 1.0,
        "only by stale": share(int(pcpus["taken_stale"][TIMEKEEPER]), arms),
        "spurious": share(int(pcpus["spurious"][TIMEKEEPER]), timers),
        "exits": share(int(run.exit_rows[0]["count"].sum()), timers),
    }


def recorded(row: Row) -> dict[str, float]:
    """Return the same of a recorded run; NaN for what was not recorded (hrtimers of CPU 1 were not)."""
    on, expired = counted(column(row, "expired_on"), TIMEKEEPER)
    taken, enqueued = counted(column(row, "queued_on"), TIMEKEEPER)
    timers = float(column(row, "timers"))
    return {
        "last on cpu0": share(on, expired),
        "arms on cpu0": share(taken, enqueued),
        "only by stale": share(float(column(row, "accepted_only_by_stale")), enqueued),
        "spurious": share(float(column(row, "spurious0")), timers),
        "exits": share(float(column(row, "exits")), timers),
    }


COMPARED = ("last on cpu0", "arms on cpu0", "only by stale", "spurious", "exits")
"""Shares of the last arms and of all arms that CPU 0 took, of those taken though the real next timer there would refuse
them, and spurious interrupts of CPU 0 and exits of the guest, both per timer."""


def pattern(row: Row) -> tuple[str, ...]:
    """Return what runs have in common that were set up alike; domains matter only if something runs on CPU 1."""
    names = ("pattern", "period_us", "rearm", "cpu0_background", "vm2", "halt_poll_ns", "vcpu_on")
    return (*(str(row[name]) for name in names), "" if row["vm2"] == "none" else str(row["isolation"]))


def predicted(row: Row) -> dict[str, float]:
    """Return the mean prediction for a row, over `SEEDS`."""
    scenario = rearmed_scenario(row)
    runs = [seen(simulate(scenario.replace(seed=seed))) for seed in SEEDS]
    return {name: mean(run[name] for run in runs) for name in COMPARED}


def mean(values: Iterable[float]) -> float:
    """Return the mean of what is a number; NaN if nothing is."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.fmean(numbers) if numbers else math.nan


def same_share(recorded: float, predicted: float) -> bool:
    """Return True if two shares differ by 6 points at most, or if none was recorded."""
    return math.isnan(recorded) or abs(recorded - predicted) <= SHARE_WITHIN


def same_count(recorded: float, predicted: float) -> bool:
    """Return True if two counts per timer differ by a quarter of the larger one, or by what strays in, at most."""
    return abs(recorded - predicted) <= max(STRAY, SPURIOUS_WITHIN * max(recorded, predicted))


def check_rearmed(rows: Sequence[Row]) -> pd.DataFrame:
    """Predict recorded runs of timers that are written again; see `kvmlab.check_recordings`.

    Returns one row per run. Columns: run; pattern; "<name> recorded" and "<name> predicted" for each of `COMPARED`;
    "counts right" and "placement right" (bool): spurious interrupts agree within a quarter, and the share of last arms
    on CPU 0 within 6 points, both as means over the runs among `rows` that were set up alike.
    """
    import pandas as pd

    alike: dict[tuple[str, ...], list[tuple[dict[str, float], dict[str, float]]]] = {}
    pairs = [(recorded(row), predicted(row)) for row in rows]
    for row, pair in zip(rows, pairs, strict=True):
        alike.setdefault(pattern(row), []).append(pair)
    return pd.DataFrame([one_run(row, pair, alike[pattern(row)]) for row, pair in zip(rows, pairs, strict=True)])


def one_run(
    row: Row, pair: tuple[Mapping[str, float], Mapping[str, float]], alike: Sequence[tuple[Mapping[str, float], ...]]
) -> dict[str, Any]:
    """Return one row of `check_rearmed`: `pair` is this run's, `alike` holds those that were set up alike."""

    def agree(name: str, same: Callable[[float, float], bool]) -> bool:
        return same(*(mean(each[side][name] for each in alike) for side in (0, 1)))

    return {
        "run": row["name"],
        "pattern": row["pattern"],
        **{f"{name} recorded": pair[0][name] for name in COMPARED},
        **{f"{name} predicted": pair[1][name] for name in COMPARED},
        "counts right": agree("spurious", same_count),
        "placement right": agree("last on cpu0", same_share),
    }
