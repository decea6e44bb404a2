"""Interrupts that end guest mode: their vectors on the host, what the kernel uses them for, and who sends them.

Source: arch/x86/include/asm/irq_vectors.h of v4.15.18, v5.2.1 to v5.14.2, v6.8, v6.13 and v7.1; where only one of them
has a vector, the release stands with it. Vectors below 0xeb are devices' (FIRST_EXTERNAL_VECTOR is 0x20).
"""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.host.formats.events import Event
from kvmlab.host.names import IRQ_EXITS

THIS_CPU, OTHER_CPU, DEVICE, HYPERVISOR, ANY = (
    "this CPU",
    "another CPU",
    "a device",
    "a hypervisor below the host",
    "this or another CPU",
)
"""Who sends an interrupt."""
SYSTEM_VECTORS: dict[int, tuple[str, str]] = {
    0xFF: ("SPURIOUS_APIC_VECTOR", THIS_CPU),
    0xFE: ("ERROR_APIC_VECTOR", THIS_CPU),
    0xFD: ("RESCHEDULE_VECTOR", OTHER_CPU),
    0xFC: ("CALL_FUNCTION_VECTOR", OTHER_CPU),
    0xFB: ("CALL_FUNCTION_SINGLE_VECTOR", OTHER_CPU),
    0xFA: ("THERMAL_APIC_VECTOR", THIS_CPU),
    0xF9: ("THRESHOLD_APIC_VECTOR", THIS_CPU),
    0xF8: ("REBOOT_VECTOR", OTHER_CPU),
    0xF7: ("X86_PLATFORM_IPI_VECTOR", OTHER_CPU),
    0xF6: ("IRQ_WORK_VECTOR", ANY),
    0xF5: ("UV_BAU_MESSAGE, or from v7.1 on PERF_GUEST_MEDIATED_PMI_VECTOR", ANY),
    0xF4: ("DEFERRED_ERROR_VECTOR", THIS_CPU),
    0xF3: ("HYPERVISOR_CALLBACK_VECTOR", HYPERVISOR),
    0xF2: ("POSTED_INTR_VECTOR", ANY),
    0xF1: ("POSTED_INTR_WAKEUP_VECTOR", ANY),
    0xF0: ("POSTED_INTR_NESTED_VECTOR", ANY),
    # v4.14 and older: no interrupt is sent to MANAGED_IRQ_SHUTDOWN_VECTOR, which has 0xef since v4.15.
    0xEF: ("LOCAL_TIMER_VECTOR, up to v4.14", THIS_CPU),
    0xEE: ("LOCAL_TIMER_VECTOR of v4.15, or later HYPERV_REENLIGHTENMENT_VECTOR", THIS_CPU),
    0xED: ("HYPERV_STIMER0_VECTOR", HYPERVISOR),
    0xEC: ("LOCAL_TIMER_VECTOR", THIS_CPU),
    0xEB: ("POSTED_MSI_NOTIFICATION_VECTOR (from v6.10 on, else a device's)", DEVICE),
}
"""Vector -> its name and who sends it."""
LOCAL_TIMER_VECTOR = 0xEC
"""Host vector of its local APIC timer, from v4.17 on [memory: 0xed in v4.16]."""
_OLDER_TIMER_VECTORS = frozenset({LOCAL_TIMER_VECTOR, 0xEF, 0xEE})
_VALID = 1 << 31
_KIND = 7 << 8
"""Bits of the interruption information; kind 0 is an external interrupt (SDM vol. 3, table 24-15)."""


def is_local_timer(vector: int | None, *, modern: bool) -> bool:
    """Return True if a vector is that of the host's local APIC timer; `modern`: the kernel is v5.10 or newer."""
    return vector == LOCAL_TIMER_VECTOR if modern else vector in _OLDER_TIMER_VECTORS


@dataclass
class ExitVectors:
    """Reads the vectors of a listing's interrupt exits.

    From v5.10 on kvm_exit has a field of its own, intr_info. Before, the second of its two infos is the interruption
    information (vmx_get_exit_info of v5.8.18); from then on it is what was being delivered at the exit (v5.11.4), which
    libtraceevent's plugin still prints in the same place. An interrupt exit whose second info is not valid tells these
    apart: from there on it is not read.
    """

    modern: bool = False
    """kvm_exit is printed as from v5.10 on."""
    no_vector_in_info2: bool = False
    """The second info is not the interruption information, or the host has AMD's exits, which show no vector."""

    def of(self, event: Event) -> int | None:
        """Return the vector of a kvm_exit; None for another exit, and where it is not shown."""
        info = event.fields.get("intr_info")
        self.modern |= info is not None
        if event.reason not in IRQ_EXITS:
            return None
        if info is None:
            info = event.fields.get("info2")
            self.no_vector_in_info2 |= not _is_external(info)
            if self.no_vector_in_info2:
                return None
        return info & 0xFF if isinstance(info, int) and _is_external(info) else None


def _is_external(info: object) -> bool:
    """Return True if this is valid interruption information of an external interrupt."""
    return isinstance(info, int) and bool(info & _VALID) and not info & _KIND
