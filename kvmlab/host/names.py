"""What listings and tables call things: exits by name, MSRs and vectors by number."""

from __future__ import annotations

TSC_DEADLINE, TMICT, LVTT, EOI = 0x6E0, 0x838, 0x832, 0x80B
"""MSRs of the LAPIC: IA32_TSC_DEADLINE; x2APIC's initial count, LVT timer, EOI (SDM vol. 3, table 11-6)."""
LOCAL_TIMER_VECTOR = 0xEC
"""Host vector of its local APIC timer (arch/x86/include/asm/irq_vectors.h)."""
HLT_EXITS = frozenset({"HLT", "hlt", "EXIT_HLT"})
MWAIT_EXITS = frozenset({"MWAIT_INSTRUCTION", "MWAIT", "mwait", "EXIT_MWAIT"})
WRITE_EXITS = frozenset({"MSR_WRITE", "APIC_WRITE", "APIC_ACCESS", "EPT_MISCONFIG", "msr", "EXIT_MSR", "MSR_WRITE_IMM"})
"""Exits by which a guest arms its timer (`msr`: AMD, which has one exit for reads and writes)."""
IRQ_EXITS = frozenset({"EXTERNAL_INTERRUPT", "interrupt", "EXIT_INTR"})
SVM_EXITS = frozenset({"msr", "interrupt", "hlt", "npf", "cpuid", "vintr", "vmmcall"})
"""Exits that only AMD's SVM has under these names."""
