"""How long a halted vCPU polls before it sleeps (kvm_vcpu_halt, kvm_main.c)."""

from dataclasses import replace

import pytest

import kvmlab as kl
from kvmlab.model.kvm_main import adjust_halt_poll
from tests.model.machines import machine

CEILING = 200_000
"""kvm.halt_poll_ns of the host below."""


def polls_after(kernel, polls_ns, *halted_ns):
    """Return how long the next block polls, after blocks of these lengths."""
    m = machine(kl.Host(halt_poll_us=CEILING / 1000), kernel=kernel)
    m.vcpus[0].halt_poll_ns = polls_ns
    for halted in halted_ns:
        adjust_halt_poll(m, 0, halted)
    return m.vcpus[0].halt_poll_ns


@pytest.mark.parametrize("kernel", ["v5.2", "v6.18"])
@pytest.mark.parametrize(
    ("polls", "halted", "then"),
    [
        (0, 15_000, 10_000),  # halt_poll_ns_grow_start
        (10_000, 15_000, 20_000),  # halt_poll_ns_grow
        (160_000, 170_000, CEILING),
        (20_000, 20_000, 20_000),  # it was noticed
        (20_000, CEILING - 1, 40_000),
        (20_000, CEILING, 20_000),
        (CEILING, CEILING, CEILING),
    ],
)
def test_a_short_block_makes_the_next_one_poll_longer(kernel, polls, halted, then):
    assert polls_after(kernel, polls, halted) == then


def test_a_block_longer_than_the_ceiling_ends_polling():
    assert polls_after("v5.18", 160_000, CEILING + 1) == 0


def test_a_block_longer_than_the_ceiling_halves_polling_from_v6_11_on():
    """Down to halt_poll_ns_grow_start; what is less than that, is nothing."""
    lengths = [polls_after("v6.18", CEILING, *[CEILING + 1] * blocks) for blocks in range(7)]
    assert lengths == [200_000, 100_000, 50_000, 25_000, 12_500, 0, 0]


@pytest.mark.parametrize(
    ("shrink", "polls", "then"),
    [(0, 100_000, 0), (1, 100_000, 100_000), (2, 100_000, 50_000), (4, 100_000, 25_000), (2, 20_000, 10_000)],
)
def test_a_long_block_divides_polling_by_halt_poll_ns_shrink(shrink, polls, then):
    """0 ends it, and 1 leaves it as it is (shrink_halt_poll_ns, v6.8)."""
    kernel = replace(kl.KERNELS["v6.18"], halt_poll_ns_shrink=shrink)
    assert polls_after(kernel, polls, CEILING + 1) == then


@pytest.mark.parametrize("halted", [0, 1, 1_000_000])
def test_no_block_polls_where_halt_poll_ns_is_0(halted):
    m = machine(kl.Host(halt_poll_us=0), kernel="v6.18")
    adjust_halt_poll(m, 0, halted)
    assert m.vcpus[0].halt_poll_ns == 0
