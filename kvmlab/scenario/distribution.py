"""How long a step takes: a shifted lognormal, and the integer table of its quantiles that the engine draws from.

Never below ``shift_ns``, with a given mean and spread, and a long right tail. All times are in ns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from kvmlab.model.draws import BODY, TABLE
from kvmlab.scenario import checks

IntArray = npt.NDArray[np.int64]

MAX_NS = 1e10
"""No step may take longer than this: 10 s keeps every table entry within an int64."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class ShiftedLognormal:
    """`shift_ns` plus a lognormal, given by the mean and the standard deviation of the whole, in ns.

    It is a constant (`mean_ns`) if ``sd_ns == 0`` or ``mean_ns == shift_ns``. ValueError unless each is from 0 to
    10 s, and the shift at most the mean.

    >>> ShiftedLognormal(470, 710, 1603).quantile(0.5) < 710
    True
    """

    shift_ns: float
    mean_ns: float
    sd_ns: float

    def __post_init__(self) -> None:
        for field in fields(self):
            checks.number(f"ShiftedLognormal.{field.name}", getattr(self, field.name), 0, MAX_NS, "ns")
        if self.shift_ns > self.mean_ns:
            must = f"at most the mean: mean_ns = {self.mean_ns!r}"
            raise checks.refusal("ShiftedLognormal.shift_ns", self.shift_ns, must)

    @property
    def constant(self) -> bool:
        """True if every draw is the same."""
        return self.sd_ns == 0 or self.mean_ns == self.shift_ns or self.sigma == 0

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm of the part above the shift: sqrt(log(1 + (sd / excess)^2))."""
        if self.sd_ns == 0 or self.mean_ns == self.shift_ns:
            return 0.0
        x = 2 * (math.log(self.sd_ns) - math.log(self.mean_ns - self.shift_ns))
        return math.sqrt(max(x, 0.0) + math.log1p(math.exp(-abs(x))))

    @property
    def mu(self) -> float:
        """Mean of the logarithm of the part above the shift (in ns); only where it is not constant."""
        return math.log(self.mean_ns - self.shift_ns) - self.sigma**2 / 2

    def quantile(self, u: float) -> float:
        """Return the time that a share `u` of the draws does not exceed, in ns; 0 <= u < 1."""
        if not 0 <= checks.finite(u) < 1:
            raise checks.refusal("u", u, "a share from 0 up to, but not including, 1")
        if self.constant:
            return self.mean_ns
        return self._at(_NORMAL.inv_cdf(u)) if u > 0 else self.shift_ns

    def upper_quantile(self, tail: float) -> float:
        """Return the time that a share `tail` of the draws exceeds, in ns; exact where 1 - tail would round to 1."""
        if not 0 < checks.finite(tail) <= 1:
            raise checks.refusal("tail", tail, "a share above 0, up to 1")
        if self.constant:
            return self.mean_ns
        return self._at(-_NORMAL.inv_cdf(tail)) if tail < 1 else self.shift_ns

    def cdf(self, x: float) -> float:
        """Return the share of draws that take at most `x` ns."""
        if self.constant:
            return float(x >= self.mean_ns)
        if x <= self.shift_ns:
            return 0.0
        return _NORMAL.cdf((math.log(x - self.shift_ns) - self.mu) / self.sigma)

    def table(self) -> IntArray:
        """Return quantiles in whole ns, in two levels of `BODY` entries each; read-only, and remembered.

        Entry i of the body is the quantile at (i + 0.5) / 4096; entry 4096 + j the one within the last 4096th, at
        1 - (1 - (j + 0.5) / 4096) / 4096. A draw takes 24 random bits: the upper 12 choose the entry of the body, and
        where they are all ones the lower 12 choose one of the tail: so the tail is resolved to 1 in 16.7 million.
        """
        return _table(self)

    def scaled(self, factor: float) -> ShiftedLognormal:
        """Return the same shape, `factor` times as long."""
        if not checks.finite(factor) >= 0:
            raise checks.refusal("factor", factor, "a finite number from 0")
        return ShiftedLognormal(self.shift_ns * factor, self.mean_ns * factor, self.sd_ns * factor)

    def _at(self, z: float) -> float:
        """Return the time at `z` standard deviations of its logarithm."""
        return self.shift_ns + math.exp(self.mu + self.sigma * z)


def constant(ns: float) -> ShiftedLognormal:
    """Return the distribution of a step that always takes `ns`."""
    return ShiftedLognormal(ns, ns, 0.0)


@cache
def _normal_quantiles() -> npt.NDArray[np.float64]:
    """Return the standard normal at the entries of a table; the tail from its small end, where floats are dense."""
    middles = (np.arange(BODY) + 0.5) / BODY
    body = [_NORMAL.inv_cdf(u) for u in middles.tolist()]
    tail = [-_NORMAL.inv_cdf(t) for t in ((1 - middles) / BODY).tolist()]
    return np.array(body + tail)


@lru_cache(maxsize=64)  # 64 KiB each; a set of costs has about 20, and keeps them together once they are made
def _table(dist: ShiftedLognormal) -> IntArray:
    """Make the table of a distribution, once."""
    if dist.constant:
        ns = np.full(TABLE, dist.mean_ns)
    else:
        ns = dist.shift_ns + np.exp(dist.mu + dist.sigma * _normal_quantiles())
    table: IntArray = np.rint(ns).astype(np.int64)
    table.flags.writeable = False
    return table
