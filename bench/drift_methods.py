"""Methods that ``bench.drift`` compares: ours, hourly tests, Evidently, NannyML, river.

Each is fitted on a past and then says, for counts [D, T, B] of D runs, at the end of which buckets
it alarms: bool [D, T]. One that tests hours says so at the last bucket of an hour.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType
from river.drift import ADWIN
from scipy import stats

from bench.drift_streams import Floats, Ints, Past
from processors.watch.drift.baseline import Baseline, Kind, fit_baseline
from processors.watch.drift.detectors import Detector, HistogramDetector, RateDetector
from processors.watch.drift.series import BUCKETS_PER_HOUR, Series
from processors.watch.drift.thresholds import MONTH_DAYS, evidence_along, replayed_threshold

Bools = npt.NDArray[np.bool_]

HOURS_PER_MONTH = 24 * MONTH_DAYS
EVIDENTLY_REFERENCE_ROWS = 20_000


class Method(Protocol):
    """Fitted on a past."""

    name: str
    counting: str
    """What an alarm is: "restart" (it starts anew after one), "each" bucket, or "edge": it goes on
    while hour after hour alarms."""

    def alarms(self, buckets: Ints, counts: Ints) -> Bools:
        """Alarms [D, T]."""
        ...


def hourly(counts: Ints) -> Ints:
    """Counts [D, H, B] of whole hours; runs begin on the hour."""
    runs, steps, bins = counts.shape
    hours = steps // BUCKETS_PER_HOUR
    whole = counts[:, : hours * BUCKETS_PER_HOUR]
    return np.asarray(whole.reshape(runs, hours, BUCKETS_PER_HOUR, bins).sum(axis=2))


def at_hour_ends(fired: Bools, steps: int) -> Bools:
    """From hours [D, H] to buckets [D, T]."""
    alarms = np.zeros((len(fired), steps), bool)
    places = np.arange(fired.shape[1]) * BUCKETS_PER_HOUR + BUCKETS_PER_HOUR - 1
    alarms[:, places] = fired
    return alarms


class Streamgauge:
    """Ours: seasonal baseline, or after a deploy one of the release's first two days."""

    name = "Streamgauge"
    counting = "restart"

    def __init__(self, past: Past, seed: int) -> None:
        kind = Kind.FIXED if past.simulator.scenario.releases else Kind.SEASONAL
        self.baseline = fit_baseline(past.release, kind)
        make = RateDetector if past.simulator.bins == 2 else HistogramDetector
        detector: Detector = make(self.baseline, 0.0)
        self.threshold = replayed_threshold(past.release, detector, MONTH_DAYS, seed=seed)
        self.detector = detector

    def alarms(self, buckets: Ints, counts: Ints) -> Bools:
        shape = buckets.shape
        shares, error = self.baseline.expected(buckets.ravel())
        evidence = evidence_along(
            self.detector,
            Series(buckets, counts),
            shares.reshape(*shape, -1),
            error.reshape(shape),
        )
        return np.asarray(evidence >= self.threshold.log_threshold)


