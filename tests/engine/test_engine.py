"""WebAssembly and plain Python do the same."""

import numpy as np
from hypothesis import given

import kvmlab as kl
from kvmlab.engine.layout import TABLES
from tests.strategies import few, scenarios


@given(scenarios())
@few(60)
def test_compiled_and_plain_python_agree_event_by_event(scenario):
    compiled, plain = kl.simulate(scenario, plain=False), kl.simulate(scenario, plain=True)
    assert compiled.duration_ns == plain.duration_ns
    for table in TABLES:
        np.testing.assert_array_equal(getattr(compiled.machine, table), getattr(plain.machine, table), table)
