"""How much evidence raises an alarm, from how many false alarms are wanted.

Two thresholds, the higher one counts. The *guaranteed* one follows from theory where rows are
independent given the baseline: log of (days between false alarms x buckets a day x streams). The
*replayed* one comes from the stream's own past, where they are not: days of the baseline drawn at
random make months in which nothing changed, and their highest evidence tells how high it gets.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from processors.watch.drift.baseline import Baseline, Kind, fit_baseline
from processors.watch.drift.detectors import Detector, RateDetector
from processors.watch.drift.ratios import (
    PACES,
    histogram_log_ratios,
    learned_counts,
    log_mean,
    log_starts,
    predicted_shares,
    rate_log_ratios,
    shiryaev_roberts,
)
from processors.watch.drift.series import BUCKETS_PER_DAY, BUCKETS_PER_WEEK, Floats, Ints, Series

MONTH_DAYS = 30
FOLDS = 4
"""Each quarter of the history is replayed against a baseline of the other three: against one that
has seen it, it would look calmer than the future will."""
MARGIN = 2.0
"""The replay is held to so many times fewer alarms than wanted: from four weeks the extremes are
known no better, and thresholds that come out too low alarm more than those too high spare."""
PATHS = 20
PATHS_AT_ONCE = 20
"""Bounds memory: 20 months of 20 bins are 28 MB an array."""
PEAK_BUCKETS = 72
"""Peaks are taken of 6 hours: longer than an excursion by chance, and 112 of them in four weeks."""
STARTS_MIN = 12.0
"""A day. A rate never flagged so far is known to no more than this; 6 rows still raise it."""
DAYS_MIN = 7
"""Fewer days put together are the same few days over again."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Evidence for an alarm, as log M, and what it costs.

    ``false_alarms``: expected in 30 days on this stream's own past; None without a replay.
    ``days``: days of the past that were drawn from.
    """

    log_threshold: float
    guaranteed: float
    replayed: float
    false_alarms: float | None
    days: int


def guaranteed_threshold(
    target_days: float, streams: int = 1, starts_per_day: float = BUCKETS_PER_DAY
) -> float:
    """log A so that false alarms on all streams together are ``target_days`` apart or more.

    ``starts_per_day``: candidate changes that begin in a day (:func:`~.ratios.log_starts`), 288
    unless there are few rows. Raises ``ValueError`` unless all are positive.
    """
    if not target_days > 0 or streams < 1 or not starts_per_day > 0:
        raise ValueError("target_days, streams and starts_per_day must be positive")
    return math.log(max(1.0, target_days * starts_per_day * streams))


def starts_per_day(series: Series, baseline: Baseline) -> float:
    """Candidate changes that begin in a day of a history, STARTS_MIN or more."""
    if not len(series):
        return float(BUCKETS_PER_DAY)
    shares, _ = baseline.expected(series.buckets)
    starts = np.exp(log_starts(series.rows.astype(np.float64), shares))
    span = int(series.buckets[-1] - series.buckets[0]) + 1
    return max(STARTS_MIN, float(starts.sum()) * BUCKETS_PER_DAY / span)


def replayed_threshold(
    series: Series,
    detector: Detector,
    target_days: float = MONTH_DAYS,
    streams: int = 1,
    seed: int = 0,
    paths: int = PATHS,
) -> Threshold:
    """The threshold of a detector for the stream whose baseline was fitted on ``series``.

    With less than DAYS_MIN whole days to draw from it is the guaranteed one. The detector's own
    threshold plays no part. Raises ``ValueError`` like :func:`guaranteed_threshold`.
    """
    per_day = starts_per_day(series, detector.baseline)
    guaranteed = guaranteed_threshold(target_days, streams, per_day)
    blocks = day_blocks(series)
    if len(blocks) < DAYS_MIN:
        return Threshold(guaranteed, guaranteed, -math.inf, None, len(blocks))
    fitted = cross_fitted(series, detector.baseline)
    length = int(np.mean([len(block) for block in blocks]) * MONTH_DAYS)
    found = []
    for rows in drawn_paths(blocks, np.random.default_rng(seed), paths, length):
        drawn = Series(fitted.series.buckets[rows], fitted.series.counts[rows])
        evidence = evidence_along(detector, drawn, fitted.shares[rows], fitted.error[rows])
        whole = evidence.shape[-1] // PEAK_BUCKETS * PEAK_BUCKETS
        found.append(evidence[:, :whole].reshape(-1, PEAK_BUCKETS).max(axis=-1))
    tail = Tail.of(np.concatenate(found), whole // PEAK_BUCKETS)
    replayed = tail.height(MONTH_DAYS / (target_days * streams) / MARGIN)
    log_threshold = max(guaranteed, replayed)
    alarms = tail.alarms(log_threshold)
    return Threshold(log_threshold, guaranteed, replayed, alarms, len(blocks))


@dataclass(frozen=True, slots=True)
class Tail:
    """How high evidence gets by chance: peaks above ``middle`` fall off exponentially in log M.

    Measured so (independent and over-dispersed rows); ``rate`` is Hill's estimator (1975), never
    above 1, which is the e-detector's own: P(M >= A) <= 1/A. ``peaks``: taken in 30 days.
    """

    middle: float
    rate: float
    peaks: int

    @classmethod
    def of(cls, values: Floats, peaks: int) -> "Tail":
        """Fitted on the upper half of the values, of which so many are taken in 30 days."""
        middle = float(np.median(values))
        above = values[values > middle] - middle
        excess = float(above.mean()) if len(above) else 0.0
        return cls(middle, 1.0 / max(1.0, excess), peaks)

    def height(self, alarms: float) -> float:
        """The log M that is reached so many times in 30 days."""
        chance = -math.expm1(-alarms / self.peaks)
        return self.middle + max(0.0, math.log(0.5 / chance)) / self.rate

    def alarms(self, height: float) -> float:
        """How many times in 30 days a log M is reached."""
        chance = 0.5 * math.exp(-self.rate * max(0.0, height - self.middle))
        return -math.log1p(-chance) * self.peaks


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """A history with, for each bucket, shares [T, B] and error [T] that have not seen it."""

    series: Series
    shares: Floats
    error: Floats


def cross_fitted(series: Series, baseline: Baseline) -> CrossFitted:
    """Shares and errors from the folds that a bucket does not lie in."""
    shares = np.empty(series.counts.shape, np.float64)
    error = np.empty(len(series), np.float64)
    # Whole weeks of one fold each where there are four, so that every hour of the week is left.
    first, last = int(series.buckets[0]), int(series.buckets[-1])
    span = max(1, -(-(last + 1 - first) // FOLDS))
    if baseline.kind is Kind.SEASONAL and abs(span - BUCKETS_PER_WEEK) < BUCKETS_PER_DAY:
        span = BUCKETS_PER_WEEK
    fold = np.minimum((series.buckets - first) // span, FOLDS - 1)
    for number in range(FOLDS):
        inside = fold == number
        if not inside.any():
            continue
        rest = Series(series.buckets[~inside], series.counts[~inside])
        fitted = fit_baseline(rest, baseline.kind) if len(rest) else baseline
        shares[inside], error[inside] = fitted.expected(series.buckets[inside])
    return CrossFitted(series, shares, error)


def evidence_along(detector: Detector, series: Series, shares: Floats, error: Floats) -> Floats:
    """log M after every bucket: what ``step`` gives, for whole arrays and without its cap.

    ``series`` may carry leading dimensions: counts [..., T, B], shares alike, error [..., T].
    """
    counts = series.counts / detector.baseline.phi
    starts = log_starts(series.counts.sum(axis=-1), shares)
    if isinstance(detector, RateDetector):
        rows, flagged = counts.sum(axis=-1), counts[..., 1]
        share = shares[..., 1]
        slack = error * np.sqrt(share * (1.0 - share)) + detector.tolerance * share
        sums = []
        for factor in detector.factors:
            side = slack if factor > 1.0 else -slack
            tested = np.clip(share + side, 0.0, 1.0)
            ratios = rate_log_ratios(rows, flagged, tested, (factor,))[..., 0]
            sums.append(shiryaev_roberts(ratios, starts))
        return log_mean(np.stack(sums, axis=-1))
    slack = np.hypot(error, detector.tolerance)
    sums = []
    for pace in PACES:
        learned = learned_counts(counts, pace.memory)
        predicted = predicted_shares(learned, shares, pace.prior_rows)
        ratios = histogram_log_ratios(counts, predicted, shares, slack)
        sums.append(shiryaev_roberts(ratios, starts))
    return log_mean(np.stack(sums, axis=-1))


def day_blocks(series: Series) -> list[Ints]:
    """Places of the buckets of each day, whole days only: at least half of its buckets filled."""
    days = series.buckets // BUCKETS_PER_DAY
    starts = np.flatnonzero(np.diff(days, prepend=-1))
    blocks = np.split(np.arange(len(days)), starts[1:])
    typical = float(np.median([len(block) for block in blocks])) if len(series) else 0.0
    return [block for block in blocks if len(block) > 0 and len(block) >= typical / 2]


def drawn_paths(
    blocks: list[Ints],
    rng: np.random.Generator,
    paths: int,
    length: int,
    at_once: int = PATHS_AT_ONCE,
) -> Iterator[Ints]:
    """Places [P, length] put together from days, some paths at a time (Künsch 1989)."""
    for begun in range(0, paths, at_once):
        rows = []
        for _ in range(min(at_once, paths - begun)):
            drawn: list[Ints] = []
            filled = 0
            while filled < length:
                drawn.append(blocks[int(rng.integers(len(blocks)))])
                filled += len(drawn[-1])
            rows.append(np.concatenate(drawn)[:length])
        yield np.stack(rows)
