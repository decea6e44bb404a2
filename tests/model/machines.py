"""Machines of plain Python objects, to look into."""

import kvmlab as kl
from kvmlab.engine import setup
from kvmlab.engine.plain import PlainMachine
from tests.strategies import constant_costs


def machine(host=None, *guests, **options):
    """Return the state of a machine at time 0, not started; every step takes its mean time."""
    scenario = kl.Scenario(host or kl.Host(), guests or (kl.Guest(),), **({"costs": constant_costs()} | options))
    return PlainMachine(setup.given(scenario)).state
