"""KVM's own counters of a vCPU, by name, from the file that KVM_GET_STATS_FD gives (Linux 5.14 and later)."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

HEADER = struct.Struct("<6I")
"""struct kvm_stats_header: flags, name_size, num_desc, id_offset, desc_offset, data_offset."""
DESCRIPTOR = struct.Struct("<IhHII")
"""struct kvm_stats_desc without the name: flags, exponent, size, offset, bucket_size."""
TYPE_MASK = 0xF
CUMULATIVE = 0


@dataclass(frozen=True)
class Counters:
    """The counters behind one file descriptor: what only grows, and is a single number."""

    fd: int
    """The file of KVM_GET_STATS_FD."""
    offsets: dict[str, int]
    """Name -> where in the file its 64-bit value is."""

    def read(self) -> dict[str, int]:
        """Return their values now, by name."""
        return {name: int.from_bytes(os.pread(self.fd, 8, at), "little") for name, at in self.offsets.items()}

    def since(self, before: dict[str, int]) -> dict[str, int]:
        """Return by how much they grew since `before` was read."""
        return {name: value - before[name] for name, value in self.read().items()}


def describe(fd: int) -> Counters:
    """Read the descriptors behind a file of KVM_GET_STATS_FD. Histograms, peaks and momentary values are left out."""
    _, name_size, count, _, first, data = HEADER.unpack(os.pread(fd, HEADER.size, 0))
    step = DESCRIPTOR.size + name_size
    offsets = {}
    for i in range(count):
        entry = os.pread(fd, step, first + i * step)
        flags, _, size, offset, _ = DESCRIPTOR.unpack_from(entry)
        if size == 1 and flags & TYPE_MASK == CUMULATIVE:
            offsets[entry[DESCRIPTOR.size :].split(b"\0")[0].decode()] = data + offset
    return Counters(fd, offsets)
