"""Published rows and shapes of distributions, for the tests of both."""

from hypothesis import strategies as st

from kvmlab.scenario.distribution import ShiftedLognormal
from kvmlab.scenario.published import SYSBENCH_2020, PublishedRow, published_table

BEFORE, AFTER = published_table()

SHAPES = st.builds(
    lambda shift, excess, spread: ShiftedLognormal(shift, shift + excess, excess * spread),
    st.floats(0, 1e6),
    st.floats(1, 1e6),
    st.floats(0.05, 20),
)


def sysbench(name: str) -> PublishedRow:
    """Return the row of one exit of the table of 2020."""
    return next(row for row in published_table(SYSBENCH_2020) if row.exit == name)
