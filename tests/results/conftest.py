"""The run that several files look at."""

import pytest

import kvmlab as kl
from tests.results.storm import STORM


@pytest.fixture(scope="session")
def run():
    """The result of `STORM`."""
    return kl.simulate(STORM)
