"""A kernel: one policy and the machinery around it, which follows from the release.

Sources: lapic.c, vmx.c, x86.c, hrtimer.c and sched/core.c of the releases named at each field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

from kvmlab import policy
from kvmlab.policy import Policy

RELEASE = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?=[.+]|$)")
"""What begins the name of a release: its first two numbers."""
STABLE = re.compile(r"v?\d+\.\d+\.(\d+)")
"""What begins the name of a stable release: its third number."""


class ArmFastpath(IntEnum):
    """When a write of MSR TSC_DEADLINE takes the fast path."""

    NEVER = 0
    HV_ONLY = 1
    """Only if the hv timer may be used."""
    ALWAYS = 2


class AdvanceRule(IntEnum):
    """Generations of the rule that tunes lapic_timer_advance_ns, by the release that brought them."""

    V5_2 = 0
    V5_3 = 1
    V5_8 = 2


OLDEST, NEWEST = "v5.2", "v7.1"
"""The releases between which `release` knows the machinery: the oldest and the newest whose sources were read. They
stand in `KERNELS` too."""

UINT_MAX = (1 << 32) - 1
"""The largest value of KVM's module parameter halt_poll_ns_shrink, a uint."""
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "str": (lambda value: isinstance(value, str), "a text"),
    "Policy": (callable, "a function of VcpuFacts"),
    "bool": (lambda value: isinstance(value, bool), "True or False"),
    "int": (lambda value: type(value) is int and 0 <= value <= UINT_MAX, f"an integer from 0 to {UINT_MAX}"),
    "ArmFastpath": (lambda value: isinstance(value, ArmFastpath), "an ArmFastpath"),
    "AdvanceRule": (lambda value: isinstance(value, AdvanceRule), "an AdvanceRule"),
}
"""What the fields of a `Kernel` may be, by their annotation."""


