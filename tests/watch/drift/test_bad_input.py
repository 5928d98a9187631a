"""Absurd streams: a stated state, no division by zero, no false alarm."""

import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from processors.watch.drift import (
    BaselineState,
    Counted,
    Direction,
    DriftState,
    HistogramDetector,
    Kind,
    RateDetector,
    Series,
    State,
    decide,
    fit_baseline,
    guaranteed_threshold,
    rate_counts,
    replay,
    replayed_threshold,
)
from processors.watch.drift.detectors import SILENCE_BUCKETS
from processors.watch.drift.series import BUCKETS_PER_DAY
from processors.watch.drift.thresholds import evidence_along
from tests.watch.drift.streams import BEGIN, histogram_stream, rate_baseline, rate_stream

NOW = 10**9
MONTH = guaranteed_threshold(30)


@pytest.fixture(autouse=True)
def _numpy_warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        yield


def test_a_stream_that_vanishes_is_silent_and_returns_without_an_alarm() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    rng = np.random.default_rng(1)
    state = State()
    for bucket in range(BEGIN, BEGIN + 30):
        state, seen = detector.step(state, bucket, (96, 4), NOW)
    before = seen.log_evidence
    for bucket in range(BEGIN + 30, BEGIN + 30 + 20 * BUCKETS_PER_DAY):
        state, seen = detector.step(state, bucket, (0, 0), NOW)
        assert seen.status is Counted.EMPTY
    assert seen.log_evidence == before
    assert decide(seen, detector.baseline, bucket).state is DriftState.SILENT
    returned = bucket + 1
    state, seen = detector.step(state, returned, (98, 2), NOW)
    assert seen.log_evidence < 1.0
    assert decide(seen, detector.baseline, returned).state is DriftState.STEADY
    after = rate_stream(rng, 2, begin=returned + 1)
    for bucket, counts in zip(after.buckets.tolist(), after.counts.tolist(), strict=True):
        state, seen = detector.step(state, bucket, counts, NOW)
        assert not seen.fired


@pytest.mark.parametrize("flagged", [0, 100])
@pytest.mark.parametrize("direction", list(Direction))
def test_constants_raise_nothing(flagged: int, direction: Direction) -> None:
    buckets = BEGIN + np.arange(28 * BUCKETS_PER_DAY)
    series = Series.of_rate(buckets, np.full(len(buckets), 100), np.full(len(buckets), flagged))
    for kind in Kind:
        baseline = fit_baseline(series, kind)
        assert baseline.state is BaselineState.READY
        assert baseline.phi == 1.0
        detector = RateDetector(baseline, MONTH, direction)
        assert replay(series.between(BEGIN, BEGIN + 900), detector).alarms == ()
        hundred_days = Series(np.arange(28_800), np.repeat(series.counts[:1], 28_800, axis=0))
        shares, error = baseline.expected(hundred_days.buckets)
        evidence = evidence_along(detector, hundred_days, shares, error)
        threshold = replayed_threshold(series, detector)
        assert evidence.max() + 1.0 < threshold.log_threshold < MONTH


def test_one_category_raises_nothing_and_another_one_does() -> None:
    buckets = BEGIN + np.arange(28 * BUCKETS_PER_DAY)
    counts = np.zeros((len(buckets), 5), np.int64)
    counts[:, 0] = 40
    series = Series.of(buckets, counts)
    detector = HistogramDetector(fit_baseline(series), MONTH)
    assert replay(series.between(BEGIN, BEGIN + 900), detector).alarms == ()
    changed = series.counts[:50].copy()
    changed[25:, 0], changed[25:, 3] = 20, 20
    (alarm,) = replay(Series(series.buckets[:50], changed), detector).alarms
    assert alarm.bucket <= BEGIN + 28
    assert alarm.verdict.state is DriftState.DRIFT


@pytest.mark.parametrize("odd", [math.nan, math.inf, 1.5, -1, 2.0**60])
def test_what_are_no_counts_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match="count"):
        Series.of([0, 1], [[1.0, 2.0], [3.0, odd]])
    detector = RateDetector(rate_baseline(), MONTH)
    if odd != 1.5:
        state, seen = detector.step(State(), BEGIN, (1, odd), NOW)  # type: ignore[arg-type]
        assert (state, seen.status) == (State(), Counted.INVALID)
    with pytest.raises(ValueError, match="flagged"):
        rate_counts(3, 4)


