"""What is usual for a stream: shares by bin, how sure of them, how clumped its rows come.

Three kinds. ``fixed``: one distribution of a chosen range; finds slow change. ``seasonal``: one
per hour of the week, shrunk towards the hour of the day, that towards the whole, as far as the data
do not tell them apart; between the centres of hours it goes straight. ``previous``: the range just
before; forgets slow change. Times are UTC.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from processors.watch.drift.series import (
    BUCKETS_PER_DAY,
    BUCKETS_PER_HOUR,
    BUCKETS_PER_WEEK,
    Floats,
    Ints,
    Series,
)

HOURS_PER_WEEK = 168
SEASONAL_WEEKS = 4
BUCKETS_MIN = BUCKETS_PER_DAY
"""With less than a day of buckets nothing is known about how a stream varies."""
RATE_ROWS_MIN = 500
HISTOGRAM_ROWS_PER_BIN_MIN = 50
SMOOTHING = 0.5
"""Rows added to every bin (Jeffreys), so that no share is 0."""
NOISE_SIGMAS = 2.0
"""Excess of the hourly over-dispersion below this many standard errors is chance."""


class Kind(StrEnum):
    """How a baseline follows the time."""

    FIXED = "fixed"
    SEASONAL = "seasonal"
    PREVIOUS = "previous"


class BaselineState(StrEnum):
    """Whether a baseline can be compared with."""

    READY = "ready"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted baseline. ``shares`` float64[S, B], S slots: 1, or 168 hours from Thursday 00:00 UTC
    (the epoch's). ``error`` float64[S]: standard error of a slot's shares as
    sqrt(E sum (p_i - true_i)^2 / p_i), relative to the shares themselves. ``phi`` >= 1: variance of
    the counts over that of independent rows (the design effect).
    """

    kind: Kind
    state: BaselineState
    shares: Floats
    error: Floats
    phi: float
    rows: int
    buckets: int
    first: int
    last: int

    @property
    def bins(self) -> int:
        """Number of bins."""
        return int(self.shares.shape[1])

    def expected(self, buckets: Ints) -> tuple[Floats, Floats]:
        """Shares [T, B] and their errors [T] at buckets [T]."""
        if len(self.shares) == 1:
            count = len(buckets)
            return np.repeat(self.shares, count, axis=0), np.repeat(self.error, count)
        low, high, weight = hours_around(buckets)
        shares = (1.0 - weight)[:, None] * self.shares[low] + weight[:, None] * self.shares[high]
        return shares, np.maximum(self.error[low], self.error[high])

    def at(self, bucket: int) -> tuple[Floats, float]:
        """Shares [B] and their error at one bucket."""
        shares, error = self.expected(np.array([bucket]))
        return shares[0], float(error[0])


def hours_around(buckets: Ints) -> tuple[Ints, Ints, Floats]:
    """Hours of the week [T] before and after buckets [T], and the weight of the latter."""
    place = (buckets % BUCKETS_PER_WEEK + 0.5) / BUCKETS_PER_HOUR - 0.5
    before = np.floor(place).astype(np.int64)
    return before % HOURS_PER_WEEK, (before + 1) % HOURS_PER_WEEK, place - before


def fit_baseline(
    series: Series, kind: Kind = Kind.SEASONAL, excluded: Sequence[tuple[int, int]] = ()
) -> Baseline:
    """The baseline of a history, less the excluded ranges [first, end) of buckets.

    Never raises for little data: ``state`` is then ``insufficient_data`` and shares are those of
    all rows, equal ones without any.
    """
    history = series.without(excluded)
    phi = over_dispersion(history, seasonal=kind is Kind.SEASONAL)
    if kind is Kind.SEASONAL:
        shares, error = _seasonal_shares(history, phi)
    else:
        whole, whole_error = _whole_share(history.total(), phi)
        shares, error = whole[None], np.array([whole_error])
    rows = int(history.total().sum())
    return Baseline(
        kind=kind,
        state=_state(history, rows),
        shares=shares,
        error=error,
        phi=phi,
        rows=rows,
        buckets=len(history),
        first=int(history.buckets[0]) if len(history) else 0,
        last=int(history.buckets[-1]) if len(history) else 0,
    )


