"""Runs of tickless and periodic guests, simulated and recorded: the tables of the notebook on them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from kvmlab import data
from kvmlab.host.formats.events import read_kvm_trace
from kvmlab.host.recordings import recorded_rows, recorded_scenario
from kvmlab.kernels import KERNELS
from kvmlab.results.run import Run, simulate
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

WAITS_US = (200, 2_000, 20_000)
SECONDS = 10
RUNS = 40
"""How many runs `periodic_coin` compares."""


def exits() -> pd.DataFrame:
    """Return the exits per second of a guest that ticks through its waits, and of one that stops its tick in them."""
    rows = {}
    for wait_us in WAITS_US:
        for tickless in (False, True):
            workload = Workload(tick_hz=1000, busy_us=300, idle_us=wait_us, nohz_idle=tickless)
            host = Host(pcpus=4, isolated=(2, 3))
            scenario = Scenario(host, (Guest(workload=workload),), kernel=KERNELS["v5.2"], duration_s=SECONDS)
            counts = simulate(scenario).exits["Samples"] / SECONDS
            rows[wait_us, "tickless" if tickless else "ticks"] = {**counts, "all": counts.sum()}
    table = pd.DataFrame(rows).T.rename_axis(["wait, us", "guest"])
    return table.fillna(0).round().astype(int)


def traced_writes(recordings: Mapping[str, str]) -> pd.DataFrame:
    """Return how often each of the guest's registers was written in some traces of data/recorded."""
    columns = {}
    for title, name in recordings.items():
        trace = read_kvm_trace(data.path("recorded", f"{name}.trace.txt"))
        written = trace.loc[trace["event"] == "kvm_msr", "fields"]
        columns[title] = written.map(lambda f: f"{f['access']} {f['msr']:#x}").value_counts()
    return pd.DataFrame(columns).fillna(0).astype(int).rename_axis("register")


def recorded_beside_model(ends: Mapping[str, str]) -> pd.DataFrame:
    """Return KVM's counter of exits in recorded runs beside the model's; `ends`: of the names of the runs."""
    rows = {}
    for title, end in ends.items():
        (row,) = [each for each in recorded_rows() if each["run"].endswith(end) and each["nohz_full"] == "1"]
        counted = simulate(recorded_scenario(row)).kvm_stat["exits"]
        rows[title] = {"recorded": int(row["exits"]), "simulated": counted}
    return pd.DataFrame(rows).T.rename_axis("exits in 100 periods")


def periodic_run(*, seed: int = 0, housekeeping: str = "timers", timers: int | None = None, away_hz: int = 0) -> Run:
    """Return a run of one vCPU on an isolated pCPU whose timer rings every millisecond in periodic mode.

    `housekeeping`: what the housekeeping CPU does. `timers`: how often it rings; until the run ends unless told.
    `away_hz`: how often a second the vCPU is preempted, for 3 ms on average.
    """
    workload = Workload(tick_hz=0, timer_us=1000, timer_mode="periodic", timers=timers)
    guest = Guest(hlt_in_guest=True, workload=workload, preempt_hz=away_hz, preempt_us=3000)
    host = Host(pcpus=2, isolated=(1,), housekeeping=housekeeping)
    return simulate(Scenario(host, (guest,), kernel=KERNELS["v5.18"], duration_s=1, seed=seed))


def periodic_coin() -> pd.DataFrame:
    """Return in how many of `RUNS` runs which share of a periodic timer's expiries was posted; only seeds differ."""
    runs = [periodic_run(seed=seed, housekeeping="ticking", timers=100) for seed in range(RUNS)]
    shares = pd.Series([run.placement["share"]["housekeeping posted"] for run in runs], name="share posted")
    return shares.round(2).value_counts().sort_index().rename("runs").to_frame()


def missed_rings() -> pd.DataFrame:
    """Return how often a periodic timer expires while its vCPU comes and goes, and how many interrupts it is given."""
    run = periodic_run(away_hz=50)
    counts = {"expiries": int(run.placement["expiries"].sum()), "interrupts": int(run.latency["count"].sum())}
    return pd.Series(counts, name="in one second").to_frame().T
