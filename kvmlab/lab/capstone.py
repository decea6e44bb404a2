"""The last exercise of the course: a policy of the reader's own against the others, on given and on drawn hosts.

What is compared is guest time lost to exits. A policy's *regret* on a guest is how much more that guest lost than under
the best policy of the table, in us per vCPU per second: 0 is best.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kvmlab.kernels import KERNELS
from kvmlab.policy import POLICIES, Policy
from kvmlab.results.per_guest import compare_guests
from kvmlab.scenario import checks, variants
from kvmlab.scenario.example import three_guests
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import HOUSEKEEPING_LOADS, Host
from kvmlab.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

MACHINERY = "v5.18"
"""Whose machinery all policies run in."""
DURATION_S = 0.5
MOST_DRAWN = 100

GIVEN: Mapping[str, Callable[[], Scenario]] = {
    "three guests": lambda: three_guests(MACHINERY),
    "quiet housekeeping CPUs": lambda: three_guests(MACHINERY, **{"host.housekeeping": "idle"}),
    "no nohz_full, parameter forced": lambda: three_guests(
        MACHINERY, **{"host.nohz_full": False, "host.pi_inject_timer": True}
    ),
    "ordinary guest's HLT does not exit": lambda: halts_on_housekeeping(),
    "MWAIT does not exit, posting off": lambda: three_guests(
        MACHINERY, **{"guest.mwait_in_guest": True, "host.pi_inject_timer": False}
    ),
    "AMD": lambda: three_guests(MACHINERY, **{"host.vendor": "amd"}),
}
"""The given scenarios."""


def halts_on_housekeeping() -> Scenario:
    """Return the running example; the ordinary guest's HLT does not exit either (QEMU's cpu-pm=on without MWAIT)."""
    running = three_guests(MACHINERY)
    *others, ordinary = running.guests
    return running.replace(guests=(*others, replace(ordinary, hlt_in_guest=True)))


def held_scenarios() -> dict[str, Scenario]:
    """Return the given scenarios by name, each half a second long.

    >>> from kvmlab import capstone
    >>> capstone.held_scenarios()["AMD"].host.vendor
    'amd'
    """
    return {name: make().replace(duration_s=DURATION_S, trace_steps=0) for name, make in GIVEN.items()}


def drawn_guest(draw: random.Random, name: str, cpus: tuple[int, ...]) -> Guest:
    """Return a guest on these pCPUs that polls, or works in bursts; what exits and how it waits is also drawn."""
    polls = draw.random() < 0.4
    hlt, mwait = draw.choice([(False, False), (False, False), (True, False), (True, True)])
    bursts: dict[str, Any] = {"busy_us": draw.choice([100, 300, 1000]), "idle_us": draw.choice([50, 200])}
    workload = Workload(
        tick_hz=draw.choice([250, 1000]),
        waits_by="mwait" if mwait else "hlt",
        nohz_idle=False,
        device_irq_hz=draw.choice([0, 200, 1000]),
        **({} if polls else bursts),
    )
    return Guest(len(cpus), cpus, workload, hlt_in_guest=hlt, mwait_in_guest=mwait, name=name)


def drawn_scenario(draw: random.Random) -> Scenario:
    """Return a host with two to four guests, each on isolated or on housekeeping pCPUs."""
    guests = draw.randint(2, 4)
    isolated = draw.randint(1, guests)  # of the guests, counted from the first
    chores = draw.choice([1, 2])
    first = chores + 2 * (guests - isolated)
    host = Host(
        pcpus=chores + 2 * guests,
        isolated=tuple(range(first, first + 2 * isolated)),
        housekeeping=draw.choice(HOUSEKEEPING_LOADS),
        housekeeping_timer_us=draw.choice([100, 500]),
        loaded=tuple(range(chores)),
        hz=draw.choice([250, 1000]),
    )
    places = [*range(first, first + 2 * isolated), *range(chores, first)]
    return Scenario(
        host,
        tuple(drawn_guest(draw, f"guest {i}", tuple(places[2 * i : 2 * i + 2])) for i in range(guests)),
        kernel=MACHINERY,  # type: ignore[arg-type]
        duration_s=DURATION_S,
        seed=draw.randrange(1 << 32),
        trace_steps=0,
    )


def drawn_scenarios(seed: int, count: int = 6) -> dict[str, Scenario]:
    """Return `count` scenarios drawn at random, by name: one seed, one set.

    `seed`: 0 to 2**32 - 1. `count`: 1 to MOST_DRAWN. ValueError names what is not valid.

    >>> from kvmlab import capstone
    >>> list(capstone.drawn_scenarios(7, count=2))
    ['drawn 1', 'drawn 2']
    """
    draw = random.Random(checks.whole("seed", seed, 0, (1 << 32) - 1))
    return {f"drawn {i}": drawn_scenario(draw) for i in range(1, 1 + checks.whole("count", count, 1, MOST_DRAWN))}


def described(scenarios: Mapping[str, Scenario]) -> pd.DataFrame:
    """Return what each guest is like, and the housekeeping CPUs beside it.

    `scenarios`: by name. Index: scenario, guest. Columns: on (isolated or housekeeping pCPUs), does not exit, waits
    by, tick Hz, housekeeping CPUs. ValueError if `scenarios` is no mapping.

    >>> from kvmlab import capstone
    >>> capstone.described({"ours": capstone.held_scenarios()["three guests"]}).loc["ours", "does not exit"].to_list()
    ['HLT', 'nothing', 'nothing']
    """
    import pandas as pd

    checks.instance("scenarios", scenarios, Mapping)
    rows = {
        (name, guest.name): {
            "on": "isolated" if cpus[0] in scenario.host.isolated else "housekeeping",
            "does not exit": "HLT, MWAIT" if guest.mwait_in_guest else "HLT" if guest.hlt_in_guest else "nothing",
            "waits by": guest.workload.waits_by.upper() if guest.workload.idle_us > 0 else "never waits",
            "tick Hz": int(guest.workload.tick_hz),
            "housekeeping CPUs": scenario.host.housekeeping,
        }
        for name, scenario in scenarios.items()
        for guest, cpus in zip(scenario.guests, scenario.placement, strict=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["scenario", "guest"])


def verdicts(policies: Iterable[str | Policy], scenarios: Mapping[str, Scenario]) -> pd.DataFrame:
    """Return, guest by guest, who fires its timers, what it loses, and the regret of each policy.

    `policies`: names, or functions of VcpuFacts. `scenarios`: by name. Index: scenario, guest, kernel (the policy's
    name). Columns as in `kvmlab.by_guest`, and regret (lost us above the best policy of this table for that guest).
    ValueError names what is not valid.

    >>> import kvmlab as kl
    >>> from kvmlab import capstone
    >>> table = capstone.verdicts(["rev1", "rev3"], {"short": kl.three_guests(duration_s=0.02)})
    >>> list(table.index.names)
    ['scenario', 'guest', 'kernel']
    """
    import pandas as pd

    chosen = list(variants.variants(KERNELS[MACHINERY], policies).values())
    checks.instance("scenarios", scenarios, Mapping)
    if not scenarios:
        raise ValueError("scenarios: {} is not allowed; it must be at least one Scenario by name")
    table = pd.concat({name: compare_guests(s, chosen) for name, s in scenarios.items()}, names=["scenario"])
    best = table.groupby(level=["scenario", "guest"], sort=False)["lost us"].transform("min")
    return table.assign(regret=table["lost us"] - best)


def leaderboard(
    policies: Iterable[str | Policy] = tuple(POLICIES), scenarios: Mapping[str, Scenario] | None = None
) -> pd.DataFrame:
    """Return the policies in order of mean regret, least first.

    `policies`: names, or functions of VcpuFacts; all revisions unless given. `scenarios`: by name; `held_scenarios`
    unless given. Index: policy. Columns: mean regret and worst regret (us of guest time per vCPU per second, over all
    guests), hurt most (the guest with the worst regret and its scenario), deadline exits (mean, per vCPU per second),
    p99 us (mean over guests). ValueError names what is not valid.

    >>> import kvmlab as kl
    >>> from kvmlab import capstone
    >>> board = capstone.leaderboard(["rev1", "rev3"], {"short": kl.three_guests(duration_s=0.02)})
    >>> board.columns[0]
    'mean regret'
    """
    import pandas as pd

    table = verdicts(policies, held_scenarios() if scenarios is None else scenarios)
    groups = table.groupby(level="kernel", sort=False)
    worst = groups["regret"].idxmax()
    board = pd.DataFrame(
        {
            "mean regret": groups["regret"].mean(),
            "worst regret": groups["regret"].max(),
            "hurt most": [f"{guest} ({scenario})" for scenario, guest, _ in worst],
            "deadline exits": groups["deadline exits"].mean(),
            "p99 us": groups["p99 us"].mean(),
        }
    )
    board.loc[board["worst regret"] == 0, "hurt most"] = "nobody"
    return board.rename_axis("policy").sort_values(["mean regret", "worst regret"], kind="stable")
