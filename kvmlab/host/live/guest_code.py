"""The guest: less than 200 bytes of machine code, and the tables it needs, laid out in its memory from outside.

It runs in 64-bit mode with interrupts off, except where it waits. Its local APIC is in x2APIC mode, so that every
access is a WRMSR. It has no operating system, and does nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

LISTING = """
start:
    b9 0f 08 00 00      mov ecx, 0x80f        # SVR: the local APIC is on, its spurious vector is 0xff
    b8 ff 01 00 00      mov eax, 0x1ff
    31 d2               xor edx, edx
    0f 30               wrmsr
    b9 3e 08 00 00      mov ecx, 0x83e        # TDCR: divide the bus clock by 1
    b8 0b 00 00 00      mov eax, 0xb
    0f 30               wrmsr
    b9 32 08 00 00      mov ecx, 0x832        # LVTT: timer mode and vector
    89 e8               mov eax, ebp
    0f 30               wrmsr
next:
    ff d7               call rdi              # arm the timer; r9 becomes the deadline
    ff d6               call rsi              # wait; the handler returns from here
    49 ff cb            dec r11
    75 f7               jnz next
    e6 10               out 0x10, al          # all timers have fired: KVM_RUN comes back
    eb f3               jmp next              # as many again, if r11 was set again
arm_tsc_deadline:
    0f 31               rdtsc                 # edx:eax, the time of arming
    48 c1 e2 20         shl rdx, 32
    4c 8d 0c 02         lea r9, [rdx + rax]
    4d 01 c1            add r9, r8            # deadline: one period later
    44 89 c8            mov eax, r9d          # edx:eax, as WRMSR wants it
    4c 89 ca            mov rdx, r9
    48 c1 ea 20         shr rdx, 32
    b9 e0 06 00 00      mov ecx, 0x6e0        # IA32_TSC_DEADLINE
    0f 30               wrmsr
    c3                  ret
arm_periodic:
    4d 01 c1            add r9, r8            # it runs by itself: the next deadline is one period after the last
    4d 85 ed            test r13, r13
    75 1c               jnz armed
    49 ff c5            inc r13               # only the first time: arm it
arm_oneshot:
    0f 31               rdtsc
    48 c1 e2 20         shl rdx, 32
    4c 8d 0c 02         lea r9, [rdx + rax]
    4d 01 c1            add r9, r8            # deadline: counted from just before the write
    44 89 e0            mov eax, r12d         # the period in counts of the bus clock
    31 d2               xor edx, edx
    b9 38 08 00 00      mov ecx, 0x838        # TMICT: the initial count
    0f 30               wrmsr
armed:
    c3                  ret
wait_hlt:
    fb                  sti                   # lets interrupts in, but only after the next instruction: none is lost
    f4                  hlt
    eb fc               jmp wait_hlt          # woken by something else
wait_pause:
    fb                  sti
pausing:
    f3 90               pause
    eb fc               jmp pausing
wait_spin:
    fb                  sti
spinning:
    eb fe               jmp spinning
timer:
    0f 31               rdtsc                 # the time in the handler, first of all
    48 c1 e2 20         shl rdx, 32
    48 09 d0            or rax, rdx
    49 89 02            mov [r10], rax
    4d 89 4a 08         mov [r10 + 8], r9     # its deadline
    49 83 c2 10         add r10, 16
    b9 0b 08 00 00      mov ecx, 0x80b        # EOI
    31 c0               xor eax, eax
    31 d2               xor edx, edx
    0f 30               wrmsr
    48 8b 64 24 18      mov rsp, [rsp + 24]   # drop the interrupt's frame: no IRET to the waiting loop,
    c3                  ret                   # but back to who called it, with interrupts off
fault:
    e6 11               out 0x11, al          # an exception: KVM_RUN comes back
"""
"""Bytes, instruction (as GNU as takes it, Intel syntax; a test assembles it and compares), and why.

