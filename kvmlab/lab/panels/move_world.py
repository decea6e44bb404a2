"""The world of the move: one timer, armed on one pCPU, that expires when its vCPU has moved to another.

Which way the timer takes is the model's; here stands which of its steps asks the policy, and in which words it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.controls import Control, Need, Settings, choice, switch
from kvmlab.lab.panels.decision_chart import ENDS
from kvmlab.lab.panels.world import World
from kvmlab.model.names import Place
from kvmlab.policy import POLICIES, REVISIONS
from kvmlab.results.follow import mean_costs
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import Host
from kvmlab.scenario.scenario import Scenario

KERNEL_OF = {
    name: next(kernel.name for kernel in KERNELS.values() if kernel.policy is policy)
    for name, policy in POLICIES.items()
}
"""The first kernel of the course that has a revision."""
KINDS = ("isolated", "housekeeping")
FROM_CPU = {"isolated": 4, "housekeeping": 2}
TO_CPU = {"isolated": 5, "housekeeping": 3}
MOVES_AT_MS, DEADLINE_US = 2.0, 3500.0
"""Both lie between two ticks of the host, so that no tick takes the vCPU out of its guest meanwhile."""
DURATION_S = 0.0039
TRACE_STEPS = 200

CONTROLS: Mapping[str, Control] = {
    "revision": choice("policy", list(REVISIONS), "rev2", "buttons"),
    "from_cpu": choice("from", list(KINDS), "housekeeping", "buttons"),
    "to_cpu": choice("to", list(KINDS), "isolated", "buttons"),
    "mwait_in_guest": switch("MWAIT does not exit", False),
    "hlt_in_guest": switch("HLT does not exit", False, (
        Need((("revision", ("rev3",)),), "no effect: only rev3 asks for it", True),
    )),
}  # fmt: skip


def scenario_of(settings: Settings) -> Scenario:
    """Return the host of lesson 05 and a guest that arms one timer and is moved before the deadline."""
    host = Host(pcpus=8, isolated=(4, 5, 6, 7), housekeeping="timers", housekeeping_timer_us=200, loaded=(0, 1))
    guest = Guest(
        pcpus=(FROM_CPU[str(settings["from_cpu"])], TO_CPU[str(settings["to_cpu"])]),
        moves_every_ms=MOVES_AT_MS,
        boot_us=0,
        hlt_in_guest=bool(settings["hlt_in_guest"]),
        mwait_in_guest=bool(settings["mwait_in_guest"]),
        workload=Workload(tick_hz=0, timer_us=DEADLINE_US, timers=1),
    )
    return Scenario(
        host,
        (guest,),
        kernel=KERNEL_OF[str(settings["revision"])],  # type: ignore[arg-type]
        costs=mean_costs(),
        duration_s=DURATION_S,
        trace_steps=TRACE_STEPS,
    )


MOVE = World(
    CONTROLS,
    scenario_of,
    joint=("from_cpu", "to_cpu"),
    constant={"costs": "mean_costs", "exponential": "exponential"},
)

END_OF = {Place.HV: "hv", Place.OWN: "local", Place.KICKED: "kicked", Place.POSTED: "posted"}
"""The end of the flow chart that an expiry comes to."""
BEATS: Mapping[str, str] = {
    "start": "The vCPU runs on {from}. Its guest is about to arm a timer. Step on, or play.",
    "arm": "The guest writes its deadline: an exit. KVM has to choose who fires the timer.",
    "ask_arm": "First question: may it use the preemption timer? Only if it is not eligible for posting.",
    "mwait_arm": "MWAIT does not exit, so there is no preemption timer. The policy is not asked.",
    "hv": "The preemption timer is armed, in {timer}.",
    "hrtimer": "An hrtimer is queued on {timer}.",
    "load": "The scheduler moves the vCPU to {to}. The field still names the old pCPU.",
    "ask_load": "The preemption timer is in use, so it is restarted here, and KVM asks again: about the old pCPU.",
    "no_load": "No preemption timer is in use: nothing is restarted, nobody asks.",
    "hv_again": "The preemption timer is armed again, now in {timer}.",
    "write": "Only now the new pCPU is written into the field.",
    "ask_migrate": "Before the vCPU enters its guest, the hrtimer is to be brought along, unless it is eligible.",
    "migrate": "Before the vCPU enters its guest, the hrtimer is to be brought along.",
    "stays": "Eligible: the hrtimer stays on {timer}.",
    "along": "The hrtimer comes along, to {timer}.",
    "none": "No hrtimer is queued, so there is nothing to bring along.",
    "enter": "The vCPU is in its guest again.",
    "hv_fires": "The deadline: the preemption timer throws the vCPU out. Nobody asks.",
    "hrtimer_fires": "The deadline: the hrtimer fires on {timer}.",
    "ask_expiry": "How to deliver? KVM asks once more.",
    "posted": "The interrupt is posted: the vCPU takes it without an exit.",
    "out": "The host's timer interrupt has thrown the vCPU out of its guest: too late to post.",
    "kicked": "Not eligible: the expiry is noted as pending, and an IPI makes the vCPU leave its guest.",
    "handler": "The guest's handler runs. The expiry has cost {cost}.",
}
"""What is told of each beat; {from}, {to}, {timer} (pCPUs) and {cost} are filled in."""
FUNCTIONS: Mapping[str, str] = {
    "arm": "start_apic_timer",
    "ask_arm": "kvm_can_use_hv_timer",
    "mwait_arm": "kvm_can_use_hv_timer",
    "hv": "start_hv_timer",
    "hrtimer": "start_sw_timer",
    "load": "kvm_arch_vcpu_load",
    "ask_load": "kvm_lapic_restart_hv_timer",
    "no_load": "kvm_arch_vcpu_load",
    "hv_again": "start_hv_timer",
    "write": "kvm_arch_vcpu_load",
    "ask_migrate": "__kvm_migrate_apic_timer",
    "migrate": "__kvm_migrate_apic_timer",
    "stays": "__kvm_migrate_apic_timer",
    "along": "hrtimer_start",
    "none": "__kvm_migrate_apic_timer",
    "enter": "vcpu_enter_guest",
    "hv_fires": "handle_preemption_timer",
    "hrtimer_fires": "apic_timer_fn",
    "ask_expiry": "kvm_use_posted_timer_interrupt",
    "posted": "apic_timer_expired",
    "out": "apic_timer_expired",
    "kicked": "apic_timer_expired",
}
"""The kernel's function of each beat (names as from v5.8 on)."""


def move_data() -> dict[str, Any]:
    """Return what the browser tells a move with.

    Keys: beats, functions, ends (by number of the place), kinds, from and to (pCPU by kind), asks (revisions that have
    a policy to ask), until_ns.
    """
    return {
        "beats": dict(BEATS),
        "functions": dict(FUNCTIONS),
        "ends": {int(place): {"says": ENDS[name].says, "exit": ENDS[name].exit} for place, name in END_OF.items()},
        "kinds": list(KINDS),
        "from": FROM_CPU,
        "to": TO_CPU,
        "asks": [name for name in REVISIONS if name != "before"],
        "until_ns": round(DURATION_S * 1e9),
    }
