"""The lab: every control at once, presets, and a state that can be shared."""

from __future__ import annotations

from typing import Any

from kvmlab.lab.panels.controls import Value
from kvmlab.lab.panels.counts import Counts
from kvmlab.lab.panels.simulation import GROUPS, HOST
from kvmlab.lab.panels.state import read_state, state_text
from kvmlab.policy import Policy

PRESETS: dict[str, dict[str, Value]] = {
    "dedicated instance": {"hlt_in_guest": True},
    "mixed host": {"vcpus_on": "housekeeping pCPUs", "housekeeping_cpus": 2},
    "DPDK-like poller": {"guest": "polls between bursts", "housekeeping": "timers"},
    "cpu-pm guest on housekeeping CPUs": {
        "vcpus_on": "housekeeping pCPUs",
        "hlt_in_guest": True,
        "mwait_in_guest": True,
        "guest": "halts between bursts",
    },
    "database with halts": {"guest": "halts between bursts", "device_irq_hz": 1000},
}
"""Hosts and guests as one meets them: what differs from the defaults."""
COLUMNS = ("exits", "latency", "taken")


class Lab(Counts):
    """The panel that `lab_panel` makes."""

    @property
    def state(self) -> str:
        """The settings as text that can be shared; setting it moves the controls. ValueError as `read_state` raises."""
        return state_text(self.settings)

    @state.setter
    def state(self, text: str) -> None:
        self.settings = read_state(text)


def lab_panel(my_policy: Policy | None = None, **settings: Value) -> Lab:
    """Return the lab: every control, exits and latency of every revision, presets (`PRESETS`), a state to share.

    - `my_policy`: a reader's own policy, a function of VcpuFacts that answers True or False; it runs beside the
      revisions. `lab.policy = other` takes another one.
    - settings: as `defaults` lists them; without any the first preset.

    ValueError if the policy fails on one of the 32 inputs or has a revision's name, or if a setting is not allowed.

    >>> from kvmlab import panels
    >>> def mine(v):
    ...     return v.apicv_active and not v.housekeeping_cpu
    >>> lab = panels.lab_panel(mine)
    >>> lab.settings = panels.PRESETS["mixed host"]
    >>> lab.state
    'housekeeping_cpus=2 vcpus_on=housekeeping_pCPUs hlt_in_guest=1'
    """
    options: dict[str, Any] = {"columns": COLUMNS, "presets": PRESETS, "groups": list(GROUPS.items())}
    return Lab("lab", HOST, settings or next(iter(PRESETS.values())), options, my_policy)