In: r8 the period in TSC cycles, r10 where to write, r11 how many timers, r12 the period in bus cycles, r13 zero, ebp
what goes into LVTT, rdi how to arm, rsi how to wait. Out: two 64-bit numbers per timer, RDTSC in the handler and the
deadline.
"""

PORT_DONE, PORT_FAULT = 0x10, 0x11
"""The ports that the guest writes to when all timers have fired, and after an exception."""
TIMER_VECTOR = 0xEC
"""Linux' LOCAL_TIMER_VECTOR."""
LVTT_MODES = {"oneshot": 0 << 17, "periodic": 1 << 17, "tsc_deadline": 2 << 17}
"""Timer mode in LVTT[18:17]."""
WAITS = ("hlt", "pause", "spin")
BUS_CYCLE_NS = 1
"""KVM's local APIC timer counts once a ns (APIC_BUS_CYCLE_NS)."""

PAGE = 0x1000
PML4, PDPT, PAGE_DIRECTORY, GDT, IDT, CODE, STACK, SAMPLES = (n * PAGE for n in (1, 2, 3, 4, 5, 6, 7, 16))
STACK_TOP = STACK + PAGE
LARGE_PAGE = 1 << 21
MAX_MEMORY = 512 * LARGE_PAGE
"""What one page directory maps."""
CODE_SELECTOR, DATA_SELECTOR = 0x08, 0x10
DESCRIPTORS = (0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF)
"""Null, 64-bit code, data; flat, ring 0."""
SAMPLE_BYTES = 16


def instructions() -> Iterator[tuple[str, bytes, str]]:
    """Yield the listing: (label, b"", "") for a label, else ("", bytes, instruction)."""
    for line in LISTING.strip().splitlines():
        text = line.partition("#")[0].rstrip()
        if text.endswith(":"):
            yield text[:-1], b"", ""
        else:
            machine_code, instruction = text.strip().split("  ", 1)
            yield "", bytes.fromhex(machine_code), instruction.strip()


def assembled() -> tuple[bytes, dict[str, int]]:
    """Return the machine code, and the address of each label in the guest."""
    code, labels = b"", {}
    for label, machine_code, _ in instructions():
        if label:
            labels[label] = CODE + len(code)
        code += machine_code
    return code, labels


def gate(handler: int) -> bytes:
    """Return a 64-bit interrupt gate of the IDT: ring 0, interrupts off in the handler."""
    return struct.pack("<HHHHII", handler & 0xFFFF, CODE_SELECTOR, 0x8E00, handler >> 16 & 0xFFFF, handler >> 32, 0)


def memory_size(timers: int) -> int:
    """Return the bytes of memory for the samples of `timers` timers, in whole large pages."""
    return -(-(SAMPLES + timers * SAMPLE_BYTES) // LARGE_PAGE) * LARGE_PAGE


def memory_parts(size: int) -> dict[int, bytes]:
    """Return what the guest's memory holds at the start: address -> bytes. Identity-mapped by large pages."""
    code, labels = assembled()
    vectors = {TIMER_VECTOR: labels["timer"], **dict.fromkeys(range(32), labels["fault"])}
    table = b"".join(gate(vectors[n]) if n in vectors else bytes(16) for n in range(256))
    large_pages = [address | 0x83 for address in range(0, size, LARGE_PAGE)]  # present, writable, large
    return {
        PML4: struct.pack("<Q", PDPT | 3),
        PDPT: struct.pack("<Q", PAGE_DIRECTORY | 3),
        PAGE_DIRECTORY: struct.pack(f"<{len(large_pages)}Q", *large_pages),
        GDT: struct.pack(f"<{len(DESCRIPTORS)}Q", *DESCRIPTORS),
        IDT: table,
        CODE: code,
    }


def samples(memory: bytes, timers: int) -> npt.NDArray[np.uint64]:
    """Return what the guest wrote: shape (timers, 2), uint64; RDTSC in the handler, and the deadline."""
    return np.frombuffer(memory, dtype="<u8", count=2 * timers, offset=SAMPLES).reshape(timers, 2).copy()