class HourlyTest:
    """A test an hour at one false alarm in 30 days: exact binomial, or PSI by its null law.

    Against the mean of the past; or, given one, against our own baseline, shares one standard
    error up and rows divided by phi.
    """

    counting = "edge"

    def __init__(self, past: Past, baseline: Baseline | None) -> None:
        total = past.series.total()
        self.rows = int(total.sum())
        self.mean: Floats = (total + 0.5) / (self.rows + 0.5 * len(total))
        self.baseline = baseline
        self.name = "hourly test" + (", our baseline" if baseline is not None else "")

    def alarms(self, buckets: Ints, counts: Ints) -> Bools:
        hours = hourly(counts)
        reference: Floats = self.mean
        phi, error = 1.0, np.array(0.0)
        if self.baseline is not None:
            phi = self.baseline.phi
            middle = buckets[:, BUCKETS_PER_HOUR // 2 :: BUCKETS_PER_HOUR][:, : hours.shape[1]]
            reference, error = self.baseline.expected(middle.ravel())
            reference = reference.reshape(*middle.shape, -1)
            error = error.reshape(middle.shape)
        rows = hours.sum(axis=-1)
        if hours.shape[-1] == 2:
            share = reference[..., 1]
            share = share + error * np.sqrt(share * (1.0 - share))
            p = stats.binom.sf(
                np.floor(hours[..., 1] / phi) - 1, np.rint(rows / phi).astype(int), share
            )
        else:
            bins = hours.shape[-1]
            current = (hours + 0.5) / (rows[..., None] + 0.5 * bins)
            psi = ((current - reference) * np.log(current / reference)).sum(axis=-1)
            unit = phi / np.maximum(rows, 1) + error**2 / (bins - 1)
            p = stats.chi2.sf(psi / unit, bins - 1)
        return at_hour_ends(p < 1.0 / HOURS_PER_MONTH, counts.shape[1])


class Evidently:
    """Evidently's default test and threshold for a column, an hour against the past.

    The package's own verdict is asked for a sample of hours and must agree with the formula that
    it chose (JS distance, or Wasserstein over the standard deviation), which does the rest.
    """

    name = "Evidently defaults"
    counting = "edge"

    def __init__(self, past: Past) -> None:
        shares = past.series.total() / past.series.total().sum()
        self.counts = np.floor(shares * EVIDENTLY_REFERENCE_ROWS).astype(np.int64)
        self.reference = self.counts / self.counts.sum()
        points = np.arange(len(shares))
        mean = float((self.reference * points).sum())
        self.std = float(np.sqrt((self.reference * (points - mean) ** 2).sum()))
        self.asked = 0
        self.column = ColumnType.Categorical if len(shares) == 2 else ColumnType.Numerical

    def alarms(self, buckets: Ints, counts: Ints) -> Bools:
        hours = hourly(counts)
        current = hours / np.maximum(hours.sum(axis=-1, keepdims=True), 1)
        if hours.shape[-1] == 2:
            score = jensen_shannon(self.reference, current)
        else:
            apart = np.cumsum(current - self.reference, axis=-1)[..., :-1]
            score = np.abs(apart).sum(axis=-1) / self.std
        for run, hour in ((0, 0), (-1, -1)):
            self._agree(hours[run, hour], float(score[run, hour]))
        return at_hour_ends(score >= 0.1, counts.shape[1])

    def _agree(self, hour: Ints, score: float) -> None:
        points = np.arange(len(hour))
        reference = pd.Series(np.repeat(points, self.counts))
        current = pd.Series(np.repeat(points, hour))
        test = get_stattest(reference, current, self.column, None)
        result = test(reference, current, self.column, None)
        assert result.actual_threshold == 0.1, result
        assert abs(result.drift_score - score) < 1e-9, (test.name, result, score)
        self.asked += 1


class NannyMl:
    """NannyML's convention: JS distance of hourly chunks above mean + 3 std over the past's."""

    name = "NannyML thresholds"
    counting = "edge"

    def __init__(self, past: Past) -> None:
        total = past.series.total()
        self.reference = total / total.sum()
        chunks = self._distance(hourly(past.series.counts[None]))
        self.threshold = float(chunks.mean() + 3.0 * chunks.std())

    def _distance(self, hours: Ints) -> Floats:
        current = hours / np.maximum(hours.sum(axis=-1, keepdims=True), 1)
        return jensen_shannon(self.reference, current) / np.sqrt(np.log(2.0))

    def alarms(self, buckets: Ints, counts: Ints) -> Bools:
        return at_hour_ends(self._distance(hourly(counts)) > self.threshold, counts.shape[1])


class Adwin:
    """river's ADWIN with its defaults, row by row (bins as numbers)."""

    name = "river ADWIN"
    counting = "each"

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def alarms(self, buckets: Ints, counts: Ints) -> Bools:
        fired = np.zeros(counts.shape[:2], bool)
        points = np.arange(counts.shape[-1], dtype=np.float64)
        for run, table in enumerate(counts):
            detector = ADWIN()
            for place, bucket in enumerate(table):
                for value in self.rng.permutation(np.repeat(points, bucket)).tolist():
                    detector.update(value)
                    if detector.drift_detected:
                        fired[run, place] = True
        return fired


def jensen_shannon(reference: Floats, current: Floats) -> Floats:
    """JS distance [...] with natural logarithms."""
    middle = (reference + current) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(reference > 0, reference * np.log(reference / middle), 0.0)
        right = np.where(current > 0, current * np.log(current / middle), 0.0)
    return np.asarray(np.sqrt(np.maximum(0.0, (left + right).sum(axis=-1) / 2.0)))
