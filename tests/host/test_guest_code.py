"""The guest's memory, byte by byte: tables as the processor reads them (Intel's manual), and what the guest writes."""

from __future__ import annotations

import struct

import pytest

from kvmlab.host.live import guest_code

PAGE = 4096
LARGE = 2 * 1024 * 1024
PARTS = guest_code.memory_parts(3 * LARGE)
LABELS = guest_code.assembled()[1]


def words(address):
    part = PARTS[address]
    return struct.unpack(f"<{len(part) // 8}Q", part)


def test_each_table_has_a_page_of_its_own():
    assert sorted(PARTS) == [1 * PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE, 6 * PAGE]
    assert guest_code.STACK_TOP == 8 * PAGE
    assert guest_code.SAMPLES == 16 * PAGE


def test_page_tables_map_each_address_to_itself():
    """Bit 0 is present, bit 1 writable, bit 7 a page of 2 MiB."""
    assert words(1 * PAGE) == (2 * PAGE | 0b11,)
    assert words(2 * PAGE) == (3 * PAGE | 0b11,)
    assert words(3 * PAGE) == (0x000083, 0x200083, 0x400083)


def test_segments_are_flat_and_of_ring_0():
    """Base 0, limit 0xfffff pages; present, and accessed, so that the processor need not write them."""
    null, code, data = words(4 * PAGE)
    assert null == 0
    for descriptor in (code, data):
        assert descriptor & 0xFFFF == 0xFFFF
        assert descriptor >> 16 & 0xFFFFFF == descriptor >> 56 == 0
        assert descriptor >> 48 & 0xF == 0xF
        assert descriptor >> 45 & 0b11 == 0
    assert (code >> 40 & 0xFF, code >> 52 & 0xF) == (0x9B, 0b1010)  # execute and read; G, L
    assert (data >> 40 & 0xFF, data >> 52 & 0xF) == (0x93, 0b1100)  # read and write; G, D
    assert (guest_code.CODE_SELECTOR, guest_code.DATA_SELECTOR) == (8, 16)


def test_exceptions_and_the_timer_have_gates_and_no_other_vector_has():
    table = PARTS[5 * PAGE]
    assert len(table) == 256 * 16
    gates = {vector: table[16 * vector :][:16] for vector in range(256)}
    used = {vector for vector, gate in gates.items() if any(gate)}
    assert used == {*range(32), 0xEC}
    for vector in used:
        low, selector, kind, middle, high, reserved = struct.unpack("<HHHHII", gates[vector])
        assert (selector, kind, reserved) == (8, 0x8E00, 0)  # present, ring 0, interrupt gate
        assert low | middle << 16 | high << 32 == LABELS["timer" if vector == 0xEC else "fault"]


def test_a_gate_takes_an_address_of_64_bits():
    assert guest_code.gate(0x1122_3344_5566_7788) == bytes.fromhex("8877 0800 008e 6655 44332211 00000000")


@pytest.mark.parametrize(
    ("timers", "large_pages"), [(1, 1), (126_976, 1), (126_977, 2), (258_048, 2), (258_049, 3), (1_000_000, 8)]
)
def test_memory_is_as_many_large_pages_as_the_samples_need(timers, large_pages):
    """The first 64 KiB hold the tables: (2 MiB - 64 KiB) / 16 = 126 976 samples fit into one."""
    assert guest_code.memory_size(timers) == large_pages * LARGE
    assert guest_code.MAX_MEMORY == 1 << 30


def test_every_label_is_where_the_bytes_before_it_end():
    code, labels = guest_code.assembled()
    assert PARTS[6 * PAGE] == code
    assert labels["start"] == 6 * PAGE
    starts = {
        "start": "b9 0f 08", "next": "ff d7", "arm_tsc_deadline": "0f 31 48", "arm_periodic": "4d 01 c1 4d",
        "arm_oneshot": "0f 31 48 c1 e2 20 4c", "armed": "c3 fb", "wait_hlt": "fb f4", "wait_pause": "fb f3",
        "pausing": "f3 90", "wait_spin": "fb eb fe", "spinning": "eb fe", "timer": "0f 31 48 c1 e2 20 48 09",
        "fault": "e6 11",
    }  # fmt: skip
    assert list(labels) == list(starts)
    for label, first in starts.items():
        assert code[labels[label] - 6 * PAGE :].startswith(bytes.fromhex(first)), label
    # start: five MOV of five bytes, XOR and MOV of two, three WRMSR of two.
    assert labels["next"] - labels["start"] == 5 * 5 + 2 * 2 + 3 * 2


def test_the_listing_is_read_as_labels_bytes_and_instructions():
    first = list(guest_code.instructions())[:3]
    assert first == [
        ("start", b"", ""),
        ("", b"\xb9\x0f\x08\x00\x00", "mov ecx, 0x80f"),
        ("", b"\xb8\xff\x01\x00\x00", "mov eax, 0x1ff"),
    ]
    assert list(guest_code.instructions())[-1] == ("", b"\xe6\x11", "out 0x11, al")


def test_numbers_outside_the_listing_are_those_in_it():
    """What the guest's user and the guest have to agree on: ports, vector, bytes of a sample, timer modes."""
    instructions = [instruction for _, _, instruction in guest_code.instructions()]
    assert f"out {guest_code.PORT_DONE:#x}, al" in instructions
    assert f"out {guest_code.PORT_FAULT:#x}, al" in instructions
    assert f"add r10, {guest_code.SAMPLE_BYTES}" in instructions
    assert (guest_code.PORT_DONE, guest_code.PORT_FAULT, guest_code.TIMER_VECTOR) == (0x10, 0x11, 236)
    assert guest_code.LVTT_MODES == {"oneshot": 0, "periodic": 0x20000, "tsc_deadline": 0x40000}
    assert guest_code.BUS_CYCLE_NS == 1


def test_samples_are_read_from_where_the_guest_writes_them():
    memory = bytes(64 * 1024) + struct.pack("<6Q", 11, 10, 2**63, 20, 31, 30)
    samples = guest_code.samples(memory, 3)
    assert samples.tolist() == [[11, 10], [2**63, 20], [31, 30]]
    assert guest_code.samples(memory, 2).tolist() == [[11, 10], [2**63, 20]]
    samples[0, 0] = 5  # a copy: the guest's memory goes away
    assert memory[64 * 1024] == 11
