"""Statistics of results: the percentiles that are shown, and how sure a mean is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from kvmlab.scenario import checks
from kvmlab.scenario.interval import Interval

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
"""The percentiles that every table of latencies has, and the share of latencies that each one does not exceed."""


def student_t_cdf(t: float, df: int) -> float:
    """Return P(T <= t) for Student's t with `df` degrees of freedom, a whole number.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    theta = math.atan(t / math.sqrt(df))
    cos2, term = math.cos(theta) ** 2, math.cos(theta) if df % 2 else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + df % 2, df - 1, 2):
        term *= cos2 * (k - 1) / k
        total += term
    inside = 2 / math.pi * (theta + math.sin(theta) * total) if df % 2 else math.sin(theta) * total
    return (1 + inside) / 2


def student_t(p: float, df: int) -> float:
    """Return the `p` quantile of Student's t with `df` degrees of freedom, 0.5 <= p < 1, by bisection."""
    low, high = 0.0, 1.0
    while student_t_cdf(high, df) < p:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_cdf(middle, df) < p else (low, middle)
    return high


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of independent values with Student's interval; NaN bounds for fewer than two values.

    A value that is not known (NaN) leaves the mean unknown.

    Raises ValueError if `confidence` is not from 0 to 0.999999.
    """
    confidence = checks.number("confidence", confidence, 0, 0.999999)
    mean = fmean(values)
    if len(values) < 2 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan)
    half = student_t((1 + confidence) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)
