"""Detectors: their ratios are e-values, alarms are as rare as promised, changes are found."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from processors.watch.drift import (
    Counted,
    Direction,
    HistogramDetector,
    Kind,
    RateDetector,
    Series,
    State,
    fit_baseline,
    guaranteed_threshold,
)
from processors.watch.drift.dating import likeliest_start
from processors.watch.drift.detectors import NEVER
from processors.watch.drift.ratios import (
    FALLS,
    PACES,
    RISES,
    histogram_log_ratios,
    learned_counts,
    predicted_shares,
    rate_log_ratios,
    shiryaev_roberts,
)
from processors.watch.drift.series import BUCKETS_PER_DAY
from processors.watch.drift.thresholds import evidence_along
from tests.watch.drift.streams import BEGIN, histogram_stream, rate_baseline, rate_stream

NOW = 10**9
MONTH = guaranteed_threshold(30)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_a_rates_ratio_is_an_e_value(share: float, rows: int) -> None:
    """Summed over the whole binomial: 1 at the baseline, less on the side away from the change."""
    flagged = np.arange(rows + 1)
    factors = RISES + FALLS
    ratios = rate_log_ratios(
        np.full(rows + 1, float(rows)),
        flagged.astype(float),
        np.full(rows + 1, share),
        factors,
    )
    chance = stats.binom.pmf(flagged, rows, share)
    assert chance @ np.exp(ratios) == pytest.approx(np.ones(len(factors)), rel=1e-9)
    lower = stats.binom.pmf(flagged, rows, share / 2) @ np.exp(ratios)
    assert (lower[: len(RISES)] <= 1 + 1e-9).all()
    higher = stats.binom.pmf(flagged, rows, (1 + share) / 2) @ np.exp(ratios)
    assert (higher[len(RISES) :] <= 1 + 1e-9).all()


def test_a_histograms_ratio_is_an_e_value_for_all_near_references() -> None:
    """Summed over every outcome of four rows in three bins, at the edge of what error allows."""
    p = np.array([0.5, 0.3, 0.2])
    q = np.array([0.3, 0.3, 0.4])
    outcomes = np.array([c for c in product(range(5), repeat=3) if sum(c) == 4], float)
    for error in (0.0, 0.1, 0.3):
        ratios = histogram_log_ratios(outcomes, q, p, np.array(error))
        worst = p + error * (q - p) / math.sqrt((((q - p) ** 2) / p).sum())
        for true in (p, worst):
            chance = stats.multinomial.pmf(outcomes, 4, true)
            assert float(chance @ np.exp(ratios)) <= 1 + 1e-9
    exact = histogram_log_ratios(outcomes, q, p, np.array(0.0))
    chance = stats.multinomial.pmf(outcomes, 4, p)
    assert float(chance @ np.exp(exact)) == pytest.approx(1.0)


def test_the_scan_is_the_recursion() -> None:
    rng = np.random.default_rng(1)
    ratios = rng.normal(-0.2, 1.0, 500)
    starts = rng.uniform(0.1, 1.0, 500)
    m, expected = 0.0, []
    for ratio, start in zip(ratios, starts, strict=True):
        m = math.exp(ratio) * (m + start)
        expected.append(math.log(m))
    assert shiryaev_roberts(ratios, np.log(starts)) == pytest.approx(np.array(expected), abs=1e-9)
    counts = rng.poisson(5, (300, 4)).astype(float)
    learned, seen = np.zeros(4), []
    for row in counts:
        seen.append(learned)
        learned = 0.97 * learned + row
    assert learned_counts(counts, 0.97) == pytest.approx(np.array(seen), abs=1e-9)


def test_a_prediction_is_a_distribution_that_begins_at_the_reference() -> None:
    reference = np.array([0.7, 0.2, 0.1])
    pace = PACES[0]
    assert predicted_shares(np.zeros(3), reference, pace.prior_rows) == pytest.approx(reference)
    learned = predicted_shares(np.array([0.0, 0.0, 1e6]), reference, pace.prior_rows)
    assert learned.sum() == pytest.approx(1.0)
    assert (learned > 0).all()


def run(
    detector: RateDetector | HistogramDetector, series: Series, state: State | None = None
) -> tuple[State, list[float]]:
    state = state or State()
    evidence = []
    for bucket, counts in zip(series.buckets.tolist(), series.counts.tolist(), strict=True):
        state, seen = detector.step(state, bucket, counts, NOW)
        evidence.append(seen.log_evidence)
    return state, evidence


@pytest.mark.parametrize("direction", list(Direction))
def test_steps_give_what_arrays_give_for_rates(direction: Direction) -> None:
    series = rate_stream(np.random.default_rng(2), 28)
    baseline = fit_baseline(series, Kind.SEASONAL)
    detector = RateDetector(baseline, 50.0, direction, tolerance=0.05)
    some = series.between(BEGIN, BEGIN + 400)
    _, evidence = run(detector, some)
    shares, error = baseline.expected(some.buckets)
    assert evidence_along(detector, some, shares, error) == pytest.approx(evidence, abs=1e-8)


def test_steps_give_what_arrays_give_for_histograms() -> None:
    series = histogram_stream(np.random.default_rng(2), 28)
    baseline = fit_baseline(series, Kind.SEASONAL)
    detector = HistogramDetector(baseline, 50.0, tolerance=0.01)
    some = series.between(BEGIN, BEGIN + 400)
    _, evidence = run(detector, some)
    shares, error = baseline.expected(some.buckets)
    assert evidence_along(detector, some, shares, error) == pytest.approx(evidence, abs=1e-8)


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Threshold A alarms after A buckets or more on average (here far more, by overshoot)."""
    rng = np.random.default_rng(3)
    target_days, runs = 2.0, 60
    steps = int(10 * target_days * BUCKETS_PER_DAY)
    log_threshold = guaranteed_threshold(target_days)
    buckets = np.broadcast_to(np.arange(steps), (runs, steps))

    rate = RateDetector(rate_baseline(), log_threshold, Direction.BOTH)
    flagged = rng.binomial(100, 0.02, (runs, steps))
    rates = Series(buckets, np.stack([100 - flagged, flagged], axis=-1))
    shares = np.broadcast_to(rate.baseline.shares[0], (runs, steps, 2))
    first = alarm_steps(evidence_along(rate, rates, shares, np.zeros((runs, steps))), log_threshold)
    assert mean_time(first, steps) >= target_days * BUCKETS_PER_DAY

    history = histogram_stream(rng, 28)
    histogram = HistogramDetector(fit_baseline(history, Kind.FIXED), log_threshold)
    counts = rng.multinomial(100, np.full(10, 0.1), (runs, steps))
    even = np.full((runs, steps, 10), 0.1)
    evidence = evidence_along(histogram, Series(buckets, counts), even, np.zeros((runs, steps)))
    assert mean_time(alarm_steps(evidence, log_threshold), steps) >= target_days * BUCKETS_PER_DAY


