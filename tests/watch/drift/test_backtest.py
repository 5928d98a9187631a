"""Thresholds from the past, replays, calibration, the picture."""

import struct
import zlib

import numpy as np
import pytest

from processors.watch.drift import (
    DriftState,
    HistogramDetector,
    Kind,
    RateDetector,
    Series,
    calibrate,
    fit_baseline,
    guaranteed_threshold,
    replay,
    replayed_threshold,
)
from processors.watch.drift.backtest import changed_counts, tilted_shares
from processors.watch.drift.picture import picture
from processors.watch.drift.series import BUCKETS_PER_DAY
from processors.watch.drift.thresholds import starts_per_day
from tests.watch.drift.streams import (
    BEGIN,
    clumped_stream,
    histogram_stream,
    rate_baseline,
    rate_stream,
)

MONTH = guaranteed_threshold(30)


def test_more_streams_and_rarer_alarms_need_more_evidence() -> None:
    assert guaranteed_threshold(30, 100) > guaranteed_threshold(30) > guaranteed_threshold(7)
    for wrong in ((0.0, 1), (30.0, 0), (float("nan"), 1)):
        with pytest.raises(ValueError, match="positive"):
            guaranteed_threshold(*wrong)


def test_few_rows_start_fewer_candidates() -> None:
    buckets = BEGIN + np.arange(10 * BUCKETS_PER_DAY)
    flagged = (np.arange(len(buckets)) % 10 == 0).astype(int)
    sparse = Series.of_rate(buckets, np.full(len(buckets), 5), flagged)
    per_day = starts_per_day(sparse, fit_baseline(sparse, Kind.FIXED))
    assert per_day == pytest.approx(28.8, rel=0.05)


def test_clumps_beyond_phi_raise_the_threshold_and_calm_streams_do_not() -> None:
    rng = np.random.default_rng(1)
    calm, clumped = rate_stream(rng, 28), clumped_stream(rng, 28, 6.0)
    found = [
        replayed_threshold(series, RateDetector(fit_baseline(series), 0.0))
        for series in (calm, clumped)
    ]
    assert found[0].log_threshold < MONTH + 1.5
    assert found[1].log_threshold > found[0].log_threshold
    for one in found:
        assert one.false_alarms is not None
        assert one.false_alarms <= 0.51
        assert one.days == 28


def test_the_same_seed_gives_the_same_threshold() -> None:
    series = histogram_stream(np.random.default_rng(2), 14)
    detector = HistogramDetector(fit_baseline(series), 0.0)
    assert replayed_threshold(series, detector) == replayed_threshold(series, detector)
    assert replayed_threshold(series, detector, streams=50) != replayed_threshold(series, detector)


def test_a_replay_finds_the_incident_and_only_that() -> None:
    rng = np.random.default_rng(3)
    series = rate_stream(rng, 12)
    begin = 8 * BUCKETS_PER_DAY
    counts = series.counts.copy()
    flagged = rng.binomial(100, 0.08, 100)
    counts[begin : begin + 100] = np.stack([100 - flagged, flagged], axis=-1)
    shown = replay(Series(series.buckets, counts), RateDetector(rate_baseline(), MONTH))
    (alarm,) = shown.alarms
    assert 0 <= alarm.bucket - (BEGIN + begin) <= 6
    assert alarm.verdict.state is DriftState.DRIFT
    assert shown.shares[:, 1].max() >= 0.08
    assert (shown.band > 0).all()
    assert len(shown.evidence) == len(series)


@pytest.mark.parametrize("effect", [0.5, 1.25, 5.0])
def test_injected_rates_are_as_asked(effect: float) -> None:
    rng = np.random.default_rng(4)
    counts = np.tile([980_000, 20_000], (50, 1))
    changed = changed_counts(rng, counts, rate_baseline(), effect)
    assert changed.sum() == counts.sum()
    assert changed[:, 1].mean() / 20_000 == pytest.approx(effect, rel=0.01)


@pytest.mark.parametrize("psi", [0.006, 0.05, 0.14])
def test_injected_shapes_are_as_asked(psi: float) -> None:
    rng = np.random.default_rng(5)
    baseline = fit_baseline(histogram_stream(rng, 2, bins=6), Kind.FIXED)
    usual = baseline.shares[0]
    target = tilted_shares(usual, psi)
    assert ((target - usual) * np.log(target / usual)).sum() == pytest.approx(psi, rel=1e-6)
    counts = rng.multinomial(1_000_000, usual, 20)
    changed = changed_counts(rng, counts, baseline, psi)
    assert (changed.sum(axis=1) == 1_000_000).all()
    assert changed.mean(axis=0) / 1_000_000 == pytest.approx(target, abs=2e-3)


def test_calibration_tells_what_can_be_seen() -> None:
    series = rate_stream(np.random.default_rng(6), 28)
    found = calibrate(series, RateDetector(fit_baseline(series), 0.0), runs=20)
    medians = [delay.median_minutes for delay in found.delays]
    assert [delay.effect for delay in found.delays] == [1.25, 1.5, 2.0, 5.0]
    assert all(median is not None for median in medians)
    assert medians == sorted(medians, key=lambda one: -(one or 0))
    assert found.delays[-1].median_minutes is not None
    assert found.delays[-1].median_minutes <= 20
    short = calibrate(series.between(BEGIN, BEGIN + 300), RateDetector(rate_baseline(), 0.0))
    assert short.delays == ()


def test_calibration_of_a_shape() -> None:
    series = histogram_stream(np.random.default_rng(7), 14)
    found = calibrate(series, HistogramDetector(fit_baseline(series), 0.0), runs=10)
    assert found.delays[-1].found == 1.0
    assert (found.delays[-1].median_minutes or 0) <= 60


@pytest.mark.parametrize("days", [0, 2])
def test_the_picture_is_a_png(days: int) -> None:
    series = rate_stream(np.random.default_rng(8), days, share=0.05)
    shown = replay(series, RateDetector(rate_baseline(), MONTH))
    assert bool(shown.alarms) == (days > 0)
    png = picture(shown, "error rate, checkout")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (1210, 660)
    assert png[-8:-4] == b"IEND"
    assert zlib.crc32(b"IEND") == struct.unpack(">I", png[-4:])[0]