def over_dispersion(series: Series, seasonal: bool) -> float:
    """phi = variance of bucket counts over the multinomial's; 1 if less, or not to be told.

    Pearson's statistic over its degrees of freedom (McCullagh and Nelder, Generalized Linear
    Models, section 4.5), of buckets within their slot; and of hours, where clumps longer than a
    bucket show, as far as that is more than chance. A seasonal slot is an hour of the week.
    """
    if len(series) < 2:
        return 1.0
    phi, _ = _pearson(series.counts, _slots(series.buckets, seasonal))
    hours, places = np.unique(series.buckets // BUCKETS_PER_HOUR, return_inverse=True)
    hourly = np.zeros((len(hours), series.counts.shape[1]), np.int64)
    np.add.at(hourly, places, series.counts)
    hour_phi, freedom = _pearson(hourly, _slots(hours * BUCKETS_PER_HOUR, seasonal))
    if freedom > 0:
        hour_phi *= max(0.0, 1.0 - NOISE_SIGMAS * math.sqrt(2.0 / freedom))
    return max(1.0, phi, hour_phi)


def _slots(buckets: Ints, seasonal: bool) -> Ints:
    if not seasonal:
        return np.zeros(len(buckets), np.int64)
    return np.asarray(buckets // BUCKETS_PER_HOUR % HOURS_PER_WEEK)


def _by_slot(counts: Ints, slots: Ints, number: int) -> Ints:
    totals = np.zeros((number, counts.shape[1]), np.int64)
    np.add.at(totals, slots, counts)
    return totals


def _pearson(counts: Ints, slots: Ints) -> tuple[float, float]:
    """Pearson's chi-squared of rows against their slot's shares over its degrees of freedom."""
    totals = _by_slot(counts, slots, HOURS_PER_WEEK).astype(np.float64)
    of_slot = np.maximum(totals.sum(axis=1), 1.0)
    expected = counts.sum(axis=1)[:, None] * (totals / of_slot[:, None])[slots]
    used = expected > 0
    chi2 = float((((counts - expected) ** 2)[used] / expected[used]).sum())
    members = np.bincount(slots, minlength=HOURS_PER_WEEK)
    bins_used = (totals > 0).sum(axis=1)
    freedom = float((np.maximum(members - 1, 0) * np.maximum(bins_used - 1, 0)).sum())
    return (chi2 / freedom if freedom > 0 else 1.0), freedom


def _whole_share(total: Ints, phi: float) -> tuple[Floats, float]:
    rows, bins = int(total.sum()), len(total)
    shares: Floats = np.asarray((total + SMOOTHING) / (rows + SMOOTHING * bins))
    return shares, math.sqrt(phi * (bins - 1) / max(rows, 1))


def _seasonal_shares(series: Series, phi: float) -> tuple[Floats, Floats]:
    """Shares [168, B] and errors [168]: whole, then hours of the day, then hours of the week."""
    whole, whole_error = _whole_share(series.total(), phi)
    hours = _slots(series.buckets, seasonal=True)
    by_day_hour = _by_slot(series.counts, hours % 24, 24)
    parent = np.repeat(whole[None], 24, axis=0)
    shares, error = _shrunk(by_day_hour, parent, np.full(24, whole_error), phi)
    week_hour = np.arange(HOURS_PER_WEEK) % 24
    by_week_hour = _by_slot(series.counts, hours, HOURS_PER_WEEK)
    return _shrunk(by_week_hour, shares[week_hour], error[week_hour], phi)


def _shrunk(
    counts: Ints, parent: Floats, parent_error: Floats, phi: float
) -> tuple[Floats, Floats]:
    """Shares of slots [S, B] drawn towards their parents by how little slots differ.

    Empirical Bayes: the variance between slots beyond sampling noise by the method of moments
    (DerSimonian and Laird 1986), weight tau^2 / (tau^2 + noise) on the slot's own counts.
    """
    rows = counts.sum(axis=1).astype(np.float64)
    seen = rows > 0
    if seen.sum() < 2:
        return parent, parent_error
    own = np.where(seen[:, None], counts / np.maximum(rows, 1.0)[:, None], parent)
    noise = phi * (counts.shape[1] - 1) / np.maximum(rows, 1.0)
    deviance = float((rows * ((own - parent) ** 2 / parent).sum(axis=1)).sum())
    chance = phi * (counts.shape[1] - 1) * (int(seen.sum()) - 1)
    scale = rows.sum() - float((rows**2).sum()) / rows.sum()
    between = max(0.0, (deviance - chance) / scale)
    weight = np.where(seen, between / (between + noise), 0.0)
    shares = parent + weight[:, None] * (own - parent)
    error = np.sqrt(weight * noise + (1.0 - weight) * parent_error**2)
    return shares, error


def _state(series: Series, rows: int) -> BaselineState:
    bins = series.counts.shape[1]
    needed = RATE_ROWS_MIN if bins == 2 else HISTOGRAM_ROWS_PER_BIN_MIN * bins
    enough = rows >= needed and len(series) >= BUCKETS_MIN
    return BaselineState.READY if enough else BaselineState.INSUFFICIENT_DATA
