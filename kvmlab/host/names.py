"""What listings and tables call things: exits by name, MSRs and vectors by number."""

from __future__ import annotations

from collections.abc import Collection

TSC_DEADLINE, TMICT, LVTT, EOI = 0x6E0, 0x838, 0x832, 0x80B
"""MSRs of the LAPIC: IA32_TSC_DEADLINE; x2APIC's initial count, LVT timer, EOI (SDM vol. 3, table 11-6)."""
TIMER_ROWS = frozenset({"0x6e0:W", "0x838:W", "0xfee00380:W"})
"""Rows of perf's MSR and MMIO tables that arm the timer: IA32_TSC_DEADLINE, x2APIC's initial count, and xAPIC's."""
HLT_EXITS = frozenset({"HLT", "hlt", "EXIT_HLT", "idle-halt"})
MWAIT_EXITS = frozenset({"MWAIT_INSTRUCTION", "MWAIT", "mwait", "EXIT_MWAIT"})
WRITE_EXITS = frozenset({"MSR_WRITE", "APIC_WRITE", "APIC_ACCESS", "EPT_MISCONFIG", "msr", "EXIT_MSR", "MSR_WRITE_IMM"})
"""Exits by which a guest arms its timer (`msr`: AMD, which has one exit for reads and writes)."""
IRQ_EXITS = frozenset({"EXTERNAL_INTERRUPT", "interrupt", "EXIT_INTR"})
_SVM_KERNEL = (
    "interrupt nmi smi init vintr cr0_sel_write rdtsc rdpmc pushf popf cpuid rsm iret swint invd pause hlt invlpg "
    "invlpga io msr task_switch ferr_freeze shutdown vmrun hypercall vmmcall vmload vmsave stgi clgi skinit rdtscp "
    "icebp wbinvd monitor mwait xsetbv invpcid buslock idle-halt npf avic_incomplete_ipi "
    "avic_unaccelerated_access vmgexit"
)
_SVM_PLUGIN = (
    "INTR NMI SMI INIT VINTR CR0_SEL_WRITE IDTR_READ GDTR_READ LDTR_READ TR_READ IDTR_WRITE GDTR_WRITE LDTR_WRITE "
    "TR_WRITE RDTSC RDPMC PUSHF POPF CPUID RSM IRET SWINT INVD PAUSE HLT INVLPG INVLPGA IOIO MSR TASK_SWITCH "
    "FERR_FREEZE SHUTDOWN VMRUN VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT RDTSCP ICEBP WBINVD MONITOR MWAIT MWAIT_COND "
    "XSETBV NPF AVIC_INCOMPLETE_IPI AVIC_UNACCELERATED_ACCESS ERR"
)
_EXCEPTIONS = "DE DB BP OF BR UD NM DF TS NP SS GP PF MF AC MC XF"
SVM_EXITS = frozenset(
    [
        *_SVM_KERNEL.split(),
        *(f"EXIT_{name}" for name in _SVM_PLUGIN.split()),
        *(f"{name} excp" for name in _EXCEPTIONS.split()),
        *(f"EXIT_EXCP_{name}" for name in _EXCEPTIONS.split()),
        *(f"{way}_{register}{n}" for way in ("read", "write") for register in ("cr", "dr") for n in range(9)),
        *(f"EXIT_{way}_{register}{n}" for way in ("READ", "WRITE") for register in ("CR", "DR") for n in range(9)),
    ]
)
"""Exits that AMD's SVM has under these names: those of the kernel (arch/x86/include/uapi/asm/svm.h of v7.1), and
those of libtraceevent's kvm plugin (plugins/plugin_kvm.c), which trace-cmd and perf script print instead."""
PVM_EXITS = frozenset({"SYSCALL", "HYPERCALL", "ERETU", "ERETS", "INT80"})
"""Exits that only PVM has under these names (virt-pvm/linux, arch/x86/kvm/pvm/pvm.h, PVM_EXIT_REASONS)."""


def is_amd(exits: Collection[str]) -> bool:
    """Return True if exits have names that only AMD's SVM has; PVM has those of exceptions ("PF excp"), too."""
    found = SVM_EXITS.intersection(exits)
    return bool(found) and not (PVM_EXITS.intersection(exits) and all(name.endswith(" excp") for name in found))
