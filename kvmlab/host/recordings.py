"""Recorded runs of real kernels, and the scenarios that reproduce them.

data/recorded/README.md says what is real in a recording: counts, order and placement are, times are not.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kvmlab import data, kernels, policy
from kvmlab.model.names import TIMER_MODES, WAITS
from kvmlab.results.run import Run, simulate
from kvmlab.scenario import checks
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

IO_EXITS = 1
"""Each recording ends with one I/O exit of the recorder's own, which the model does not make."""
TOLERANCE = 5
"""A recording holds a few stray interrupts, so counts within 5 of it agree."""
BOOT_US = 1900.0
"""Just before the middle of the recorder's tick of 4 ms."""
Row = Mapping[str, Any]
"""A row of recorded_runs.csv: column -> text as csv gives it, or value as pandas does."""
COUNTERS = ("exits", "irq_exits", "halt_exits")
"""KVM's counters that are compared."""
BACKGROUND = re.compile(r"timers every (\d+(?:\.\d+)?) us")
"""What CPU 0 does, where it has timers of its own."""


def recorded_rows() -> list[dict[str, str]]:
    """Return all rows of data/recorded/recorded_runs.csv, as mappings of column to text."""
    with data.path("recorded", "recorded_runs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(row: Row, name: str) -> Any:
    """Return a column's value; raise ValueError that names a missing one."""
    if not hasattr(row, "keys"):
        raise checks.refusal("row", row, "a mapping of columns to values")
    try:
        return row[name]
    except KeyError:
        raise ValueError(f"{name}: the row has no such column; there are: {', '.join(map(str, row))}") from None


def bit(row: Row, name: str) -> bool:
    """Return a column that holds 0 or 1, as a bool."""
    return bool(checks.whole(name, whole_text(column(row, name)), 0, 1))


def whole_text(value: Any) -> Any:
    """Return a number as csv gives it (text) or as pandas does; anything else as it is, for the check to name."""
    if isinstance(value, str) and re.fullmatch(r"\d+(\.0*)?", value.strip()):
        return int(float(value))
    return int(value) if isinstance(value, bool) else value


def recorded_host(row: Row) -> Host:
    """Return the emulated machine: two CPUs, CPU 1 isolated (with no scheduler domain) where nohz_full is 1.

    One emulated instruction is one TSC tick of one ns, hence 1 GHz.
    """
    background = checks.instance("cpu0_background", column(row, "cpu0_background"), str)
    timers = BACKGROUND.fullmatch(background)
    loads = {"tick only": "idle", "spinning": "ticking"}
    nohz_full = bit(row, "nohz_full")
    return Host(
        pcpus=2,
        isolated=(1,) if nohz_full else (),
        nohz_full=nohz_full,
        isolated_domains=False,
        hz=250,
        housekeeping="timers" if timers else loads[checks.choice("cpu0_background", background, loads)],
        housekeeping_timer_us=float(timers[1]) if timers else 100.0,
        loaded=(0,),
        vendor=column(row, "vendor"),
        apicv=bit(row, "apicv"),
        preemption_timer=bit(row, "preemption_timer"),
        pi_inject_timer=bit(row, "pi_inject_timer"),
        tsc_ghz=1.0,
    )


def recorded_guest(row: Row) -> Guest:
    """Return the bare guest: it arms its timer, waits, and arms again from the handler, `timers` times.

    Where in the host's tick it began was not recorded, and decides for a periodic timer, which is placed once: just
    before the middle of the tick the model places it as the greater part of all beginnings would.
    """
    return Guest(
        pcpus=(checks.whole("pcpu", whole_text(column(row, "pcpu")), 0, 1),),
        hlt_in_guest=bit(row, "hlt_in_guest"),
        mwait_in_guest=bit(row, "mwait_in_guest"),
        pause_in_guest=bit(row, "pause_in_guest"),
        boot_us=BOOT_US,
        workload=Workload(
            tick_hz=0,
            timer_us=checks.number("period_us", whole_text(column(row, "period_us")), 10, 1e8, "us"),
            rearm="relative",
            timers=checks.whole("timers", whole_text(column(row, "timers")), 1, 1_000_000),
            timer_mode=checks.choice("timer_mode", column(row, "timer_mode"), TIMER_MODES),
            idle_us=1.0,
            waits_by=checks.choice("guest_waits_by", column(row, "guest_waits_by"), WAITS),
        ),
    )


def recorded_scenario(row: Row) -> Scenario:
    """Return the scenario that reproduces a recorded run.

    `row`: a row of data/recorded/recorded_runs.csv, as a mapping of column to text or number. Only what the recorder
    set up goes in; nothing that was measured does.

    Raises ValueError for a column that is missing or invalid.

    Example: `kl.simulate(kl.recorded_scenario(kl.recorded_rows()[0])).kvm_stat`
    """
    release = str(column(row, "kernel"))
    rule = checks.choice("policy", column(row, "policy"), policy.POLICIES)
    guest = recorded_guest(row)
    timers, period = guest.workload.timers or 0, guest.workload.timer_us or 0
    return Scenario(
        recorded_host(row),
        (guest,),
        kernel=kernels.release(release, policy.find(rule), name=f"{release} {rule}"),
        duration_s=0.1 + 3 * timers * period / 1e6,
    )


def placed_on(run: Run) -> str:
    """Return where LAPIC hrtimers fired, as in the column traced_expiry_on, e.g. "cpu1:75 cpu0:25"."""
    fired = run.fired_on[run.fired_on > 0].sort_values(ascending=False, kind="stable")
    return " ".join(f"cpu{cpu}:{count}" for cpu, count in fired.items())


def share_on_cpu0(placement: str) -> float | None:
    """Return the share of expiries that CPU 0 fired, from text such as "cpu1:7 cpu0:3"; None if no hrtimer fired."""
    counts = {cpu: int(count) for cpu, count in re.findall(r"cpu(\d+):(\d+)", placement)}
    return counts.get("0", 0) / sum(counts.values()) if counts else None


def same_placement(recorded: str, predicted: str) -> bool:
    """Return True if two placements agree: the shares fired by CPU 0 differ by less than a quarter.

    Ten expiries were traced, so a share is known to a tenth at best, and where the tick lies in them is chance.
    """
    a, b = share_on_cpu0(recorded), share_on_cpu0(predicted)
    if a is None or b is None:
        return a is b
    return abs(a - b) < 0.25


def check_row(row: Row) -> dict[str, Any]:
    """Predict one recorded row.

    Returns run; "<counter> recorded" and "<counter> predicted" for each of `COUNTERS`; "expiry_on recorded" and
    "expiry_on predicted" (see `placed_on`); "counts right" (within `TOLERANCE`) and "placement right" (bool).
    """
    run = simulate(recorded_scenario(row))
    recorded = {name: int(float(row[name])) for name in COUNTERS}
    recorded["exits"] -= IO_EXITS
    predicted = run.kvm_stat
    where = (str(row["traced_expiry_on"]).replace("nan", ""), placed_on(run))
    return {
        "run": row["run"],
        **{f"{name} recorded": recorded[name] for name in COUNTERS},
        **{f"{name} predicted": predicted[name] for name in COUNTERS},
        "expiry_on recorded": where[0],
        "expiry_on predicted": where[1],
        "counts right": all(abs(recorded[name] - predicted[name]) <= TOLERANCE for name in COUNTERS),
        "placement right": same_placement(*where),
    }


def check_recordings() -> pd.DataFrame:
    """Predict every recorded run. Returns one row per run, columns as in `check_row`.

    Example: `kl.check_recordings()["counts right"].all()`
    """
    import pandas as pd

    return pd.DataFrame([check_row(row) for row in recorded_rows()])