def alarm_steps(evidence: np.ndarray, log_threshold: float) -> np.ndarray:
    fired = evidence >= log_threshold
    return np.where(fired.any(axis=1), fired.argmax(axis=1) + 1, evidence.shape[1] + 1)


def mean_time(first: np.ndarray, steps: int) -> float:
    """Time at risk over alarms: the mean of exponential times cut off at ``steps``."""
    alarms = max(1, int((first <= steps).sum()))
    return float(np.minimum(first, steps).sum()) / alarms


@pytest.mark.parametrize(
    ("factor", "within_minutes"), [(1.25, 2000), (1.5, 450), (2.0, 150), (5.0, 20)]
)
def test_rises_are_found(factor: float, within_minutes: int) -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    rng = np.random.default_rng(4)
    delays = []
    for _ in range(9):
        before = rate_stream(rng, 1)
        after = rate_stream(rng, 4, 0.02 * factor, begin=BEGIN + BUCKETS_PER_DAY)
        state, _ = run(detector, before)
        _, evidence = run(detector, after.between(0, BEGIN + 4 * BUCKETS_PER_DAY), state)
        found = np.flatnonzero(np.array(evidence) >= MONTH)
        delays.append((int(found[0]) + 1) * 5 if len(found) else math.inf)
    assert np.median(delays) <= within_minutes


def test_a_better_rate_raises_nothing_upwards_but_downwards() -> None:
    better = rate_stream(np.random.default_rng(5), 6, 0.01)
    _, up = run(RateDetector(rate_baseline(), MONTH), better)
    _, down = run(RateDetector(rate_baseline(), MONTH, Direction.DOWN), better)
    assert max(up) < MONTH <= max(down)


def test_the_alarm_says_since_when_and_of_what() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    rng = np.random.default_rng(6)
    state, _ = run(detector, rate_stream(rng, 1))
    change = BEGIN + BUCKETS_PER_DAY
    for bucket in range(change, change + 60):
        flagged = int(rng.binomial(100, 0.08))
        state, seen = detector.step(state, bucket, (100 - flagged, flagged), NOW)
        if seen.fired:
            break
    assert seen.fired
    assert abs(seen.since - change) <= 3
    assert sum(seen.observed) == 100 * (seen.bucket - seen.since + 1)
    assert seen.observed[1] / seen.expected[1] == pytest.approx(4.0, rel=0.5)
    assert seen.fired_at == seen.bucket


