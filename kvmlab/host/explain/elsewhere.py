"""What the names in a recording say of a machine whose timers work in another way, one sentence each."""

from __future__ import annotations

from collections.abc import Collection

from kvmlab.host.names import PVM_EXITS, is_amd

AMD = "Exits have AMD's names: AMD has no preemption timer, so hrtimers fire all timers; APICv stands for AVIC here."
ARM64 = (
    "Exits have arm64's names: there the guest has the architected timer, not a LAPIC timer, and none of the revisions "
    "applies."
)
PVM = (
    "Exits have PVM's names (kvm-pvm, without VMX or SVM below it): there is no preemption timer and no APICv, so no "
    "revision posts."
)
STIMER = (
    "The guest uses Hyper-V's synthetic timer (stimer): KVM fires it by an hrtimer of its own (kvm_hv_stimer_*), which "
    "no revision concerns, and which is not counted among the LAPIC timers here."
)

ARM64_EXITS = frozenset({
    "WFx", "DABT_LOW", "IABT_LOW", "HVC64", "SMC64", "SYS64", "CP15_32", "CP15_64", "FP_ASIMD", "EL1_SERROR",
})  # fmt: skip
"""Exits that only arm64 has under these names (arch/arm64/include/asm/kvm_arm.h, kvm_arm_exception_class)."""
STIMER_EVENTS = "kvm_hv_stimer_"
"""How the trace events of stimers begin (arch/x86/kvm/trace.h)."""
STIMER_MSRS = frozenset(f"0x{msr:x}:W" for msr in range(0x4000_00B0, 0x4000_00B8))
"""Rows of perf's MSR table: HV_X64_MSR_STIMER0_CONFIG to HV_X64_MSR_STIMER3_COUNT."""


def other_machines(rows: Collection[str], events: Collection[str] = ()) -> list[str]:
    """Return the sentences that apply. `rows`: names of exits, or rows of another table; `events`: trace events."""
    names = set(rows)
    found = [
        (AMD, is_amd(names)),
        (ARM64, names & ARM64_EXITS),
        (PVM, names & PVM_EXITS),
        (STIMER, names & STIMER_MSRS or any(event.startswith(STIMER_EVENTS) for event in events)),
    ]
    return [sentence for sentence, shown in found if shown]


def has_no_lapic_timer(rows: Collection[str]) -> str:
    """Return the sentence for a machine to which the revisions do not apply at all; "" for all others."""
    return ARM64 if set(rows) & ARM64_EXITS else ""
