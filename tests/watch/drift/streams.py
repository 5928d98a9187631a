"""Seeded streams for the tests of drift."""

import numpy as np

from processors.watch.drift import Baseline, Kind, Series, fit_baseline
from processors.watch.drift.series import BUCKETS_PER_DAY

BEGIN = 2016 * 3000
"""A bucket that begins a week of the epoch."""


def rate_stream(
    rng: np.random.Generator, days: int, share: float = 0.02, rows: int = 100, begin: int = BEGIN
) -> Series:
    """Independent rows at one rate."""
    count = days * BUCKETS_PER_DAY
    flagged = rng.binomial(rows, share, count)
    return Series.of_rate(begin + np.arange(count), np.full(count, rows), flagged)


def clumped_stream(rng: np.random.Generator, days: int, phi: float, share: float = 0.02) -> Series:
    """100 rows a bucket, beta-binomial with that design effect."""
    count = days * BUCKETS_PER_DAY
    spread = 99.0 / (phi - 1.0) - 1.0
    shares = rng.beta(share * spread, (1.0 - share) * spread, count)
    return Series.of_rate(BEGIN + np.arange(count), np.full(count, 100), rng.binomial(100, shares))


def histogram_stream(
    rng: np.random.Generator, days: int, bins: int = 10, rows: int = 100
) -> Series:
    """Independent rows over equal bins."""
    count = days * BUCKETS_PER_DAY
    counts = rng.multinomial(rows, np.full(bins, 1.0 / bins), count)
    return Series.of(BEGIN + np.arange(count), counts)


def rate_baseline(percent: int = 2, days: int = 28) -> Baseline:
    """A fixed baseline of 100 rows a bucket that knows its rate well."""
    count = days * BUCKETS_PER_DAY
    series = Series.of_rate(np.arange(count), np.full(count, 100), np.full(count, percent))
    return fit_baseline(series, Kind.FIXED)
