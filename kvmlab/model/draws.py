"""Random numbers, the times drawn with them, and the bins that latencies are counted in: integers only."""

from __future__ import annotations

from kvmlab.model.names import STREAMS
from kvmlab.model.records import Machine

EXPONENTIAL_BITS = 20
"""The mean in the quantile table of the exponential distribution is 1 << EXPONENTIAL_BITS."""
BODY_BITS = 12
BODY = 1 << BODY_BITS
"""Entries of a quantile table's body, and again of its tail."""
UNIFORM_BITS = 2 * BODY_BITS
"""A draw chooses an entry of the body, and perhaps one of the tail."""
TABLE = 2 * BODY
"""Entries of a quantile table."""
HIST_SHIFT = 6
HIST_BINS = 40 << HIST_SHIFT
"""Bins of a log-linear histogram (the layout of HdrHistogram): 64 per power of two, so that a bin is at most 1/64 wide
and its middle within 0.8 %."""


def hash32(x: int) -> int:
    """Return 32 bits, scrambled. Products stay below 2**63, so that no engine overflows."""
    x = ((x >> 16) ^ x) * 0x45D9F3B & 0xFFFFFFFF
    x = ((x >> 16) ^ x) * 0x45D9F3B & 0xFFFFFFFF
    return (x >> 16) ^ x


def uniform(m: Machine, owner: int, stream: int) -> int:
    """Draw the next UNIFORM_BITS random bits of a stream of a vCPU, or of a pCPU (`owner`: n_vcpus + its number).

    The n-th draw depends on (seed, owner, stream, n) alone: two kernels compared on one scenario meet the same world.
    """
    s = m.streams[owner * STREAMS + stream]
    s.drawn += 1
    return hash32(s.key ^ s.drawn) & ((1 << UNIFORM_BITS) - 1)


def quantile(table: list[int], first: int, u: int) -> int:
    """Look up UNIFORM_BITS bits in the two-level table that begins at `first`.

    The upper half chooses an entry of the body; where it is all ones, the lower half chooses one of the tail.
    """
    high = u >> BODY_BITS
    if high == BODY - 1:
        return table[first + BODY + (u & (BODY - 1))]
    return table[first + high]


def cost(m: Machine, owner: int, step: int) -> int:
    """Draw how long `step` (a `Cost`) takes this time, in ns."""
    return quantile(m.costs, step * TABLE, uniform(m, owner, step))


def exponential(m: Machine, owner: int, stream: int, mean_ns: int) -> int:
    """Draw an exponentially distributed time in ns, at least 1, from a `Stream` of a vCPU."""
    return 1 + ((mean_ns * quantile(m.exponential, 0, uniform(m, owner, stream))) >> EXPONENTIAL_BITS)


def start_offset(seed: int, number: int, period: int) -> int:
    """Return where in a period (ns) something begins that may begin at any time; `number` tells such things apart."""
    return hash32(hash32(hash32(seed) + 1) + number) % period


def histogram_bin(ns: int) -> int:
    """Return the bin of a latency in ns (0 or more): its leading HIST_SHIFT + 1 bits."""
    shift = 0
    while (ns >> shift) >= (2 << HIST_SHIFT):
        shift += 1
    return min((shift << HIST_SHIFT) + (ns >> shift), HIST_BINS - 1)


def histogram_edges(index: int) -> tuple[int, int]:
    """Return the latencies that fall into a bin: from, and up to but not including, in ns. No rule needs it."""
    if index < 2 << HIST_SHIFT:
        return index, index + 1
    shift = (index >> HIST_SHIFT) - 1
    low = (index - (shift << HIST_SHIFT)) << shift
    return low, low + (1 << shift)