def test_evidence_falls_again_after_the_drift() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    rng = np.random.default_rng(7)
    state, _ = run(detector, rate_stream(rng, 7, 0.06))
    fired_at = state.fired_at
    assert fired_at != NEVER
    state, evidence = run(detector, rate_stream(rng, 1, begin=BEGIN + 7 * BUCKETS_PER_DAY), state)
    assert state.fired_at == NEVER
    assert evidence[-1] < MONTH


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_each_bucket_counts_once_and_in_order(data: st.DataObject) -> None:
    """Whatever is repeated or comes late, the state is that of the buckets in order."""
    detector: RateDetector | HistogramDetector = RateDetector(rate_baseline(), MONTH)
    buckets = sorted(data.draw(st.sets(st.integers(BEGIN, BEGIN + 200), min_size=1, max_size=12)))
    rows = {
        bucket: data.draw(st.tuples(st.integers(0, 90), st.integers(0, 9))) for bucket in buckets
    }
    plain = State()
    for bucket in buckets:
        plain, _ = detector.step(plain, bucket, rows[bucket], NOW)
    state = State()
    for place, bucket in enumerate(buckets):
        state, _ = detector.step(state, bucket, rows[bucket], NOW)
        state = State.loads(state.dumps())
        if sum(rows[bucket]) == 0:
            continue
        again = data.draw(st.lists(st.sampled_from(buckets[: place + 1]), max_size=3))
        for old in again:
            same, seen = detector.step(state, old, (1, 99), NOW)
            assert same is state
            assert seen.status is Counted.LATE
    assert state == plain


def test_a_state_survives_as_json() -> None:
    series = histogram_stream(np.random.default_rng(8), 28)
    detector = HistogramDetector(fit_baseline(series), MONTH)
    first, second = series.between(BEGIN, BEGIN + 50), series.between(BEGIN + 50, BEGIN + 100)
    state, _ = run(detector, first)
    kept = State.loads(state.dumps())
    assert kept == state
    assert run(detector, second, kept) == run(detector, second, state)
    assert State.loads(State().dumps()) == State()
    assert State.loads('{"version": 0}') == State()
    for odd in ("[]", '{"version": 1}', "x"):
        with pytest.raises(ValueError, match=r"state|Expecting"):
            State.loads(odd)


def test_an_acknowledged_alarm_starts_anew_after_what_was_counted() -> None:
    detector = RateDetector(rate_baseline(), MONTH)
    state, _ = run(detector, rate_stream(np.random.default_rng(9), 1, 0.1))
    anew = state.restarted()
    assert (anew.bucket, anew.fired_at, anew.walks) == (state.bucket, NEVER, ())
    _, seen = detector.step(anew, state.bucket, (0, 100), NOW)
    assert seen.status is Counted.LATE


def test_a_large_change_is_dated_to_within_a_bucket_though_chance_flagged_some_before() -> None:
    """Ten rows a bucket at 2%, then 50%: Page's own estimate is up to hours early."""
    detector = RateDetector(rate_baseline(2), MONTH)
    away = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        state, change = State(), 36
        for bucket in range(change + 12):
            flagged = int(rng.binomial(10, 0.02 if bucket < change else 0.5))
            state, seen = detector.step(state, bucket, (10 - flagged, flagged), NOW)
            if seen.fired:
                away.append(seen.since - change)
                assert sum(seen.observed) == 10 * (bucket - seen.since + 1)
                assert sum(seen.expected) == pytest.approx(sum(seen.observed), abs=1e-3)
                since = seen.since
                for later in range(bucket + 1, bucket + 20):
                    state, seen = detector.step(state, later, (5, 5), NOW)
                    assert seen.since == since, "it stays"
                break
    assert len(away) == 200
    assert np.mean(np.abs(away) <= 1) >= 0.9
    assert abs(np.mean(away)) < 0.5


def test_what_was_flagged_evenly_keeps_its_start() -> None:
    recent = [(bucket, 10, 2, 0.2) for bucket in range(10)]
    assert likeliest_start(0, 100, 20, 2.0, recent) is None
    assert likeliest_start(5, 40, 8, 0.8, recent) is None
    late = [(bucket, 10, 0 if bucket < 8 else 6, 0.2) for bucket in range(10)]
    start = likeliest_start(0, 100, 12, 2.0, late)
    assert start is not None
    assert start[:2] == (8, (8, 12))
    assert start[2] == pytest.approx((19.6, 0.4))