def test_another_number_of_bins_is_invalid() -> None:
    detector = HistogramDetector(
        fit_baseline(histogram_stream(np.random.default_rng(2), 28)), MONTH
    )
    _, seen = detector.step(State(), BEGIN, (1, 2, 3), NOW)
    assert seen.status is Counted.INVALID


@pytest.mark.parametrize("days", [0, 1, 3])
def test_a_baseline_of_too_few_rows_says_so(days: int) -> None:
    few = rate_stream(np.random.default_rng(3), days, rows=1)
    for kind in Kind:
        baseline = fit_baseline(few, kind)
        enough = len(few) >= 500
        assert (baseline.state is BaselineState.READY) is enough
        assert np.isfinite(baseline.shares).all()
        assert baseline.shares.sum(axis=1) == pytest.approx(1.0)
        if not enough:
            detector = RateDetector(baseline, MONTH)
            state, seen = detector.step(State(), BEGIN, (0, 100), NOW)
            assert seen.status is Counted.NO_BASELINE
            assert state == State()
            assert decide(seen, baseline, BEGIN).state is DriftState.NO_BASELINE


def test_a_clock_jump_ahead_does_not_make_the_rest_late() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    state, _ = detector.step(State(), BEGIN, (98, 2), BEGIN)
    jumped, seen = detector.step(state, BEGIN + 10**7, (0, 100), BEGIN + 1)
    assert (jumped, seen.status) == (state, Counted.AHEAD)
    _, seen = detector.step(jumped, BEGIN + 1, (98, 2), BEGIN + 1)
    assert seen.status is Counted.COUNTED


def test_a_clock_jump_back_changes_nothing() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    state, _ = detector.step(State(), BEGIN, (98, 2), NOW)
    back, seen = detector.step(state, 12, (0, 100), NOW)
    assert (back, seen.status) == (state, Counted.LATE)


def test_a_window_recomputed_ten_times_counts_once() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    state, _ = detector.step(State(), BEGIN, (95, 5), NOW)
    for number in range(10):
        again, seen = detector.step(state, BEGIN, (95 + number, 5 + number), NOW)
        assert (again, seen.status) == (state, Counted.LATE)
    series = Series.of_rate([7] * 10, range(10, 20), range(10))
    assert (series.buckets.tolist(), series.counts.tolist()) == ([7], [[10, 9]])


def test_a_long_silence_ends_what_was_gathered() -> None:
    detector = HistogramDetector(
        fit_baseline(histogram_stream(np.random.default_rng(4), 28)), MONTH
    )
    shifted = (20, 20, 20, 20, 20, 0, 0, 0, 0, 0)
    state, seen = detector.step(State(), BEGIN, shifted, NOW)
    for bucket in range(BEGIN + 1, BEGIN + 20):
        state, seen = detector.step(state, bucket, shifted, NOW)
    assert seen.fired
    even = (10,) * 10
    _, seen = detector.step(state, BEGIN + 20 + SILENCE_BUCKETS, even, NOW)
    assert not seen.fired


def test_an_empty_series_replays_to_nothing() -> None:
    empty = Series.of(np.zeros(0), np.zeros((0, 2)))
    shown = replay(empty, RateDetector(rate_baseline(), MONTH))
    assert (len(shown.evidence), shown.alarms) == (0, ())
    threshold = replayed_threshold(empty, RateDetector(rate_baseline(), MONTH))
    assert (threshold.days, threshold.false_alarms) == (0, None)


def test_one_row_an_hour_and_a_million_a_bucket() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    state = State()
    for bucket in range(BEGIN, BEGIN + 2000, 12):
        state, seen = detector.step(state, bucket, (1, 0), NOW)
    state, seen = detector.step(state, BEGIN + 2001, (1_000_000, 20_400), NOW)
    assert math.isfinite(seen.log_evidence)
    assert not seen.fired
