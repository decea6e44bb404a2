"""Exercises of lesson 05: whom rev 2 helps, and what a late look at a vCPU's pCPU costs."""

from kvmlab.kernels import KERNELS
from kvmlab.lab.exercises.kinds import Exercise, Number, Several
from kvmlab.results.run import simulate
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario


def fired_on_own_pcpu() -> int:
    """Return how many hrtimers of a vCPU that goes to and fro every 20 ms fire on its own pCPU in 10 s, under rev 2."""
    host = Host(pcpus=8, isolated=(4, 5, 6, 7), housekeeping="timers", housekeeping_timer_us=200, loaded=(0, 1))
    guest = Guest(pcpus=(2, 4), moves_every_ms=20, workload=Workload(tick_hz=1000))
    run = simulate(Scenario(host, (guest,), kernel=KERNELS["v5.15+rev2"], duration_s=10, trace_steps=0))
    return int(run.placement.expiries["own pCPU"])


EXERCISES = {
    "L05-E1": Exercise(
        Several(("a", "b", "c", "d", "e"), seal="5e03a121"),
        checked="the letters",
        not_checked="what the others would need instead",
    ),
    "L05-E2": Exercise(
        Number(fired_on_own_pcpu, "timers", within=0.03),
        checked="the count, within 3 %",
        not_checked="what becomes of the timers under way in the other direction, which panel 05-2 shows",
    ),
}
