"""Baselines follow what repeats, and say how sure they are."""

import numpy as np
import pytest

from processors.watch.drift import Kind, Series, fit_baseline
from processors.watch.drift.baseline import over_dispersion
from processors.watch.drift.series import BUCKETS_PER_DAY
from tests.watch.drift.streams import BEGIN, clumped_stream, histogram_stream, rate_stream


def daily(rng: np.random.Generator, days: int) -> tuple[Series, np.ndarray]:
    buckets = BEGIN + np.arange(days * BUCKETS_PER_DAY)
    share = 0.02 * (1 + 0.4 * np.sin(2 * np.pi * buckets / BUCKETS_PER_DAY))
    rows = np.full(len(buckets), 400)
    return Series.of_rate(buckets, rows, rng.binomial(rows, share)), share


def test_a_season_is_followed() -> None:
    series, share = daily(np.random.default_rng(1), 28)
    baseline = fit_baseline(series, Kind.SEASONAL)
    expected, error = baseline.expected(series.buckets)
    off = expected[:, 1] / share - 1
    assert np.abs(off).mean() < 0.05
    # The error is that of the whole distribution; of a share p it is error * sqrt((1-p)/p).
    stated = error * np.sqrt((1 - share) / share)
    assert np.sqrt((off**2).mean()) < 1.5 * stated.mean()
    assert baseline.phi < 1.1


def test_hours_that_do_not_differ_share_their_rows() -> None:
    series = rate_stream(np.random.default_rng(2), 28)
    seasonal, fixed = fit_baseline(series, Kind.SEASONAL), fit_baseline(series, Kind.FIXED)
    alone = float(np.sqrt(1 / (series.rows.sum() / 168)))
    assert seasonal.error.mean() < 0.5 * alone
    assert fixed.error[0] < seasonal.error.mean()
    assert seasonal.shares[:, 1] == pytest.approx(0.02, abs=0.003)


@pytest.mark.parametrize("phi", [2.0, 3.0, 5.0])
def test_clumps_are_measured(phi: float) -> None:
    series = clumped_stream(np.random.default_rng(3), 28, phi)
    assert over_dispersion(series, seasonal=True) == pytest.approx(phi, rel=0.15)
    assert over_dispersion(series, seasonal=False) == pytest.approx(phi, rel=0.15)


def test_clumps_longer_than_a_bucket_are_measured() -> None:
    rng = np.random.default_rng(4)
    hourly = np.repeat(rng.beta(20, 980, 28 * 24), 12)
    series = Series.of_rate(
        BEGIN + np.arange(len(hourly)), np.full(len(hourly), 100), rng.binomial(100, hourly)
    )
    assert over_dispersion(series, seasonal=True) > 1.7


def test_independent_rows_are_not_clumped() -> None:
    rng = np.random.default_rng(5)
    assert over_dispersion(histogram_stream(rng, 28), seasonal=True) < 1.05
    assert over_dispersion(rate_stream(rng, 28), seasonal=True) < 1.05
    assert over_dispersion(Series.of([1], [[1, 2]]), seasonal=True) == 1.0


def test_excluded_ranges_leave_no_trace() -> None:
    rng = np.random.default_rng(6)
    series = rate_stream(rng, 28)
    incident = (BEGIN + 1000, BEGIN + 1400)
    bad = series.counts.copy()
    bad[1000:1400] = (10, 90)
    spoiled = Series(series.buckets, bad)
    clean = fit_baseline(series, excluded=[incident])
    found = fit_baseline(spoiled, excluded=[incident])
    assert found.shares == pytest.approx(clean.shares)
    assert (found.phi, found.rows, found.buckets) == (clean.phi, clean.rows, clean.buckets)


def test_merging_rows_of_a_stream_by_bin_is_the_same_as_counting_them_together() -> None:
    series = histogram_stream(np.random.default_rng(7), 28)
    coarse = Series.of(series.buckets, series.counts.reshape(len(series), 5, 2).sum(axis=2))
    fine, merged = fit_baseline(series, Kind.FIXED), fit_baseline(coarse, Kind.FIXED)
    assert merged.shares[0] == pytest.approx(fine.shares[0].reshape(5, 2).sum(axis=1), abs=1e-5)


def test_order_and_repetition_of_buckets_do_not_matter() -> None:
    series = rate_stream(np.random.default_rng(8), 3)
    shuffled = np.random.default_rng(9).permutation(len(series))
    again = np.concatenate([shuffled, shuffled[:50]])
    found = Series.of(series.buckets[again], series.counts[again])
    assert (found.buckets == series.buckets).all()
    assert (found.counts == series.counts).all()
