"""KVM's own counters, from a made-up file of KVM_GET_STATS_FD."""

from __future__ import annotations

import os
import struct

import pytest

from kvmlab.host.live import counters

CUMULATIVE, INSTANT, PEAK, LINEAR_HISTOGRAM = 0, 1, 2, 3
BYTES, SECONDS = 1 << 4, 2 << 4
"""Units, in the bits above the type."""
ENTRIES = [
    (CUMULATIVE, 1, "exits"),
    (LINEAR_HISTOGRAM, 3, "halt_poll_success_hist"),
    (INSTANT, 1, "blocking"),
    (CUMULATIVE | SECONDS, 1, "halt_wait_ns"),
    (PEAK, 1, "max_mmu_page_hash_collisions"),
    (CUMULATIVE | BYTES, 2, "two_numbers"),
    (CUMULATIVE, 1, "irq_exits"),
]
NAME, DESCRIPTORS = 48, 24 + 10
"""Bytes of a name, and where the descriptors begin: behind the header and ten bytes of an id."""
VALUES = [[1000], [7, 8, 9], [1], [2**63], [3], [5, 6], [255]]


def stats(path, values):
    """Write a file with these values of ENTRIES."""
    data = DESCRIPTORS + len(ENTRIES) * (16 + NAME)
    text = struct.pack("<6I", 0, NAME, len(ENTRIES), 24, DESCRIPTORS, data) + b"kvm-1/vcpu"
    at = 0
    for flags, size, name in ENTRIES:
        text += struct.pack("<IhHII", flags, 0, size, at, 0) + name.encode().ljust(NAME, b"\0")
        at += 8 * size
    path.write_bytes(text + b"".join(struct.pack("<Q", number) for several in values for number in several))


@pytest.fixture(name="fd")
def fixture_fd(tmp_path):
    stats(tmp_path / "stats", VALUES)
    fd = os.open(tmp_path / "stats", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_what_grows_and_is_one_number_is_read(fd):
    described = counters.describe(fd)
    assert described.read() == {"exits": 1000, "halt_wait_ns": 2**63, "irq_exits": 255}


def test_growth_is_the_difference_to_what_was_read_before(fd, tmp_path):
    described = counters.describe(fd)
    before = described.read()
    stats(tmp_path / "stats", [[1010], [7, 8, 9], [1], [2**63], [3], [5, 6], [256]])
    assert described.since(before) == {"exits": 10, "halt_wait_ns": 0, "irq_exits": 1}