@dataclass(frozen=True)
class Kernel:
    """One policy and the machinery around it. The rules are given it as `kvmlab.model.records.Machinery`."""

    name: str
    """What tables and pictures call it."""
    policy: Policy
    """Who may post: see `kvmlab.policy`."""
    hrtimer_pinned: bool
    """LAPIC hrtimers stay on the pCPU that armed them: v4.6 to v5.2 (61abdbe0bcc2), no more from v5.3 on."""
    arm_fastpath: ArmFastpath
    """NEVER to v5.3, HV_ONLY v5.8 to v6.17, ALWAYS from v6.18 (0a94b2042419)."""
    expiry_fastpath: bool
    """PREEMPTION_TIMER exits have a fast path, and an expiry in the vCPU's own context is injected directly: from v5.8
    (26efe2fd92e5)."""
    rearm_after_block: bool
    """Every block ends with kvm_lapic_switch_to_hv_timer, hv timer in use or not, if the vendor code has a set_hv_timer
    operation: up to v5.16 (vmx_post_block, vmx.c)."""
    advance_rule: AdvanceRule
    """How adjust_lapic_timer_advance() tunes the advance."""
    tunes_before_wait: bool
    """kvm_wait_lapic_expire() tunes the advance before it waits, no longer after: from v5.13 on (9805cf03fdb6)."""
    hv_expiry_waits: bool
    """After the preemption timer, which is set early by the advance, the host waits for the true deadline of one-shot
    and periodic timers too: from v5.13 and stable 5.10.38, 5.11.22, 5.12.5 [derived] on (d981dd15498b)."""
    skips_missed_periods: bool
    """A periodic timer whose next deadline is past already is due now, and does not catch up with what it missed: from
    v6.19 [derived] and stable 6.12.64 on (18ab3fc8e880, read in 7.1.3; other stable kernels of 2026 took it too)."""
    searches_all_cpus: bool
    """get_nohz_timer_target() looks at every CPU of each scheduler domain, not at housekeeping CPUs alone: up to v5.5
    (e938b9c94164; sched/core.c)."""
    nearest_any_cpu: bool
    """housekeeping_any_cpu() looks for the nearest NUMA node first: from v5.4 on (e0e8d4911ed2; isolation.c)."""
    keeps_first_local: bool
    """An hrtimer that its own CPU starts again while the event timer is set for it stays there, without a search: from
    v5.15 on (force_local, __hrtimer_start_range_ns, hrtimer.c: not in 5.14.2, in 5.15.16 to 6.13.7; 7.1.3:
    hrtimer_prefer_local) and stable 5.13.17 (its review mail of 13 September 2021), 5.14.4, 5.10.65 [memory] on."""
    deferred_rearm: bool
    """hrtimer_interrupt() leaves the clock event device and expires_next to the end of the interrupt: from v7.1 on
    (HRTIMER_REARM_DEFERRED, hrtimer.c: not in 6.13.7, in 7.1.3)."""
    halt_poll_ns_shrink: int
    """kvm.halt_poll_ns_shrink as released: 0 to v6.10, 2 from v6.11 on (aeb1b22a3ac8; kvm_main.c). 0: polling that was
    in vain ends; else it is divided by that."""
    counts_fastpath_exits: bool
    """KVM's counter ``exits`` includes fast-path exits: from v6.4 and stable 6.3.7, 6.1.33, 5.15.116 on (8b703a49c9df,
    vcpu_enter_guest, x86.c). The back-port to 5.10.y put the line into kvm_msr_allowed(), where it counts none.
    Recorded: 5.10.262 does not count them, 6.1.176 does."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (allowed, must) = getattr(self, field.name), KINDS[str(field.type)]
            if not allowed(value):
                huge = isinstance(value, int) and abs(value) >> 64
                shown = "a number of very many digits" if huge else repr(value)
                raise ValueError(f"Kernel.{field.name}: {shown} is not allowed; it must be {must}")

    def with_policy(self, name: str, other: Policy) -> Kernel:
        """Return the same machinery under another policy, called `name`."""
        return replace(self, name=name, policy=other)


def parse_release(release: str) -> tuple[int, int]:
    """Return the major and minor number of a release such as "v5.13" or "6.1.176"; ValueError if it is not one."""
    found = RELEASE.match(release) if isinstance(release, str) else None
    if not found:
        raise ValueError(f"release: {release!r} is not allowed; it must be major.minor, such as v5.13 or 6.1.176")
    return int(found[1]), int(found[2])


def stable_number(release: str) -> int:
    """Return the third number of a stable release such as "6.1.176" or "6.1.176-amd64"; 0 without one."""
    found = STABLE.match(release)
    return int(found[1]) if found else 0


def has_patch(release: str, upstream: tuple[int, int], stable: Mapping[tuple[int, int], int]) -> bool:
    """Return True if a release has a patch that came upstream with `upstream` and was back-ported to stable kernels.

    `stable`: for each major.minor that took it, the first stable number that has it. Raises ValueError if `release` is
    no release.
    """
    at = parse_release(release)
    return at >= upstream or (at in stable and stable_number(release) >= stable[at])


def nearest_known(version: str) -> str:
    """Return a release if it lies between `OLDEST` and `NEWEST`, else the one of the two that is nearer to it.

    Raises ValueError if `version` is no release.

    >>> nearest_known("6.1.176"), nearest_known("4.18.0-553.el8"), nearest_known("7.4.2")
    ('6.1.176', 'v5.2', 'v7.1')
    """
    at = parse_release(version)
    return OLDEST if at < parse_release(OLDEST) else NEWEST if at > parse_release(NEWEST) else version


def release(version: str, rule: Policy, name: str | None = None) -> Kernel:
    """Return the kernel of release `version` (as `parse_release` takes it) under the policy `rule`.

    `name`: what tables call it; None: `version`. Raises ValueError if `version` is no release, and if it is older than
    `OLDEST` or newer than `NEWEST`: what such a kernel does was not read.

    >>> release("v6.18", policy.rev3).arm_fastpath
    <ArmFastpath.ALWAYS: 2>
    """
    if nearest_known(version) != version:
        raise ValueError(
            f"release: {version!r} is not allowed; it must be from {OLDEST} to {NEWEST}, others are not known"
        )
    at = parse_release(version)
    return Kernel(
        name=name or version,
        policy=rule,
        hrtimer_pinned=at < (5, 3),
        arm_fastpath=ArmFastpath.NEVER if at < (5, 8) else ArmFastpath.HV_ONLY if at < (6, 18) else ArmFastpath.ALWAYS,
        expiry_fastpath=at >= (5, 8),
        rearm_after_block=at < (5, 17),
        advance_rule=AdvanceRule.V5_2 if at < (5, 3) else AdvanceRule.V5_3 if at < (5, 8) else AdvanceRule.V5_8,
        tunes_before_wait=at >= (5, 13),
        hv_expiry_waits=has_patch(version, (5, 13), {(5, 10): 38, (5, 11): 22, (5, 12): 5}),
        skips_missed_periods=has_patch(version, (6, 19), {(6, 12): 64}),
        searches_all_cpus=at < (5, 6),
        nearest_any_cpu=at >= (5, 4),
        keeps_first_local=has_patch(version, (5, 15), {(5, 10): 65, (5, 13): 17, (5, 14): 4}),
        deferred_rearm=at >= (7, 1),
        halt_poll_ns_shrink=0 if at < (6, 11) else 2,
        counts_fastpath_exits=has_patch(version, (6, 4), {(5, 15): 116, (6, 1): 33, (6, 3): 7}),
    )


KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        release("v5.2", policy.before),
        release("v5.3", policy.rev1),
        release("v5.13", policy.rev1),
        release("v5.15", policy.rev2, name="v5.15+rev2"),
        release("v5.18", policy.rev3),
        release("v6.18", policy.rev3),
        release("v7.1", policy.rev3),
    )
}
"""The seven kernels of the course. Rev 3 is in upstream v5.18 (and stable kernels), not in v5.17."""


def find(kernel: str | Kernel) -> Kernel:
    """Return the kernel of `KERNELS` with that name, or the Kernel itself; ValueError lists the known names."""
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str) or kernel not in KERNELS:
        raise ValueError(f"kernel: {kernel!r} is not allowed; it must be one of {', '.join(KERNELS)}")
    return KERNELS[kernel]
